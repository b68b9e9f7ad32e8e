"""The invariant of event time where memory holds little: what is older is told again from the log."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.stage import LookBack
from streams.core.window.stage import WindowConfig
from tests.simulation import test_window_invariant as near
from tests.simulation.reference import SECOND, Reading, Signal, accepted, windows
from tests.simulation.reference import Window as Key
from tests.simulation.window_run import T0, Run, context, difference, versions

HOUR = 3600 * SECOND
# The same kinds of signals with windows of minutes, in event times hours apart: over many buckets of the index.
FAR = {
    signal.name: signal
    for signal in (
        Signal("temperature", period=30 * SECOND, lengths=(300,)),
        Signal("pressure", on_change=True, lengths=(600, 900)),
        Signal("state", on_change=True, role="state", lengths=(900,)),
        Signal("phase", period=240 * SECOND, role="phase", lengths=(300, 3600), changes=(T0 + 3000 * SECOND,)),
        Signal("produced", period=60 * SECOND, role="good_counter", rollover=99, lengths=(600,)),
        Signal("rejected", on_change=True, role="reject_counter", lengths=(900,), changes=(T0 + 2 * HOUR,)),
    )
}
FAR_CONTEXT = context([row for signal in FAR.values() for row in versions(signal)])
FAR_S = 4 * 3600


@st.composite
def distant(draw: st.DrawFn) -> list[Reading]:
    """Readings of some signals over hours."""
    names = draw(st.lists(st.sampled_from(list(FAR)), min_size=1, max_size=3, unique=True))
    made = []
    for _ in range(draw(st.integers(1, 30))):
        signal = FAR[draw(st.sampled_from(names))]
        label = draw(st.sampled_from(("running", "stopped"))) if signal.discrete() else None
        number = label is None and not signal.counts()
        made.append(
            Reading(
                signal=signal.name,
                source="edge-2" if signal.name in {"state", "phase"} else "edge-1",
                time=T0 + draw(st.integers(0, FAR_S // 150)) * 150 * SECOND,
                value=float(draw(st.integers(-3, 3))) if number else None,
                whole=draw(st.integers(0, 99)) if signal.counts() else None,
                label=label,
                quality=draw(st.sampled_from((0, 0, 0, 0, 1, 2))),
                sequence=draw(st.none() | st.integers(0, 3)),
                birth=draw(st.sampled_from((True, False, False, False))),
            )
        )
    return made + draw(st.lists(st.sampled_from(made), max_size=4))


def agreed(made: list[Reading], signals: dict[str, Signal]) -> list[Reading]:
    """Where counters and states contradict themselves, then in the value: a bad one takes no good one's place.

    For memory keeps of each only the latest reading that counts (decision 3).
    """
    first: dict[tuple[str, int], Reading] = {}
    found = []
    for reading in made:
        signal = signals.get(reading.signal, Signal(reading.signal))
        if signal.counts() or signal.discrete():
            one = first.setdefault((reading.signal, reading.time), reading)
            found.append(replace(reading, quality=one.quality, birth=one.birth))
        else:
            found.append(reading)
    return found


def play(data: st.DataObject, run: Run, made: list[Reading], closing: list[Reading]) -> None:
    """Some order, cut somehow, with restarts, and looks back that begin and end anywhere."""
    order = data.draw(st.permutations(made))
    now_us, back = T0, None
    while order:
        size = data.draw(st.integers(1, len(order)))
        run.step(order[:size], now_us)
        order = order[size:]
        now_us += data.draw(st.sampled_from((0, SECOND, 6 * SECOND)))
        back = _look(data, run, back, now_us)
    run.step(closing, now_us)
    if back is not None:
        run.looked(back, now_us)
    run.correct(now_us + 60 * SECOND)


def _look(data: st.DataObject, run: Run, back: LookBack | None, now_us: int) -> LookBack | None:
    """Perhaps begin a look back, perhaps end one, perhaps lose it with the process."""
    turn = data.draw(st.sampled_from(("go on", "look", "look", "timer", "restart")))
    if turn == "restart":
        run.restart(combined=data.draw(st.booleans()))
        return None
    if turn == "timer":
        run.timer(now_us)
    elif turn == "look" and back is None:
        return run.look_back(now_us)
    elif turn == "look" and back is not None:
        run.looked(back, now_us)
        return None
    return back


def check(run: Run, everything: list[Reading], signals: dict[str, Signal], conflicts: tuple[int, int]) -> None:
    """The windows are the reference's, repeats are counted once, and nothing waits."""
    watermark = int(run.state["task"]["watermark"][0])
    assert difference(run.latest(), windows(everything, signals, watermark)) == ""
    assert (run.counts["readings", "duplicate"], run.counts["readings", "conflict"]) == conflicts
    assert run.late == []
    assert all(run.state[name].is_empty() for name in ("pending", "awaited", "base", "floors", "told"))
    seen: dict[Key, dict[str, object]] = {}
    for row in run.windows:
        key = (row["signal_id"], row["length_s"], row["window_start"])
        said = {name: row[name] for name in near.payload_names()}
        assert key not in seen or seen[key] != said, f"{key} was revised without a change"
        seen[key] = said


@given(st.data(), near.readings(), st.integers(1, 60), st.sampled_from((1, 5, 9999)), st.sampled_from((1, 9999)))
@settings(max_examples=60)
def test_small_memory_gives_the_windows_of_the_reference(
    data: st.DataObject, made: list[Reading], memory_s: int, readings: int, page: int
) -> None:
    """However little is remembered: the latest payloads are the batch reference's, revised only where they change."""
    config = WindowConfig(memory_us=memory_s * SECOND, look_back_readings=readings, page=page)
    run, made = Run(config, near.CONTEXT), agreed(made, near.SIGNALS)
    play(data, run, made, near.closing())
    check(run, made + near.closing(), near.SIGNALS, accepted(made)[1:])


@given(st.data(), distant(), st.sampled_from((60, 1000, 4000)), st.sampled_from((1, 500, 5000)))
@settings(max_examples=60)
def test_hours_are_told_again_from_the_log(data: st.DataObject, made: list[Reading], memory_s: int, apart: int) -> None:
    """Readings hours late, over many buckets and blocks of the index: the windows of the batch reference."""
    run = Run(WindowConfig(memory_us=memory_s * SECOND), FAR_CONTEXT, apart=apart)
    made = agreed(made, FAR)
    closing = [Reading("closing", source, T0 + FAR_S * SECOND + 2 * HOUR, 0.0) for source in ("edge-1", "edge-2")]
    play(data, run, made, closing)
    check(run, made + closing, FAR, accepted(made)[1:])


@given(st.data(), near.readings(), st.integers(1, 30), st.integers(30, 150))
@settings(max_examples=60)
def test_every_reading_ends_in_exactly_one_place(
    data: st.DataObject, made: list[Reading], memory_s: int, horizon_s: int
) -> None:
    """What came beyond the horizon, and is found again in the log, still counts in no window; all else counts once."""
    config = WindowConfig(memory_us=memory_s * SECOND, correction_horizon_us=horizon_s * SECOND)
    run = Run(config, near.CONTEXT)
    play(data, run, made, near.closing())
    shortest = {name: min(near.SIGNALS.get(name, Signal(name)).windowed()) for name in near.NAMES}
    counted = sum(
        row["count"] + row["count_bad"] for key, row in run.latest().items() if shortest.get(key[0]) == key[1]
    )
    repeats = run.counts["readings", "duplicate"] + run.counts["readings", "conflict"]
    assert counted + len(run.late) + repeats == len(made)
    assert run.counts["readings", "beyond_horizon"] == len(run.late)
