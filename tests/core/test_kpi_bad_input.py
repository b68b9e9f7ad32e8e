"""Wrong counters and wrong IT context: the KPI stage goes on, and says what it does without."""

from __future__ import annotations

import math
from typing import Any

import pytest

from streams.core.kpi.progress import KpiConfig
from tests.core.kpi_run import (
    EIGHT,
    HOUR_EIGHT,
    ORDER,
    SHIFT,
    STANDARD,
    Run,
    beats,
    context,
    good,
    reject,
    signals,
    state,
)
from tests.core.reference_kpi import MINUTE

HOUR = (state(EIGHT, "running"), good(EIGHT, 0), reject(EIGHT, 0), *beats(EIGHT, EIGHT + 70 * MINUTE))


def _hour(run: Run, *readings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The records of the hour from eight on, by KPI."""
    run.step(*HOUR, *readings)
    return {name: run.latest[f"{name}|{HOUR_EIGHT}"] for name in ("availability", "effectiveness", "oee")}


@pytest.mark.parametrize(
    "leap", [{"value_long": 2**62}, {"value_long": None, "value_double": 1e300}, {"value_long": 10**13}]
)
def test_a_counter_that_leaps_beyond_all_counting_made_nothing(leap: dict[str, Any]) -> None:
    """No overflow; the items counted before and after the wrong reading stand."""
    run = Run(context(orders=[ORDER], calendar=[SHIFT]), KpiConfig(update_s=0.0))
    wrong = {**good(EIGHT + 20 * MINUTE, 0), **leap}
    told = _hour(run, good(EIGHT + 10 * MINUTE, 600), wrong, good(EIGHT + 30 * MINUTE, 5))
    assert (told["oee"]["gq"], told["availability"]["value"]) == (605, 1.0)


@pytest.mark.parametrize("run_time_s", [math.nan, math.inf, -1.0, 0.0, 1e300])
def test_a_planned_run_time_that_cannot_be_is_missing(run_time_s: float) -> None:
    """Items are counted, what rests on the run time has no value, and says which context is missing."""
    order = {**ORDER, "planned_run_time_s": run_time_s}
    told = _hour(Run(context(orders=[order], calendar=[SHIFT])), good(EIGHT + 10 * MINUTE, 600))
    assert (told["availability"]["value"], told["oee"]["gq"]) == (1.0, 600)
    assert (told["effectiveness"]["value"], told["oee"]["value"]) == (None, None)
    assert told["effectiveness"]["context_missing"] == ["production_order"]


def test_earned_time_beyond_all_measure_is_left_out() -> None:
    """A hundred days per item, a billion items: no overflow."""
    order = {**ORDER, "planned_run_time_s": 100 * 86_400.0}
    told = _hour(Run(context(orders=[order], calendar=[SHIFT])), good(EIGHT + 10 * MINUTE, 10**9))
    assert (told["oee"]["gq"], told["availability"]["value"]) == (1e9, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"expected_dwell_s": math.nan},
        {"expected_dwell_s": math.inf},
        {"reporting": "periodic", "period_ms": 2**62},
        {"rollover": 2**63 - 1},
    ],
)
def test_fields_of_a_signal_that_cannot_be_are_ignored(wrong: dict[str, Any]) -> None:
    """As every stage does with them."""
    run = Run(context(signals(*({**item, **wrong} for item in STANDARD)), orders=[ORDER], calendar=[SHIFT]))
    told = _hour(run, good(EIGHT + 10 * MINUTE, 600), good(EIGHT + 20 * MINUTE, 7))
    assert (told["oee"]["gq"], told["availability"]["value"]) == (607, 1.0)


def test_a_time_zone_that_nobody_knows_is_none() -> None:
    """Days are then those of UTC, as without a time zone; hours and shifts are what they are."""
    run = Run(context(orders=[ORDER], calendar=[{**SHIFT, "time_zone": "Mars/Olympus"}]), KpiConfig(update_s=0.0))
    assert _hour(run)["availability"]["value"] == 1.0
    assert "availability|filler|day|2026-01-01T00:00:00Z" in run.latest
