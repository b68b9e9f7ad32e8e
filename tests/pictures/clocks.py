"""A clock that is minutes ahead for a while, and one stamp that cannot be."""

from __future__ import annotations

from streams import topology
from streams.core.frames import ESTIMATED_TIME
from streams.core.validate.clock_alert import RULE_ID
from tests.pictures.chain import MINUTE, SECOND, Chain
from tests.pictures.drawing import SMALL, Picture, Scale, clock
from tests.pictures.plant import TEMPERATURE, TEN, dictionary

AHEAD_US = 7 * MINUTE
WRONG, RIGHT, LAST = 30, 90, 135
IMPOSSIBLE = 12


def stamp(second: int) -> int:
    """What the source's clock says."""
    shift = AHEAD_US if WRONG <= second < RIGHT else 0
    return TEN + second * SECOND + shift + (3650 * 24 * 60 * MINUTE if second == IMPOSSIBLE else 0)


def run() -> Chain:
    """A reading a second; the gateway sees each 0.2 s after it was measured."""
    chain = Chain(dictionary(TEMPERATURE), ())
    for second in range(LAST):
        seen = TEN + second * SECOND + SECOND // 5
        said = {"address": TEMPERATURE["address"], "value_double": 70.0}
        chain.send(seen + SECOND // 5, source_time=stamp(second), gateway_time=seen, **said)
    chain.run(TEN, TEN + LAST * SECOND)
    return chain


def draw() -> Picture:
    """How far stamps are ahead of the gateway's clock: as sent, and as published."""
    chain = run()
    picture = Picture(
        "A clock seven minutes ahead is noticed after 20 readings",
        "The source's stamps jump ahead by seven minutes; after twenty readings they are corrected and marked; one "
        "alert tells the begin and the end. One stamp ten years ahead is rejected.",
        350,
    )
    scale, up = Scale(TEN, TEN + LAST * SECOND, 170), Scale(-MINUTE, 8 * MINUTE, 230, 60)
    picture.ticks(scale, 230, 15 * SECOND)
    for minutes in (0, 7):
        picture.line(scale.left, up(minutes * MINUTE), scale.right, up(minutes * MINUTE))
        picture.text(scale.left - 8, up(minutes * MINUTE) + 4.5, f"{minutes} min ahead", "faint", "end", SMALL)
    for second in range(LAST):
        seen, off = TEN + second * SECOND, stamp(second) - TEN - second * SECOND
        if off < 8 * MINUTE:
            picture.dot(scale(seen), up(off), "mute", hollow=True, radius=3)
    # Readings are published in the order in which they came; the rejected one is not among them.
    came = [second for second in range(LAST) if second != IMPOSSIBLE]
    for second, reading in zip(came, chain.out[topology.READING.name], strict=False):
        seen = TEN + second * SECOND
        kind = "doubt" if reading["flags"] & ESTIMATED_TIME else "good"
        picture.dot(scale(seen), up(reading["event_time"] - seen), kind, radius=2.5)
    rejected = chain.out[topology.REJECTED.name][0]
    x = scale(TEN + IMPOSSIBLE * SECOND)
    picture.cross(x, up(MINUTE * 3 // 4), arm=5)
    picture.text(x, up(MINUTE * 3 // 2), f"rejected: {rejected['reason']}", "bad", "middle", SMALL)
    begin, end = (row for row in chain.out[topology.ALERT.name] if row["rule_id"] == RULE_ID)
    picture.lane(285, "alert", RULE_ID)
    picture.box(scale(begin["begin_time"]), 273, scale(end["end_time"]), 297, "bad", f"value {begin['value']:.0f} s")
    for row in (begin, end):
        picture.dot(scale(row["detection_time"]), 285, "bad", radius=5)
    picture.text(scale(end["end_time"]) + 14, 289.5, f"cleared {clock(end['detection_time'])}", "bad", size=SMALL)
    picture.text(scale(begin["begin_time"]) - 8, 289.5, f"told {clock(begin['detection_time'])}", "bad", "end", SMALL)
    for x, kind, hollow, text in (
        (24, "mute", True, "as sent"),
        (110, "good", False, "as published"),
        (232, "doubt", False, "as published, corrected (flags: 16)"),
    ):
        picture.dot(x, 324, kind, hollow=hollow)
        picture.text(x + 12, 328, text, size=SMALL)
    return picture
