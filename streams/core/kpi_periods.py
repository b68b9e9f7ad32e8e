"""Periods and their KPIs. Enter: units with the time to look at, slices. Leave: sums per period, rows of ops.kpi.v1.

Ratios are never averaged: elements are summed over the slices of a period, KPIs follow from the sums (ISO 22400-2; over
several products effectiveness = sum(PRI*PQ)/APT and quality = sum(PRI*GQ)/sum(PRI*PQ), so OEE = sum(PRI*GQ)/PBT holds).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.kpi_context import FOREVER, Directory, merge
from streams.core.kpi_elements import HOUR_US, SUMS, days
from streams.core.kpi_policy import KpiPolicy
from streams.core.kpi_readings import MICRO

PERIODS: Final = ("hour", "shift", "order", "day")
KPIS: Final = ("availability", "effectiveness", "quality_ratio", "oee")
KEY: Final = ("work_unit", "period", "key")
# What a period says, beside its key: a record is written when any of it differs from what was last written.
PAYLOAD: Final = pl.Schema(
    {
        "period_id": pl.String(),
        "start_us": pl.Int64(),
        "end_us": pl.Int64(),
        "final": pl.Boolean(),
        "historical": pl.Boolean(),
    }
    | {name: pl.Int64() for name in SUMS}
    | {"priced": pl.Boolean(), "order_id": pl.String(), "product": pl.String()}
    | {"has_calendar": pl.Boolean(), "has_pq": pl.Boolean(), "has_gq": pl.Boolean(), "has_rq": pl.Boolean()}
    | {"policy": pl.String()}
)
ISO: Final = "%Y-%m-%dT%H:%M:%SZ"


def candidates(spans: pl.DataFrame, directory: Directory, enabled: tuple[str, ...]) -> pl.DataFrame:
    """Periods that touch each unit's time: work_unit, period, key, period_id, start, end (FOREVER: not known yet).

    `spans`: work_unit, from_us, to_us, both ends included (what a period's last reading falls on may be its first).
    """
    unit = pl.col("work_unit")
    first = (pl.col("from_us") // HOUR_US) * HOUR_US
    hours = spans.select(unit, start=pl.int_ranges(first, pl.col("to_us") + 1, HOUR_US)).explode("start")
    zones = spans.join(directory.units.select("work_unit", "time_zone"), on="work_unit")
    begin = pl.from_epoch("start", time_unit="us").dt.strftime(ISO)
    found = {
        "hour": hours.select(unit, "start", end=pl.col("start") + HOUR_US, key=begin, period_id=begin),
        "shift": directory.shifts.select(unit, "start", "end", "key", period_id="name"),
        "order": directory.orders.select(unit, "start", "end", key="order_id", period_id="order_id"),
        "day": pl.concat(
            [days(spans, "UTC").clear(), *(days(part, str(zone)) for (zone,), part in zones.group_by("time_zone"))]
        ).select(unit, "start", "end", key=begin, period_id=begin),
    }
    columns = (unit, "period", "key", "period_id", "start", "end")
    every = pl.concat([found[name].with_columns(period=pl.lit(name)).select(columns) for name in enabled])
    touching = (pl.col("end") > pl.col("from_us")) & (pl.col("start") <= pl.col("to_us"))
    return every.join(spans, on="work_unit").filter(touching).select(columns)


def observed(periods: pl.DataFrame, living: pl.DataFrame, directory: Directory, gap_us: int) -> pl.DataFrame:
    """The periods in which a source of the unit spoke, or was silent for no longer than `gap_us` in between.

    So a silent hour is told (coverage 0), and a machine that comes back after a year does not send 8,760 of them.
    """
    heard = directory.sources.join(living, on="source_id").select("work_unit", start="start_us", end="end_us")
    spans = merge(heard, gap_us).rename({"start": "heard_us", "end": "heard_end_us"})
    overlap = (pl.col("start") <= pl.col("heard_end_us")) & (pl.col("end") > pl.col("heard_us"))
    seen = periods.join(spans, on="work_unit").filter(overlap).select(KEY).unique()
    return periods.join(seen, on=list(KEY), how="semi", maintain_order="left")


def totals(periods: pl.DataFrame, slices: pl.DataFrame, directory: Directory, policy: KpiPolicy) -> pl.DataFrame:
    """KEY and PAYLOAD of each period (as `candidates` has it, with `until` and `final`) from the unit's slices.

    `tells`: something was planned or made; a period of which nothing is to be told is written only as a correction.
    """
    inside = slices.rename({"start_us": "slice_us"}).drop("end_us")
    same = ("order_id", "product")
    summed = (
        periods.join_where(
            inside.rename({"work_unit": "slice_unit"}),
            pl.col("work_unit") == pl.col("slice_unit"),
            pl.col("slice_us") >= pl.col("start"),
            pl.col("slice_us") < pl.col("until"),
        )
        .sort(*KEY, "slice_us")
        .group_by(KEY, maintain_order=True)
        .agg(
            pl.col("period_id", "start", "end", "until", "final").first(),
            pl.col(SUMS).sum(),
            pl.col("priced").any(),
            *(pl.when(pl.col(name).n_unique() == 1).then(pl.col(name).first()).alias(name) for name in same),
            pl.col("first_ingest_us").min(),
        )
    )
    rows = summed.join(directory.units, on="work_unit", maintain_order="left")
    rows = rows.with_columns(
        start_us="start",
        end_us=pl.when(pl.col("end") == FOREVER).then("until").otherwise("end"),
        historical=(pl.col("final") & (pl.col("first_ingest_us") >= pl.col("end"))).fill_null(value=False),
        has_pq=pl.col("total") | (pl.col("good") & pl.col("reject")),
        has_gq=pl.col("good") | (pl.col("total") & pl.col("reject")),
        has_rq=pl.col("reject") | (pl.col("total") & pl.col("good")),
        policy=pl.lit(policy.label),
    )
    busy = pl.sum_horizontal("apt_us", "aust_us", "adet_us", "adot_us", "unknown_us") > 0
    return rows.select(
        *KEY,
        *(pl.col(name).cast(dtype) for name, dtype in PAYLOAD.items()),
        tells=busy | (pl.col("pq_u") != 0) | (pl.col("gq_u") != 0),
    )


def records(rows: pl.DataFrame, directory: Directory, policy: KpiPolicy, now_us: int) -> pl.DataFrame:
    """Rows of ops.kpi.v1: four per period; `rows` has KEY, PAYLOAD, revision and reason."""
    known = pl.sum_horizontal("apt_us", "aust_us", "adet_us", "adot_us")
    seconds = {
        f"{name}_s": pl.col(f"{name}_us") / 1e6
        for name in ("apt", "aust", "adet", "adot", "planned_down", "no_shift", "unknown")
    }
    has_quantity = {"pq": "has_pq", "gq": "has_gq", "rq": "has_rq"}
    rows = rows.join(
        directory.units.select("work_unit", "work_center", "site", "tenant"), on="work_unit", maintain_order="left"
    ).with_columns(
        pbt_us=known + pl.col("unknown_us"),
        known_us=known,
        pri_pq_s=pl.when(pl.col("priced") & pl.col("has_pq")).then(pl.col("pri_pq_us") / 1e6),
        pri_gq_s=pl.when(pl.col("priced") & pl.col("has_gq")).then(pl.col("pri_gq_us") / 1e6),
        **{name: pl.when(has).then(pl.col(f"{name}_u") / MICRO) for name, has in has_quantity.items()},
        **seconds,
    )
    common = rows.with_columns(
        supersedes=pl.when(pl.col("revision") > 1).then(pl.col("revision") - 1),
        origin=pl.lit("computed"),
        evidence=pl.lit([], pl.List(pl.String())),
        rule_id=pl.lit(policy.policy_id),
        rule_version=pl.lit(policy.version, dtype=pl.Int32()),
        period_start="start_us",
        period_end="end_us",
        pbt_s=pl.col("pbt_us") / 1e6,
        # Nothing planned: nothing is missing.
        coverage=pl.when(pl.col("pbt_us") > 0).then(pl.col("known_us") / pl.col("pbt_us")).otherwise(1.0),
        share_uncertain=pl.when(pl.col("known_us") > 0)
        .then(pl.col("uncertain_us") / pl.col("known_us"))
        .otherwise(0.0),
        model=pl.lit(policy.model),
        emitted_at=pl.lit(now_us, dtype=pl.Int64),
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
    *("kpi_id", "revision", "supersedes", "reason", "site", "tenant", "origin", "historical"),
    *("evidence", "rule_id", "rule_version", "kpi", "value"),
    *("work_center", "work_unit", "period", "period_id", "period_start", "period_end", "final"),
    *("pbt_s", "apt_s", "aust_s", "adet_s", "adot_s", "planned_down_s", "no_shift_s", "unknown_s"),
    *("pri_pq_s", "pri_gq_s", "pq", "gq", "rq", "order_id", "product"),
    *("coverage", "share_uncertain", "policy", "model", "context_missing", "emitted_at"),
)
