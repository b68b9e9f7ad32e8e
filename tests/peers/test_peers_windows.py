"""What users of other systems complain of: windows that never close or are lost, late data that vanishes, stale values.

Each test has the situation of a complaint, which it cites, on our `window`.
"""

from __future__ import annotations

from typing import Any

import pytest

from streams.core.window.stage import WindowConfig
from tests.simulation.reference import SECOND, Reading, Signal
from tests.simulation.window_run import T0, Run, context, difference, version

MEASURED = Signal("a", period=SECOND, lengths=(10,))
SWITCH = Signal("s", on_change=True, role="state", lengths=(3600,))
HOUR_S, DAY_S = 3600, 86_400


def every(begin: int, end: int, name: str = "a", source: str = "edge-1", step: int = 1) -> list[Reading]:
    """Readings each `step` s from `begin` up to but without `end`."""
    return [Reading(name, source, T0 + at * SECOND, float(at)) for at in range(begin, end, step)]


def run_of(*signals: Signal, **limits: Any) -> Run:
    """A task whose dictionary has these signals."""
    return Run(WindowConfig(**limits), context([version(one) for one in signals]))


def begins(run: Run, name: str = "a") -> list[int]:
    """Begin (s) of each window of a signal, in the order in which they left."""
    return [(row["window_start"] - T0) // SECOND for row in run.windows if row["signal_id"] == name]


def test_windows_of_an_idle_key_close() -> None:
    """quix-streams #790: a window tumbles only with a new message of its key or partition, which may not come for long.
    Here the progress of the others closes it.
    """
    run = run_of(MEASURED)
    run.step([*every(0, 15), *every(0, 60, "b", "edge-2")])
    run.step(every(60, 70, "b", "edge-2"), now_us=T0 + 70 * SECOND)
    run.timer(T0 + 200 * SECOND)
    assert begins(run) == [0, 10]


def test_windows_close_where_nothing_comes_any_more() -> None:
    """quix-streams #1133: a stream that goes quiet never emits its final window; people send dummy messages on a timer.
    Here time closes it, the window says so (provisional), and what comes later corrects it.
    """
    run = run_of(MEASURED)
    run.step(every(0, 15), now_us=T0 + 15 * SECOND)
    for second in range(16, 60):
        run.timer(T0 + second * SECOND)
    assert begins(run) == [0, 10]
    assert run.windows[-1]["provisional"]
    run.step(every(15, 40), now_us=T0 + 60 * SECOND)
    assert run.latest()["a", 10, T0 + 10 * SECOND]["count"] == 10


@pytest.mark.parametrize("combined", [True, False])
def test_no_window_is_lost_with_its_worker(combined: bool) -> None:
    """faust-streaming #193: windows that end before or during a rebalance, or with their worker, are lost. Here workers
    that take over from each other after every chunk write what one worker writes, once.
    """
    steady, torn = run_of(MEASURED), run_of(MEASURED)
    for begin in range(0, 60, 7):
        steady.step(every(begin, begin + 7))
        torn.restart(combined=combined)
        torn.step(every(begin, begin + 7))
    assert begins(torn) == begins(steady) == [0, 10, 20, 30, 40, 50]
    assert not difference(torn.latest(), steady.latest())


def test_a_horizon_shorter_than_the_window_is_no_fault() -> None:
    """faust-streaming #118: to wait for late events `expires` was set shorter than the window, which does not work.
    Here an hour's window is whole, though corrections are taken for a minute only.
    """
    run = run_of(Signal("a", period=10 * SECOND, lengths=(HOUR_S,)), correction_horizon_us=60 * SECOND)
    for begin in range(0, 2 * HOUR_S, 600):
        run.step(every(begin, begin + 600, step=10))
    (window,) = [row for row in run.windows if row["signal_id"] == "a"]
    assert (window["count"], window["coverage"]) == (360, 1.0)


def test_what_comes_too_late_is_not_dropped_in_silence() -> None:
    """RisingWave #23270: who cannot drop messages without knowing asks for them in a topic. Here each of them is a
    record of `ot.window.late.v1`, and counted.
    """
    run = run_of(MEASURED, correction_horizon_us=30 * SECOND)
    run.step(every(100, 200))
    run.step(every(0, 5))
    assert sorted(row["event_time"] for row in run.late) == [T0 + at * SECOND for at in range(5)]
    assert run.counts["readings", "beyond_horizon"] == 5


def test_what_comes_late_within_the_horizon_corrects() -> None:
    """RisingWave #23270 again: what can still be put right is not dropped at all, and says what it replaces."""
    run = run_of(MEASURED)
    run.step([*every(0, 3), *every(6, 60)])
    run.step(every(3, 6))
    row = run.latest()["a", 10, T0]
    assert (row["count"], row["revision"], row["supersedes"], row["reason"]) == (10, 2, 1, "late")
    assert run.counts["readings", "late"] == 3


def test_a_value_is_not_carried_for_days_without_its_source() -> None:
    """MTConnect's cppagent #460: after its adapter lost the connection values were stale for days, not UNAVAILABLE.
    Here the state of a machine is known up to the last word of its source, and unknown from then on.
    """
    run = run_of(SWITCH)
    run.step([Reading("s", "edge-1", T0, label="running"), *every(0, HOUR_S + 60, "beat", "edge-1", step=60)])
    for begin in range(HOUR_S, 3 * DAY_S, 6 * HOUR_S):
        run.step(every(begin, begin + 6 * HOUR_S, "other", "edge-2", step=600), now_us=T0 + begin * SECOND)
    told = dict(zip(begins(run, "s"), _rows(run, "s"), strict=True))
    assert told[0]["coverage"] == 1.0
    assert sum(row["duration_good_s"] for row in told.values()) == HOUR_S
    assert all(row["duration_unknown_s"] == HOUR_S for begin, row in told.items() if begin > 0)


def _rows(run: Run, name: str) -> list[dict[str, Any]]:
    return [row for row in run.windows if row["signal_id"] == name]
