"""An edge node that is cut off for six hours and then delivers what it kept."""

from __future__ import annotations

from typing import Any

from streams import topology
from tests.pictures.chain import HOUR, MINUTE, SECOND, Chain, Row, at
from tests.pictures.drawing import SMALL, Picture, Scale
from tests.pictures.plant import LINE, STATE, TEMPERATURE

BEGIN, CUT, BACK, END = at("08:00:00"), at("09:00:00"), at("15:00:00"), at("16:00:00")
STEP = 5 * MINUTE
EVERY: dict[str, Any] = {"period_ms": 300_000, "window_lengths_s": [1800]}
COUNTER = {
    **LINE,
    "signal_id": "filler-good",
    "source_id": "edge-1",
    "address": "filler/good",
    "role": "good_counter",
    **EVERY,
}
NEIGHBOUR = {**TEMPERATURE, **EVERY, "signal_id": "room", "source_id": "edge-2", "address": "room", "work_unit": "hall"}
CONTEXT = {
    topology.SIGNAL.name: [{**TEMPERATURE, **EVERY}, {**STATE, "window_lengths_s": [1800]}, COUNTER, NEIGHBOUR],
    topology.PRODUCTION_ORDER.name: [
        {"order_id": "4711", "site": "hall", "work_center": "line-1", "product": "cola", "status": "running"}
        | {"actual_start": BEGIN, "planned_run_time_s": 1.0}
    ],
    topology.CALENDAR.name: [
        {"entry_id": "s", "site": "hall", "work_center": "line-1", "kind": "shift", "name": "day"}
        | {"start": BEGIN, "end": END}
    ],
}
# Too hot and over again, in fault and over again, too hot until after the return.
HOT, FAULT, AGAIN = (
    (at("10:30:00"), at("11:15:00")),
    (at("12:30:00"), at("13:30:00")),
    (at("14:30:00"), at("15:30:00")),
)


def readings(measured: int) -> list[Row]:
    """What the filler's three signals say at an instant."""
    odd = measured // STEP % 2
    hot = any(begin <= measured < end for begin, end in (HOT, AGAIN))
    stood = max(0, min(measured, FAULT[1]) - FAULT[0])
    said = [
        {"address": TEMPERATURE["address"], "value_double": (92.0 if hot else 70.0) + odd},
        {"address": COUNTER["address"], "value_long": (measured - BEGIN - stood) // (2 * SECOND)},
    ]
    if measured in {BEGIN, *FAULT}:
        said.append({"address": STATE["address"], "value_string": "fault" if measured == FAULT[0] else "running"})
    return [{"source_time": measured, **one} for one in said]


def run() -> Chain:
    """Eight hours, a reading every five minutes; edge-1 is cut off for six of them, then sends what it kept."""
    chain = Chain(CONTEXT, ("window", "alert", "kpi"))
    kept: list[Row] = []
    for measured in range(BEGIN, END + 2 * STEP, STEP):
        room = 20.0 + measured // STEP % 2
        chain.send(measured + SECOND, source_id="edge-2", address="room", source_time=measured, value_double=room)
        if CUT <= measured < BACK:
            kept += readings(measured)
            continue
        for row in readings(measured):
            chain.send(measured + SECOND, **row)
    for number, first in enumerate(range(0, len(kept), 30)):
        part = kept[first : first + 30]
        names = ("address", "source_time", "value_double", "value_long", "value_string")
        columns = {name: [row.get(name) for row in part] for name in names}
        sent = BACK + (2 + number) * SECOND
        chain.send(sent, boot_id="b", sequence=number, historical=[True] * len(part), **columns)
    for now in range(BEGIN, END + 2 * STEP, STEP):
        if now == BACK:
            chain.run(now, now + 40 * SECOND)
        else:
            chain.tick(now + 2 * SECOND)
    return chain


def _windows(picture: Picture, scale: Scale, y: float, rows: list[Row]) -> None:
    """A box per half hour: the coverage of its last revision among `rows`; empty where nothing was written."""
    last = {row["window_start"]: row for row in rows}
    for begin in range(BEGIN, END, 30 * MINUTE):
        row = last.get(begin)
        x1, x2 = scale(begin) + 1, scale(begin + 30 * MINUTE) - 1
        if row is None:
            picture.box(x1, y - 12, x2, y + 12, "mute", dash="3 3")
        else:
            kind = "good" if row["coverage"] > 0.5 else "doubt"
            picture.box(x1, y - 12, x2, y + 12, kind, f"{row['coverage']:.0%}")


def _alarm(picture: Picture, scale: Scale, y: float, rows: list[Row]) -> None:
    """From begin to end; dashed where nobody was called. A dot where somebody was, a ring where it was recorded."""
    last = rows[-1]
    begin, end = scale(last["begin_time"]), scale(last["end_time"] or END)
    past = last["historical"]
    picture.box(
        begin, y - 12, end, y + 12, "mute" if past else "bad", "historical" if past else "", dash="3 3" if past else ""
    )
    first = next((row for row in rows if row["annunciated"]), rows[0])
    x = scale(first["detection_time"])
    picture.dot(x, y, "mute" if past else "bad", hollow=past, radius=5)


def draw() -> Picture:
    """Event time; lanes of windows, alarms and KPIs, as they were before and after the return."""
    chain = run()
    picture = Picture(
        "Six hours in the dark, then the buffer",
        "An edge node is cut off from 9 to 15 o'clock. Windows and hourly availability of that time are completed when "
        "its buffer arrives; alarms that were over by then are recorded as historical, one that stands rings once.",
        520,
    )
    scale = Scale(BEGIN, END, 190)
    picture.ticks(scale, 480, HOUR, "%H:%M", top=48)
    picture.line(scale(BACK), 48, scale(BACK), 480, "new", "4 3")
    picture.lane(70, "edge-1", "what arrives")
    for begin, end, kind, text in (
        (BEGIN, CUT, "good", "live"),
        (CUT, BACK, "mute", "cut off: it measures and keeps"),
        (BACK, END, "good", "buffer, live"),
    ):
        picture.box(scale(begin) + 1, 58, scale(end) - 1, 82, kind, text, dash="3 3" if kind == "mute" else "")
    windows = [row for row in chain.out[topology.WINDOW.name] if row["signal_id"] == "bearing-temperature"]
    picture.lane(120, "windows", "written by 15:00")
    _windows(picture, scale, 120, [row for row in windows if row["emitted_at"] < BACK])
    picture.lane(165, "windows", "highest revision")
    _windows(picture, scale, 165, windows)
    alarms: dict[str, list[Row]] = {}
    for row in chain.out[topology.ALERT.name]:
        alarms.setdefault(row["alert_id"], []).append(row)
    lanes = {"edge-node-offline": 215, "bearing-temperature-high": 260, "machine-fault": 305}
    for name, y in lanes.items():
        picture.lane(y, name.replace("bearing-temperature", "bearing").replace("-", " "), "alarm", scale)
    for rows in alarms.values():
        if rows[0]["rule_id"] in lanes:
            _alarm(picture, scale, lanes[rows[0]["rule_id"]], rows)
    hours = [row for row in chain.out[topology.KPI.name] if (row["kpi"], row["period"]) == ("availability", "hour")]
    for y, note, until in ((355, "written by 15:00", BACK), (405, "highest revision", chain.now_us + 1)):
        picture.lane(y, "availability", note)
        chosen = {row["period_start"]: row for row in hours if row["emitted_at"] < until}
        for begin in range(BEGIN, END, HOUR):
            if begin not in chosen:
                picture.box(scale(begin) + 1, y - 18, scale(begin + HOUR) - 1, y + 18, "mute", dash="3 3")
                continue
            row = chosen[begin]
            text = "unknown" if row["value"] is None else f"{row['value']:.0%}"
            picture.box(scale(begin) + 1, y - 18, scale(begin + HOUR) - 1, y + 18, "good")
            middle = scale(begin + HOUR // 2)
            picture.text(middle, y - 2, text, anchor="middle", size=SMALL, over=False)
            picture.text(middle, y + 13, f"rev. {row['revision']}", "faint", "middle", SMALL, over=False)
    picture.dot(scale.left + 6, 446, "bad", radius=5)
    picture.text(scale.left + 18, 450, "people are called", size=SMALL)
    picture.dot(scale(at("10:00:00")), 446, "mute", hollow=True, radius=5)
    picture.text(scale(at("10:00:00")) + 12, 450, "it is recorded, nobody is called", size=SMALL)
    picture.text(scale(at("13:10:00")), 450, "dashed, empty: nothing is written", size=SMALL)
    return picture
