"""What the pictures' runs have in common: one filler, the signals of its edge node, one day."""

from __future__ import annotations

from typing import Any

from streams import topology
from tests.pictures.chain import at

LINE = {"site": "hall", "work_center": "line-1", "work_unit": "filler"}
TEMPERATURE: dict[str, Any] = {
    **LINE,
    "signal_id": "bearing-temperature",
    "source_id": "edge-1",
    "address": "filler/bearing/temperature",
    "unit": "Cel",
    "period_ms": 1000,
    "window_lengths_s": [10],
}
STATE: dict[str, Any] = {
    **LINE,
    "signal_id": "filler-state",
    "source_id": "edge-1",
    "address": "filler/state",
    "role": "state",
    "reporting": "on_change",
    "window_lengths_s": [10],
}


def dictionary(*signals: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """A context of nothing but these signals."""
    return {topology.SIGNAL.name: list(signals)}


TEN = at("10:00:00")
