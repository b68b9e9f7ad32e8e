"""Aggregates of single windows, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest

from streams.core.frames import BAD, GOOD, UNCERTAIN
from streams.core.times import SECOND_US
from streams.core.window.aggregate import AGGREGATED, aggregate
from streams.core.window.rows import arrive, hold
from streams.core.window.signals import Defaults, codes, prepare
from streams.core.window.watermark import SOURCE, Sources
from tests.simulation.reference import Reading, Signal
from tests.simulation.window_run import DICTIONARY, T0, frame, version

PERIODIC = Signal("periodic", period=4 * SECOND_US, lengths=(10,))
CHANGES = Signal("changes", on_change=True, lengths=(10,))
STATE = Signal("state", on_change=True, role="state", lengths=(10,))


def at(second: float, value: float | None = None, **fields: Any) -> Reading:
    """A reading `second` seconds after the begin."""
    given: dict[str, Any] = {"signal": "periodic", "source": "edge-1", "value": value} | fields
    return Reading(time=T0 + round(second * SECOND_US), **given)


def windows(*readings: Reading, until_s: int = 30, alive_s: int = 100) -> list[dict[str, Any]]:
    """The windows of these readings up to `until_s`; their source was last heard of at `alive_s`."""
    rows = [version(signal) for signal in (PERIODIC, CHANGES, STATE)]
    signals = prepare(pl.DataFrame(rows, schema=DICTIONARY), Defaults(lengths_s=(10,)))
    made = frame([*readings], 0, T0)
    alive = pl.lit(T0 + alive_s * SECOND_US)
    heard = made.select("source_id", *(alive.alias(name) for name in SOURCE.schema.names()[1:]))
    lives = Sources.of(heard)
    spans = signals.spans(T0, T0 + until_s * SECOND_US)
    buffered = arrive(made, codes(made["signal_id"]), signals)
    found = aggregate(hold(buffered, signals, lives), signals, lives, spans)
    assert found.schema == AGGREGATED
    return found.to_dicts()


def test_statistics_of_a_window() -> None:
    """Values 2, 4, 9 at 0, 4, 8 s: count, sum, extremes, first, last, squared deviations 26, deviation, times."""
    row = windows(at(0, 2), at(4, 4), at(8, 9))[0]
    assert (row["count"], row["sum"], row["min"], row["max"], row["first"], row["last"]) == (3, 15, 2, 9, 2, 9)
    assert row["m2"] == pytest.approx(26)
    assert row["stddev"] == pytest.approx(math.sqrt(26 / 3))
    assert (row["first_time"] - T0, row["last_time"] - T0) == (0, 8 * SECOND_US)


def test_a_period_that_cannot_be_is_unknown() -> None:
    """A dictionary with a period of ages stops nobody: values stand for as long as without a period."""
    rows = [version(Signal("periodic", period=9 * 10**18, lengths=(10,)))]
    signals = prepare(pl.DataFrame(rows, schema=DICTIONARY), Defaults(hold_unknown_us=9 * SECOND_US))
    assert signals.longest_hold_us == 9 * SECOND_US


def test_the_mean_is_weighted_by_time() -> None:
    """2 for 4 s, 4 for 4 s and 9 for 2 s: integral 42, mean 4.2, all of the window known."""
    row = windows(at(0, 2), at(4, 4), at(8, 9))[0]
    assert row["integral"] == pytest.approx(42)
    assert row["mean_time_weighted"] == pytest.approx(4.2)
    assert (row["duration_good_s"], row["coverage"]) == (10, 1)


def test_a_value_is_carried_over_the_border() -> None:
    """9 at 8 s stands for 2.5 periods of 4 s: it fills 8 s of the next window, which holds no reading, then ends."""
    _, second = windows(at(0, 2), at(4, 4), at(8, 9))
    assert (second["count"], second["sum"], second["first_time"], second["stddev"]) == (0, None, None, None)
    assert (second["mean_time_weighted"], second["integral"]) == (9, 72)
    assert (second["duration_good_s"], second["duration_unknown_s"], second["coverage"]) == (8, 2, 0.8)


def test_a_window_of_which_nothing_is_known_is_left_out() -> None:
    """After 2.5 periods of silence a periodic signal has no windows, up to its next reading."""
    starts = [(row["window_start"] - T0) // SECOND_US for row in windows(at(1, 1.0), at(35, 1.0), until_s=40)]
    assert starts == [0, 10, 30]


def test_bad_readings_end_known_time_and_enter_no_statistic() -> None:
    """Good until 3, bad until 5, uncertain until 10: durations 3, 2, 5 after one unknown second at the begin."""
    row = windows(at(1, 2.0), at(4, 1000.0, quality=BAD), at(6, 4.0, quality=UNCERTAIN))[0]
    assert (row["count"], row["count_uncertain"], row["count_bad"]) == (2, 1, 1)
    assert (row["sum"], row["max"]) == (6, 4)
    parts = [row[f"duration_{name}_s"] for name in ("good", "uncertain", "bad", "unknown")]
    assert parts == [3, 4, 2, 1]
    assert row["coverage"] == 0.7
    assert row["mean_time_weighted"] == pytest.approx((2 * 3 + 4 * 4) / 7)


def test_a_window_with_bad_readings_only_is_told() -> None:
    """A broken sensor has a window with bad time, no number and no coverage."""
    row = windows(at(2, quality=BAD))[0]
    assert (row["count"], row["count_bad"], row["duration_bad_s"], row["coverage"]) == (0, 1, 8, 0)
    assert (row["sum"], row["mean_time_weighted"], row["first_time"]) == (None, None, None)


def test_an_on_change_value_stands_no_longer_than_its_source_lives() -> None:
    """The source was last heard of at 17 s: the window [10, 20) knows 7 s, and there is none after it."""
    rows = windows(at(2, 5.0, signal="changes"), alive_s=17)
    assert [row["duration_good_s"] for row in rows] == [8, 7]


def test_time_in_state_and_transitions() -> None:
    """Idle from 2, running from 4 to 12: states sorted by label, one change in each window, the carried one told."""
    first, second, third = windows(
        at(2, signal="state", label="idle"),
        at(4, signal="state", label="running"),
        at(5, signal="state", label="running"),
        at(12, signal="state", label="idle"),
    )
    assert (first["states"], first["state_durations_s"], first["transitions"]) == (["idle", "running"], [2, 6], 1)
    assert (second["states"], second["state_durations_s"], second["transitions"]) == (["idle", "running"], [8, 2], 1)
    assert (third["states"], third["state_durations_s"], third["transitions"]) == (["idle"], [10], 0)
    assert first["mean_time_weighted"] is None


def test_a_change_of_state_on_the_border_counts_once() -> None:
    """Running begins exactly at 10 s: the transition is the second window's, in which nobody was idle."""
    first, second, _ = windows(at(2, signal="state", label="idle"), at(10, signal="state", label="running"))
    assert (first["transitions"], first["states"]) == (0, ["idle"])
    assert (second["transitions"], second["states"]) == (1, ["running"])


def test_bad_readings_are_no_state() -> None:
    """Idle, bad, idle is no transition; idle, bad, running is one."""
    row = windows(
        at(1, signal="state", label="idle"),
        at(2, signal="state", label="?", quality=BAD),
        at(3, signal="state", label="idle"),
        at(4, signal="state", label="?", quality=BAD),
        at(5, signal="state", label="running"),
    )[0]
    assert (row["states"], row["state_durations_s"], row["transitions"]) == (["idle", "running"], [2, 5], 1)


def test_a_numeric_state_is_told_as_text() -> None:
    """A discrete signal without labels has its numbers as states, and numeric statistics as well."""
    row = windows(at(0, 0.0, signal="state"), at(4, 1.0, signal="state"))[0]
    assert (row["states"], row["state_durations_s"]) == (["0", "1"], [4, 6])
    assert row["mean_time_weighted"] == pytest.approx(0.6)


def test_the_mean_of_a_constant_is_that_constant() -> None:
    """Rounding does not move the deviation of equal values away from zero for 1,000 readings of 0.1."""
    row = windows(*(at(number / 100, 0.1) for number in range(1000)), until_s=10)[0]
    assert row["count"] == 1000
    assert row["mean_time_weighted"] == pytest.approx(0.1, rel=1e-15)
    assert row["stddev"] == pytest.approx(0, abs=1e-15)


def test_numbers_beyond_a_double_are_infinite_and_harm_nobody() -> None:
    """A sum that overflows is infinite in its own window; the next window is unharmed."""
    first, second, *_ = windows(*(at(number, 1.7e308) for number in range(10)), at(11, 1.0), quality_none())
    assert first["sum"] == math.inf
    assert (second["count"], second["sum"]) == (2, 3.0)


def quality_none() -> Reading:
    """One more ordinary reading."""
    return at(12, 2.0, quality=GOOD)


def test_an_interval_longer_than_the_key_is_sorted_all_the_same() -> None:
    """Readings forty thousand years apart do not fit one integer key with the signal; their order is still right."""
    far = 40_000 * 365 * 86_400
    rows = windows(at(3, 3.0), at(1, 1.0), Reading("changes", "edge-1", T0 + far * SECOND_US, 1.0), at(2, 2.0))
    assert (rows[0]["first"], rows[0]["last"]) == (1, 3)
