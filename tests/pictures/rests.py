"""What a window rests on: good, uncertain, bad and unknown time; on-change signals; a window closed by time alone."""

from __future__ import annotations

from typing import Any

from streams import topology
from tests.pictures.chain import MINUTE, SECOND, Chain, Row
from tests.pictures.drawing import SMALL, Picture, Scale, clock
from tests.pictures.plant import LINE, STATE, TEMPERATURE, TEN, dictionary

MINUTES = {"window_lengths_s": [60]}
LEVEL = {**TEMPERATURE, **MINUTES, "signal_id": "glue-level", "period_ms": 2000}
VALVE = {**STATE, **MINUTES, "signal_id": "valve", "address": "filler/valve"}
LOST = {
    **LINE,
    **MINUTES,
    "signal_id": "motor-current",
    "source_id": "edge-2",
    "address": "filler/motor",
    "period_ms": 2000,
}
UNCERTAIN, BAD = 0x40000000, 0x80000000
KINDS = {"good": "good", "uncertain": "doubt", "bad": "bad", "unknown": "mute"}


def run() -> Chain:
    """A minute: a sensor in trouble, a valve that moves once, a node that is cut off and comes back later."""
    chain = Chain(dictionary(LEVEL, VALVE, LOST), ("window",))
    for second in range(0, 90, 2):
        measured = TEN + second * SECOND
        said: dict[str, Any] = {"address": LEVEL["address"], "source_time": measured, "value_double": 5.0}
        if 20 <= second < 34:
            said |= {"quality_raw": UNCERTAIN, "quality_scheme": "opcua"}
        elif 34 <= second < 44:
            said |= {"quality_raw": BAD, "quality_scheme": "opcua"}
        if not 44 <= second < 54:
            chain.send(measured + SECOND // 2, **said)
        taken = measured + SECOND // 2 if second < 40 else TEN + 85 * SECOND
        chain.send(taken, source_id="edge-2", address=LOST["address"], source_time=measured, value_double=8.0)
    chain.send(TEN + SECOND, address=VALVE["address"], source_time=TEN, value_string="open")
    chain.send(TEN + 31 * SECOND, address=VALVE["address"], source_time=TEN + 30 * SECOND, value_string="shut")
    chain.run(TEN, TEN + 90 * SECOND)
    return chain


def _shares(picture: Picture, scale: Scale, y: float, row: Row) -> None:
    """A bar as long as the window: its good, uncertain, bad and unknown time."""
    left = scale(TEN)
    for name, kind in KINDS.items():
        seconds = row[f"duration_{name}_s"]
        right = left + (scale(TEN + round(seconds * SECOND)) - scale(TEN))
        if seconds:
            picture.box(left, y, right, y + 22, kind, f"{name} {seconds:g} s" if seconds > 8 else f"{seconds:g} s")
        left = right


def draw() -> Picture:
    """A lane per signal: its readings, and below them the times of its window."""
    chain = run()
    picture = Picture(
        "What a window of a minute rests on",
        "Good, uncertain, bad and unknown time of a periodic signal; an on-change signal with two readings and full "
        "coverage; a window that time alone closed, and its revision.",
        460,
    )
    scale = Scale(TEN, TEN + MINUTE, 200)
    picture.ticks(scale, 420, 10 * SECOND, top=48)
    told: dict[str, list[Row]] = {}
    for row in chain.out[topology.WINDOW.name]:
        if row["window_start"] == TEN:
            told.setdefault(row["signal_id"], []).append(row)
    y = 75.0
    for signal, note in (
        ("glue-level", "periodic"),
        ("valve", "on change"),
        ("motor-current", "node is cut off at :40"),
    ):
        picture.lane(y, signal, note)
        for row in chain.out[topology.READING.name]:
            if row["signal_id"] == signal and row["event_time"] < scale.end_us:
                kind = ("good", "doubt", "bad")[row["quality"]]
                late = row["ingest_time"] > row["event_time"] + 5 * SECOND
                picture.dot(scale(row["event_time"]), y, "new" if late else kind, hollow=late, radius=3)
        y += 16
        rows = told[signal]
        for row in (rows[0], *rows[1:][-1:]):
            _shares(picture, scale, y, row)
            text = f"revision {row['revision']}, reason {row['reason']}, written {clock(row['emitted_at'])}: "
            text += f"coverage {row['coverage']:.0%}, provisional {str(row['provisional']).lower()}"
            picture.text(scale.left, y + 39, text, "faint", size=SMALL)
            y += 56
        y += 22
    return picture
