"""What the elements of a period say: calendar, states, counters, policy."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.kpi_run import (
    EIGHT,
    HOUR_EIGHT,
    ORDER,
    SHIFT,
    STANDARD,
    Run,
    beat,
    beats,
    context,
    good,
    morning,
    policy,
    reject,
    signals,
    state,
)
from tests.core.reference_kpi import HOUR, MINUTE


def test_planned_run_time_is_taken_as_of_event_time() -> None:
    """A better run time from half past eight on does not reprice what was made before."""
    later = {**ORDER, "valid_from": EIGHT + 30 * MINUTE, "planned_run_time_s": 2.0}
    run = Run(context(orders=[ORDER, later], calendar=[SHIFT]))
    made = [good(EIGHT + 20 * MINUTE, 100), good(EIGHT + 40 * MINUTE, 200)]
    run.step(state(EIGHT, "running"), good(EIGHT, 0), reject(EIGHT, 0), *made, *beats(EIGHT, EIGHT + 70 * MINUTE))
    assert run.latest[f"oee|{HOUR_EIGHT}"]["pri_gq_s"] == 100 * 1.0 + 100 * 2.0


def test_without_a_calendar_all_time_is_planned_and_this_is_said() -> None:
    """The availability names the calendar as missing; PBT is the whole hour."""
    run = Run(context())
    run.step(*morning())
    record = run.latest[f"availability|{HOUR_EIGHT}"]
    assert (record["pbt_s"], record["context_missing"]) == (3600, ["calendar"])


def test_calendar_of_unit_line_and_site_hold() -> None:
    """Planned downtime of the unit, a shift of the line; other units' and other sites' entries are not ours."""
    cleaning: dict[str, Any] = {"entry_id": "p", "kind": "planned_downtime", "name": "cleaning", "work_unit": "filler"}
    cleaning |= {"start": EIGHT + 10 * MINUTE, "end": EIGHT + 20 * MINUTE}
    foreign = {**cleaning, "entry_id": "q", "work_unit": "capper", "end": EIGHT + HOUR}
    abroad = {**cleaning, "entry_id": "r", "work_unit": None, "work_center": None, "site": "other", "end": EIGHT + HOUR}
    short = {**SHIFT, "end": EIGHT + 50 * MINUTE}
    run = Run(context(calendar=[short, cleaning, foreign, abroad]))
    run.step(*morning())
    record = run.latest[f"availability|{HOUR_EIGHT}"]
    assert (record["no_shift_s"], record["planned_down_s"], record["pbt_s"]) == (600, 600, 2400)
    assert record["apt_s"] + record["adot_s"] == record["pbt_s"]


def test_the_day_is_the_site_s_own_and_partitions_exactly() -> None:
    """In Berlin the 25-hour day of the clock change has 90,000 s, and every one of them is in one state."""
    midnight = 1_761_429_600_000_000  # 2025-10-26T00:00 in Berlin, 22:00 UTC the day before
    shift = {**SHIFT, "start": midnight + 6 * HOUR, "end": midnight + 14 * HOUR, "time_zone": "Europe/Berlin"}
    run = Run(context(calendar=[shift]))
    run.step(state(midnight + 6 * HOUR, "running"), *beats(midnight + 6 * HOUR, midnight + 26 * HOUR))
    record = run.latest["availability|filler|day|2025-10-25T22:00:00Z"]
    assert record["period_end"] - record["period_start"] == 25 * HOUR
    parts = ("apt_s", "aust_s", "adet_s", "adot_s", "planned_down_s", "no_shift_s", "unknown_s")
    assert sum(record[part] for part in parts) == 90_000
    assert (record["apt_s"], record["final"]) == (8 * 3600, True)


def test_a_long_state_counts_while_its_source_lives() -> None:
    """One reading, then only measurements: production. A silence of the whole source: unknown."""
    run = Run(context(calendar=[SHIFT]))
    run.step(
        state(EIGHT, "running"),
        *beats(EIGHT, EIGHT + 30 * MINUTE),
        beat(EIGHT + 50 * MINUTE),
        *beats(EIGHT + 51 * MINUTE, EIGHT + 2 * HOUR),
    )
    record = run.latest[f"availability|{HOUR_EIGHT}"]
    assert (record["apt_s"], record["unknown_s"]) == (2400, 1200)


def test_expected_dwell_bridges_a_silence() -> None:
    """A recorder that only writes changes is believed for the expected dwell of its state signal."""
    dictionary = signals({**STANDARD[0], "expected_dwell_s": 3600.0})
    run = Run(context(dictionary, calendar=[SHIFT]))
    run.step(state(EIGHT, "running"), state(EIGHT + 58 * MINUTE, "fault"), state(EIGHT + 70 * MINUTE, "running"))
    record = run.latest[f"availability|{HOUR_EIGHT}"]
    assert (record["apt_s"], record["adot_s"], record["coverage"]) == (58 * 60, 120, 1.0)


def test_a_periodic_state_is_believed_for_two_and_a_half_periods() -> None:
    """A state signal that stops coming from a source that lives is unknown."""
    dictionary = signals({**STANDARD[0], "reporting": "periodic", "period_ms": 60_000}, STANDARD[3])
    run = Run(context(dictionary, calendar=[SHIFT]))
    run.step(*(state(EIGHT + m * MINUTE, "running") for m in range(31)), *beats(EIGHT, EIGHT + 70 * MINUTE))
    assert run.latest[f"availability|{HOUR_EIGHT}"]["apt_s"] == 32.5 * 60


def test_bad_and_uncertain_states() -> None:
    """Bad is unknown time; uncertain is known, and its share is told."""
    run = Run(context(calendar=[SHIFT]))
    later = [state(EIGHT + 30 * MINUTE, "running", quality=1), state(EIGHT + 45 * MINUTE, "running", quality=2)]
    run.step(state(EIGHT, "running"), *later, *beats(EIGHT, EIGHT + 70 * MINUTE))
    record = run.latest[f"availability|{HOUR_EIGHT}"]
    assert (record["apt_s"], record["unknown_s"], record["coverage"]) == (2700, 900, 0.75)
    assert record["share_uncertain"] == pytest.approx(1 / 3)


def test_states_that_the_policy_does_not_know_are_counted() -> None:
    """They are unknown time, not an error."""
    run = Run(context(calendar=[SHIFT]))
    run.step(state(EIGHT, "dancing"), *beats(EIGHT, EIGHT + 70 * MINUTE))
    assert run.counts["rejects", "unknown_state"] == 1
    record = run.latest[f"availability|{HOUR_EIGHT}"]
    assert (record["unknown_s"], record["value"], record["coverage"]) == (3600, None, 0.0)


@pytest.mark.parametrize(
    ("rollover", "factor", "counts", "made"),
    [
        (None, 1.0, [100, 150, 20, 30], 50 + 20 + 10),
        (65_535, 1.0, [65_500, 65_530, 10, 30], 30 + 16 + 20),
        (65_535, 1.0, [1_000, 1_100, 50], 100 + 50),
        (999, 2.0, [1_990, 1_998, 4], 8 + 6),
    ],
    ids=["reset", "rollover", "reset of a counter that can roll over", "rollover of a scaled counter"],
)
def test_increments_across_reset_and_rollover(
    rollover: int | None, factor: float, counts: list[int], made: int
) -> None:
    """A first reading is no item; a fall is a rollover if that is the shorter way round, else a reset."""
    good_counter = {**STANDARD[1], "rollover": rollover, "factor": factor}
    run = Run(context(signals(STANDARD[0], good_counter, STANDARD[2]), calendar=[SHIFT]))
    readings = [good(EIGHT + (1 + m) * MINUTE, count) for m, count in enumerate(counts)]
    run.step(state(EIGHT, "running"), *readings, *beats(EIGHT, EIGHT + 70 * MINUTE))
    assert run.latest[f"oee|{HOUR_EIGHT}"]["gq"] == made


def test_counters_beyond_two_to_the_53_keep_every_item() -> None:
    """Whole numbers are subtracted as whole numbers."""
    run = Run(context(calendar=[SHIFT]))
    run.step(
        state(EIGHT, "running"), good(EIGHT, 2**53), good(EIGHT + MINUTE, 2**53 + 1), *beats(EIGHT, EIGHT + 70 * MINUTE)
    )
    assert run.latest[f"oee|{HOUR_EIGHT}"]["gq"] == 1


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (("total_counter", "reject_counter"), (100.0, 60.0, 40.0)),
        (("total_counter", "good_counter"), (100.0, 40.0, 60.0)),
        (("total_counter",), (100.0, None, None)),
        (("good_counter",), (None, 40.0, None)),
    ],
)
def test_what_is_not_counted_follows_or_is_null(roles: tuple[str, ...], expected: tuple[float | None, ...]) -> None:
    """PQ, GQ and RQ from the counters there are; what they do not give is null, and named as missing."""
    counters = [{"signal_id": f"c.{role}", "role": role} for role in roles]
    run = Run(context(signals(STANDARD[0], *counters), orders=[ORDER], calendar=[SHIFT]))
    readings = []
    for role in roles:
        count = {"total_counter": 100}.get(role, 40)
        readings += [{"signal_id": f"c.{role}", "event_time": EIGHT, "value_double": 7.0}]
        readings += [{"signal_id": f"c.{role}", "event_time": EIGHT + MINUTE, "value_double": 7.0 + count}]
    run.step(state(EIGHT, "running"), *readings, state(EIGHT + HOUR, "fault"), state(EIGHT + 61 * MINUTE, "fault"))
    record = run.latest[f"quality_ratio|{HOUR_EIGHT}"]
    assert (record["pq"], record["gq"], record["rq"]) == expected
    missing = [
        name for name, value in (("good_counter", record["gq"]), ("total_counter", record["pq"])) if value is None
    ]
    assert record["context_missing"] == missing
    assert (record["value"] is None) == bool(missing)


def test_minor_stops_as_loss_of_performance() -> None:
    """TPM: a stop of four minutes counts as production, one of six does not; the record names the policy."""
    tpm = policy(('id = "iso22400"', 'id = "tpm"'), ('handling = "availability"', 'handling = "performance"'))
    run = Run(context(calendar=[SHIFT]), policy=tpm)
    stops = [(10, "fault"), (14, "running"), (30, "blocked"), (33, "fault"), (36, "running")]
    changes = [state(EIGHT + minute * MINUTE, label) for minute, label in stops]
    run.step(state(EIGHT, "running"), *changes, *beats(EIGHT, EIGHT + 70 * MINUTE))
    record = run.latest[f"availability|{HOUR_EIGHT}"]
    assert (record["apt_s"], record["adet_s"], record["adot_s"], record["policy"]) == (54 * 60, 180, 180, "tpm@1")


def test_precedence_is_policy() -> None:
    """Production outside the shift is busy time where the policy puts production before no_shift."""
    order = 'precedence = ["no_shift", "planned_down", "production"'
    overtime = policy((order, 'precedence = ["production", "no_shift", "planned_down"'))
    late = {**SHIFT, "start": EIGHT + 30 * MINUTE}
    for rules, pbt_s in ((policy(), 1800), (overtime, 3600)):
        run = Run(context(calendar=[late]), policy=rules)
        run.step(state(EIGHT, "running"), *beats(EIGHT, EIGHT + 70 * MINUTE))
        assert run.latest[f"availability|{HOUR_EIGHT}"]["pbt_s"] == pbt_s
