"""KPIs of periods as records. Enter: periods that say something new, with their sums. Leave: rows of ops.kpi.v1.

Ratios are never averaged: KPIs follow from summed elements (ISO 22400-2; over several products effectiveness =
sum(PRI*PQ)/APT and quality = sum(PRI*GQ)/sum(PRI*PQ), so OEE = sum(PRI*GQ)/PBT holds).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.counters import MICRO
from streams.core.derived import HEAD, NO_EVIDENCE, revised
from streams.core.kpi.directory import Directory
from streams.core.kpi.policy import KpiPolicy
from streams.core.times import SECOND_US

KPIS: Final = ("availability", "effectiveness", "quality_ratio", "oee")
# What only repair times have (written by `correlate`).
OF_REPAIRS: Final = pl.Schema(
    {
        "asset_id": pl.String(),
        "failure_mode": pl.String(),
        "failure_events": pl.Int64(),
        "excluded_events": pl.Int64(),
        "repair_s": pl.Float64(),
    }
)


def records(rows: pl.DataFrame, directory: Directory, policy: KpiPolicy, now_us: int) -> pl.DataFrame:
    """Rows of ops.kpi.v1: four per period; `rows` has KEY, PAYLOAD, revision and reason."""
    rows = _summed(rows, directory)
    common = revised(rows).with_columns(
        evidence=NO_EVIDENCE,
        rule_id=pl.lit(policy.policy_id),
        rule_version=pl.lit(policy.version, dtype=pl.Int32()),
        period_start="start_us",
        period_end="end_us",
        pbt_s=pl.col("pbt_us") / SECOND_US,
        # Nothing planned: nothing is missing.
        coverage=pl.when(pl.col("pbt_us") > 0).then(pl.col("known_us") / pl.col("pbt_us")).otherwise(1.0),
        share_uncertain=pl.when(pl.col("known_us") > 0)
        .then(pl.col("uncertain_us") / pl.col("known_us"))
        .otherwise(0.0),
        model=pl.lit(policy.model),
        emitted_at=pl.lit(now_us, dtype=pl.Int64),
        **{name: pl.lit(None, kind) for name, kind in OF_REPAIRS.items()},
    )
    values, missing = _values(), _missing()
    identity = pl.concat_str(["work_unit", "period", "key"], separator="|")
    per_kpi = [
        common.with_columns(
            kpi=pl.lit(name),
            kpi_id=pl.concat_str([pl.lit(name), identity], separator="|"),
            value=values[name],
            context_missing=missing[name],
        )
        for name in KPIS
    ]
    return pl.concat(per_kpi).sort("work_unit", "start_us", "period", "key", maintain_order=True).select(FIELDS)


def _summed(rows: pl.DataFrame, directory: Directory) -> pl.DataFrame:
    """`rows` with their place, and with the elements in the contract's units (s, items)."""
    known = pl.sum_horizontal("apt_us", "aust_us", "adet_us", "adot_us")
    seconds = {
        f"{name}_s": pl.col(f"{name}_us") / SECOND_US
        for name in ("apt", "aust", "adet", "adot", "planned_down", "no_shift", "unknown")
    }
    has_quantity = {"pq": "has_pq", "gq": "has_gq", "rq": "has_rq"}
    return rows.join(
        directory.units.select("work_unit", "work_center", "site", "tenant"), on="work_unit", maintain_order="left"
    ).with_columns(
        pbt_us=known + pl.col("unknown_us"),
        known_us=known,
        pri_pq_s=pl.when(pl.col("priced") & pl.col("has_pq")).then(pl.col("pri_pq_us") / SECOND_US),
        pri_gq_s=pl.when(pl.col("priced") & pl.col("has_gq")).then(pl.col("pri_gq_us") / SECOND_US),
        **{name: pl.when(has).then(pl.col(f"{name}_u") / MICRO) for name, has in has_quantity.items()},
        **seconds,
    )


def _values() -> dict[str, pl.Expr]:
    """ISO 22400-2 by KPI; null where the denominator is nothing, or an element is not known."""
    apt, pbt = pl.col("apt_s"), pl.col("pbt_s")
    earned, earned_good = pl.col("pri_pq_s"), pl.col("pri_gq_s")
    known = (pl.col("known_us") > 0) & (pbt > 0)
    by_count = pl.when(pl.col("pq") > 0).then(pl.col("gq") / pl.col("pq"))
    return {
        "availability": pl.when(known).then(apt / pbt),
        "effectiveness": pl.when(apt > 0).then(earned / apt),
        # Without planned run times the items weigh the same.
        "quality_ratio": pl.when(earned > 0).then(earned_good / earned).otherwise(by_count),
        "oee": pl.when(known).then(earned_good / pbt),
    }


def _missing() -> dict[str, pl.Expr]:
    """Context that each KPI looked up and did not find, sorted."""
    calendar = pl.when(~pl.col("has_calendar")).then(pl.lit("calendar"))
    order = pl.when(~pl.col("priced") | (pl.col("unpriced_u") > 0)).then(pl.lit("production_order"))
    pq = pl.when(~pl.col("has_pq")).then(pl.lit("total_counter"))
    gq = pl.when(~pl.col("has_gq")).then(pl.lit("good_counter"))
    needs = {
        "availability": [calendar],
        "effectiveness": [order, pq],
        "quality_ratio": [gq, order, pq],
        "oee": [calendar, gq, order],
    }
    return {name: pl.concat_list(parts).list.drop_nulls() for name, parts in needs.items()}


FIELDS: Final = (
    *("kpi_id", *HEAD, "kpi", "value"),
    *("work_center", "work_unit", "period", "period_id", "period_start", "period_end", "final"),
    *("pbt_s", "apt_s", "aust_s", "adet_s", "adot_s", "planned_down_s", "no_shift_s", "unknown_s"),
    *("pri_pq_s", "pri_gq_s", "pq", "gq", "rq", "order_id", "product"),
    *("coverage", "share_uncertain", "policy", "model", "context_missing", "emitted_at"),
    *OF_REPAIRS,
)
