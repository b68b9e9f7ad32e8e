"""Six kinds of silence, and what is told of each."""

from __future__ import annotations

from typing import Any, Final

from streams import topology
from streams.core.frames import BAD
from tests.pictures.chain import MINUTE, SECOND, Chain, Row
from tests.pictures.drawing import SMALL, Picture, Scale
from tests.pictures.plant import LINE, STATE, TEN, dictionary

EVERY, LAST = 10 * SECOND, 30 * MINUTE
OPCUA_BAD: Final = 0x80000000
# Signal, its edge node, the zone of its asset, from and until which minute it is silent in its way, what is drawn.
SILENT: Final = (
    ("oil-temperature", "edge-1", "cell-1", 4, 24, "the value stands"),
    ("bowl-pressure", "edge-1", "cell-1", 6, 14, "bad quality"),
    ("glue-level", "edge-1", "cell-1", 8, 18, "not sent any more"),
    ("motor-current", "edge-2", "cell-2", 10, 20, "its node is silent"),
    ("cap-torque", "edge-3", "cell-3", 12, 22, "two nodes are silent"),
    ("label-speed", "edge-4", "cell-4", 3, 27, "the machine is stopped"),
)
UNITS = {"label-speed": "labeller"}


def context() -> dict[str, list[dict[str, Any]]]:
    """A signal on each node (two nodes in cell-3), the states of two machines, and the zones of the assets."""
    named = [(signal, source, zone) for signal, source, zone, *_ in SILENT] + [("cap-feed", "edge-3b", "cell-3")]
    signals = [
        {**LINE, "signal_id": signal, "source_id": source, "address": signal, "unit": "1", "period_ms": EVERY // 1000}
        | {"asset_id": zone, "work_unit": UNITS.get(signal, "filler")}
        for signal, source, zone in named
    ]
    states = [STATE, {**STATE, "signal_id": "labeller-state", "source_id": "edge-4", "work_unit": "labeller"}]
    assets = [
        {
            "asset_id": zone,
            "site": "hall",
            "path": f"hall/line-1/{zone}",
            "name": zone,
            "work_center": "line-1",
            "zone": zone,
        }
        for zone in sorted({zone for _, _, zone in named})
    ]
    return {**dictionary(*signals, *states), topology.ASSET.name: assets}


def readings() -> list[Row]:
    """What is sent, with the way in which it is silent where it is."""
    sent: list[Row] = []
    for number in range(LAST // EVERY):
        measured = TEN + number * EVERY
        for signal, source, _, begin, end, way in SILENT:
            silent = begin * MINUTE <= number * EVERY < end * MINUTE
            value, frozen = 50.0 + number * 7 % 5, silent and ("stands" in way or "stopped" in way)
            row: Row = {"source_id": source, "address": signal, "source_time": measured, "value_double": value}
            if frozen:
                row["value_double"] = 52.0
            if silent and "quality" in way:
                row |= {"quality_raw": OPCUA_BAD, "quality_scheme": "opcua"}
            if not silent or frozen or "quality" in way:
                sent.append(row)
                sent += [{**row, "source_id": "edge-3b", "address": "cap-feed"}] if signal == "cap-torque" else []
    for source, minute, label in (
        ("edge-1", 0, "running"),
        ("edge-4", 0, "running"),
        ("edge-4", 3, "stopped"),
        ("edge-4", 27, "running"),
    ):
        measured = TEN + minute * MINUTE
        sent.append({"source_id": source, "address": STATE["address"], "source_time": measured, "value_string": label})
    return sent


def run() -> Chain:
    """Half an hour with the rules that come with the package."""
    chain = Chain(context(), ("alert",))
    for row in readings():
        chain.send(row["source_time"] + SECOND, **row)
    chain.run(TEN, TEN + LAST, EVERY)
    return chain


def _values(picture: Picture, scale: Scale, y: float, rows: list[Row]) -> None:
    """A line of the values, with gaps where nothing came; bad readings as dots."""
    place = Scale(48, 58, y + 8, y - 12)
    points: list[tuple[float, float]] = []
    before_us = TEN
    for row in rows:
        bad = row["quality"] == BAD
        if bad or row["event_time"] - before_us > 3 * EVERY:
            picture.path(points, "good", width=1.5)
            points = []
        if bad:
            picture.dot(scale(row["event_time"]), y, "bad", radius=1.8)
        else:
            points.append((scale(row["event_time"]), place(row["value_double"])))
        before_us = row["event_time"]
    picture.path(points, "good", width=1.5)


def draw() -> Picture:
    """A lane per signal: its values, and below them the alert, from begin to end; a dot where it was told."""
    chain = run()
    picture = Picture(
        "Silence told apart",
        "Values of six signals that fall silent in different ways, and the alert that each of them leads to; a machine "
        "that is stopped leads to none.",
        500,
    )
    scale = Scale(TEN, TEN + LAST, 200)
    picture.ticks(scale, 465, 5 * MINUTE, "%H:%M", top=48)
    alerts: dict[str, list[Row]] = {}
    for row in chain.out[topology.ALERT.name]:
        alerts.setdefault(row["alert_id"], []).append(row)
    for number, (signal, source, zone, begin, _, way) in enumerate(SILENT):
        y = 75 + number * 67
        picture.lane(y, signal, way)
        _values(picture, scale, y, [row for row in chain.out[topology.READING.name] if row["signal_id"] == signal])
        subjects = {signal} if source == "edge-1" else {f"{source}@line-1", f"{zone}@line-1"}
        # Alerts that another one explains (cause_alert_id) are not annunciated.
        told = [
            rows
            for rows in alerts.values()
            if rows[-1]["annunciated"] and rows[0]["alert_id"].split("|")[1] in subjects
        ]
        for rows in told:
            x1, x2 = scale(rows[0]["begin_time"]), scale(rows[-1]["end_time"] or TEN + LAST)
            picture.box(x1, y + 14, x2, y + 34, "bad", rows[0]["rule_id"])
            picture.dot(scale(rows[0]["detection_time"]), y + 24, "bad")
        if not told:
            picture.text(
                scale(TEN + begin * MINUTE), y + 30, "no alert: the machine's state says it", "faint", size=SMALL
            )
    picture.dot(scale(TEN + 25 * MINUTE), 444, "bad")
    picture.text(scale(TEN + 25 * MINUTE) + 10, 448, "detection_time", size=SMALL)
    return picture
