"""Sources that stall, go and return: what becomes of the windows of the others."""

from __future__ import annotations

from typing import Any

from streams.core.window.aggregate import PAYLOAD
from tests.core.window_scene import at, started
from tests.simulation.reference import SECOND, Reading
from tests.simulation.window_run import T0, Run

HOUR = 3600
OWN = "temperature"  # of edge-1
OTHER = "pressure"  # of edge-2, which stalls or goes


def own(begin: int, end: int, step: int = 1) -> list[Reading]:
    """A reading of edge-1 every `step` seconds."""
    return [at(second, float(second % 7)) for second in range(begin, end, step)]


def other(begin: int, end: int, step: int = 1) -> list[Reading]:
    """The same of edge-2."""
    return [at(second, float(second % 5), signal=OTHER, source="edge-2") for second in range(begin, end, step)]


def take(run: Run, now_s: int, *readings: list[Reading]) -> None:
    """One chunk, logged and processed at `now_s`; one without readings is no chunk."""
    if rows := [reading for part in readings for reading in part]:
        run.step(rows, T0 + now_s * SECOND, T0)
    run.timer(T0 + now_s * SECOND)


def emitted(run: Run, signal: str, since: int = 0) -> list[tuple[int, int]]:
    """End (s after the begin) and revision of what was emitted of a signal's windows of 10 s."""
    rows = [row for row in run.windows[since:] if row["signal_id"] == signal and row["length_s"] == 10]
    return [((row["window_end"] - T0) // SECOND, row["revision"]) for row in rows]


def payload(run: Run) -> dict[Any, dict[str, Any]]:
    """What the latest revisions say."""
    return {key: {name: row[name] for name in PAYLOAD} for key, row in run.latest().items()}


def stalled(begin: int, end: int) -> Run:
    """Two edges for two minutes; what edge-2 says from `begin` on comes at `end`, ten seconds of it in each second."""
    run = started(correction_horizon_us=HOUR * SECOND)
    waiting = begin
    for second in range(120):
        live = other(second, second + 1) if second < begin else []
        if second >= end:
            upto = min(waiting + 10, second + 1)
            live, waiting = other(waiting, upto), upto
        take(run, second, own(second, second + 1), live)
    take(run, 140, own(140, 141), other(140, 141))
    return run


def test_a_stalled_source_never_holds_the_others_back() -> None:
    """Its partition is not read for a minute: the other's windows close as they would without it, and only once."""
    run = stalled(begin=20, end=80)
    closings = {end: row["emitted_at"] for row in run.windows for end in [row["window_end"]] if row["signal_id"] == OWN}
    late = {(end - T0) // SECOND: (at_us - end) / SECOND for end, at_us in closings.items()}
    assert late[10] == 2, "in time, as long as both send"
    assert late[20] == 10, "one idle limit later where edge-2 has just fallen silent"
    assert {late[end] for end in range(30, 120, 10)} == {2}, "in time again, also while edge-2 catches up"
    assert {revision for _, revision in emitted(run, OWN)} == {1}


def test_a_stall_leaves_no_trace_in_what_windows_say() -> None:
    """Their latest payloads are those of a run in which nothing stalled."""
    assert payload(stalled(begin=20, end=80)) == payload(stalled(begin=120, end=120))


def test_a_source_that_returns_after_hours_closes_nothing_again() -> None:
    """It comes with the present: no window of the other is emitted again, and of its own only those it makes known."""
    run = started()
    for second in range(0, 60, 10):
        take(run, second, own(second, second + 10), other(second, second + 10))
    for second in range(60, 2 * HOUR, 60):
        take(run, second, own(second, second + 60, 10))
    before = len(run.windows)
    for second in range(2 * HOUR, 2 * HOUR + 60, 10):
        take(run, second, own(second, second + 10), other(second, second + 10))
    assert [revision for _, revision in emitted(run, OWN, before)] == [1] * len(emitted(run, OWN, before))
    assert all(end > 2 * HOUR - 60 for end, _ in emitted(run, OWN, before))
    assert all(end > 2 * HOUR for end, _ in emitted(run, OTHER, before))
    assert run.counts["readings", "late"] == 0


def test_a_backlog_of_hours_touches_its_own_windows_only() -> None:
    """What it brings fills its own windows, once each; the other's go on closing in time while it is delivered."""
    run = started(correction_horizon_us=6 * HOUR * SECOND)
    for second in range(0, 60, 10):
        take(run, second, own(second, second + 10), other(second, second + 10))
    for second in range(60, HOUR, 60):
        take(run, second, own(second, second + 60, 10))
    before, waiting = len(run.windows), 60
    for second in range(HOUR, HOUR + 120, 10):
        upto = min(waiting + 300, second)
        take(run, second, own(second, second + 10), other(waiting, upto, 5))
        waiting = upto
    assert {revision for _, revision in emitted(run, OWN, before)} == {1}
    ends = [end for end, _ in emitted(run, OWN, before)]
    assert ends == sorted(set(ends)), "each once, in order"
    assert ends[-1] >= HOUR + 110, "nobody waited for the backlog"
    run.correct(T0 + 2 * HOUR * SECOND)
    filled = emitted(run, OTHER, before)
    assert {end for end, _ in filled} >= set(range(70, HOUR - 300, 10))
    assert run.late == []
