"""Signals that move to another line while alerts stand, as timelines: alerts end as moved and begin anew there."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from streams import topology
from streams.core.alert.rule import Rule
from streams.core.frames import ID
from streams.core.stage import Moment
from tests.core.alert_scene import HOT, T0, R, S, Task, context, frame, rule, seconds, signal
from tests.core.label_scene import BEARING, World, asset, at, repair
from tests.core.label_scene import HOT as LABELLED
from tests.core.silence_scene import MISSING, every, run

# The signal belongs to line-1, and from 10 s on to line-2.
MOVE = [signal("a", valid_to=T0 + 10 * S), signal("a", valid_from=T0 + 10 * S, work_center="line-2"), signal("b")]


class Lines(Task):
    """A task that has both lines: readings come keyed by the line that their signal belongs to then."""

    def feed(self, *readings: R, now: float | None = None) -> list[dict[str, Any]]:
        """As `Task.feed`."""
        chunk = frame(readings, self.offset)
        there = (pl.col("signal_id").cast(pl.String) == "a") & (pl.col("event_time") >= T0 + 10 * S)
        line = pl.when(there).then(pl.lit("line-2")).otherwise(pl.lit("line-1")).cast(ID)
        chunk = chunk.with_columns(work_center=line)
        self.offset += len(readings)
        self.log.append(chunk)
        now_us = max(r.event_time for r in readings) if now is None else T0 + round(now * S)
        return self.take(self.alert.step("ot.reading.v1", chunk, self.state, self.context, Moment(now_us)))


def said(rows: list[dict[str, Any]]) -> list[tuple[str, str, str, float | None]]:
    """(line, state, reason, event time) of transitions."""
    return [(row["work_center"], row["state"], row["reason"], seconds(row["event_time"])) for row in rows]


@pytest.mark.parametrize("after", [R(12, "b", 20.0), None], ids=["neighbour", "silence"])
def test_an_alert_ends_as_moved_where_its_signal_leaves(after: R | None) -> None:
    """In the task of the old line, by the time of its source or by time itself; it ended when the signal moved."""
    task = Task([HOT], context(MOVE))
    task.feed(R(1, "a", 90.0), now=1)
    rows = task.tick(20, caught_up_since=0) if after is None else task.feed(after)
    assert said(rows) == [("line-1", "cleared", "moved", 10.0)]
    assert (seconds(rows[0]["end_time"]), rows[0]["revision"]) == (10.0, 2)
    assert "closed after 9 s, as its signal belongs to another line" in rows[0]["message"]
    assert not task.tick(100, caught_up_since=0)


@pytest.mark.parametrize("cut", [1, 2, 3, 6])
@pytest.mark.parametrize("hot", [HOT, rule(condition="high = 85.0\noff_delay_s = 5.0\ndeadband = 30.0")])
def test_in_one_task_it_begins_anew_on_the_new_line(cut: int, hot: Rule) -> None:
    """The first reading of the new line that says so begins another alert, however the stream is cut."""
    task = Lines([hot], context(MOVE))
    readings = [
        R(1, "a", 90.0),
        R(9, "a", 91.0),
        R(11, "a", 92.0),
        R(12, "a", 93.0),
        R(30, "a", 20.0),
        R(40, "b", 20.0),
    ]
    rows = [row for first in range(0, len(readings), cut) for row in task.feed(*readings[first : first + cut])]
    end = 30.0 + (5.0 if hot is not HOT else 0.0)
    assert said(rows) == [
        ("line-1", "active", "condition_active", 1.0),
        ("line-1", "cleared", "moved", 10.0),
        ("line-2", "active", "condition_active", 11.0),
        ("line-2", "cleared", "condition_cleared", end),
    ]
    assert len({row["alert_id"] for row in rows}) == 2


def test_where_it_holds_no_longer_nothing_begins() -> None:
    """The first reading of the new line is an ordinary one: inside the deadband it says nothing there either."""
    task = Lines([rule(condition="high = 85.0\ndeadband = 30.0")], context(MOVE))
    rows = [*task.feed(R(1, "a", 90.0)), *task.feed(R(11, "a", 70.0)), *task.feed(R(12, "b", 20.0))]
    assert said(rows)[1:] == [("line-1", "cleared", "moved", 10.0)]
    assert not task.tick(100, caught_up_since=0)


def test_a_signal_that_comes_back_is_judged_again() -> None:
    """To line-2 at 10 s and back at 20 s: an alert on line-1 is one more."""
    back = [signal("a", valid_to=T0 + 10 * S), signal("a", valid_from=T0 + 10 * S, work_center="line-2"),
            signal("a", valid_from=T0 + 20 * S), signal("b")]  # fmt: skip
    task = Task([HOT], context(back))
    rows = [*task.feed(R(1, "a", 90.0)), *task.feed(R(15, "b", 20.0)), *task.feed(R(21, "a", 90.0))]
    assert said(rows) == [
        ("line-1", "active", "condition_active", 1.0),
        ("line-1", "cleared", "moved", 10.0),
        ("line-1", "active", "condition_active", 21.0),
    ]


def test_a_late_reading_does_not_bring_a_moved_alert_back() -> None:
    """It shows that the alert began earlier; its end stays where the signal moved."""
    task = Task([HOT], context(MOVE))
    task.feed(R(0, "a", 20.0))
    task.feed(R(5, "a", 90.0))
    task.feed(R(30, "b", 20.0))
    task.feed(R(3, "a", 90.0), now=31)
    rows = task.look_back(40)
    assert [(row["state"], row["reason"], seconds(row["begin_time"]), seconds(row["end_time"])) for row in rows] == [
        ("cleared", "moved", 3.0, 10.0)
    ]


def test_a_late_reading_corrects_the_alert_of_its_own_line() -> None:
    """Both lines are in one task: the alert on the new one began earlier, that of the old one is as it was."""
    task = Lines([HOT], context(MOVE))
    first = task.feed(R(0, "a", 20.0), R(1, "a", 90.0), R(15, "a", 90.0), R(20, "b", 20.0))
    assert [row[:2] for row in said(first)] == [("line-1", "active"), ("line-1", "cleared"), ("line-2", "active")]
    task.feed(R(11, "a", 90.0), now=21)
    rows = task.look_back(40)
    assert said(rows) == [("line-2", "active", "late", 11.0)]
    assert rows[0]["alert_id"] == first[2]["alert_id"]


def test_a_missing_signal_that_has_moved_is_not_missed() -> None:
    """The source goes on with its neighbour: on the old line nothing is missing any longer, and nothing begins."""
    periodic = {"reporting": "periodic", "period_ms": 1000}
    moving = [signal("a", **periodic), signal("a", valid_from=T0 + 30 * S, work_center="line-2", **periodic),
              signal("b", **periodic)]  # fmt: skip
    task = Task([MISSING], context(moving))
    rows = run(task, [*every("a", 0, 5), *every("b", 0, 60)], 60)
    assert said(rows) == [("line-1", "active", "condition_active", 15.0), ("line-1", "cleared", "moved", 30.0)]
    task = Task([MISSING], context(moving))
    assert not run(task, [*every("a", 0, 29), *every("b", 0, 90)], 90)


def test_what_a_version_ends_is_told_with_the_context_of_that_version() -> None:
    """The end of a version is no instant of it: the alert that ends there is still that of the asset that it was."""
    entry = {**BEARING, "valid_to": at(10)}
    world = World((topology.SIGNAL, entry), (topology.ASSET, asset()), (topology.WORK_ORDER, repair()))
    task = Task([LABELLED], world.now)
    task.feed(R(1, "a", 90.0), now=1)
    (row,) = task.tick(20, caught_up_since=0)
    assert (row["reason"], seconds(row["end_time"])) == ("signal_removed", 10.0)
    assert (row["asset_id"], row["owner"], row["verdict"]) == ("filler-1", "mechanics", "expected")
    assert "signal" not in row["context_missing"]
