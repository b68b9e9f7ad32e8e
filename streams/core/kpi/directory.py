"""What the KPI stage needs of the IT context. Enters: the context's frames. Leaves: a `Directory` of small frames.

Ids are text, times Int64 us UTC. All of it is derived from one version of the context and kept until the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from streams import topology
from streams.core import dictionary, zones
from streams.core.context import Context
from streams.core.frames import ID
from streams.core.redundancy.members import members
from streams.core.times import FOREVER_US, NEVER_US, SECOND_US

STATE: Final = 0
GOOD_COUNTER: Final = 1
REJECT_COUNTER: Final = 2
TOTAL_COUNTER: Final = 3
ROLES: Final = {
    "state": STATE,
    "good_counter": GOOD_COUNTER,
    "reject_counter": REJECT_COUNTER,
    "total_counter": TOTAL_COUNTER,
}
# A periodic state signal is believed for this many of its periods: one sample may be lost, two are an outage.
HOLD_PERIODS: Final = 2.5
MAX_RUN_TIME_S: Final = 366 * 86_400  # per item


@dataclass(frozen=True)
class Directory:
    """The context, as the KPI stage looks it up.

    `signals`: signal_id, source_id, work_unit (Categorical), role, valid_from, valid_to: versions that do not overlap.
    `units`: work_unit, work_center, site, tenant, good, reject, total (which counters exist), has_calendar, time_zone,
    context_key (changes with anything here that concerns the unit). `sources`: work_unit, source_id, work_center: whose
    readings on which line tell of the unit. `speakers`: source_id, work_center (Categorical). `holds`:
    signal_id, dwell_us, limit_us (null: none). `registers`: signal_id, valid_from, modulus (null: no rollover), whole
    (the same as an integer, else 0), scaling (changes with unit and scale): versions of counters. `shifts`: work_unit,
    key, name, start, end. `in_shift`, `planned_down`: work_unit, start, end, merged. `orders`: work_unit, order_id,
    start, end (FOREVER_US: it runs). `run_times`: order_id, valid_from, product, pri_us.
    """

    signals: pl.DataFrame
    units: pl.DataFrame
    sources: pl.DataFrame
    speakers: pl.DataFrame
    holds: pl.DataFrame
    registers: pl.DataFrame
    shifts: pl.DataFrame
    in_shift: pl.DataFrame
    planned_down: pl.DataFrame
    orders: pl.DataFrame
    run_times: pl.DataFrame


def directory(context: Context) -> Directory:
    """The directory of one version of the context."""
    signals = _signals(context.frame(topology.SIGNAL.name))
    current = signals.unique("signal_id", keep="last", maintain_order=True)
    units = current.group_by("work_unit", maintain_order=True).agg(
        pl.col("work_center", "site", "tenant").last(),
        (pl.col("role") == GOOD_COUNTER).any().alias("good"),
        (pl.col("role") == REJECT_COUNTER).any().alias("reject"),
        (pl.col("role") == TOTAL_COUNTER).any().alias("total"),
    )
    calendar = _calendar(context.frame(topology.CALENDAR.name), units)
    shifts = calendar.filter(pl.col("kind") == "shift")
    planned_down = calendar.filter(pl.col("kind") == "planned_downtime")
    orders, run_times = _orders(context.frame(topology.PRODUCTION_ORDER.name), units)
    zones = shifts.group_by("work_unit").agg(pl.col("time_zone").drop_nulls().sort().first(), has_calendar=True)
    units = units.join(zones, on="work_unit", how="left").with_columns(
        pl.col("has_calendar").fill_null(value=False), pl.col("time_zone").fill_null("UTC")
    )
    sources = _sources(signals, context.frame(topology.SIGNAL.name))
    parts = (units, signals, shifts, planned_down, orders.join(run_times, on="order_id"))
    return Directory(
        signals=signals.select(
            pl.col("signal_id", "source_id", "work_unit").cast(ID), "role", "valid_from", "valid_to"
        ),
        units=units.join(_keys(parts), on="work_unit", how="left"),
        sources=sources,
        speakers=sources.select(pl.col("source_id", "work_center").cast(ID)).unique(maintain_order=True),
        holds=current.filter(pl.col("role") == STATE).select("signal_id", "dwell_us", "limit_us"),
        registers=signals.filter(pl.col("role") != STATE).select(
            "signal_id", "valid_from", "modulus", "whole", "scaling"
        ),
        shifts=shifts.select("work_unit", key="entry_id", name="name", start="start", end="end"),
        in_shift=merge(shifts.select("work_unit", "start", "end")),
        planned_down=merge(planned_down.select("work_unit", "start", "end")),
        orders=orders,
        run_times=run_times,
    )


def _signals(frame: pl.DataFrame) -> pl.DataFrame:
    """Versions of state and counter signals; a redundant signal backs another one up and is not counted beside it."""
    period = pl.when(pl.col("reporting") == "periodic").then(pl.col("period_ms"))
    versions = (
        dictionary.usable(frame)
        .filter(pl.col("role").is_in(list(ROLES)), pl.col("redundant_of").is_null())
        .unique(["signal_id", "valid_from"], keep="last", maintain_order=True)
        .sort("signal_id", "valid_from")
    )
    following = pl.col("valid_from").shift(-1).over("signal_id").fill_null(FOREVER_US)
    first = pl.col("signal_id").is_first_distinct()
    register, plain = pl.col("rollover") + 1, (pl.col("factor") == 1) & (pl.col("offset") == 0)
    return versions.select(
        pl.col("signal_id", "source_id", "work_center", "site", "tenant").cast(pl.String),
        pl.coalesce("work_unit", "work_center").cast(pl.String).alias("work_unit"),
        pl.col("role").replace_strict(ROLES, return_dtype=pl.Int8),
        # The first version also answers for what came before it, as it does where readings are validated.
        pl.when(first).then(NEVER_US).otherwise("valid_from").alias("valid_from"),
        pl.min_horizontal(pl.col("valid_to").fill_null(FOREVER_US), following).alias("valid_to"),
        (pl.col("expected_dwell_s").fill_null(0.0) * SECOND_US).cast(pl.Int64).alias("dwell_us"),
        (period * (HOLD_PERIODS * 1000)).cast(pl.Int64).alias("limit_us"),
        # The counter's own register runs 0..rollover; the published count is that times the factor.
        (register * pl.col("factor")).alias("modulus"),
        pl.when(plain).then(register).fill_null(0).cast(pl.Int64).alias("whole"),
        # Numbers of versions that differ in one of these must not be subtracted.
        pl.struct("signal_id", "unit", "factor", "offset").rle_id().cast(pl.Int64).alias("scaling"),
    )


def _sources(signals: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    """Who tells of each unit, on which lines: work_unit, source_id, work_center, the standbys' sources included."""
    standbys = members(frame).filter(pl.col("rank") > 0).select("source_id", signal_id="primary")
    own = signals.select("work_unit", "source_id", "work_center")
    told = signals.drop("source_id").join(standbys, on="signal_id").select(own.columns)
    return pl.concat([own, told]).unique(maintain_order=True)


def _calendar(frame: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    """The entries that hold for each unit: its own, its line's and its site's (they add up)."""
    entries = frame.filter(pl.col("start") < pl.col("end")).unique("entry_id", keep="last", maintain_order=True)
    # An unknown zone is as good as none.
    entries = entries.with_columns(time_zone=zones.fit(entries["time_zone"].cast(pl.String))[0])
    entries = entries.select(
        pl.col("entry_id", "kind", "name", "time_zone").cast(pl.String),
        pl.col("start", "end").cast(pl.Int64),
        for_site=pl.col("site").cast(pl.String),
        for_center=pl.col("work_center").cast(pl.String),
        for_unit=pl.col("work_unit").cast(pl.String),
    )
    whole_line = pl.col("for_unit").is_null() & (pl.col("for_center") == pl.col("work_center"))
    whole_site = pl.col("for_unit").is_null() & pl.col("for_center").is_null() & (pl.col("for_site") == pl.col("site"))
    return (
        units.select("work_unit", "work_center", "site")
        .join(entries, how="cross")
        .filter((pl.col("for_unit") == pl.col("work_unit")) | whole_line | whole_site)
        .select("work_unit", "entry_id", "kind", "name", "start", "end", "time_zone")
        .sort("work_unit", "start", "entry_id")
    )


def _orders(frame: pl.DataFrame, units: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Started orders of each unit (begin and end as the latest version has them), and run times by version."""
    versions = frame.unique(["order_id", "valid_from"], keep="last", maintain_order=True).sort("order_id", "valid_from")
    first = pl.col("order_id").is_first_distinct()
    run_times = versions.select(
        pl.col("order_id").cast(pl.String),
        pl.when(first).then(NEVER_US).otherwise("valid_from").alias("valid_from"),
        pl.col("product").cast(pl.String),
        # What cannot be a time per item is none: the KPIs say that the order's is missing.
        pl.when(pl.col("planned_run_time_s").is_between(0, MAX_RUN_TIME_S, closed="right"))
        .then((pl.col("planned_run_time_s") * SECOND_US).round())
        .cast(pl.Int64, strict=False)
        .alias("pri_us"),
    )
    latest = versions.unique("order_id", keep="last", maintain_order=True).select(
        pl.col("order_id").cast(pl.String),
        pl.col("status"),
        start="actual_start",
        end=pl.col("actual_end").fill_null(FOREVER_US),
        for_center=pl.col("work_center").cast(pl.String),
        for_unit=pl.col("work_unit").cast(pl.String),
    )
    started = latest.filter(
        pl.col("start").is_not_null(), pl.col("start") < pl.col("end"), pl.col("status") != "cancelled"
    ).drop("status")
    orders = (
        units.select("work_unit", "work_center")
        .join(started, left_on="work_center", right_on="for_center")
        .filter(pl.col("for_unit").is_null() | (pl.col("for_unit") == pl.col("work_unit")))
        .select("work_unit", "order_id", "start", "end")
        .sort("work_unit", "start", "order_id")
    )
    return orders, run_times.join(started.select("order_id"), on="order_id", how="semi")


def merge(spans: pl.DataFrame, gap_us: int = 0) -> pl.DataFrame:
    """Intervals (first columns: whose; start; end) that overlap or lie no further apart than `gap_us`, joined."""
    who = spans.columns[:-2]
    latest = pl.col("end").cum_max().shift(1).over(who)
    return (
        spans.sort(*who, "start", "end")
        .with_columns((latest.is_null() | (pl.col("start") > latest + gap_us)).cum_sum().alias("_group"))
        .group_by(*who, "_group", maintain_order=True)
        .agg(pl.col("start").min(), pl.col("end").max())
        .drop("_group")
        .sort(*who, "start")
    )


def _keys(parts: tuple[pl.DataFrame, ...]) -> pl.DataFrame:
    """One number per unit that changes with its context; it need not be the same in another release."""
    hashed = [
        part.select("work_unit", (part.hash_rows(seed=index) % 2**40).cast(pl.Int64).alias("context_key"))
        for index, part in enumerate(parts)
    ]
    return pl.concat(hashed).group_by("work_unit").agg(pl.col("context_key").sum())
