"""Silent signals as timelines: missing, bad and frozen, each told from what it only looks like."""

from __future__ import annotations

import pytest

from tests.core.alert_scene import BAD, R, Task, context, seconds, signal
from tests.core.silence_scene import ALL, BAD_QUALITY, FROZEN, MISSING, every, rang, run, told, watching

CONTEXT = context(
    [
        signal("a", period_ms=1000, work_unit="filler"),
        signal("b", period_ms=1000, work_unit="filler"),
        signal("slow", period_ms=20_000),
        signal("event", reporting="on_change"),
        signal("set", role="setpoint", period_ms=1000, work_unit="filler"),
        signal("lone", period_ms=1000, source_id="other"),
        signal("m", role="state", unit=None, reporting="on_change", work_unit="filler"),
    ]
)
RUNS = R(0, "m", "running")


def test_a_signal_is_missing_after_its_limit_and_no_longer_with_its_next_reading() -> None:
    """The limit is 10 s; begin and end are event time, the identity is the last reading before."""
    rows = run(Task([MISSING], CONTEXT), [*every("a", 0, 20), *every("b", 0, 60), *every("a", 50, 60)], 60)
    assert told(rows) == [("active", 30.0), ("cleared", 50.0)]
    assert {seconds(row["begin_time"]) for row in rows} == {20.0}
    assert [row["annunciated"] for row in rows] == [True, True]
    assert rows[0]["evidence"] != rows[1]["evidence"][1:]


def test_periods_count_where_they_are_longer_than_the_limit() -> None:
    """A signal of 20 s may be silent for three periods, whatever the limit."""
    task = Task([MISSING], CONTEXT)
    rows = run(task, [*every("slow", 0, 40, step=20), *every("a", 0, 99)], 99)
    assert not rows
    assert told(run(task, every("a", 100, 110), 110, begin=99)) == [("active", 100.0)]


def test_a_signal_that_is_sent_on_change_is_never_missing_or_frozen() -> None:
    """Its silence says that nothing changed, and its value may stand as long as it likes."""
    readings = [RUNS, *every("event", 0, 100, 5.0), *every("event", 400, 400), *every("a", 0, 400)]
    assert not run(Task([MISSING, FROZEN], CONTEXT), readings, 400, step=20)


def test_signals_packed_one_after_another_are_not_missing() -> None:
    """Within a record the order is that of time: a minute of one signal before a minute of its neighbour is no gap."""
    task = Task(ALL, CONTEXT)
    for begin in (0, 60, 120):
        readings = [r._replace(record=begin) for n in ("a", "b", "slow") for r in every(n, begin, begin + 59)]
        assert not task.feed(*readings)
        assert not task.tick(begin + 59, caught_up_since=0)


def test_a_signal_whose_stamps_lag_behind_is_not_missing() -> None:
    """A controller behind the node whose clock is 5 min late sends on: what counts is that something comes."""
    lagging = [R(at - 300.0, "a", float(at)) for at in range(300, 400)]
    rows = []
    task = Task([MISSING], CONTEXT)
    for at, reading in zip(range(300, 400), lagging, strict=True):
        rows += task.feed(R(at, "b", 1.0), reading, now=at)
        rows += task.tick(at, caught_up_since=0)
    assert not rows


def test_a_bad_status_never_discards_the_neighbours() -> None:
    """One of three signals of a record is bad for long: the others are judged as ever, and nothing is told of them."""
    limit = watching("bad_quality", "after_s = 10.0")
    readings = [RUNS]
    for at in range(60):
        readings += [R(at, "a", 1.0, BAD, record=at), R(at, "b", at * 1.0, record=at), R(at, "event", 1.0, record=at)]
    rows = run(Task([limit, MISSING, FROZEN], CONTEXT), readings, 60)
    assert [(row["rule_id"], row["signal_id"], seconds(row["event_time"])) for row in rows] == [
        ("bad-quality", "a", 10.0)
    ]


def test_a_sensor_is_bad_also_where_it_says_so_only_once() -> None:
    """Quality sent on change: one bad status, then nothing, while its source goes on."""
    rows = run(Task([BAD_QUALITY], CONTEXT), [R(5, "event", 1.0, BAD), *every("a", 0, 30), R(31, "event", 1.0)], 40)
    assert told(rows) == [("active", 15.0), ("cleared", 31.0)]


def test_a_bad_sensor_explains_why_its_signal_is_missing() -> None:
    """One alert rings, the one on the cause; the other names it and is written all the same."""
    readings = [*every("a", 0, 10), R(11, "a", 0.0, BAD), *every("b", 0, 60)]
    rows = run(Task(ALL, CONTEXT), readings, 60)
    assert rang(rows) == [("bad-quality", "a")]
    (missing,) = [row for row in rows if row["rule_id"] == "missing"]
    assert missing["cause_alert_id"] == rows[0]["alert_id"]
    assert (missing["annunciated"], missing["historical"]) == (False, False)
    assert "explains it, nobody is called for this" in missing["message"]


@pytest.mark.parametrize(
    ("values", "frozen"),
    [
        ((20.0,), True),
        ((20.0, 20.4), True),
        ((19.8, 20.2), True),  # on either side of a cell's border
        ((20.0, 21.0), False),
    ],
)
def test_a_value_is_frozen_that_stays_within_its_resolution(values: tuple[float, ...], *, frozen: bool) -> None:
    """With a resolution of 0.5 a jitter of 0.4 is nothing, wherever it lies; one of 1.0 is a movement."""
    readings = [RUNS, *(R(at, "a", values[at % len(values)]) for at in range(60))]
    assert told(run(Task([FROZEN], CONTEXT), readings, 60)) == ([("active", 20.0)] if frozen else [])


def test_a_slow_drift_is_a_movement() -> None:
    """Steps far below the resolution add up: 1 K in 10 s is no frozen sensor."""
    assert not run(Task([FROZEN], CONTEXT), [RUNS, *(R(at, "a", at * 0.1) for at in range(200))], 200, step=20)


def test_a_setpoint_is_never_frozen() -> None:
    """It is meant to stand still."""
    assert not run(Task([FROZEN], CONTEXT), [RUNS, *every("set", 0, 200, 5.0)], 200, step=20)


def test_a_stopped_machine_freezes_nothing_and_mends_nothing() -> None:
    """The time it stands does not count; an alert that stood before stands on until the value moves."""
    readings = [RUNS, *every("a", 0, 300, 20.0), R(10, "m", "stopped"), R(200, "m", "running"), R(250, "m", "stopped")]
    task = Task([FROZEN], CONTEXT)
    assert told(run(task, readings, 300, step=20)) == [("active", 211.0)]
    assert told(run(task, [R(301, "a", 30.0)], 305, begin=300)) == [("cleared", 301.0)]


def test_a_machine_whose_state_is_not_known_freezes_nothing() -> None:
    """Nobody has said yet that it runs."""
    assert not run(Task([FROZEN], CONTEXT), every("a", 0, 100, 20.0), 100)


def test_an_outage_does_not_count_as_frozen() -> None:
    """The same value before and after an hour of silence has not stood for an hour."""
    readings = [RUNS, *every("a", 0, 10, 20.0), *every("a", 3600, 3605, 20.0)]
    assert not run(Task([FROZEN], CONTEXT), readings, 3610, step=60)


def test_what_was_over_before_it_arrived_is_recorded_and_does_not_ring() -> None:
    """Two hours later from a buffer: a signal was missing and came back; both are written, the end says historical."""
    task = Task([MISSING], CONTEXT)
    rows = task.feed(*sorted([*every("b", 0, 60), *every("a", 0, 20), *every("a", 50, 60)]), now=7200)
    assert [(row["state"], row["annunciated"], row["historical"]) for row in rows] == [
        ("active", False, False),
        ("cleared", False, True),
    ]
    assert seconds(rows[0]["detection_time"]) == 7200


def test_what_a_backlog_leaves_standing_rings_once() -> None:
    """It is recorded as of the past while the backlog is read, and annunciated when all has been read."""
    task = Task([MISSING], CONTEXT)
    task.feed(*sorted([*every("b", 0, 60), *every("a", 0, 20)]), now=7200)
    (recorded,) = task.tick(7200, caught_up_since=None)
    task.restart()
    (rung,) = task.tick(7210, caught_up_since=7201)
    assert (recorded["annunciated"], rung["annunciated"]) == (False, True)
    assert (rung["revision"], rung["reason"], rung["alert_id"]) == (2, "still_active", recorded["alert_id"])
    assert not task.tick(7220, caught_up_since=7201)


def test_a_narrower_rule_takes_the_place_of_a_wider_one() -> None:
    """A plant's own rule for some signals: the bundled one does not fire beside it."""
    own = watching("missing", "after_s = 40.0\nperiods = 3", "own", select='signal_id = "a"')
    rows = run(Task([MISSING, own], CONTEXT), [*every("a", 0, 5), *every("slow", 0, 5), *every("b", 0, 100)], 100)
    assert [(row["rule_id"], row["signal_id"]) for row in rows] == [("own", "a"), ("missing", "slow")]


@pytest.mark.parametrize("change", ["rule_removed", "rule_changed", "signal_removed"])
def test_what_is_watched_no_longer_is_closed(change: str) -> None:
    """An alert never stands for a rule or a signal that is gone."""
    task = Task([MISSING, BAD_QUALITY], CONTEXT)
    run(task, [*every("a", 0, 5), *every("b", 0, 30)], 30)
    longer = watching("missing", "after_s = 30.0\nperiods = 3")
    rules = {"rule_removed": [BAD_QUALITY], "rule_changed": [longer, BAD_QUALITY]}.get(change, task.rules)
    if change == "signal_removed":
        task.context = context([signal("b", period_ms=1000)], version=2)
    task.restart(rules)
    (row,) = task.tick(31, caught_up_since=0)
    assert (row["state"], row["reason"], row["signal_id"]) == ("cleared", change, "a")
    assert "closed after" in row["message"]


def test_a_retired_signal_is_not_missed() -> None:
    """Its last version ended: nothing more is expected of it."""
    retired = context([signal("a", period_ms=1000, valid_to=R(10, "a", 0).event_time), signal("b", period_ms=1000)])
    assert not run(Task([MISSING], retired), [*every("a", 0, 9), *every("b", 0, 60)], 60)
