"""Repair times as KPIs. Enter: closed incidents. Leave: MTTR by ISO 22400-2 and by SMRP, as rows of ops.kpi.v1.

ISO counts the whole down state due to failure (fault to repaired), SMRP from the arrival of the technician on. Both are
the mean per failure event, sum / FE (STANDARDS: publish which divisor is used; the 2014 text of ISO 22400-2 is said to
print FE + 1). Each order that repaired something within an incident is one of them.
Failures of which a clock is absent or imprecise are left out, and counted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import polars as pl

from streams.core.derived import HEAD
from streams.core.times import SECOND_US

POLICY: Final = "repair-time"
VERSION: Final = 1
# KPI, the incident's field that it is the mean of, and whose model it follows.
KPIS: Final = (("mttr_iso", "down_s", "iso22400-2"), ("mttr_smrp", "repair_s", "smrp"))
_TEXT: Final = pl.String()
_GROUP: Final = ("site", "work_center", "work_unit", "asset_id", "failure_mode", "period_start")
_ELEMENTS: Final = (
    *("pbt_s", "apt_s", "aust_s", "adet_s", "adot_s", "planned_down_s", "no_shift_s", "unknown_s"),
    *("pri_pq_s", "pri_gq_s", "pq", "gq", "rq"),
)
_OF_INCIDENT: Final = ("incident_id", "site", "tenant")
_WHERE: Final = ("work_center", "work_unit", "asset_id")
# A row of ops.kpi.v1.
KPI: Final = pl.Schema(
    {
        "kpi_id": _TEXT,
        **HEAD,
        "kpi": _TEXT,
        "value": pl.Float64(),
        **dict.fromkeys(("work_center", "work_unit", "period", "period_id"), _TEXT),
        "period_start": pl.Int64(),
        "period_end": pl.Int64(),
        "final": pl.Boolean(),
        **dict.fromkeys(_ELEMENTS, pl.Float64()),
        "order_id": _TEXT,
        "product": _TEXT,
        "coverage": pl.Float64(),
        "share_uncertain": pl.Float64(),
        "policy": _TEXT,
        "model": _TEXT,
        "context_missing": pl.List(_TEXT),
        "emitted_at": pl.Int64(),
        "asset_id": _TEXT,
        "failure_mode": _TEXT,
        "failure_events": pl.Int64(),
        "excluded_events": pl.Int64(),
        "repair_s": pl.Float64(),
    }
)


def repair_kpis(closed: pl.DataFrame) -> pl.DataFrame:
    """Rows of ops.kpi.v1, two per place, asset, failure mode and month (UTC, of the fault), sorted by kpi_id.

    `closed`: rows of ops.incident.v1; of an incident the highest revision counts, if it is closed. Each is a failure
    event, unless a work order or change made it expected, and so is each of its `repairs`; those that one work order
    repaired are one, the first.
    value = repair_s / failure_events (s), null where all are excluded; coverage = the share that is not.
    """
    failures = _failures(closed)
    sums = pl.concat([_summed(failures, *kpi) for kpi in KPIS])
    rows = sums.with_columns(
        kpi_id=pl.concat_str(
            [pl.col("kpi"), *(pl.col(name).fill_null("") for name in _GROUP[:-1]), pl.col("period_id")], separator="|"
        ),
        value=pl.when(pl.col("failure_events") > 0).then(pl.col("repair_s") / pl.col("failure_events")),
        coverage=pl.col("failure_events") / (pl.col("failure_events") + pl.col("excluded_events")),
    )
    constant = {
        "revision": 1,
        "reason": "closed",
        "origin": "computed",
        "historical": False,
        "rule_id": POLICY,
        "rule_version": VERSION,
        "policy": f"{POLICY}@{VERSION}",
        "period": "month",
        "final": False,
        "share_uncertain": 0.0,
        "emitted_at": 0,
        "evidence": [],
        "context_missing": [],
    }
    columns = [
        (pl.col(name) if name in rows.columns else pl.lit(constant.get(name), dtype)).cast(dtype).alias(name)
        for name, dtype in KPI.items()
    ]
    return rows.select(columns).sort("kpi_id")


def _failures(closed: pl.DataFrame) -> pl.DataFrame:
    """Failure events, with their place and month."""
    newest = closed.sort("revision", "incident_id").unique("incident_id", keep="last", maintain_order=True)
    newest = newest.filter(pl.col("state") == "closed", pl.col("verdict") != "expected")
    repaired = pl.coalesce(
        "repaired_source", "arrived_source", "verified_source", pl.lit("incident:") + pl.col("incident_id")
    )
    own = newest.select(
        *_OF_INCIDENT,
        *(pl.col(f"failed_{name}").alias(name) for name in _WHERE),
        *("failure_mode", "down_s", "repair_s"),
        _by=repaired,
        _fault=pl.coalesce("fault_at", "begin_time"),
        _spare=pl.lit(value=False),
    )
    rows = (
        pl.concat([own, _further(newest).select(own.columns)])
        # An order that repaired nothing here may have repaired something in another incident.
        .sort("_spare", "_fault", "incident_id", "_by", maintain_order=True)
        .unique(["site", "_by"], keep="first", maintain_order=True)
    )
    months = [month(us) for us in rows["_fault"]]
    return rows.with_columns(
        pl.col("work_center", "work_unit").fill_null(""),
        period_id=pl.Series([name for name, _, _ in months], dtype=pl.String),
        period_start=pl.Series([begin for _, begin, _ in months], dtype=pl.Int64),
        period_end=pl.Series([end for _, _, end in months], dtype=pl.Int64),
    )


def _further(newest: pl.DataFrame) -> pl.DataFrame:
    """Failures that other orders repaired within these incidents; what is excluded has no times, and counts so."""
    rows = newest.select(*_OF_INCIDENT, "begin_time", _one="repairs").explode(
        "_one", empty_as_null=False, keep_nulls=False
    )
    return rows.unnest("_one").with_columns(
        _by=pl.lit("work_order:") + pl.col("work_order"),
        _fault=pl.coalesce("fault_at", "begin_time"),
        _spare=pl.col("fault_at").is_null(),
    )


def _summed(failures: pl.DataFrame, kpi: str, field: str, model: str) -> pl.DataFrame:
    """Sums of a KPI by group. Whole microseconds are summed: the order of the incidents makes no difference."""
    spans = (pl.col(field) * SECOND_US).round().cast(pl.Int64)
    return failures.group_by(_GROUP).agg(
        pl.col("tenant").drop_nulls().min(),
        pl.col("period_id", "period_end").first(),
        kpi=pl.lit(kpi),
        model=pl.lit(model),
        repair_s=spans.sum() / SECOND_US,
        failure_events=spans.count().cast(pl.Int64),
        excluded_events=spans.null_count().cast(pl.Int64),
    )


def month(time_us: int) -> tuple[str, int, int]:
    """Name, begin and end of the month (UTC) of an instant."""
    time = datetime.fromtimestamp(time_us // SECOND_US, tz=UTC)
    begin = datetime(time.year, time.month, 1, tzinfo=UTC)
    end = datetime(time.year + time.month // 12, time.month % 12 + 1, 1, tzinfo=UTC)
    return f"{begin:%Y-%m}", int(begin.timestamp()) * SECOND_US, int(end.timestamp()) * SECOND_US
