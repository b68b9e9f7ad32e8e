"""What the tests of silence have in common: rules, and a task whose time passes in steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streams.core.alert.rule import Rule, load
from tests.core.alert_scene import R, Task, seconds

TEXT = """
id = "{id}"
version = 1
status = "stable"
title = "Silent"
owner = "automation"
kind = "alert"
type = "{type}"
priority = "low"
consequence = "Nobody knows."
response = "look"
false_positives = ["none known"]
[select]
{select}
[condition]
{condition}
[fires]
readings = [{{ at = 0 }}]
expect = [{{ at = 0, state = "active" }}]
end = 1
[quiet]
readings = [{{ at = 0 }}]
end = 1
"""


def watching(rule_type: str, condition: str, rule_id: str | None = None, select: str = "") -> Rule:
    """A rule on silence, called after its type unless told otherwise."""
    name = rule_id or rule_type.replace("_", "-")
    text = TEXT.format(id=name, type=rule_type, condition=condition, select=select)
    return load({f"{name}.toml": text})[0]


MISSING = watching("missing", "after_s = 10.0\nperiods = 3")
BAD_QUALITY = watching("bad_quality", "after_s = 10.0")
FROZEN = watching(
    "frozen", 'after_s = 20.0\nresolution = 0.5\nunless = ["stopped"]', select='role = "measurement"\nunit = "Cel"'
)
OFFLINE = watching("source_offline", "after_s = 30.0\nperiods = 3")
SEGMENT = watching("segment_down", "nodes = 2\nshare = 0.5\nwithin_s = 5.0")
ALL = (MISSING, BAD_QUALITY, FROZEN, OFFLINE, SEGMENT)


def every(signal: str, begin: int, end: int, value: Any = None, step: int = 1, **fields: Any) -> list[R]:
    """Readings each `step` s from `begin` to `end` (both included); without a value, one that always moves."""
    return [R(at, signal, float(at) if value is None else value, **fields) for at in range(begin, end + 1, step)]


def run(task: Task, readings: Iterable[R], end: float, step: float = 5.0, begin: float = 0.0) -> list[dict[str, Any]]:
    """Feed the readings by time, in chunks of `step` s, each followed by a tick of a task that has caught up."""
    rest = sorted(readings, key=lambda reading: reading.at)
    rows, now = [], begin
    while now < end:
        now = min(now + step, end)
        chunk = [reading for reading in rest if reading.at <= now]
        rest = rest[len(chunk) :]
        rows += task.feed(*chunk, now=now) if chunk else []
        rows += task.tick(now, caught_up_since=begin - 3600)
    return rows


def told(rows: Iterable[Mapping[str, Any]], rule_id: str | None = None) -> list[tuple[str, float | None]]:
    """(state, event time) of the transitions of a rule (None: of all)."""
    return [(row["state"], seconds(row["event_time"])) for row in rows if rule_id in {None, row["rule_id"]}]


def rang(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(rule, subject) of what was annunciated, in order."""
    active = [row for row in rows if row["annunciated"] and row["state"] == "active"]
    return [(row["rule_id"], row["alert_id"].split("|")[1]) for row in active]
