"""Records that `window` writes. Enters: aggregated windows, readings beyond the horizon. Leaves: frames with exactly
the fields of `ot.window.v1` and `ot.window.late.v1` (times Int64 us UTC).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.derived import HEAD, NO_EVIDENCE, revised
from streams.core.frames import HISTORICAL
from streams.core.times import SECOND_US
from streams.core.window.aggregate import PAYLOAD
from streams.core.window.signals import Ints, Signals

EQUIPMENT: Final = ("site", "tenant", "work_center", "work_unit", "unit", "role")

WINDOW: Final = pl.Schema(
    {
        "window_id": pl.String(),
        **HEAD,
        "work_center": pl.String(),
        "work_unit": pl.String(),
        "signal_id": pl.String(),
        "unit": pl.String(),
        "role": pl.String(),
        "length_s": pl.Int32(),
        "window_start": pl.Int64(),
        "window_end": pl.Int64(),
        "provisional": pl.Boolean(),
        **PAYLOAD,
        "watermark": pl.Int64(),
        "emitted_at": pl.Int64(),
    }
)
LATE: Final = pl.Schema(
    {
        "site": pl.String(),
        "tenant": pl.String(),
        "origin": pl.String(),
        "historical": pl.Boolean(),
        "work_center": pl.String(),
        "signal_id": pl.String(),
        "source_id": pl.String(),
        "event_time": pl.Int64(),
        "value_double": pl.Float64(),
        "value_long": pl.Int64(),
        "value_string": pl.String(),
        "quality": pl.Int32(),
        "watermark": pl.Int64(),
        "lateness_s": pl.Float64(),
        "partition": pl.Int32(),
        "offset": pl.Int64(),
    }
)


def windows(
    closed: pl.DataFrame, signals: Signals, unknown: pl.DataFrame, watermark_us: int, now_us: int
) -> pl.DataFrame:
    """Frame of `ot.window.v1`: windows of one signal and length in order of time, parts of a split one as windows.

    `closed` has the columns of `aggregate.AGGREGATED` plus revision, reason and provisional. Equipment comes from the
    dictionary version as of the window's begin; of signals it does not know, site, tenant and line from `unknown` (the
    `signal` table: as their first reading said).
    """
    known = signals.texts[closed["entry"].to_numpy()].select(EQUIPMENT)
    frame = pl.concat([closed, known], how="horizontal")
    if unknown.height and (frame["entry"] == 0).any():
        own = ("site", "tenant", "work_center")
        frame = frame.join(unknown, on="signal_id", how="left", suffix="_read", maintain_order="left")
        frame = frame.with_columns(pl.coalesce(name, pl.col(f"{name}_read").cast(pl.String)) for name in own)
    signal, length, start = pl.col("signal_id").cast(pl.String), pl.col("length_s"), pl.col("window_start")
    frame = revised(frame).with_columns(
        pl.format("{}/{}/{}", signal, length, start).alias("window_id"),
        pl.col("site", "work_center").fill_null(""),
        pl.col("role").fill_null("measurement"),
        NO_EVIDENCE.alias("evidence"),
        pl.lit(None).alias("rule_id"),
        pl.lit(None).alias("rule_version"),
        pl.lit(watermark_us).alias("watermark"),
        pl.lit(now_us).alias("emitted_at"),
    )
    return frame.select(pl.col(name).cast(dtype) for name, dtype in WINDOW.items())


def late(frame: pl.DataFrame, watermark: pl.Series) -> pl.DataFrame:
    """Frame of `ot.window.late.v1`: readings (READING + COORDINATES) and the watermark (us) when each came."""
    rows = frame.with_columns(
        watermark.alias("watermark"),
        pl.lit("source").alias("origin"),
        ((pl.col("flags").fill_null(0) & HISTORICAL) != 0).alias("historical"),
        ((watermark - frame["event_time"]) / SECOND_US).alias("lateness_s"),
        pl.col("_partition").alias("partition"),
        pl.col("_offset").alias("offset"),
        pl.col("site", "work_center").cast(pl.String).fill_null(""),
    )
    return rows.select(pl.col(name).cast(dtype) for name, dtype in LATE.items())


def unknown_signals(frame: pl.DataFrame, code: Ints, known: pl.DataFrame, signals: Signals) -> pl.DataFrame | None:
    """Rows for the `signal` table: signals that neither the dictionary nor the table has, as first read; None: none."""
    new = pl.Series(signals.entry(code, frame["event_time"].to_numpy()) == 0)
    if not new.any():
        return None
    columns = ("signal_id", "site", "tenant", "work_center")
    rows = frame.filter(new).select(columns).unique("signal_id", keep="first")
    rows = rows.join(known, on="signal_id", how="anti")
    return rows if rows.height else None
