"""The one rule of what a counter has counted: against plain fractions, and in windows and KPIs alike."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.core.counters import MICRO, MOST_ITEMS, REFUSED, Numbers, Registers, counted, split
from streams.core.frames import BIRTH
from streams.core.kpi.progress import KpiConfig
from streams.core.window.stage import WindowConfig
from tests.core.kpi_run import EIGHT, HOUR_EIGHT, NOW, SHIFT, STANDARD, beats, good, signals, state
from tests.core.kpi_run import Run as KpiRun
from tests.core.kpi_run import context as kpi_context
from tests.core.reference_kpi import HOUR, MINUTE
from tests.simulation.reference import SECOND, Reading, Signal
from tests.simulation.window_run import T0, version
from tests.simulation.window_run import Run as WindowRun
from tests.simulation.window_run import context as window_context

INT64 = st.integers(-(2**63), 2**63 - 1)
WIDTHS = (16, 32, 62)
Told = tuple[Fraction, bool, bool, bool]


def plain(before: int, own: int, rollover: int | None) -> Told:
    """Increment, reset, rollover, refused, in exact arithmetic."""
    count, size = Fraction(own - before), Fraction((rollover or -1) + 1)
    fell = count < 0
    rolled = fell and 0 <= count + size < size / 2
    if rolled:
        count += size
    elif fell:
        count = Fraction(max(own, 0))
    refused = count > MOST_ITEMS
    return Fraction() if refused else count, fell and not rolled, rolled, refused


@given(st.lists(st.tuples(INT64, st.integers(-(10**10), 10**10), st.sampled_from((None, *WIDTHS))), min_size=1))
@example([(2**62 - 3, -(2**62) + 9, 62), (2**63 - 1, -4, None), (-(2**63), 2**62, None)])
@example([(2**61 + 1, -(2**61) - 1, 62), (2**53, 1, 32), (65_535, -65_535, 16)])
def test_64_bits_are_counted_exactly(pairs: list[tuple[int, int, int | None]]) -> None:
    """Whatever two integers a register of 16 to 63 bits held, the increment is that of exact arithmetic."""
    cases = [(a, max(-(2**63), min(a + step, 2**63 - 1)), width) for a, step, width in pairs]
    sizes = [0 if width is None else 2**width for _, _, width in cases]
    registers = Registers(np.array([size or np.nan for size in sizes]), np.array(sizes, np.int64))
    before, own = (split(np.array([case[place] for case in cases], np.int64)) for place in (0, 1))
    found = counted(before, own, registers)
    told = zip(
        found.increment.tolist(), found.reset.tolist(), found.rolled.tolist(), found.refused.tolist(), strict=True
    )
    wanted = [plain(a, b, None if width is None else 2**width - 1) for a, b, width in cases]
    assert [(Fraction(one[0], MICRO), *one[1:]) for one in told] == wanted


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2))
def test_no_number_overflows(numbers: list[float]) -> None:
    """Of any finite doubles the increments are between nothing and the most that anybody counts."""
    value = np.array(numbers)
    nothing = np.zeros(value.size, np.int64)
    one, other = (Numbers(value[part], nothing[part]) for part in (slice(None, -1), slice(1, None)))
    found = counted(one, other, Registers(np.full(value.size - 1, np.nan), nothing[1:]))
    assert ((found.increment >= 0) & (found.increment <= MOST_ITEMS * MICRO)).all()


def made(versions: list[dict[str, Any]], *readings: dict[str, Any]) -> float:
    """Good items of the hour from eight on; the dictionary has these versions of the counter."""
    rows = [{**STANDARD[1], **fields} for fields in versions]
    run = KpiRun(kpi_context(signals(STANDARD[0], *rows, STANDARD[2]), calendar=[SHIFT]))
    run.step(state(EIGHT, "running"), *readings, *beats(EIGHT, EIGHT + 70 * MINUTE))
    return float(run.latest[f"oee|{HOUR_EIGHT}"]["gq"])


def test_kpis_count_exactly_over_a_rollover_of_63_bits() -> None:
    """Ten items over the end of the register are ten, where a double knows only multiples of 512."""
    counts = (2**62 - 3, 6, 9)
    assert made([{"rollover": 2**62}], *(good(EIGHT + at * MINUTE, n) for at, n in enumerate(counts, 1))) == 13


def test_the_rollover_is_that_of_the_version_as_of_event_time() -> None:
    """A 16-bit counter is replaced by one of 1,000 at half past eight: each fall goes by its own register."""
    versions = [{"rollover": 65_535}, {"rollover": 999, "valid_from": EIGHT + 30 * MINUTE}]
    early = [good(EIGHT + MINUTE, 65_530), good(EIGHT + 2 * MINUTE, 4)]
    late = [good(EIGHT + 40 * MINUTE, 990), good(EIGHT + 41 * MINUTE, 10)]
    assert made(versions, *early, *late) == 10 + 986 + 20


def test_a_change_of_scaling_is_no_item_of_a_kpi() -> None:
    """From half past eight on the register counts dozens: the difference of the two scales is nobody's items."""
    versions = [{}, {"factor": 12.0, "valid_from": EIGHT + 30 * MINUTE}]
    counts = ((1, 10), (2, 12), (31, 144), (32, 168))
    assert made(versions, *(good(EIGHT + at * MINUTE, number) for at, number in counts)) == 2 + 24


def test_a_birth_of_a_counter_adds_and_hides_no_item() -> None:
    """A restarted edge announces an old count, then goes on: items are told against the last count reported."""
    counts = [good(EIGHT + MINUTE, 100), good(EIGHT + 2 * MINUTE, 40, flags=BIRTH), good(EIGHT + 3 * MINUTE, 107)]
    assert made([{}], *counts) == 7


@pytest.mark.parametrize("together", [True, False])
def test_kpis_count_what_they_refuse_once(together: bool) -> None:
    """Two leaps beyond all counting in an hour that is evaluated over and over are counted as two."""
    run = KpiRun(kpi_context(calendar=[SHIFT]), KpiConfig(update_s=0.0))
    leaps = {10: 2**40, 11: 7, 12: 2**41, 13: 9}
    items = [state(EIGHT, "running"), good(EIGHT, 0)]
    items += [good(EIGHT + at * MINUTE, number) for at, number in leaps.items()]
    items = sorted([*items, *beats(EIGHT, EIGHT + 2 * HOUR)], key=lambda item: int(item["event_time"]))
    for number, chunk in enumerate([items] if together else [[item] for item in items]):
        run.step(*chunk, now_us=NOW + number * 2 * SECOND)
    run.timer(NOW + HOUR)
    assert run.counts[REFUSED] == 2


@pytest.mark.parametrize("together", [True, False])
def test_windows_count_what_they_refuse_once(together: bool) -> None:
    """The same two leaps, in windows of ten seconds and a minute, are counted as two."""
    counter = Signal("produced", period=SECOND, role="good_counter", lengths=(10, 60))
    run = WindowRun(WindowConfig(), window_context([version(counter)]))
    leaps = {0: 0, 10: 2**40, 11: 7, 12: 2**41, 13: 9}
    readings = [Reading("produced", "edge-1", T0 + at * SECOND, whole=number) for at, number in leaps.items()]
    readings.append(Reading("closing", "edge-1", T0 + 100 * SECOND, 0.0))
    for chunk in [readings] if together else [[reading] for reading in readings]:
        run.step(chunk)
    assert run.counts[REFUSED] == 2
