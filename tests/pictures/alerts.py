"""Alarms that late readings correct: one began earlier, one never was, two are one, one is found at all."""

from __future__ import annotations

from streams import topology
from streams.core.alert.late.sentence import CORRECTIONS
from tests.pictures.chain import SECOND, Chain, Row
from tests.pictures.drawing import SMALL, Picture, Scale
from tests.pictures.plant import TEMPERATURE, TEN, dictionary

RULE = "bearing-temperature-high"
STEP, LAST = SECOND // 2, 230 * SECOND
# Seconds in which readings are above the limit; seconds whose readings come late, and when they come.
HOT = ((15.0, 40.0), (60.0, 60.5), (63.0, 63.5), (115.0, 126.0), (127.0, 145.0), (180.0, 190.0))
LATE = ((15.0, 20.0, 50), (60.5, 63.0, 90), (127.0, 135.0, 160), (180.0, 190.0, 215))
CASES = ((27, "began earlier"), (62, "never was"), (130, "two are one"), (188, "found late"))


def run() -> Chain:
    """A reading every half a second, of which some come late."""
    chain = Chain(dictionary(TEMPERATURE), ("alert",))
    for measured in range(TEN, TEN + LAST, STEP):
        second = (measured - TEN) / SECOND
        value = 92.0 if any(begin <= second < end for begin, end in HOT) else 70.0
        taken = measured + SECOND // 5
        for begin, end, came in LATE:
            taken = TEN + came * SECOND if begin <= second < end else taken
        chain.send(taken, address=TEMPERATURE["address"], source_time=measured, value_double=value)
    chain.run(TEN, TEN + LAST)
    return chain


def _boxes(picture: Picture, scale: Scale, y: float, rows: list[Row]) -> None:
    """The last of these revisions of an alarm, from begin to end."""
    row = rows[-1]
    left, right = scale(row["begin_time"]), scale(row["end_time"])
    gone, past = row["state"] == "retracted", row["historical"]
    picture.box(left, y - 12, right, y + 12, "mute" if gone or past else "bad", dash="3 3" if gone or past else "")
    if gone:
        picture.cross((left + right) / 2, y)


def draw() -> Picture:
    """Event time; the readings, the alarms as they were first told, and as they were corrected."""
    chain = run()
    picture = Picture(
        "Late readings correct alarms",
        "Four alarms on a bearing's temperature: late readings show that one began earlier, one never was, two "
        "others are one, and that there was another one.",
        350,
    )
    scale = Scale(TEN, TEN + LAST, 170)
    picture.ticks(scale, 270, 30 * SECOND, top=75)
    for second, text in CASES:
        picture.text(scale(TEN + second * SECOND), 62, text, anchor="middle", weight=600)
    picture.lane(110, "temperature", "above, below limit")
    late = [(TEN + round(begin * SECOND), TEN + round(end * SECOND)) for begin, end, _ in LATE]
    for row in chain.out[topology.READING.name]:
        time_us = row["event_time"]
        came_late = any(begin <= time_us < end for begin, end in late)
        y = 95 if row["value_double"] > 85 else 125
        picture.dot(scale(time_us), y, "new" if came_late else "good", radius=2.5)
    picture.lane(175, "as first told", "ops.alert.v1", scale)
    picture.lane(230, "as corrected", "highest revision", scale)
    alarms: dict[str, list[Row]] = {}
    for row in chain.out[topology.ALERT.name]:
        if row["rule_id"] == RULE:
            alarms.setdefault(row["alert_id"], []).append(row)
    for rows in alarms.values():
        first = [row for row in rows if row["reason"] not in CORRECTIONS]
        if first:
            _boxes(picture, scale, 175, first)
        _boxes(picture, scale, 230, rows)
        picture.text(scale(rows[-1]["begin_time"]), 256, rows[-1]["reason"], "faint", size=SMALL)
    picture.dot(24, 322, "good")
    picture.text(36, 326, "in time", size=SMALL)
    picture.dot(124, 322, "new")
    picture.text(136, 326, "came late", size=SMALL)
    picture.text(240, 326, "dashed: historical, nobody is called; crossed: retracted", size=SMALL)
    return picture
