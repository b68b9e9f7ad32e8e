"""The KPI stage as a timeline: what is written when, and why."""

from __future__ import annotations

import polars as pl
import pytest

from streams.core.frames import READING
from streams.core.kpi.stage import KpiConfig
from streams.core.stage import Moment
from tests.core.kpi_run import (
    EIGHT,
    HOUR_EIGHT,
    NOW,
    ORDER,
    SECOND,
    SHIFT,
    STANDARD,
    Run,
    beat,
    beats,
    context,
    frame,
    good,
    morning,
    reject,
    signals,
    state,
)
from tests.core.reference_kpi import HOUR, MINUTE


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
    assert (record["policy"], record["rule_id"], record["rule_version"]) == ("iso22400@1", "iso22400", 1)
    assert (record["model"], record["context_missing"], record["evidence"]) == ("iso22400-2", [], [])
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


def test_a_period_of_which_nothing_is_known_yet_is_not_told() -> None:
    """A source that lives says nothing of its machine; the first known second or item does. Ended, it is told at last.

    Not the first state reading either: it stands for no time yet.
    """
    run = Run(context(calendar=[SHIFT]), KpiConfig(update_s=0.0))
    assert run.step(*beats(EIGHT, EIGHT + 5 * MINUTE)) == []
    assert run.step(state(EIGHT + 6 * MINUTE, "running"), good(EIGHT + 6 * MINUTE, 7), now_us=NOW + SECOND) == []
    told = run.step(beat(EIGHT + 7 * MINUTE), now_us=NOW + 2 * SECOND)
    assert {(r["period"], r["revision"], r["unknown_s"], r["coverage"]) for r in told} == {
        ("hour", 1, 360.0, 60 / 420),
        ("shift", 1, 360.0, 60 / 420),
        ("day", 1, 360.0, 60 / 420),
    }
    silent = Run(context(calendar=[SHIFT]), KpiConfig(update_s=0.0))
    told = silent.step(*beats(EIGHT, EIGHT + 70 * MINUTE))
    assert {(r["period"], r["final"], r["value"], r["coverage"], r["unknown_s"]) for r in told} == {
        ("hour", True, None, 0.0, 3600.0)
    }


def test_items_alone_are_something_to_tell() -> None:
    """A counter that rises is known while no state is: quality ratio has a value, availability has none."""
    run = Run(context(calendar=[SHIFT]), KpiConfig(update_s=0.0))
    assert run.step(good(EIGHT, 10), reject(EIGHT, 0), beat(EIGHT + MINUTE)) == []
    made = (good(EIGHT + 2 * MINUTE, 19), reject(EIGHT + 2 * MINUTE, 1))
    run.step(*made, beat(EIGHT + 3 * MINUTE), now_us=NOW + SECOND)
    values = {name: run.latest[f"{name}|{HOUR_EIGHT}"]["value"] for name in ("quality_ratio", "availability")}
    assert values == {"quality_ratio": pytest.approx(0.9), "availability": None}


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
