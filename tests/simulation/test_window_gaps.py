"""Counters and states over gaps far longer than the correction horizon, with restarts: none is told twice or lost."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.window.stage import WindowConfig
from tests.simulation.reference import BAD, SECOND, Reading, Signal, windows
from tests.simulation.window_run import T0, Run, context, difference, versions

SIGNALS = {
    signal.name: signal
    for signal in (
        Signal("produced", period=SECOND, role="good_counter", lengths=(10,), rollover=99),
        Signal("rejected", on_change=True, role="reject_counter", lengths=(60,), changes=(T0 + 900 * SECOND,)),
        Signal("state", period=5 * SECOND, role="state", lengths=(10, 60), changes=(T0 + 600 * SECOND,)),
        Signal("temperature", period=5 * SECOND, lengths=(30,), changes=(T0 + 605 * SECOND, T0 + 1200 * SECOND)),
    )
}
CONTEXT = context([row for signal in SIGNALS.values() for row in versions(signal)])
# Seconds from one reading to the next: within a window, or beyond the horizon of 30 s.
STEPS = st.integers(0, 4) | st.integers(25, 400)


@st.composite
def histories(draw: st.DrawFn) -> list[Reading]:
    """Readings of one source in order of time, some bad, some births."""
    made: list[Reading] = []
    second = 0
    for _ in range(draw(st.integers(2, 40))):
        second += draw(STEPS)
        signal = SIGNALS[draw(st.sampled_from(list(SIGNALS)))]
        made.append(
            Reading(
                signal=signal.name,
                source="edge-1",
                time=T0 + second * SECOND,
                value=float(draw(st.integers(0, 3))) if signal.name == "temperature" else None,
                label=draw(st.sampled_from(("running", "stopped"))) if signal.discrete() else None,
                whole=draw(st.integers(0, 99)) if signal.counts() else None,
                quality=draw(st.sampled_from((0, 0, 0, BAD))),
                birth=draw(st.sampled_from((False, False, True))),
                sequence=len(made),
            )
        )
    return made


@given(histories(), st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)), st.booleans())
@settings(max_examples=60)
def test_gaps_and_restarts_leave_the_windows_of_the_reference(
    made: list[Reading], cuts: set[int], restarts: set[int], combined: bool
) -> None:
    """Whatever the silence between two readings, windows are those of the batch reference over all of them."""
    run = Run(WindowConfig(correction_horizon_us=30 * SECOND), CONTEXT)
    closing = Reading("closing", "edge-1", made[-1].time + 100 * SECOND, 0.0)
    chunk: list[Reading] = []
    for number, reading in enumerate([*made, closing]):
        if number in cuts and chunk:
            run.step(chunk)
            chunk = []
        if number in restarts:
            run.restart(combined=combined)
        chunk.append(reading)
    run.step(chunk)
    wanted = windows([*made, closing], SIGNALS, closing.time - 2 * SECOND)
    assert difference(run.latest(), wanted) == ""
    assert run.late == []
