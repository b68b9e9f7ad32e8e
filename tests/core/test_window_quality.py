"""What windows say of the quality of what they rest on: bad, uncertain and forced readings, shares, states."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.window_scene import at, started
from tests.simulation.reference import BAD, SECOND, UNCERTAIN
from tests.simulation.window_run import T0, Run


def window(run: Run, begin_s: int = 0, signal: str = "temperature") -> dict[str, Any]:
    """The 10 s window of a signal that begins at `begin_s`."""
    return run.latest()[signal, 10, T0 + begin_s * SECOND]


@pytest.mark.parametrize("bad", range(10))
def test_one_bad_status_never_discards_its_neighbours(bad: int) -> None:
    """Wherever it stands in a chunk of ten, a bad reading costs itself and the second it stands for, nothing more."""
    run = started()
    run.step([at(second, 1e9 if second == bad else 2.0, quality=BAD if second == bad else 0) for second in range(10)])
    run.step([at(10), at(80)])
    row = window(run)
    assert (row["count"], row["count_bad"], row["sum"], row["max"]) == (9, 1, 18.0, 2.0)
    assert (row["duration_good_s"], row["duration_bad_s"], row["mean_time_weighted"]) == (9.0, 1.0, 2.0)


def test_every_window_has_coverage_and_shares() -> None:
    """Good for 3 s, uncertain 2, bad 2.5, unknown the rest: coverage 0.5; and the shares say of what kind."""
    run = started()
    run.step([at(0), at(1), at(2), at(3, quality=UNCERTAIN), at(4, quality=UNCERTAIN), at(5, quality=BAD), at(80)])
    row = window(run)
    assert (row["share_good"], row["share_uncertain"], row["share_bad"]) == (0.3, 0.2, 0.25)
    assert row["coverage"] == 0.5
    assert row["duration_unknown_s"] == 2.5
    assert (row["count"], row["count_uncertain"], row["count_bad"]) == (5, 2, 1)


def test_forced_readings_are_counted_apart() -> None:
    """A local override is good and enters the statistics; how many readings were forced is told beside it."""
    run = started()
    run.step([at(0), at(1, 9.0, forced=True), at(2, forced=True, quality=UNCERTAIN), at(3, forced=True, quality=BAD)])
    run.step([at(12), at(80)])
    row = window(run)
    assert (row["count"], row["count_forced"], row["count_uncertain"], row["max"]) == (3, 2, 1, 9.0)
    assert window(run, 10)["count_forced"] == 0


def test_a_forced_repeat_of_a_measured_value_is_none() -> None:
    """Of two equal readings of one instant the measured one holds, whichever came first."""
    for order in ((0, 1), (1, 0)):
        run = started()
        sent = [at(3), at(3, forced=True)]
        run.step([sent[place] for place in order])
        run.step([at(80)])
        assert (window(run)["count"], window(run)["count_forced"]) == (1, 0)
        assert run.counts["readings", "duplicate"] == 1


def test_a_transition_over_a_gap_is_told() -> None:
    """Open, then bad, then silence; shut half a minute later: one transition, in the window that heard of it."""
    run = started()
    run.step([at(1, None, "valve", label="open"), at(8, None, "valve", label="?", quality=BAD), at(30)])
    run.step([at(35, None, "valve", label="shut"), at(36, None, "valve", label="shut"), at(80)])
    told = {(key[2] - T0) // SECOND: row["transitions"] for key, row in run.latest().items() if key[0] == "valve"}
    assert told == {0: 0, 10: 0, 20: 0, 30: 1, 40: 0, 50: 0, 60: 0}


@pytest.mark.parametrize(("label", "transitions"), [("open", 0), ("shut", 1)])
def test_a_state_is_remembered_beyond_the_horizon_and_a_restart(label: str, transitions: int) -> None:
    """The valve's source was gone for an hour: whether its state has changed is told against the one before."""
    run = started(correction_horizon_us=30 * SECOND)
    run.step([at(5, None, "valve", label="open", source="edge-2"), at(6)])
    for minute in range(1, 60):
        run.step([at(minute * 60)], now_us=T0 + minute * 60 * SECOND)
    run.restart(combined=True)
    assert "valve" not in run.state["reading"]["signal_id"].to_list()
    run.step([at(3605, None, "valve", label=label, source="edge-2", birth=True), at(3606)], now_us=T0 + 3606 * SECOND)
    run.step([at(3700, source="edge-2"), at(3700)], now_us=T0 + 3607 * SECOND)
    row = window(run, 3600, "valve")
    assert (row["states"], row["transitions"]) == (sorted({"open", label}), transitions)
