"""The stage `window` where readings come late, twice, in contradiction or not at all: revisions and idle closes."""

from __future__ import annotations

import pytest

from tests.core.window_scene import at, ends, started
from tests.simulation.reference import SECOND
from tests.simulation.window_run import T0


def test_a_late_reading_inside_the_horizon_revises_its_window() -> None:
    """Revision 2 supersedes revision 1, says why, and holds the late value; untouched windows are not written again."""
    run = started()
    run.step([at(3, 1.0), at(13, 1.0), at(23, 1.0), at(80, 1.0)])
    before = len(run.windows)
    run.step([at(4, 7.0)])
    new = run.windows[before:]
    assert [(row["length_s"], row["revision"], row["supersedes"], row["reason"]) for row in new] == [
        (10, 2, 1, "late"),
        (60, 2, 1, "late"),
    ]
    assert {row["window_start"] for row in new} == {T0}
    assert [row["max"] for row in new] == [7.0, 7.0]
    assert run.counts["readings", "late"] == 1
    assert run.counts["windows", "late"] == 2


def test_a_late_reading_revises_the_windows_it_is_carried_into() -> None:
    """A late change of a valve changes every later window up to its next change, and none after that."""
    run = started()
    run.step([at(1, None, "valve", label="open"), at(41, None, "valve", label="open"), at(80)])
    run.step([at(15, None, "valve", label="shut")])
    revised = {(row["window_start"] - T0) // SECOND: row["states"] for row in run.windows if row["revision"] == 2}
    assert revised == {10: ["open", "shut"], 20: ["shut"], 30: ["shut"], 40: ["open", "shut"]}


def test_a_reading_beyond_the_horizon_goes_to_the_late_topic() -> None:
    """It is written with its coordinates, the watermark it met and its lateness, counted, and changes no window."""
    run = started(correction_horizon_us=60 * SECOND)
    run.step([at(5)])
    run.step([at(102)])
    before = len(run.windows)
    run.step([at(39.5, 3.5, historical=True), at(40.5)])
    assert run.counts["readings", "beyond_horizon"] == 1
    revised = {(row["window_start"] - T0) // SECOND: row["count"] for row in run.windows[before:]}
    assert revised == {0: 2, 40: 1}
    (late,) = run.late
    assert late["lateness_s"] == 60.5
    assert late["watermark"] == T0 + 100 * SECOND
    assert (late["partition"], late["offset"]) == (3, 2)
    assert (late["origin"], late["historical"]) == ("source", True)
    assert (late["signal_id"], late["value_double"], late["work_center"]) == ("temperature", 3.5, "line-9")


def test_a_window_is_historical_until_a_live_reading_is_in_it() -> None:
    """All readings sent as historical: so is the window. A live one, even a repeat of one of them, revises that."""
    run = started()
    run.step([at(3, historical=True), at(5, historical=True), at(13, historical=True), at(15), at(22, historical=True)])
    assert [(row["window_start"] - T0, row["historical"]) for row in run.windows] == [(0, True), (10 * SECOND, False)]
    run.step([at(5)])
    assert [(row["revision"], row["count"], row["historical"]) for row in run.windows[2:]] == [(2, 2, False)]
    assert run.counts["readings", "duplicate"] == 1


def test_an_exact_duplicate_counts_once() -> None:
    """A repeated reading is counted and changes nothing, before and after its window has closed."""
    run = started()
    run.step([at(3, sequence=1), at(3, sequence=1), at(4)])
    for second in (12, 62, 80):
        run.step([at(second)])
        assert run.counts["readings", "duplicate"] == 1
    before = len(run.windows)
    buffered = run.state["reading"].height
    run.step([at(3, sequence=1)])
    assert run.counts["readings", "duplicate"] == 2
    assert len(run.windows) == before
    assert run.windows[0]["count"] == 2
    assert run.state["reading"].height == buffered


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_of_contradicting_readings_the_highest_sequence_wins(order: tuple[int, ...]) -> None:
    """Same signal and instant, other value: whatever arrives first, sequence 9 holds, and two conflicts are counted."""
    sent = [at(3, 5.0, sequence=9), at(3, 8.0, sequence=4), at(3, 6.0)]
    run = started()
    for number in order:
        run.step([sent[number]])
    run.step([at(80)])
    assert run.windows[0]["last"] == 5.0
    assert run.windows[0]["count"] == 1
    assert run.counts["readings", "conflict"] == 2


def test_revisions_are_forgotten_beyond_the_horizon() -> None:
    """A revised window is remembered only as long as it can be revised again."""
    run = started(correction_horizon_us=60 * SECOND)
    run.step([at(23), at(80)])
    run.step([at(24)])
    assert run.state["revised"].height == 2
    run.step([at(200)])
    assert run.state["revised"].height == 0


def test_a_silent_source_is_released_and_its_windows_are_provisional() -> None:
    """After 10 s of silence in the log, edge-2 holds edge-1's windows no longer; its own say that they may change."""
    run = started()
    run.step([at(3), at(5, 1.0, "flow", source="edge-2")], now_us=T0)
    run.step([at(12)], now_us=T0 + 9 * SECOND)
    assert run.windows == []
    run.step([at(13)], now_us=T0 + 11 * SECOND)
    told = {(row["signal_id"], row["length_s"]): (row["provisional"], row["reason"]) for row in run.windows}
    assert told == {("temperature", 10): (False, "watermark"), ("flow", 10): (True, "idle")}


def test_a_replay_releases_a_source_where_the_live_run_did() -> None:
    """Silence counts in append times: a task that has not caught up buffers no hours for a source that left."""
    run = started(correction_horizon_us=30 * SECOND)
    run.step([at(1, 1.0, "flow", source="edge-2")], now_us=T0, caught_up_us=None)
    for minute in range(20):
        chunk = [at(minute * 60 + second) for second in range(60)]
        run.step(chunk, now_us=T0 + minute * 60 * SECOND, caught_up_us=None)
    assert run.state["reading"].height < 240


def test_time_alone_closes_the_windows_of_silent_sources() -> None:
    """With every source silent, wall time carries the watermark on: [0, 10) closes 7 s after a reading at 5."""
    run = started()
    run.step([at(5)], now_us=T0 + 100 * SECOND)
    run.timer(T0 + 106 * SECOND)
    assert run.windows == []
    run.timer(T0 + 110 * SECOND)
    assert run.windows == []
    run.timer(T0 + 111 * SECOND)
    assert ends(run) == [(10, 1, "idle")]
    assert run.windows[0]["provisional"]
    assert run.windows[0]["emitted_at"] == T0 + 111 * SECOND


def test_the_timer_waits_until_the_task_has_caught_up() -> None:
    """Before, silence may be a backlog; after, the idle limit starts when the task had read all there was."""
    run = started()
    run.step([at(5)], now_us=T0)
    run.timer(T0 + 1000 * SECOND, caught_up_us=None)
    assert run.timer(T0 + 1000 * SECOND, caught_up_us=T0 + 995 * SECOND).changes == {}
    assert run.windows == []
    run.timer(T0 + 1006 * SECOND, caught_up_us=T0 + 995 * SECOND)
    assert ends(run) == [(10, 1, "idle")]


def test_an_idle_task_comes_to_rest() -> None:
    """Once nothing is left to close, the timer changes nothing more: an idle task commits nothing."""
    run = started()
    run.step([at(5), at(6, None, "valve", label="open")], now_us=T0)
    written = sum(bool(run.timer(T0 + second * SECOND).changes) for second in range(1, 400))
    assert 0 < written < 20
    assert all(not run.timer(T0 + second * SECOND).changes for second in range(400, 500))


def test_an_idle_close_is_confirmed_when_it_changes() -> None:
    """An on-change value is unknown where its source was silent, and known once it returns: reason confirmed."""
    run = started()
    run.step([at(4, None, "valve", label="open")], now_us=T0)
    run.timer(T0 + 30 * SECOND)
    assert [(row["coverage"], row["provisional"]) for row in run.windows] == [(0.0, True)]
    run.step([at(40, None, "valve", label="shut")], now_us=T0 + 31 * SECOND)
    first = [row for row in run.windows if row["window_start"] == T0]
    assert [(row["revision"], row["reason"], row["provisional"], row["coverage"]) for row in first] == [
        (1, "idle", True, 0.0),
        (2, "confirmed", False, 0.6),
    ]
    assert run.latest()["valve", 10, T0 + 10 * SECOND]["states"] == ["open"]


def test_what_is_older_than_the_horizon_stays_as_it_was_told() -> None:
    """A source returns after a longer silence: its values are told again for the horizon, not for all that time."""
    run = started(correction_horizon_us=30 * SECOND)
    run.step([at(4), at(5, None, "valve", label="open", source="edge-2")], now_us=T0)
    run.step([at(100)], now_us=T0 + 20 * SECOND)
    run.step([at(101, None, "valve", label="shut", source="edge-2")], now_us=T0 + 21 * SECOND)
    starts = [(row["window_start"] - T0) // SECOND for row in run.windows if row["signal_id"] == "valve"]
    assert starts == [0, 60, 70, 80]


def test_a_source_with_a_wild_clock_closes_nobody_elses_windows() -> None:
    """One source a year ahead: the others still hold the watermark, before and after it falls silent."""
    run = started()
    run.step([at(3), at(365 * 86_400, 1.0, "flow", source="edge-2")], now_us=T0)
    run.step([at(5)], now_us=T0 + SECOND)
    run.timer(T0 + 2 * SECOND)
    assert run.windows == []
    run.step([at(12)], now_us=T0 + 12 * SECOND)
    assert [(row["signal_id"], row["window_start"]) for row in run.windows] == [("temperature", T0)]
    run.timer(T0 + 60 * SECOND)
    assert run.state["task"]["watermark"][0] < T0 + 70 * SECOND


def test_a_window_that_a_correction_empties_is_retracted() -> None:
    """A value held for edge-1's life turns out to be edge-2's, which died: the windows after that are taken back."""
    run = started()
    run.step([at(1, None, "valve", label="open"), at(60)])
    assert ("valve", 10, T0 + 40 * SECOND) in run.latest()
    run.step([at(32, None, "valve", label="shut", source="edge-2")])
    taken_back = [row for row in run.windows if row["reason"] == "retracted"]
    assert [(row["window_start"] - T0) // SECOND for row in taken_back] == [40]
    assert taken_back[0]["duration_unknown_s"] == 10.0
    assert (taken_back[0]["states"], taken_back[0]["coverage"], taken_back[0]["revision"]) == ([], 0.0, 2)
    assert (taken_back[0]["share_good"], taken_back[0]["count_forced"], taken_back[0]["increment"]) == (0.0, 0, None)
    run.step([at(45, None, "valve", label="open")])
    assert run.latest()["valve", 10, T0 + 40 * SECOND]["revision"] == 3
