"""Examples of rules on silence: which signals and nodes they need, and how they are run."""

from __future__ import annotations

from typing import Any

from streams.core.alert.rule import Rule, Timeline
from streams.core.alert.silence.watch import SEGMENT_DOWN, Point
from tests.core.alert_scene import R, Task, context, signal
from tests.core.silence_scene import run, told

QUALITIES = {"good": 0, "uncertain": 1, "bad": 2}
STATE = "machine-state"


def example(rule: Rule, timeline: Timeline, offline: Rule) -> list[tuple[str, float | None]]:
    """Transitions of `rule` in an example; a rule on segments builds on one on nodes, `offline`."""
    rules = [rule, offline] if rule.type == SEGMENT_DOWN else [rule]
    names = {_signal(point): point.source or "edge" for point in timeline.points}
    signals = [_entry(rule, name, source) for name, source in names.items()]
    assets = [
        {"asset_id": source, "valid_from": 0, "path": source, "zone": "zone", "work_center": "line-1"}
        for source in sorted(set(names.values()))
    ]
    task = Task(rules, context(signals, assets))
    readings = [reading for point in timeline.points for reading in _readings(point)]
    return told(run(task, readings, timeline.end_s, step=15.0), rule.id)


def _signal(point: Point) -> str:
    return STATE if point.state else point.signal or (f"{point.source}-signal" if point.source else "watched")


def _entry(rule: Rule, name: str, source: str) -> dict[str, Any]:
    place = {"source_id": source, "work_unit": "unit"}
    if name == STATE:
        return signal(name, role="state", unit=None, reporting="on_change", **place)
    return signal(name, role=rule.select.role or "measurement", unit=rule.select.unit, period_ms=1000, **place)


def _readings(point: Point) -> list[R]:
    value = point.state or point.value
    quality = QUALITIES[point.quality]
    return [R(at, _signal(point), value, quality, source=point.source or "edge") for at in point.times()]
