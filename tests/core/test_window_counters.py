"""Counters in windows: increments, resets, rollovers, across borders, gaps, restarts and 64 bits."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.context import Context
from streams.core.kpi import readings as kpi
from streams.core.kpi.directory import GOOD_COUNTER, directory
from streams.core.window.stage import WindowConfig
from tests.core.kpi_run import CALENDAR_COLUMNS, ORDER_COLUMNS
from tests.simulation.reference import BAD, SECOND, UNCERTAIN, Reading, Signal
from tests.simulation.window_run import T0, Run, context, version

COUNTER = Signal("produced", period=SECOND, role="good_counter", lengths=(10,))


def count(second: float, number: int, **fields: Any) -> Reading:
    """The counter reads `number` at `second`."""
    return Reading("produced", "edge-1", T0 + round(second * SECOND), whole=number, **fields)


def run_of(rollover: int | None = None, horizon_s: int = 300, **fields: Any) -> Run:
    """A task whose dictionary has the counter, with a closing signal beside it."""
    rows = [version(COUNTER, rollover=rollover, **fields)]
    return Run(WindowConfig(correction_horizon_us=horizon_s * SECOND), context(rows))


def told(run: Run, *readings: Reading, until_s: float = 100) -> dict[int, tuple[float | None, int | None, int | None]]:
    """Increment, resets and rollovers by begin of the window in s; the source lives until `until_s`."""
    run.step([*readings, Reading("closing", "edge-1", T0 + round(until_s * SECOND), 0.0)])
    return {
        (start - T0) // SECOND: (row["increment"], row["resets"], row["rollovers"])
        for (name, _, start), row in run.latest().items()
        if name == "produced"
    }


def test_an_increment_belongs_to_the_window_of_the_later_reading() -> None:
    """5 items between 8 s and 12 s are the second window's; of the first reading nobody knows when its items came."""
    assert told(run_of(), count(1, 1000), count(8, 1003), count(12, 1008), count(19, 1009)) == {
        0: (3.0, 0, 0),
        10: (6.0, 0, 0),
        20: (0.0, 0, 0),
    }


def test_a_gap_loses_no_increment() -> None:
    """After 60 s of silence the counter stands 500 higher: the window that hears of it has them."""
    assert told(run_of(), count(1, 10), count(61, 510))[60] == (500.0, 0, 0)


@pytest.mark.parametrize("combined", [True, False])
def test_a_counter_is_remembered_beyond_the_horizon_and_a_restart(combined: bool) -> None:
    """Hours later, the value long forgotten by the buffer, the increment is still told against it."""
    run = run_of(horizon_s=30)
    run.step([count(1, 10), count(2, 99, quality=BAD)])
    for minute in range(1, 180, 9):
        run.step([Reading("closing", "edge-1", T0 + minute * 60 * SECOND, 0.0)])
    assert "produced" not in run.state["reading"]["signal_id"].to_list()
    run.restart(combined=combined)
    assert told(run, count(10_801, 17), until_s=10_900)[10_800] == (7.0, 0, 0)


@pytest.mark.parametrize(
    ("rollover", "before", "after", "expected"),
    [
        (2**16 - 1, 65_530, 4, (10.0, 0, 1)),
        (2**32 - 1, 2**32 - 3, 7, (10.0, 0, 1)),
        (2**62, 2**62 - 3, 6, (10.0, 0, 1)),
        (2**16 - 1, 30_000, 4, (4.0, 1, 0)),
        (None, 65_530, 4, (4.0, 1, 0)),
        (2**16 - 1, 32_768, 0, (0.0, 1, 0)),
        (2**16 - 1, 32_769, 0, (32_767.0, 0, 1)),
    ],
)
def test_a_fall_is_a_rollover_if_that_is_the_shorter_way(
    rollover: int | None, before: int, after: int, expected: tuple[float, int, int]
) -> None:
    """16, 32 and 63 bits roll over; a fall by less than half of the range, or without a rollover, is a reset."""
    assert told(run_of(rollover), count(1, before), count(2, after))[0] == expected


@pytest.mark.parametrize("base", [2**53, 2**60 + 1, 2**63 - 100])
def test_increments_beyond_53_bits_are_exact(base: int) -> None:
    """3 items are 3, where a double no longer holds each integer, up to the last of 63 bits."""
    assert told(run_of(), count(1, base + 1), count(2, base + 4), count(3, base + 99))[0] == (98.0, 0, 0)


def test_a_scaled_counter_rolls_over_at_the_scaled_register() -> None:
    """A 16-bit register of dozens: 65,535 of them, then 1, are 24 items."""
    run = run_of(2**16 - 1, factor=12.0)
    readings = [
        Reading("produced", "edge-1", T0 + second * SECOND, value) for second, value in ((1, 786_420.0), (2, 12.0))
    ]
    assert told(run, *readings)[0] == (24.0, 0, 1)


def test_a_leap_beyond_all_counting_is_a_wrong_reading() -> None:
    """More than 9 thousand million items between two readings count nothing; the next increment counts again."""
    assert told(run_of(), count(1, 0), count(2, 2**40), count(3, 2**40 + 2))[0] == (2.0, 0, 0)


def test_bad_readings_duplicates_and_births_are_no_increment() -> None:
    """What a bad reading says, a repeat, or a birth that announces the value again, adds nothing and loses nothing."""
    readings = [count(1, 10), count(2, 400, quality=BAD), count(3, 12, quality=UNCERTAIN), count(4, 15), count(4, 15)]
    again = [count(12, 15, birth=True), count(14, 18, birth=True), count(15, 20)]
    assert told(run_of(), *readings, *again) == {0: (5.0, 0, 0), 10: (5.0, 0, 0)}


@pytest.mark.parametrize("between", [{"birth": True}, {"quality": BAD}, {"birth": True, "quality": BAD}])
def test_what_does_not_count_never_hides_what_does(between: dict[str, Any]) -> None:
    """The last reading before a window is a birth or bad: the increment is told against the one before that counts."""
    run = run_of()
    for reading in (count(41, 10), count(52, 15, **between), Reading("closing", "edge-1", T0 + 65 * SECOND, 0.0)):
        run.step([reading])
    assert told(run, count(66, 20))[60] == (10.0, 0, 0)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_integers_that_one_double_holds_are_a_conflict(order: tuple[int, int]) -> None:
    """Two counts of one instant that differ only beyond 53 bits are no duplicates; the higher one holds."""
    run, sent = run_of(), [count(1, 2**60 + 1), count(1, 2**60 + 2)]
    assert told(run, *(sent[place] for place in order), count(2, 2**60 + 10))[0] == (8.0, 0, 0)
    assert (run.counts["readings", "conflict"], run.counts["readings", "duplicate"]) == (1, 0)


def test_a_late_reading_moves_increments_between_windows() -> None:
    """16 items at 12 s turn out to be 6 in the window before; both windows are revised, and their sum stays."""
    run = run_of()
    assert told(run, count(1, 100), count(12, 116))[10] == (16.0, 0, 0)
    run.step([count(9, 106)])
    revised = {(row["window_start"] - T0) // SECOND: row["increment"] for row in run.windows if row["revision"] == 2}
    assert revised == {0: 6.0, 10: 10.0}


def test_a_change_of_scaling_is_no_increment() -> None:
    """The register counts dozens from 5 s on: the difference of the two scales is nobody's items."""
    rows = [version(COUNTER), version(COUNTER, T0 + 5 * SECOND, factor=12.0)]
    run = Run(WindowConfig(), context(rows))
    readings = [
        Reading("produced", "edge-1", T0 + at * SECOND, value)
        for at, value in ((1, 10.0), (4, 12.0), (6, 144.0), (8, 168.0))
    ]
    assert told(run, *readings) == {0: (2.0, 0, 0), 5: (24.0, 0, 0), 10: (0.0, 0, 0)}


def test_other_signals_have_no_increment() -> None:
    """Null, not 0: nobody sums what is no counter."""
    run = run_of()
    run.step(
        [count(1, 10), Reading("other", "edge-1", T0 + SECOND, 4.0), Reading("other", "edge-1", T0 + 90 * SECOND, 9.0)]
    )
    others = [row for row in run.windows if row["signal_id"] == "other"]
    assert {(row["increment"], row["resets"], row["rollovers"]) for row in others} == {(None, None, None)}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 400) | st.integers(2**31, 2**31 + 9) | st.integers(2**62 - 400, 2**62),
            st.sampled_from((0, 0, 1, 2)),
        ),
        min_size=2,
        max_size=30,
    ),
    st.sampled_from((None, 399, 2**31 + 9, 2**62)),
)
def test_windows_count_what_the_kpis_count(sent: list[tuple[int, int]], rollover: int | None) -> None:
    """The increments of all windows of a counter add up to the items that `kpi` counts from the same readings."""
    run = run_of(rollover)
    readings = [count(3 * place, number, quality=quality) for place, (number, quality) in enumerate(sent)]
    windows = told(run, *readings, until_s=200)
    rows = [
        {
            "signal_id": "produced",
            "role": GOOD_COUNTER,
            "event_us": one.time,
            "value_long": one.whole,
            "quality": one.quality,
        }
        for one in readings
        if one.quality != BAD
    ]
    empty = {"it.calendar.v1": CALENDAR_COLUMNS, "it.production_order.v1": ORDER_COLUMNS}
    frames = {**run.context.frames, **{name: pl.DataFrame(schema=columns) for name, columns in empty.items()}}
    frame = pl.DataFrame(rows, schema={**kpi.READINGS, "signal_id": pl.String()})
    counted = kpi.increments(frame, directory(Context(frames)))["count_u"].sum()
    assert sum(one[0] or 0.0 for one in windows.values()) == counted / 1_000_000
