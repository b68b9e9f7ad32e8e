"""What readings say, one by one: states with their categories, counted items. Enter: readings of state and counter
signals (READINGS, ids as text), in any order, with duplicates. Leave: state intervals and increments in time order.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from streams.core import counters
from streams.core.counters import Numbers, Registers
from streams.core.frames import BAD, BIRTH, ID, UNCERTAIN
from streams.core.kpi.directory import STATE, Directory
from streams.core.kpi.policy import PRODUCTION, UNKNOWN, KpiPolicy
from streams.core.times import FOREVER_US
from streams.core.winners import order

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
        "flags": pl.Int8(),
    }
)


def distinct(readings: pl.DataFrame) -> pl.DataFrame:
    """One reading per signal and instant, in whichever order they came: the one that wins (core.winners)."""
    numbers = _numbers(readings)
    sent = readings["value_long"].is_not_null() | readings["value_double"].is_not_null()
    told = pl.when(sent).then(pl.Series("value", numbers.value))
    first = pl.col("ingest_us").min().over("signal_id", "event_us")
    return (
        readings.with_columns(first.alias("ingest_us"), told.alias("value"), pl.Series("residual", numbers.residual))
        .sort("signal_id", "event_us", *order(), nulls_last=False)
        .unique(["signal_id", "event_us"], keep="last", maintain_order=True)
        .drop("value", "residual")
    )


def telling(readings: pl.DataFrame) -> pl.DataFrame:
    """`readings` without those of counters that count nothing, and without all that lose to such a one.

    A birth repeats what is known: an increment is told against the reading before it.
    """
    number = pl.col("value_long").is_not_null() | pl.col("value_double").is_not_null()
    tells = (pl.col("role") == STATE) | ((pl.col("quality") != BAD) & number & (pl.col("flags") & BIRTH == 0))
    tells = tells.fill_null(value=True)
    mute = readings.filter(~tells).select("signal_id", "event_us").unique()
    if not mute.height:
        return readings
    contested = distinct(readings.join(mute, on=mute.columns, how="semi")).filter(tells)
    return pl.concat([readings.join(mute, on=mute.columns, how="anti"), contested])


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
    heard = living.group_by("work_unit", "source_id").agg(pl.col("end_us").max().alias("heard_us"))
    following = pl.col("event_us").shift(-1).over("work_unit")
    rows = rows.join(heard, on=["work_unit", "source_id"], how="left", maintain_order="left").with_columns(
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
    """Counted items from distinct readings: work_unit, event_us, role, count_u, ingest_us, refused.

    The rule is `core.counters`; rollover and scaling are those of the dictionary as of event time. `refused`: more than
    anybody can have counted. Of a counter's first reading nobody knows when the items were made.
    """
    rows = readings.filter(pl.col("role") != STATE).sort("signal_id", "event_us", maintain_order=True)
    registers = directory.registers.sort("valid_from")
    known = rows.with_row_index("place").sort("event_us").join_asof(
        registers, left_on="event_us", right_on="valid_from", by="signal_id", check_sortedness=False
    )  # fmt: skip
    known = known.sort("place")
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in ("signal_id", "scaling"))
    own = np.flatnonzero(known.select(same.fill_null(value=False)).to_series().to_numpy())
    numbers = _numbers(rows)
    modulus, whole = known["modulus"].fill_null(np.nan).to_numpy(), known["whole"].fill_null(0).to_numpy()
    before, after = (Numbers(numbers.value[place], numbers.residual[place]) for place in (own - 1, own))
    found = counters.counted(before, after, Registers(modulus[own], whole[own]))
    count, refused = np.zeros(rows.height, np.int64), np.zeros(rows.height, np.bool_)
    count[own], refused[own] = found.increment, found.refused
    columns = {"count_u": pl.Series(count), "refused": pl.Series(refused)}
    return rows.select("work_unit", "event_us", "role", "ingest_us", **columns)


def _numbers(rows: pl.DataFrame) -> Numbers:
    """What counters read: the integer that was sent, else the double."""
    integer = counters.split(rows["value_long"].fill_null(0).to_numpy())
    double, sent = rows["value_double"].fill_null(0.0).to_numpy(), rows["value_long"].is_not_null().to_numpy()
    return Numbers(np.where(sent, integer.value, double), integer.residual)
