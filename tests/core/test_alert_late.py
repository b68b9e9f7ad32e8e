"""Late readings correct alerts: any order of arrival gives in the end what the readings by event time give."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.alert.rule import Rule
from streams.core.times import FOREVER_US
from tests.core.alert_scene import R, S, Task
from tests.core.reference_late import excursions, origins
from tests.core.test_alert_reference import CONTEXT, NUMBERS, RULES, SETPOINTS, SOURCES, STATES, VALUES, WATCHED

END = 20_000.0
EVERY = (*NUMBERS, *STATES, *SETPOINTS)
# Rules whose readings all decide something: no deadband.
DECISIVE = [rule for rule in RULES if rule.id in {"plain", "delayed", "fault", "set", "crept"}]
CHANGES = [rule for rule in RULES if rule.type == "change"]
Final = set[tuple[str, str, int, int, int | None]]


@st.composite
def _readings(draw: st.DrawFn, *, conflicts: bool = False, names: Sequence[str] = EVERY) -> list[R]:
    """Readings in the order in which they arrive, any, with some of them twice.

    Either all within seconds, or over hours of event time and many blocks of the log. With `conflicts` some instants
    have several values, and source sequences say which counts.
    """
    wide = draw(st.booleans())
    bases, late, stride = ((0.0, 700.0, 5000.0, 9000.0), 300.0, 400) if wide else ((0.0, 5.0, 10.0), 1.0, 1)
    found: list[R] = []
    for _ in range(draw(st.integers(1, 25))):
        name = draw(st.sampled_from(names))
        value = draw(st.sampled_from(VALUES[name]))
        at = draw(st.sampled_from(bases)) + draw(st.integers(0, 24)) / 2
        flags, quality = draw(st.sampled_from((0, 0, 0, 0, 4))), draw(st.sampled_from((0, 0, 0, 1, 2)))
        found.append(R(at, name, value, quality, flags, SOURCES[name]))
    if not conflicts:
        found = list({(reading.at, reading.signal): reading for reading in found}.values())
    arrival = [
        (reading.at + late * draw(st.sampled_from((0.0, 0.0, 0.0, 1.0, 4.0, 30.0))), reading) for reading in found
    ]
    readings = [reading for _, reading in sorted(arrival, key=lambda pair: pair[0])]
    if conflicts:
        order = draw(st.permutations(range(len(readings))))
        readings = [reading._replace(sequence=place) for reading, place in zip(readings, order, strict=True)]
    readings += draw(st.lists(st.sampled_from(readings), max_size=4))
    readings += [R(END, "unwatched", 1.0, source=source) for source in ("edge-1", "edge-2")]
    return [reading._replace(record=stride * number) for number, reading in enumerate(readings)]


def _ran(rules: Sequence[Rule], readings: list[R], data: st.DataObject) -> Task:
    """A task that was given the readings in chunks, with restarts and look-backs between them, and settled."""
    task, now, rest = Task(rules, CONTEXT, backlog_us=2**60), 0.0, readings
    while rest:
        size = data.draw(st.integers(1, 12))
        chunk, rest = rest[:size], rest[size:]
        now += 5.0
        if task.state["waiting"].height and data.draw(st.booleans()):
            task.look_back(now + 20.0, between=chunk)
        else:
            task.feed(*chunk, now=now)
        if data.draw(st.integers(0, 4)) == 0:
            task.restart()
    for _ in range(8):
        now += 60.0
        if task.state["waiting"].height:
            task.look_back(now)
    assert not task.state["waiting"].height
    assert not task.state["heard"].height
    return task


def _told(task: Task) -> Final:
    """What stands told: rule, signal, begin, active, end."""
    return {
        (row["rule_id"], row["signal_id"], row["begin_time"], row["active_time"],
         None if row["end_time"] == FOREVER_US else row["end_time"])
        for row in task.state["told"].rows(named=True)
        if row["state"] != "retracted"
    }  # fmt: skip


def _expected(rules: Sequence[Rule], readings: list[R]) -> Final:
    return {
        (rule.id, name, *one)
        for rule in rules
        for name in WATCHED[rule.id]
        for one in excursions(rule, name, readings, S)
    }


def _origins(task: Task, readings: list[R]) -> None:
    """Of each change that stands told: it was one from the value that the others say was before."""
    for row in task.state["told"].rows(named=True):
        if row["state"] != "retracted" and row["rule_id"] in {"set", "crept"}:
            one = next(rule for rule in RULES if rule.id == row["rule_id"])
            assert row["limit"] == origins(one, row["signal_id"], readings)[row["begin_time"]]


def _consistent(task: Task) -> None:
    """What is remembered is what was published; revisions have no gap; no alert calls people twice while it stands."""
    by_alert: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(task.rows, key=lambda row: row["revision"]):
        by_alert.setdefault(row["alert_id"], []).append(row)
    for rows in by_alert.values():
        assert [row["revision"] for row in rows] == list(range(1, len(rows) + 1))
        for before, after in pairwise(rows):
            assert after["annunciated"] or not before["annunciated"] or before["state"] != "active"
    told = {row["alert_id"]: row for row in task.state["told"].rows(named=True)}
    assert told.keys() == by_alert.keys()
    for alert_id, rows in by_alert.items():
        names = ("state", "begin_time", "revision", "annunciated")
        assert [rows[-1][name] for name in names] == [told[alert_id][name] for name in names]
        assert rows[-1]["state"] == "active" or rows[-1]["end_time"] in {told[alert_id]["end_time"], None}


@settings(max_examples=25, deadline=None)
@given(_readings(), st.data())
def test_any_order_of_arrival_gives_what_the_order_of_time_gives(readings: list[R], data: st.DataObject) -> None:
    """Begin, active time and end of every alert: however chunks are cut, restarts fall, and the log is looked at."""
    task = _ran(RULES, readings, data)
    _consistent(task)
    assert _told(task) == _expected(RULES, readings)


@settings(max_examples=15, deadline=None)
@given(_readings(conflicts=True), st.data())
def test_of_several_values_for_an_instant_the_last_of_the_source_counts(readings: list[R], data: st.DataObject) -> None:
    """Whichever of them came first, and whatever was told of the others."""
    task = _ran(DECISIVE, readings, data)
    _consistent(task)
    assert _told(task) == _expected(DECISIVE, readings)


@settings(max_examples=40, deadline=None)
@given(st.booleans().flatmap(lambda both: _readings(conflicts=both, names=SETPOINTS)), st.data())
def test_late_readings_add_move_and_remove_changes(readings: list[R], data: st.DataObject) -> None:
    """Of setpoints that are sent on change: begin and end of every change, and what it was a change from."""
    task = _ran(CHANGES, readings, data)
    _consistent(task)
    assert _told(task) == _expected(CHANGES, readings)
    _origins(task, readings)


def test_the_reference_finds_what_these_tests_compare() -> None:
    """Excursions of every rule, so that equal is not both empty."""
    numbers = [R(at, "a", 90.0 if at < 8 else 79.0 if at < 20 else 20.0, source="edge-1") for at in range(30)]
    states = [R(at, "x", "fault" if at < 36 else "running", source="edge-1") for at in range(30, 45)]
    steps = ((45, 330.0), (47, 334.0), (48, 338.0), (49, 500.0))
    states += [R(at, "p", value, source="edge-1") for at, value in steps]
    closing = [R(END, "unwatched", 1.0, source="edge-1")]
    found = _expected(RULES, numbers + states + closing)
    assert {row[0] for row in found} == {rule.id for rule in RULES}
    assert ("banded", "a", *(numbers[0].event_time + at * S for at in (0, 2, 8))) in found
