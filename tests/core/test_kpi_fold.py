"""What is left when the correction horizon has moved on: enough, and not more."""

from __future__ import annotations

from streams.core.kpi.stage import KpiConfig
from tests.core.kpi_run import (
    EIGHT,
    NOW,
    ORDER,
    SECOND,
    SHIFT,
    STANDARD,
    Run,
    beat,
    beats,
    context,
    policy,
    signals,
    state,
)
from tests.core.reference_kpi import HOUR, MINUTE

SHORT_HORIZON = KpiConfig(correction_horizon_us=HOUR)
TPM = ('handling = "availability"', 'handling = "performance"')


def test_a_stop_that_began_behind_the_horizon_keeps_its_length() -> None:
    """Told again at 8:59, a fault of 8:57 to 9:03 lasts six minutes also when what came before nine is gone."""
    run = Run(context(calendar=[SHIFT]), SHORT_HORIZON, policy(TPM))
    told = [(0, "running"), (57, "fault"), (59, "fault"), (63, "running")]
    run.step(*(state(EIGHT + minute * MINUTE, label) for minute, label in told), *beats(EIGHT, EIGHT + 121 * MINUTE))
    assert run.tables["task"]["floor_us"][0] == EIGHT + HOUR
    run.step(state(EIGHT + 90 * MINUTE, "setup"), now_us=NOW + 20 * SECOND)
    record = run.latest["availability|filler|hour|2026-01-01T09:00:00Z"]
    assert (record["adot_s"], record["aust_s"], record["reason"]) == (180, 1800, "late")


def test_the_time_of_a_unit_that_was_silent_while_the_horizon_passed_it_is_whole() -> None:
    """Its order, longer than the horizon, has every second: known, or unknown while it was silent."""
    capper = {"signal_id": "capper.state", "work_unit": "capper", "source_id": "edge-2", "role": "state"}
    run = Run(context(signals(*STANDARD, capper), orders=[ORDER]), SHORT_HORIZON)

    def capping(at: int) -> dict[str, object]:
        return {"signal_id": "capper.state", "source_id": "edge-2", "event_time": at, "value_string": "running"}

    run.step(*(capping(EIGHT + minute * MINUTE) for minute in range(21)), state(EIGHT, "running"), caught_up=None)
    for half_hour in range(1, 13):
        now_us = NOW + half_hour * 20 * SECOND
        run.step(
            *beats(EIGHT + (half_hour - 1) * HOUR // 2, EIGHT + half_hour * HOUR // 2), now_us=now_us, caught_up=None
        )
    assert run.tables["task"]["floor_us"][0] >= EIGHT + 4 * HOUR
    back = EIGHT + 6 * HOUR
    run.step(capping(back), capping(back + 10 * MINUTE), beat(back + 10 * MINUTE), now_us=NOW + HOUR)
    record = run.latest["availability|capper|order|o1"]
    assert (record["apt_s"], record["unknown_s"]) == (30 * 60, 340 * 60)
    assert record["pbt_s"] == (record["period_end"] - record["period_start"]) / 1e6


def test_state_does_not_grow_with_history() -> None:
    """Four days at a horizon of an hour leave the readings of two hours, one anchor per signal, 35 days of slices."""
    run = Run(context(calendar=[]), SHORT_HORIZON)
    for day in range(4):
        start = EIGHT + day * 24 * HOUR
        minutes = [state(start + minute * MINUTE, "running" if minute % 2 else "fault") for minute in range(0, 1440, 7)]
        run.step(*minutes, now_us=NOW + day * HOUR)
    heights = {name: table.height for name, table in run.tables.items()}
    assert heights["readings"] <= 2 * 60 / 7 + 1
    assert (heights["anchors"], heights["pending"], heights["spoken"], heights["living"]) == (1, 0, 0, 1)
    assert heights["slices"] <= 4 * 24 + 24 + 2
    assert heights["periods"] <= 4
