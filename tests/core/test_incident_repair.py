"""MTTR by ISO 22400-2 and by SMRP: which failures count, where, in which month, and what is left out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import topology
from streams.core.correlate.repair import KPI, repair_kpis
from streams.core.correlate.tables import INCIDENT
from tests.core.kpi_run import schema
from tests.core.reference_repair import Row, repairs

SECOND = 1_000_000
HOUR = 3600 * SECOND
OCTOBER = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp()) * SECOND


def incident(name: str = "i", **fields: Any) -> Row:
    """A closed incident of the filler, of an hour down and half of that in repair, in October."""
    return {
        **dict.fromkeys(INCIDENT),
        "incident_id": name,
        "revision": 1,
        "site": "site-1",
        "state": "closed",
        "verdict": "none",
        "fault_at": OCTOBER + HOUR,
        "begin_time": OCTOBER + HOUR,
        "failed_work_center": "line-1",
        "failed_work_unit": "filler",
        "failed_asset_id": "filler/valve",
        "failure_mode": "worn",
        "repaired_source": f"work_order:{name}",
        "down_s": 3600.0,
        "repair_s": 1800.0,
        **fields,
    }


def kpis(*rows: Row) -> list[Row]:
    """Repair times of these incidents."""
    return repair_kpis(pl.DataFrame(list(rows), schema=INCIDENT, orient="row")).to_dicts()


def test_columns_are_the_contracts() -> None:
    """A row can be written as ops.kpi.v1; of no incidents there are none."""
    assert schema(topology.KPI.schema_path) == KPI
    assert repair_kpis(pl.DataFrame(schema=INCIDENT)).schema == KPI


def test_the_mean_is_per_failure_event() -> None:
    """Two failures of one and two hours: 1.5 h by ISO; half of that by SMRP. Divisor: failure events."""
    iso, smrp = kpis(incident("a"), incident("b", down_s=7200.0, repair_s=3600.0))
    assert (iso["kpi"], iso["value"], iso["repair_s"], iso["failure_events"]) == ("mttr_iso", 5400, 10800, 2)
    assert (smrp["kpi"], smrp["value"], smrp["repair_s"], smrp["failure_events"]) == ("mttr_smrp", 2700, 5400, 2)
    assert iso["kpi_id"] == "mttr_iso|site-1|line-1|filler|filler/valve|worn|2026-10"
    assert (iso["work_center"], iso["work_unit"], iso["asset_id"], iso["failure_mode"]) == (
        *("line-1", "filler", "filler/valve"),
        "worn",
    )
    assert (iso["period"], iso["period_id"], iso["period_start"]) == ("month", "2026-10", OCTOBER)
    assert (iso["period_end"] - OCTOBER, iso["coverage"]) == (31 * 24 * HOUR, 1.0)
    assert (iso["model"], smrp["model"], iso["policy"]) == ("iso22400-2", "smrp", "repair-time@1")


def test_imprecise_failures_are_left_out_and_counted() -> None:
    """Of three failures one has both durations, one is known by ISO only: nothing is made of what is not known."""
    rows = [incident("a"), incident("b", repair_s=None), incident("c", down_s=None, repair_s=None)]
    iso, smrp = kpis(*rows)
    assert (iso["value"], iso["failure_events"], iso["excluded_events"]) == (3600, 2, 1)
    assert (smrp["value"], smrp["failure_events"], smrp["excluded_events"]) == (1800, 1, 2)
    assert smrp["coverage"] == pytest.approx(1 / 3)
    none, _ = kpis(rows[2])
    assert (none["value"], none["repair_s"], none["failure_events"], none["excluded_events"]) == (None, 0, 0, 1)


@pytest.mark.parametrize("fields", [{"state": "open"}, {"state": "merged"}, {"verdict": "expected"}])
def test_what_is_no_failure(fields: Row) -> None:
    """What is not closed, is a part of another, or was planned work."""
    assert kpis(incident(**fields)) == []


def test_one_order_is_one_repair() -> None:
    """Two incidents that the same order repaired are one failure, the first; orders of two sites are two."""
    rows = [incident("a"), incident("b", fault_at=OCTOBER, down_s=7200.0, repaired_source="work_order:a")]
    assert [(row["failure_events"], row["value"]) for row in kpis(*rows)] == [(1, 7200), (1, 1800)]
    assert len(kpis(rows[0], {**rows[1], "site": "site-2"})) == 4


def test_a_month_is_that_of_the_fault_in_utc() -> None:
    """The last microsecond of December, and the first of January."""
    year = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp()) * SECOND
    rows = kpis(incident("a", fault_at=year - 1), incident("b", fault_at=year))
    assert [(row["period_id"], row["period_end"]) for row in rows[:2]] == [
        ("2026-12", year),
        ("2027-01", year + 31 * 24 * HOUR),
    ]


def test_without_a_place() -> None:
    """An incident that names no line, machine or asset is counted all the same."""
    nowhere: Row = dict.fromkeys(("failed_work_center", "failed_work_unit", "failed_asset_id", "failure_mode"))
    row, _ = kpis(incident(**nowhere))
    assert (row["work_center"], row["work_unit"], row["asset_id"], row["failure_mode"]) == ("", "", None, None)


SECONDS = st.none() | st.integers(0, 10**12).map(lambda us: us / SECOND)
FURTHER = st.fixed_dictionaries(
    {
        "work_order": st.sampled_from("1256"),
        "work_center": st.sampled_from((None, "line-1")),
        "work_unit": st.sampled_from((None, "u2")),
        "asset_id": st.sampled_from((None, "capper")),
        "failure_mode": st.sampled_from((None, "worn")),
        "fault_at": st.none() | st.integers(0, 70).map(lambda days: OCTOBER + days * 24 * HOUR),
        "down_s": SECONDS,
        "repair_s": SECONDS,
    }
)
INCIDENTS = st.lists(
    st.fixed_dictionaries(
        {
            "incident_id": st.sampled_from("abcdefgh"),
            "site": st.sampled_from(("s1", "s2")),
            "state": st.sampled_from(("closed", "closed", "open")),
            "verdict": st.sampled_from(("none", "expected", "possible")),
            "fault_at": st.integers(0, 70).map(lambda days: OCTOBER + days * 24 * HOUR),
            "failed_work_center": st.sampled_from((None, "line-1", "line-2")),
            "failed_work_unit": st.sampled_from((None, "u1", "u2")),
            "failed_asset_id": st.sampled_from((None, "filler", "capper")),
            "failure_mode": st.sampled_from((None, "worn")),
            "repaired_source": st.sampled_from((None, "work_order:1", "work_order:2", "work_order:3")),
            "arrived_source": st.sampled_from((None, "work_order:4")),
            "down_s": SECONDS,
            "repair_s": SECONDS,
            "repairs": st.none() | st.lists(FURTHER, max_size=2, unique_by=lambda one: one["work_order"]),
        }
    ),
    max_size=12,
)


@given(INCIDENTS, st.randoms(use_true_random=False))
def test_it_is_the_plain_sum_in_any_order_with_repeats(rows: list[Row], chance: Any) -> None:
    """Re-summing gives every value; neither order nor repeats, nor older revisions, make a difference."""
    told = [incident(**{"name": row["incident_id"]} | row, revision=number) for number, row in enumerate(rows, 1)]
    expected = repairs(told)
    again = told + chance.sample(told, len(told) // 2)
    chance.shuffle(again)
    found = kpis(*again)
    assert found == kpis(*told)
    keys = ("kpi", "site", "work_center", "work_unit", "asset_id", "failure_mode", "period_id")
    assert {tuple(row[key] for key in keys) for row in found} == expected.keys()
    assert len({row["kpi_id"] for row in found}) == len(found)
    for row in found:
        total, events, excluded = expected[tuple(row[key] for key in keys)]
        assert (row["failure_events"], row["excluded_events"]) == (events, excluded)
        assert row["repair_s"] == pytest.approx(float(total), abs=1e-6)
        assert row["value"] == (None if not events else pytest.approx(float(total / events), abs=1e-6))
