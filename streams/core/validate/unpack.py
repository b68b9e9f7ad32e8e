"""Raw records to raw readings: enters a chunk of `ot.raw.reading.v1` or `ot.raw.batch.v1`, leaves one row per reading.

The rows of both have the same columns, RAW, so that everything after this treats them alike.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

# One raw reading. `_position`: place in its batch; null for a reading of its own. `_source`: number of its source_id,
# which the caller looks up once per record.
RAW: Final = pl.Schema(
    {
        "source_id": pl.String(),
        "site": pl.String(),
        "tenant": pl.String(),
        "sequence": pl.Int64(),
        "address": pl.String(),
        "source_time": pl.Int64(),
        "gateway_time": pl.Int64(),
        "value_double": pl.Float64(),
        "value_long": pl.Int64(),
        "value_bool": pl.Boolean(),
        "value_string": pl.String(),
        "value_bytes": pl.Binary(),
        "quality_raw": pl.Int64(),
        "quality_scheme": pl.String(),
        "historical": pl.Boolean(),
        "birth": pl.Boolean(),
        "_partition": pl.Int32(),
        "_offset": pl.Int64(),
        "_time": pl.Int64(),
        "_position": pl.Int32(),
        "_source": pl.Int64(),
    }
)
# The parallel arrays of a batch.
ARRAYS: Final = (
    "address",
    "source_time",
    "value_double",
    "value_long",
    "value_bool",
    "value_string",
    "quality_raw",
    "historical",
    "birth",
)


def readings(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of `ot.raw.reading.v1` (its fields and COORDINATES) as RAW."""
    return frame.select(
        frame[name] if name in frame.columns else pl.lit(None, dtype).alias(name) for name, dtype in RAW.items()
    )


def lengths(frame: pl.DataFrame) -> pl.DataFrame:
    """Per batch: `length`, the longest of its arrays, and `unequal`: an array that is there has another length.

    A batch without addresses is unequal, unless it is empty.
    """
    every = frame.select(pl.col(ARRAYS).list.len())
    length = every.select(length=pl.max_horizontal(pl.all()).fill_null(0)).to_series()
    differs = every.select((pl.all() != length).fill_null(value=False), missing=pl.col("address").is_null())
    unequal = differs.select(pl.any_horizontal(pl.exclude("missing")) | (pl.col("missing") & (length > 0)))
    return pl.DataFrame({"length": length, "unequal": unequal.to_series()})


def explode(frame: pl.DataFrame, length: pl.Series) -> pl.DataFrame:
    """Rows of `ot.raw.batch.v1` whose arrays are equally long (`length` of each, above 0) as RAW, in order."""
    counts = length.cast(pl.Int64).to_numpy()
    batch = np.repeat(np.arange(len(counts)), counts)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    # What no batch has costs nothing.
    there = [name for name in RAW if name in frame.columns and frame[name].null_count() < frame.height]
    of_batch = frame.select(name for name in there if name not in ARRAYS)[batch]
    columns: list[pl.Series] = []
    for name, dtype in RAW.items():
        if name == "_position":
            column = pl.Series(np.arange(len(batch)) - starts)
        elif name not in there:
            column = pl.Series([], dtype=dtype).clear(len(batch))
        elif name in ARRAYS:
            column = _items(frame[name], batch)
        else:
            column = of_batch[name]
        columns.append(column.cast(dtype).alias(name))
    return pl.DataFrame(columns)


def _items(lists: pl.Series, batch: npt.NDArray[np.int64]) -> pl.Series:
    """All items of the lists, one per row; a list that is missing gives as many nulls as the others have items."""
    if lists.null_count() == 0:
        return lists.explode()
    items = lists.drop_nulls().explode()
    present = lists.is_not_null().gather(batch)
    place = present.cast(pl.UInt32).cum_sum() - 1
    return items.gather(place.set(~present, None))
