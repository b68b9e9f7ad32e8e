"""What readings say, one by one: states with their categories, counted items. Enter: readings of state and counter
signals (READINGS, ids as text), in any order, with duplicates. Leave: state intervals and increments in time order.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.frames import BAD, ID, UNCERTAIN
from streams.core.kpi.directory import STATE, Directory
from streams.core.kpi.policy import PRODUCTION, UNKNOWN, KpiPolicy
from streams.core.times import FOREVER_US

MICRO: Final = 1_000_000
# Between two readings of a counter; a thousand such increments still add up exactly.
MOST_ITEMS: Final = 9e9
# Readings of state and counter signals, as they are kept within the correction horizon.
READINGS: Final = pl.Schema(
    {
        "signal_id": ID,
        "work_unit": ID,
        "source_id": ID,
        "role": pl.Int8(),
        "event_us": pl.Int64(),
        "ingest_us": pl.Int64(),
        "label": ID,
        "value_long": pl.Int64(),
        "value_double": pl.Float64(),
        "quality": pl.Int8(),
        "sequence": pl.Int64(),
    }
)


def distinct(readings: pl.DataFrame) -> pl.DataFrame:
    """One reading per signal and instant, in whichever order they came: highest sequence, then highest value."""
    rank = ("sequence", "label", "value_long", "value_double", "quality")
    first = pl.col("ingest_us").min().over("signal_id", "event_us")
    return (
        readings.with_columns(first.alias("ingest_us"))
        .sort("signal_id", "event_us", *rank, nulls_last=False)
        .unique(["signal_id", "event_us"], keep="last", maintain_order=True)
    )


def states(readings: pl.DataFrame, directory: Directory, policy: KpiPolicy) -> pl.DataFrame:
    """State intervals from distinct readings: work_unit, event_us, category, uncertain, source_id, hold_us, limit_us.

    A state stands until the unit's next state reading. It is known while its source lives, and until `hold_us` (the
    expected dwell) even if not; never beyond `limit_us` (periodic signals).
    """
    rows = readings.filter(pl.col("role") == STATE).sort("work_unit", "event_us", "sequence", "signal_id")
    rows = rows.unique(["work_unit", "event_us"], keep="last", maintain_order=True)
    rows = rows.join(directory.holds, on="signal_id", how="left", maintain_order="left")
    labels = {label: policy.category(label) or UNKNOWN for label in rows["label"].drop_nulls().unique()}
    category = pl.col("label").replace_strict(labels, default=UNKNOWN, return_dtype=pl.String)
    return rows.select(
        "work_unit",
        "event_us",
        "source_id",
        category=pl.when(pl.col("quality") == BAD).then(pl.lit(UNKNOWN)).otherwise(category),
        uncertain=pl.col("quality") == UNCERTAIN,
        hold_us=pl.col("event_us") + pl.col("dwell_us").fill_null(0),
        limit_us=(pl.col("event_us") + pl.col("limit_us")).fill_null(FOREVER_US),
    )


def minor_stops(rows: pl.DataFrame, living: pl.DataFrame, limit_us: int) -> pl.DataFrame:
    """`rows` of `states` with stops shorter than `limit_us` as production (TPM: a loss of performance).

    A stop is a run of readings of delay or down; the last run ends where its source was last heard.
    """
    stop = pl.col("category").is_in(["delay", "down"])
    heard = living.group_by("source_id").agg(pl.col("end_us").max().alias("heard_us"))
    following = pl.col("event_us").shift(-1).over("work_unit")
    rows = rows.join(heard, on="source_id", how="left", maintain_order="left").with_columns(
        run=stop.rle_id().over("work_unit"),
        until_us=following.fill_null(pl.max_horizontal("event_us", "heard_us")),
    )
    ended, began = pl.col("until_us").max(), pl.col("event_us").min()
    length = ended.over("work_unit", "run") - began.over("work_unit", "run")
    short = stop & (length < limit_us)
    return rows.with_columns(pl.when(short).then(pl.lit(PRODUCTION)).otherwise("category").alias("category")).drop(
        "run", "until_us", "heard_us"
    )


def increments(readings: pl.DataFrame, directory: Directory) -> pl.DataFrame:
    """Counted items from distinct readings in time order: work_unit, event_us, role, count_u, ingest_us.

    An increment belongs to the instant of the later reading. A counter that falls has passed its rollover if that is
    the shorter way round (under half of its range), else it was reset and the new value is the increment. One of more
    than MOST_ITEMS comes from a wrong reading and counts nothing.
    """
    value = pl.coalesce(pl.col("value_long").cast(pl.Float64), "value_double")
    rows = readings.filter(pl.col("role") != STATE)
    rows = rows.join(directory.rollovers, on="signal_id", how="left", maintain_order="left")
    before, long_before = value.shift(1).over("signal_id"), pl.col("value_long").shift(1).over("signal_id")
    # Whole numbers are subtracted as such: a 64-bit counter passes 2^53, where Float64 no longer holds each of them.
    step = pl.coalesce((pl.col("value_long") - long_before).cast(pl.Float64), value - before)
    around = step + pl.col("modulus")
    fallen = pl.when((around >= 0) & (around < pl.col("modulus") / 2)).then(around).otherwise(value.clip(0.0))
    count = pl.when(step < 0).then(fallen).otherwise(step)
    # Of a counter's first reading nobody knows when the items were made; a leap beyond all counting made none.
    count = pl.when(count <= MOST_ITEMS).then(count)
    return rows.select(
        "work_unit",
        "event_us",
        "role",
        "ingest_us",
        count_u=(count * MICRO).round().cast(pl.Int64).fill_null(0),
    )
