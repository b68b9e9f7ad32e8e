"""Unknown signals: enter readings that no dictionary row names, leaves one inventory record each, and proposed rows.

The inventory is a table of the task's state. Every column merges in any order (counts add, bounds widen, the smallest
texts stay), so that the same readings give the same inventory however they were split or ordered. It is bounded: a
misconfigured source may invent addresses without end.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.dictionary import SIGNAL
from streams.core.stage import Change, Table
from streams.core.times import SECOND_US

KEY: Final = ("source_id", "address")
# Distinct texts kept of one signal, and characters of each, also of site and tenant.
TEXTS: Final = 16
TEXT_LENGTH: Final = 64
# Bytes of source_id and address together: a longer pair is counted as overflow.
KEY_LIMIT: Final = 1_024

_TYPES: Final = {"double": 1, "long": 2, "bool": 4, "string": 8, "bytes": 16}
_SEEN: Final = pl.Schema(
    {
        "source_id": pl.String(),
        "address": pl.String(),
        "site": pl.String(),
        "tenant": pl.String(),
        "first_seen": pl.Int64(),
        "last_seen": pl.Int64(),
        "count": pl.Int64(),
        "types": pl.Int8(),  # sum of _TYPES
        "low": pl.Float64(),
        "high": pl.Float64(),
        "distinct_values": pl.List(pl.String()),
    }
)
TABLE: Final = Table("unknown", pl.Schema({**_SEEN, "emitted_us": pl.Int64(), "emitted_count": pl.Int64()}), KEY)
# Columns of `ot.signal.unknown.v1`.
UNKNOWN: Final = [
    "source_id",
    "address",
    "site",
    "tenant",
    "first_seen",
    "last_seen",
    "count",
    "value_type",
    "low",
    "high",
    "rate_per_s",
    "distinct_values",
]


def seen(raw: pl.DataFrame) -> pl.DataFrame:
    """What these readings (rows of unpack.RAW and event_time) say about each of their signals, by first appearance."""
    double, integer = pl.col("value_double"), pl.col("value_long")
    number = pl.coalesce(pl.when(double.is_finite()).then(double), integer.cast(pl.Float64))
    types = pl.sum_horizontal(pl.col(f"value_{name}").is_not_null().cast(pl.Int8) * bit for name, bit in _TYPES.items())
    text = pl.col("value_string").str.slice(0, TEXT_LENGTH)
    return _merge(
        raw.select(
            *KEY,
            pl.col("site", "tenant").str.slice(0, TEXT_LENGTH),
            first_seen="event_time",
            last_seen="event_time",
            count=pl.lit(1, pl.Int64),
            types=types.cast(pl.Int8),
            low=number,
            high=number,
            text=text,
        )
    )


def _merge(parts: pl.DataFrame) -> pl.DataFrame:
    """One row per signal (columns _SEEN) of rows that each hold one `text` or a list of `distinct_values`."""
    merged = parts.group_by(KEY, maintain_order=True).agg(
        pl.col("site", "tenant", "first_seen", "low").min(),
        pl.col("last_seen", "high").max(),
        pl.col("count").sum(),
        pl.col("types").bitwise_or(),
    )
    if "distinct_values" in parts.columns:
        parts = parts.select(*KEY, pl.col("distinct_values").alias("text")).explode("text")
    texts = parts.select(*KEY, "text").drop_nulls("text").unique().sort("text")
    lists = texts.group_by(KEY).agg(pl.col("text").head(TEXTS).alias("distinct_values"))
    merged = merged.join(lists, on=KEY, how="left", maintain_order="left")
    return merged.with_columns(pl.col("distinct_values").fill_null([])).select(
        pl.col(name).cast(dtype) for name, dtype in _SEEN.items()
    )


def add(state: pl.DataFrame, raw: pl.DataFrame, now_us: int, limit: int) -> tuple[Change, pl.DataFrame, int]:
    """Add readings to the inventory (TABLE), which holds at most `limit` signals.

    Returns the change, the rows that are new (they are emitted at once), and how many readings found no room.
    """
    fits = pl.col("source_id").str.len_bytes() + pl.col("address").str.len_bytes() <= KEY_LIMIT
    parts = seen(raw.filter(fits))
    new = parts.join(state, on=KEY, how="anti").head(max(0, limit - state.height))
    new = new.with_columns(emitted_us=pl.lit(now_us, pl.Int64), emitted_count="count")
    known = state.join(parts, on=KEY, how="semi")
    merged = _merge(pl.concat([known.select(_SEEN.names()), parts.join(known, on=KEY, how="semi")]))
    merged = merged.join(known.select(*KEY, "emitted_us", "emitted_count"), on=KEY, how="left")
    room = sum(int(rows["count"].sum()) for rows in (new, merged)) - int(known["count"].sum())
    return Change(upsert=pl.concat([merged, new])), new, raw.height - room


def due(state: pl.DataFrame, now_us: int, interval_us: int) -> pl.DataFrame:
    """Rows that changed and were last emitted `interval_us` ago or earlier, marked as emitted now."""
    rows = state.filter((pl.col("count") != pl.col("emitted_count")) & (pl.col("emitted_us") <= now_us - interval_us))
    return rows.with_columns(emitted_us=pl.lit(now_us, pl.Int64), emitted_count="count")


def records(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of TABLE as records of `ot.signal.unknown.v1`; value_type is `none` where no reading had a value."""
    names = {0: "none", **{bit: name for name, bit in _TYPES.items()}}
    # One column by another: by a number Polars multiplies with its reciprocal, except in frames of one row.
    span_us = pl.col("last_seen") - pl.col("first_seen")
    return rows.with_columns(
        value_type=pl.col("types").replace_strict(names, default="mixed", return_dtype=pl.String),
        rate_per_s=pl.when(span_us > 0).then((pl.col("count") - 1) * SECOND_US / span_us),
    ).select(UNKNOWN)


# A mean period within a tenth of one of these is taken for a sampling period (ms).
_PERIODS: Final = (10, 20, 25, 50, 100, 200, 250, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 30_000, 60_000)
_NAMED: Final = (
    ("setpoint", r"set_?point|(^|[^a-z])sp($|[^a-z])|target|soll"),
    ("reject_counter", r"(reject|scrap|bad|defect).*(count|total|qty)|(count|total|qty).*(reject|scrap|bad|defect)"),
    ("good_counter", r"good.*(count|total|qty)|(count|total|qty).*good"),
    ("total_counter", r"count|total|qty|produced"),
)
_NAMED_TEXTS: Final = (
    ("batch_id", r"batch|lot|order|serial"),
    ("phase", r"phase|step|recipe"),
    ("alarm", r"alarm|fault|trip"),
)


def _named(names: tuple[tuple[str, str], ...], otherwise: pl.Expr) -> pl.Expr:
    """The first role whose pattern the address (lower case) has."""
    address = pl.col("address").str.to_lowercase()
    for role, pattern in reversed(names):
        otherwise = pl.when(address.str.contains(pattern)).then(pl.lit(role)).otherwise(otherwise)
    return otherwise


def propose(unknown: pl.DataFrame) -> pl.DataFrame:
    """Dictionary rows (columns dictionary.SIGNAL) for records of `ot.signal.unknown.v1`, sorted by source and address.

    A proposal, for a person to complete: work_center is empty (which `dictionary.check` reports), units and ranges are
    open. Role: by value type and by words in the address. Reporting: periodic where a number came, on average, at a
    round period; else on change.
    """
    kind = pl.col("value_type")
    small = (kind == "long") & (pl.col("low") >= 0) & (pl.col("high") <= 64)
    stated = small & pl.col("address").str.to_lowercase().str.contains(r"stat|mode")
    numeric = pl.when(kind.is_in(["long", "mixed"])).then(_named(_NAMED, pl.lit("measurement")))
    role = (
        pl.when(kind.is_in(["bool", "string", "bytes"]) | stated)
        .then(_named(_NAMED_TEXTS, pl.lit("state")))
        .otherwise(numeric.otherwise(_named(_NAMED[:1], pl.lit("measurement"))))
    )
    measured_ms = 1_000 / pl.col("rate_per_s")
    period = pl.lit(None, pl.Int64)
    for candidate in _PERIODS:
        period = pl.when((measured_ms / candidate - 1).abs() <= 0.1).then(pl.lit(candidate, pl.Int64)).otherwise(period)
    rows = unknown.sort(*KEY).select(*KEY, "site", "tenant", role.alias("role"), period.alias("period_ms"))
    periodic = pl.col("role").is_in(["measurement", "setpoint"]) & pl.col("period_ms").is_not_null()
    proposed = {
        "signal_id": pl.concat_str("source_id", pl.lit("/"), "address"),
        "valid_from": pl.lit(0, pl.Int64),
        "work_center": pl.lit(""),
        "factor": pl.lit(1.0),
        "offset": pl.lit(0.0),
        "reporting": pl.when(periodic).then(pl.lit("periodic")).otherwise(pl.lit("on_change")),
        "period_ms": pl.when(periodic).then("period_ms"),
    }
    filled = rows.with_columns(**proposed)
    return filled.select(
        pl.col(name).cast(dtype)
        if name in filled.columns
        else pl.lit([] if isinstance(dtype, pl.List) else None, dtype).alias(name)
        for name, dtype in SIGNAL.items()
    )
