"""Places that can hold one asset only. Enter: assets with `_row`, assets that are there. Leave: claims of taken places.

A path of the hierarchy and an address of the network belong to one asset at a time; one after the other is a swap.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.load.take import ROW
from streams.core.times import FOREVER_US, NEVER_US

_BEGIN: Final = "_begin"
_END: Final = "_end"


def claimed(rows: pl.DataFrame, known: pl.DataFrame, field: str) -> pl.DataFrame:
    """Of `rows`, those whose `field` (a text, or a list of texts) another asset has then, with `_row` and `_value`.

    Of two claims the one that begins earlier stays; one that is `known` already stays in any case, unless the file
    tells that version anew.
    """
    if not {field, "asset_id"} <= set(rows.columns):
        return pl.DataFrame(schema={ROW: pl.Int64, "_value": pl.String})
    versions = _versions(rows, known)
    spans = versions.filter(pl.col(field).is_not_null()).rename({field: "_place"})
    if isinstance(spans.schema["_place"], pl.List):
        spans = spans.with_columns(pl.col("_place").list.unique()).explode("_place").drop_nulls("_place")
    spans = spans.with_columns(_name=pl.col("_place").str.to_lowercase())
    # Twice at one asset, in capitals and not, is no second claim.
    spans = spans.unique(["asset_id", _BEGIN, "_name"], keep="first", maintain_order=True).sort("_name", _BEGIN, ROW)
    ours = pl.col(ROW).is_not_null()
    ahead = pl.col(_END).cum_max().shift(1, fill_value=NEVER_US).over("_name")
    # What is known already may also begin later.
    theirs = pl.when(~ours).then(_BEGIN).otherwise(FOREVER_US)
    following = theirs.cum_min(reverse=True).shift(-1, fill_value=FOREVER_US).over("_name")
    first = pl.format("{} (like {})", pl.col("_place"), pl.col("asset_id").first().over("_name"))
    wrong = (pl.col(_BEGIN) < ahead) | (following < pl.col(_END))
    return (
        spans.with_columns(first.alias("_value")).filter(ours & wrong).unique(ROW, keep="first").select(ROW, "_value")
    )


def _versions(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """All versions, each with the span for which it holds; a version that the file tells anew is that of the file."""
    begin = [pl.lit(0, pl.Int64).alias(name) for name in ("valid_from",) if name not in rows.columns]
    told = rows.with_columns(begin)
    there = known.select(name for name in told.columns if name in known.columns)
    if {"asset_id", "valid_from"} <= set(there.columns):
        there = there.join(told, on=["asset_id", "valid_from"], how="anti")
        told = pl.concat([told, there], how="diagonal_relaxed")
    ends = pl.col("valid_to") if "valid_to" in told.columns else pl.lit(None, pl.Int64)
    # An open end lasts until the asset's own next version.
    versions = told.with_columns(pl.col("valid_from").alias(_BEGIN)).sort("asset_id", _BEGIN)
    following = pl.col(_BEGIN).shift(-1).over("asset_id")
    end = pl.min_horizontal(ends.fill_null(FOREVER_US), following.fill_null(FOREVER_US))
    return versions.with_columns(end.alias(_END))
