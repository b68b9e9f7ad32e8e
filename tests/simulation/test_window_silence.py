"""The invariant of event time where sources fall silent, are released, and come back with what they kept."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.window.stage import WindowConfig
from tests.simulation.reference import SECOND, Reading, windows
from tests.simulation.test_window_invariant import CONTEXT, SIGNALS, closing, readings
from tests.simulation.test_window_past import agreed
from tests.simulation.window_run import T0, Run, difference

HORIZON_US = 7200 * SECOND
LIMITS = st.dictionaries(st.sampled_from(["edge-1", "edge-2", "edge-3"]), st.integers(0, 90).map(lambda s: s * SECOND))


@st.composite
def spells(draw: st.DrawFn) -> tuple[list[Reading], list[tuple[int, list[Reading]]]]:
    """Readings, and chunks of them with the time (us) that passes before each: within the idle limit or far beyond."""
    made = agreed(draw(readings()), SIGNALS)
    order = draw(st.permutations(made))
    chunks = []
    while order:
        size = draw(st.integers(1, len(order)))
        pause_s = draw(st.sampled_from((0, 1, 9, 11, 45, 300)))
        chunks.append((pause_s * SECOND, order[:size]))
        order = order[size:]
    return made, chunks


@given(spells(), LIMITS, LIMITS, st.data())
@settings(max_examples=60)
def test_silence_and_backlogs_leave_no_trace(
    case: tuple[list[Reading], list[tuple[int, list[Reading]]]],
    disorder_of: dict[str, int],
    idle_of: dict[str, int],
    data: st.DataObject,
) -> None:
    """Whoever was released when, by the log or the timer, under which limits of its own: the reference's windows.

    The watermark never goes back, and nothing inside the horizon is lost.
    """
    made, chunks = case
    memory_us = data.draw(st.sampled_from((15, 120, 7200))) * SECOND
    config = WindowConfig(
        correction_horizon_us=HORIZON_US, memory_us=memory_us, disorder_of=disorder_of, idle_of=idle_of
    )
    run, now_us, marks = Run(config, CONTEXT), T0, [0]
    for pause_us, chunk in [*chunks, (0, closing())]:
        for _ in range(data.draw(st.integers(0, 2))):
            now_us += pause_us // 2
            run.timer(now_us)
            marks.append(_watermark(run))
        run.step(chunk, now_us)
        marks.append(_watermark(run))
        if data.draw(st.booleans()):
            run.restart(combined=data.draw(st.booleans()))
    # Until everybody has been silent for long enough.
    run.timer(now_us + 300 * SECOND)
    run.correct(now_us + 400 * SECOND)
    assert difference(run.latest(), windows(made + closing(), SIGNALS, _watermark(run))) == ""
    assert marks == sorted(marks)
    assert run.late == []


def _watermark(run: Run) -> int:
    """The task's watermark (us) as its state has it; 0 before the first reading."""
    task = run.state["task"]
    return int(task["watermark"][0]) if task.height else 0
