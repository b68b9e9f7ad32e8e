"""The invariant of event time: the latest payload of each window is a function of the set of readings alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.window.stage import WindowConfig
from tests.simulation.reference import SECOND, Reading, Signal, accepted, windows
from tests.simulation.reference import Window as Key
from tests.simulation.window_run import T0, Run, context, difference, version, versions

SIGNALS = {
    signal.name: signal
    for signal in (
        Signal("temperature", period=1 * SECOND),
        Signal("pressure", on_change=True),
        Signal("state", on_change=True, role="state", lengths=(10,)),
        Signal("phase", period=4 * SECOND, role="phase", lengths=(15, 60), changes=(T0 + 50 * SECOND,)),
        Signal("flow", lengths=(30,), changes=(T0 + 31 * SECOND, T0 + 32 * SECOND, T0 + 120 * SECOND)),
        Signal("odd", period=2 * SECOND, lengths=(10, 7)),
        Signal("produced", period=3 * SECOND, role="good_counter", rollover=99),
        Signal("rejected", on_change=True, role="reject_counter", changes=(T0 + 75 * SECOND,)),
        Signal("total", period=60 * SECOND, role="total_counter", rollover=2**62),
    )
}
# Small ones with falls; odd ones that no double holds, on both sides of a rollover.
COUNTS = (*range(0, 100, 7), 2**53 + 1, 2**53 + 3, 2**62 - 8, 2**62 - 1)
NAMES = [*SIGNALS, "unlisted"]
LABELS = ("running", "stopped", None)
CONTEXT = context([row for signal in SIGNALS.values() for row in versions(signal)])
# All readings lie within this, so that whatever comes first, none is beyond the horizon of 300 s.
RANGE_S = 200


@dataclass(frozen=True)
class Plan:
    """How one set of readings reaches the stage: chunks, and before which of them the process starts anew."""

    chunks: list[list[Reading]]
    restarts: frozenset[int]
    combined: bool


@st.composite
def readings(draw: st.DrawFn) -> list[Reading]:
    """Readings of some signals from two sources, with bad and uncertain ones, conflicts and exact duplicates."""
    made = []
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    for _ in range(draw(st.integers(1, 40))):
        name = draw(st.sampled_from(names))
        signal = SIGNALS.get(name, Signal(name))
        label = draw(st.sampled_from(LABELS)) if signal.discrete() else None
        number = label is None and not signal.counts()
        made.append(
            Reading(
                signal=name,
                source="edge-2" if name in {"flow", "state"} else "edge-1",
                # Quarters of a second: window borders, equal instants and ends of holding times are hit often.
                time=T0 + draw(st.integers(0, RANGE_S * 4)) * SECOND // 4,
                value=float(draw(st.integers(-3, 3))) if number else None,
                whole=draw(st.sampled_from(COUNTS)) if signal.counts() else None,
                label=label,
                quality=draw(st.sampled_from((0, 0, 0, 0, 1, 2))),
                sequence=draw(st.none() | st.integers(0, 3)),
                historical=draw(st.sampled_from((True, True, False))),
                forced=draw(st.sampled_from((True, False, False))),
                birth=draw(st.sampled_from((True, False, False, False))),
            )
        )
    again = draw(st.lists(st.sampled_from(made), max_size=8))
    return made + again


@st.composite
def plans(draw: st.DrawFn, made: list[Reading]) -> Plan:
    """Some order of the readings, cut somehow, with restarts somewhere."""
    order = draw(st.permutations(made))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=6)))
    edges = [0, *cuts, len(order)]
    chunks = [order[low:high] for low, high in pairwise(edges) if low < high]
    restarts = draw(st.frozensets(st.integers(0, len(chunks)), max_size=3))
    return Plan(chunks, restarts, draw(st.booleans()))


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Reading], Plan]:
    """Readings and a way for them to arrive."""
    made = draw(readings())
    return made, draw(plans(made))


def closing() -> list[Reading]:
    """Readings of both sources after all others, which bring the watermark past every window that they are in."""
    return [Reading("closing", source, T0 + (RANGE_S + 70) * SECOND, 0.0) for source in ("edge-1", "edge-2")]


def play(plan: Plan, config: WindowConfig) -> Run:
    """Run the stage over a plan and bring it to its end."""
    run = Run(config, CONTEXT)
    for number, chunk in enumerate([*plan.chunks, closing()]):
        if number in plan.restarts:
            run.restart(combined=plan.combined)
        # Within the idle limit: who is alive does not depend on how many chunks there are.
        run.step(chunk, now_us=T0 + number * SECOND // 100)
    return run


def payloads(run: Run) -> dict[Key, dict[str, Any]]:
    """What the latest revisions say, without how they came about."""
    return {key: {name: row[name] for name in payload_names()} for key, row in run.latest().items()}


def payload_names() -> list[str]:
    """What a window says."""
    return list(windows(closing(), SIGNALS, T0 + 3600 * SECOND).popitem()[1])


@given(cases())
@settings(max_examples=60)
def test_any_arrival_gives_the_windows_of_the_reference(case: tuple[list[Reading], Plan]) -> None:
    """Order, chunks, duplicates, conflicts and restarts leave the latest payloads as the batch reference has them."""
    made, plan = case
    run = play(plan, WindowConfig())
    everything = made + closing()
    watermark = T0 + (RANGE_S + 68) * SECOND
    wanted = windows(everything, SIGNALS, watermark)
    assert difference(run.latest(), wanted) == ""
    _, duplicates, conflicts = accepted(made)
    assert run.counts["readings", "duplicate"] == duplicates
    assert run.counts["readings", "conflict"] == conflicts
    assert run.late == []


@given(st.data())
@settings(max_examples=20)
def test_two_arrivals_give_equal_bits(data: st.DataObject) -> None:
    """Two arrivals of one set of readings agree in every bit of every payload, not only within a tolerance."""
    made = data.draw(readings())
    first, second = (payloads(play(data.draw(plans(made)), WindowConfig())) for _ in range(2))
    assert first == second


@given(cases(), st.integers(5, 60))
@settings(max_examples=40)
def test_every_reading_ends_in_exactly_one_place(case: tuple[list[Reading], Plan], horizon_s: int) -> None:
    """In its window, on the late topic, or counted as duplicate or conflict: nothing is lost or double."""
    made, plan = case
    run = play(plan, WindowConfig(correction_horizon_us=horizon_s * SECOND))
    latest = run.latest()
    for name in NAMES:
        shortest = min(SIGNALS.get(name, Signal(name)).windowed())
        total = sum(row["count"] + row["count_bad"] for key, row in latest.items() if key[:2] == (name, shortest))
        came = sum(reading.signal == name for reading in made)
        late = sum(row["signal_id"] == name for row in run.late)
        assert total + late <= came
    everywhere = sum(
        row["count"] + row["count_bad"]
        for (name, length, _), row in latest.items()
        if length == min(SIGNALS.get(name, Signal(name)).windowed())
    )
    repeats = run.counts["readings", "duplicate"] + run.counts["readings", "conflict"]
    assert everywhere + len(run.late) + repeats == len(made)
    assert run.counts["readings", "beyond_horizon"] == len(run.late)


@given(cases(), st.integers(5, 60))
@settings(max_examples=20)
def test_what_is_late_does_not_depend_on_chunks(case: tuple[list[Reading], Plan], horizon_s: int) -> None:
    """One order of arrival, whole or reading by reading: the same readings are beyond the horizon, the rest agrees."""
    _, plan = case
    config = WindowConfig(correction_horizon_us=horizon_s * SECOND)
    flat = [reading for chunk in plan.chunks for reading in chunk]
    whole = play(Plan([flat], frozenset(), combined=False), config)
    single = play(Plan([[reading] for reading in flat], frozenset(), combined=False), config)
    assert [row["offset"] for row in whole.late] == [row["offset"] for row in single.late]
    assert difference(payloads(single), payloads(whole)) == ""


@given(cases())
@settings(max_examples=20)
def test_durations_sum_to_the_length(case: tuple[list[Reading], Plan]) -> None:
    """Good, uncertain, bad and unknown time are whole microseconds that sum exactly to the window's own length."""
    for row in play(case[1], WindowConfig()).windows:
        parts = [round(row[f"duration_{name}_s"] * SECOND) for name in ("good", "uncertain", "bad", "unknown")]
        assert min(parts) >= 0
        length = row["window_end"] - row["window_start"]
        assert sum(parts) == length <= row["length_s"] * SECOND
        assert round(row["coverage"] * length) == parts[0] + parts[1]
        assert [round(row[f"share_{name}"] * length) for name in ("good", "uncertain", "bad")] == parts[:3]


@given(
    st.lists(st.integers(-5, 5), min_size=30, max_size=90),
    st.integers(0, 9),
    st.integers(1, 4),
)
@settings(max_examples=30)
def test_periodic_and_on_change_give_the_same_mean(values: list[int], phase_s: int, cut: int) -> None:
    """One physical signal, sent every second or only when it changes, has the same mean, integral and coverage.

    From the first whole window on: what was before the first reading, nobody knows.
    """
    run = Run(WindowConfig(), context([version(Signal("every", period=SECOND)), version(Signal("changes", True))]))
    begin = T0 + phase_s * SECOND
    sent = []
    for second, value in enumerate(values):
        time = begin + second * SECOND
        sent.append(Reading("every", "edge-1", time, float(value)))
        if not second or value != values[second - 1]:
            sent.append(Reading("changes", "edge-1", time, float(value)))
    for low in range(0, len(sent), 20 * cut):
        run.step(sent[low : low + 20 * cut])
    run.step([Reading("every", "edge-1", begin + len(values) * SECOND, 0.0)])
    latest = run.latest()
    compared = 0
    for (name, length, start), row in latest.items():
        if name == "every":
            other = latest["changes", length, start]
            for field in ("mean_time_weighted", "integral", "coverage", "duration_unknown_s"):
                assert abs(row[field] - other[field]) < 1e-9
            compared += 1
    assert compared >= (len(values) - 2) // 10


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(1, 120), st.booleans())
@settings(max_examples=30)
def test_an_idle_close_is_corrected_by_what_comes_later(before: list[int], silence_s: int, restart: bool) -> None:
    """Windows closed by the timer are provisional; once the source goes on, the latest payloads are the reference's."""
    run = Run(WindowConfig(), CONTEXT)
    everything = []

    def send(seconds: list[int], now_us: int) -> None:
        chunk = [
            Reading(name, "edge-1", T0 + second * SECOND, float(second), sequence=second)
            for second in seconds
            for name in ("temperature", "pressure")
        ]
        everything.extend(chunk)
        run.step(chunk, now_us, caught_up_us=T0)

    send(before, T0 + 31 * SECOND)
    now = T0 + 31 * SECOND
    for _ in range(silence_s):
        now += SECOND
        run.timer(now)
    assert all(row["provisional"] == (row["reason"] == "idle") for row in run.windows)
    if restart:
        run.restart(combined=True)
    # The source was cut off, not dead: it delivers what it had kept, then goes on.
    send([second + 5 for second in before], now)
    send([31 + silence_s, 200], now)
    assert difference(run.latest(), windows(everything, SIGNALS, T0 + 198 * SECOND)) == ""
