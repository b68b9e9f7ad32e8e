"""Late readings, wrong stamps and backlogs as timelines: what is recorded, and what rings."""

from __future__ import annotations

import polars as pl

from streams.core.frames import HISTORICAL
from streams.core.stage import Moment
from tests.core.alert_scene import HOT, HOT_5S, SIGNALS, T0, R, S, Task, frame


def test_a_late_reading_is_counted_and_changes_nothing() -> None:
    """A retransmitted high value from before does not bring a cleared alert back, also after a restart."""
    task = Task([HOT], SIGNALS)
    task.feed(R(0, "a", 90.0), R(5, "a", 20.0))
    task.restart()
    assert not task.feed(R(0, "a", 90.0))
    assert task.counts["late", "hot"] == 1


def test_one_stamp_far_ahead_does_not_silence_a_signal() -> None:
    """A stamp 2 h ahead of its arrival counts as a minute ahead; what comes after that minute is no longer late."""
    task = Task([HOT], SIGNALS)
    ahead = frame([R(7200, "a", 20.0)]).with_columns(ingest_time=pl.lit(T0))
    result = task.alert.step("ot.reading.v1", ahead, task.state, task.context, Moment(T0))
    times = result.changes["signal"].upsert
    assert times is not None
    assert times["last_time"].to_list() == [T0 + 60 * S]


def test_a_flicker_within_one_instant_is_revisions_of_one_alert() -> None:
    """Sources with a coarse clock send several values with one stamp: the id is the same, the revision goes on."""
    rows = Task([HOT], SIGNALS).feed(R(1, "a", 90.0), R(1, "a", 20.0), R(1, "a", 91.0))
    assert [(row["alert_id"], row["revision"], row["state"]) for row in rows] == [
        (f"hot|a|{T0 + S}", 1, "active"),
        (f"hot|a|{T0 + S}", 2, "cleared"),
        (f"hot|a|{T0 + S}", 3, "active"),
    ]


def test_what_ended_in_a_backlog_is_recorded_and_does_not_ring() -> None:
    """Two hours later, from a backlog: both transitions are written, neither annunciated, the end says historical."""
    rows = Task([HOT], SIGNALS).feed(R(0, "a", 90.0), R(60, "a", 20.0), now=7200)
    assert [(row["state"], row["annunciated"], row["historical"]) for row in rows] == [
        ("active", False, False),
        ("cleared", False, True),
    ]


def test_what_a_backlog_leaves_standing_rings_once() -> None:
    """The first reading of the present that still says so annunciates it, as a further revision of the same alert."""
    task = Task([HOT], SIGNALS)
    (recorded,) = task.feed(R(0, "a", 90.0, flags=HISTORICAL), R(1, "a", 90.0, flags=HISTORICAL))
    task.restart()
    rows = task.feed(R(2, "a", 91.0), R(3, "a", 92.0), R(4, "a", 20.0))
    assert not recorded["annunciated"]
    assert [(row["revision"], row["state"], row["reason"], row["annunciated"], row["historical"]) for row in rows] == [
        (2, "active", "still_active", True, False),
        (3, "cleared", "condition_cleared", True, False),
    ]
    assert {row["alert_id"] for row in rows} == {recorded["alert_id"]}


def test_what_stands_after_a_backlog_rings_without_another_reading() -> None:
    """An on-change signal stays silent while nothing changes: once all is read and the source is quiet, it rings."""
    task = Task([HOT], SIGNALS)
    task.feed(R(0, "a", 90.0), now=7200)
    assert not task.tick(7204, caught_up_since=7200)
    assert not task.tick(7300, caught_up_since=None)
    (row,) = task.tick(7205, caught_up_since=7200)
    assert (row["reason"], row["annunciated"], row["value"]) == ("still_active", True, 90.0)
    assert not task.tick(7206, caught_up_since=7200)


def test_a_delay_that_passed_in_the_past_does_not_ring_either() -> None:
    """Pending when the worker went down: what its delay brings about hours later belongs to the past."""
    task = Task([HOT_5S], SIGNALS)
    task.feed(R(0, "a", 90.0), now=0)
    rows = task.feed(R(60, "a", 90.0), R(70, "a", 20.0), R(80, "a", 20.0), now=7200)
    assert [(row["state"], row["annunciated"]) for row in rows] == [("active", False), ("cleared", False)]
