"""The KPI stage as a timeline: what is written when, and what it says."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from streams.core.frames import READING
from streams.core.kpi import KpiConfig
from streams.core.stage import Moment
from tests.core.kpi_run import (
    NOW,
    STANDARD,
    T0,
    Run,
    beat,
    beats,
    context,
    frame,
    good,
    policy,
    reject,
    signals,
    state,
)
from tests.core.reference_kpi import HOUR, MINUTE

SECOND = 1_000_000
EIGHT = T0 + 8 * HOUR
ORDER: dict[str, Any] = {"order_id": "o1", "actual_start": EIGHT, "planned_run_time_s": 1.0}
SHIFT: dict[str, Any] = {"entry_id": "s1", "start": EIGHT, "end": EIGHT + 8 * HOUR}
HOUR_EIGHT = "filler|hour|2026-01-01T08:00:00Z"


def morning() -> list[dict[str, Any]]:
    """Eight to half past nine: ten minutes of fault, 1,800 good and 200 rejected items."""
    return [
        *(state(EIGHT, "Running"), good(EIGHT, 0), reject(EIGHT, 0), *beats(EIGHT, EIGHT + 90 * MINUTE)),
        *(state(EIGHT + 30 * MINUTE, "fault"), state(EIGHT + 40 * MINUTE, "running")),
        *(good(EIGHT + 50 * MINUTE, 1800), reject(EIGHT + 50 * MINUTE, 200)),
    ]


def test_elements_and_kpis_of_an_hour() -> None:
    """3,600 s planned, 3,000 s production, 2,000 items of 1 s, 1,800 good: 5/6, 2/3, 9/10, and their product 1/2."""
    run = Run(context(orders=[ORDER], calendar=[SHIFT]))
    run.step(*morning())
    record = run.latest[f"oee|{HOUR_EIGHT}"]
    values = {
        name: run.latest[f"{name}|{HOUR_EIGHT}"]["value"] for name in ("availability", "effectiveness", "quality_ratio")
    }
    assert values == pytest.approx({"availability": 5 / 6, "effectiveness": 2 / 3, "quality_ratio": 0.9})
    assert record["value"] == pytest.approx(0.5)
    assert (record["pbt_s"], record["apt_s"], record["adot_s"], record["unknown_s"]) == (3600, 3000, 600, 0)
    assert (record["pq"], record["gq"], record["rq"], record["pri_pq_s"], record["pri_gq_s"]) == (
        2000,
        1800,
        200,
        2000,
        1800,
    )
    assert (record["order_id"], record["product"], record["site"], record["work_center"]) == (
        "o1",
        "cola",
        "hall",
        "line-1",
    )
    assert (record["policy"], record["model"], record["context_missing"]) == ("iso22400@1", "iso22400-2", [])
    assert (record["final"], record["reason"], record["coverage"], record["emitted_at"]) == (True, "final", 1.0, NOW)


def test_oee_is_earned_good_time_over_planned_busy_time() -> None:
    """Over two products, OEE = sum(PRI*GQ)/PBT = availability * effectiveness * quality, earned-time weighted."""
    second = {
        **ORDER,
        "order_id": "o2",
        "product": "water",
        "actual_start": EIGHT + 30 * MINUTE,
        "planned_run_time_s": 0.25,
    }
    run = Run(context(orders=[{**ORDER, "actual_end": EIGHT + 30 * MINUTE}, second], calendar=[SHIFT]))
    made = [good(EIGHT + 20 * MINUTE, 600), reject(EIGHT + 20 * MINUTE, 60), good(EIGHT + 45 * MINUTE, 2600)]
    run.step(state(EIGHT, "running"), good(EIGHT, 0), reject(EIGHT, 0), *made, *beats(EIGHT, EIGHT + 70 * MINUTE))
    kpis = {
        name: run.latest[f"{name}|{HOUR_EIGHT}"] for name in ("availability", "effectiveness", "quality_ratio", "oee")
    }
    record = kpis["oee"]
    assert record["pri_gq_s"] == 600 * 1.0 + 2000 * 0.25
    assert record["value"] == pytest.approx(record["pri_gq_s"] / record["pbt_s"])
    product = kpis["availability"]["value"] * kpis["effectiveness"]["value"] * kpis["quality_ratio"]["value"]
    assert record["value"] == pytest.approx(product)
    assert record["order_id"] is None, "no order ran the whole hour"


def test_running_periods_are_told_at_once_and_then_from_time_to_time() -> None:
    """The first chunk shows KPIs; the next ones come ten seconds later, as revisions that supersede."""
    run = Run(context(orders=[ORDER], calendar=[SHIFT]))
    first = run.step(*morning())
    assert {(r["period"], r["final"]) for r in first} == {
        *(("hour", True), ("hour", False), ("shift", False), ("order", False), ("day", False))
    }
    after = NOW + 9 * SECOND
    assert run.step(beat(EIGHT + 91 * MINUTE), now_us=after) == []
    assert run.timer(after) == []
    second = run.timer(NOW + 10 * SECOND)
    assert {r["period"] for r in second} == {"hour", "shift", "order", "day"}
    assert {(r["revision"], r["supersedes"], r["reason"], r["final"]) for r in second} == {(2, 1, "update", False)}
    assert run.timer(NOW + 20 * SECOND) == [], "what did not change is not told again"


def test_a_period_is_final_when_the_watermark_passes_its_end() -> None:
    """Ten seconds of disorder after the hour, without waiting for the next update."""
    run = Run(context(calendar=[SHIFT]))
    run.step(state(EIGHT, "running"), *beats(EIGHT, EIGHT + HOUR))
    assert run.latest[f"oee|{HOUR_EIGHT}"]["final"] is False
    run.step(beat(EIGHT + HOUR + 10 * SECOND), now_us=NOW + SECOND)
    assert run.latest[f"availability|{HOUR_EIGHT}"]["final"] is True
    assert run.latest[f"availability|{HOUR_EIGHT}"]["value"] == 1.0


def test_a_silent_source_ends_periods_by_timer_and_its_return_corrects_them() -> None:
    """Silence: final with unknown time and lower coverage. Return: revision with reason late, and full coverage."""
    run = Run(context(calendar=[SHIFT]))
    run.step(state(EIGHT, "running"), *beats(EIGHT, EIGHT + 30 * MINUTE))
    run.timer(NOW + 40 * SECOND)
    record = run.latest[f"availability|{HOUR_EIGHT}"]
    assert (record["final"], record["apt_s"], record["unknown_s"], record["coverage"]) == (True, 1800, 1800, 0.5)
    run.step(*beats(EIGHT + 31 * MINUTE, EIGHT + 59 * MINUTE), beat(EIGHT + 60 * MINUTE), now_us=NOW + 60 * SECOND)
    record = run.latest[f"availability|{HOUR_EIGHT}"]
    assert (record["final"], record["reason"], record["revision"], record["unknown_s"]) == (True, "late", 3, 0)


def test_nothing_ends_by_timer_before_the_task_has_caught_up() -> None:
    """A backlog that is still being read is not silence."""
    run = Run(context(calendar=[SHIFT]))
    run.step(state(EIGHT, "running"), *beats(EIGHT, EIGHT + 30 * MINUTE), caught_up=None)
    run.timer(NOW + HOUR, caught_up=None)
    assert not any(record["final"] for record in run.records)


def test_late_readings_inside_the_horizon_revise() -> None:
    """A stop that is reported an hour later changes the final hour, with the revision that it replaces."""
    run = Run(context(calendar=[SHIFT]))
    run.step(state(EIGHT, "running"), *beats(EIGHT, EIGHT + 2 * HOUR))
    assert run.latest[f"availability|{HOUR_EIGHT}"]["value"] == 1.0
    run.step(state(EIGHT + 15 * MINUTE, "fault"), state(EIGHT + 30 * MINUTE, "running"), now_us=NOW + 20 * SECOND)
    record = run.latest[f"availability|{HOUR_EIGHT}"]
    assert (record["value"], record["reason"], record["revision"], record["supersedes"]) == (0.75, "late", 2, 1)


def test_readings_beyond_the_horizon_are_counted_and_change_nothing() -> None:
    """Nothing is dropped silently."""
    run = Run(context(calendar=[SHIFT]), KpiConfig(correction_horizon_us=HOUR))
    run.step(state(EIGHT, "running"), *beats(EIGHT, EIGHT + 5 * HOUR))
    before = dict(run.latest)
    run.step(state(EIGHT + 15 * MINUTE, "fault"), now_us=NOW + 20 * SECOND)
    assert run.counts["late", "beyond_horizon"] == 1
    assert run.latest == before


def test_context_that_comes_late_revises() -> None:
    """An order entered after the hour gives it effectiveness and OEE, with reason context."""
    run = Run(context(calendar=[SHIFT]))
    run.step(*morning())
    record = run.latest[f"oee|{HOUR_EIGHT}"]
    assert (record["value"], record["pri_pq_s"], record["context_missing"]) == (None, None, ["production_order"])
    assert run.latest[f"availability|{HOUR_EIGHT}"]["context_missing"] == []
    run.context = context(orders=[ORDER], calendar=[SHIFT], version=2)
    run.timer(NOW + 10 * SECOND)
    record = run.latest[f"oee|{HOUR_EIGHT}"]
    assert (record["value"], record["reason"]) == (pytest.approx(0.5), "context")


def test_context_of_others_changes_nothing() -> None:
    """Another line's order is a new version of the context and no reason to say anything."""
    run = Run(context(orders=[ORDER], calendar=[SHIFT]))
    run.step(*morning())
    other = {**ORDER, "order_id": "o9", "work_center": "line-2"}
    run.context = context(orders=[ORDER, other], calendar=[SHIFT], version=2)
    assert run.timer(NOW + 10 * SECOND) == []


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


def test_what_ended_before_it_was_received_is_historical() -> None:
    """A backlog's hour is told as such; one of which a reading came in time is not."""
    for received, historical in ((EIGHT + 3 * HOUR, True), (EIGHT + 59 * MINUTE, False)):
        run = Run(context(calendar=[SHIFT]))
        readings = [state(EIGHT, "running"), *beats(EIGHT, EIGHT + 70 * MINUTE)]
        run.step(*({**reading, "ingest_time": received} for reading in readings))
        assert run.latest[f"availability|{HOUR_EIGHT}"]["historical"] is historical


def test_silent_planned_hours_are_told_when_the_source_returns() -> None:
    """Three hours of silence within a shift: each is a record with coverage 0; outside the shift there is none."""
    run = Run(context(calendar=[{**SHIFT, "end": EIGHT + 3 * HOUR}]))
    run.step(state(EIGHT, "running"), beat(EIGHT + MINUTE), beat(EIGHT + 5 * HOUR))
    hours = {
        r["period_id"][11:13]: r["coverage"] for r in run.latest.values() if r["kpi"] == "oee" and r["period"] == "hour"
    }
    assert hours == {"08": pytest.approx(1 / 60), "09": 0.0, "10": 0.0}


def test_a_unit_with_two_sources_waits_for_both() -> None:
    """The hour ends only when the slower source has passed its end."""
    dictionary = signals(STANDARD[0], {**STANDARD[1], "source_id": "edge-2"}, STANDARD[3])
    run = Run(context(dictionary, calendar=[SHIFT]))
    first = [state(EIGHT, "running"), *beats(EIGHT, EIGHT + 70 * MINUTE)]
    run.step(*({**reading, "_time": NOW} for reading in first))
    assert not any(record["final"] for record in run.records)
    second = [good(EIGHT, 0), good(EIGHT + 62 * MINUTE, 5)]
    run.step(*({**reading, "source_id": "edge-2", "_time": NOW + SECOND} for reading in second), now_us=NOW + SECOND)
    assert run.latest[f"availability|{HOUR_EIGHT}"]["final"] is True


def test_a_source_that_left_holds_nothing_back_in_a_replay() -> None:
    """While a backlog is read, silence is measured in the log's append times, as it was when the log was written."""
    dictionary = signals(STANDARD[0], {**STANDARD[1], "source_id": "edge-2"}, STANDARD[3])
    run = Run(context(dictionary, calendar=[SHIFT]))
    run.step(
        state(EIGHT, "running"), good(EIGHT, 0, source_id="edge-2"), *beats(EIGHT, EIGHT + 70 * MINUTE), caught_up=None
    )
    assert run.latest[f"availability|{HOUR_EIGHT}"]["final"] is True


def test_chunks_without_states_and_counters_only_leave_who_spoke() -> None:
    """Between two settlements a chunk of measurements adds one row per source, whatever its size."""
    run = Run(context())
    run.step(state(EIGHT, "running"))
    result = run.stage.step(
        "ot.reading.v1", frame(beats(EIGHT, EIGHT + 10 * MINUTE, SECOND)), run.tables, run.context, Moment(NOW + 1)
    )
    added = {name: change.upsert.height for name, change in result.changes.items() if change.upsert is not None}
    assert added == {"spoken": 1}


def test_another_topic_is_a_fault_of_the_code() -> None:
    """It reads ot.reading.v1 only."""
    run = Run(context())
    with pytest.raises(ValueError, match=r"reads ot\.reading\.v1 only"):
        run.stage.step("ot.window.v1", pl.DataFrame(schema=READING), run.tables, run.context, Moment(NOW))


def test_settings_are_checked_all_at_once() -> None:
    """One error names every setting that cannot be."""
    with pytest.raises(ValueError, match=r"idle_after_us: 0; .*periods: \('week',\); give one or more of hour"):
        KpiConfig(idle_after_us=0, periods=("week",))
