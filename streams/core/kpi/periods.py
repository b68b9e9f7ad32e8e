"""Periods. Enter: units with the time to look at, slices. Leave: periods with the sums of their slices.

Ratios are never averaged: elements are summed over the slices of a period, KPIs follow from the sums (`kpi_output`).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.kpi.directory import Directory, merge
from streams.core.kpi.elements import SUMS, days
from streams.core.kpi.policy import KpiPolicy
from streams.core.times import FOREVER_US, HOUR_US

PERIODS: Final = ("hour", "shift", "order", "day")
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
    """Periods that touch each unit's time: work_unit, period, key, period_id, start, end (FOREVER_US: not known yet).

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


def observed(periods: pl.DataFrame, living: pl.DataFrame, gap_us: int) -> pl.DataFrame:
    """The periods in which a source of the unit spoke (`living`), or was silent for no longer than `gap_us` in between.

    So a silent hour is told (coverage 0), and a machine that comes back after a year does not send 8,760 of them.
    """
    heard = living.select("work_unit", start="start_us", end="end_us")
    spans = merge(heard, gap_us).rename({"start": "heard_us", "end": "heard_end_us"})
    overlap = (pl.col("start") <= pl.col("heard_end_us")) & (pl.col("end") > pl.col("heard_us"))
    seen = periods.join(spans, on="work_unit").filter(overlap).select(KEY).unique()
    return periods.join(seen, on=list(KEY), how="semi", maintain_order="left")


def totals(periods: pl.DataFrame, slices: pl.DataFrame, directory: Directory, policy: KpiPolicy) -> pl.DataFrame:
    """KEY and PAYLOAD of each period (as `candidates` has it, with `until` and `final`) from the unit's slices.

    `tells`: something is known or made or, once the period is over, was planned. A period of which nothing is to be
    told is written only as a correction.
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
        end_us=pl.when(pl.col("end") == FOREVER_US).then("until").otherwise("end"),
        historical=(pl.col("final") & (pl.col("first_ingest_us") >= pl.col("end"))).fill_null(value=False),
        has_pq=pl.col("total") | (pl.col("good") & pl.col("reject")),
        has_gq=pl.col("good") | (pl.col("total") & pl.col("reject")),
        has_rq=pl.col("reject") | (pl.col("total") & pl.col("good")),
        policy=pl.lit(policy.label),
    )
    return rows.select(
        *KEY,
        *(pl.col(name).cast(dtype) for name, dtype in PAYLOAD.items()),
        tells=_tells(),
    )


def _tells() -> pl.Expr:
    known = pl.sum_horizontal("apt_us", "aust_us", "adet_us", "adot_us") > 0
    planned = known | (pl.col("unknown_us") > 0)
    made = (pl.col("pq_u") != 0) | (pl.col("gq_u") != 0)
    return pl.when("final").then(planned | made).otherwise(known | made)
