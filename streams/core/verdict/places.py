"""Where an alert is, in all the words an order may use. Enter: alerts, assets. Leave: one row per alert and place.

The asset itself, its ISA-95 path and every path above it, the assets that stood at those paths when the alert began,
its machine and its line.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams import topology
from streams.core.alert.enrich import effective
from streams.core.context import Context
from streams.core.verdict.explanations import (
    AT_ASSET,
    AT_LINE,
    AT_PATH,
    AT_UNIT,
    AT_UNIT_OF_LINE,
    BETWEEN,
    path,
    told,
)
from streams.core.verdict.kept import Kept

# How near a place is, the nearest last; of two above, the deeper is nearer.
LINE: Final = 0
UNIT: Final = 1
ABOVE: Final = 2
ITSELF: Final = 3

PLACE: Final = pl.Schema(
    {
        "_row": pl.UInt32(),
        "key": pl.String(),
        "near": pl.Int8(),
        "depth": pl.Int64(),
        "label": pl.String(),
    }
)
_TEXTS: Final = ("asset_id", "asset_path", "work_center", "work_unit")


def places(rows: pl.DataFrame, context: Context, explained: pl.DataFrame) -> pl.DataFrame:
    """The places (PLACE) of `rows` (_row, asset_id, asset_path, work_center, work_unit, begin_time).

    `explained` (key): places that something explains; of assets above an alert only those are looked at.
    """
    rows = rows.with_columns(told(name).alias(name) for name in _TEXTS).with_columns(
        asset_path=path(pl.col("asset_path"))
    )
    line, unit = pl.col("work_center"), pl.col("work_unit")
    above = _paths(rows)
    return pl.concat(
        [
            _told(rows, AT_ASSET + pl.col("asset_id"), ITSELF, pl.col("asset_id")),
            _told(rows, AT_PATH + pl.col("asset_path"), ITSELF, pl.col("asset_path")),
            _told(rows, AT_UNIT_OF_LINE + line + BETWEEN + unit, UNIT, unit),
            _told(rows, AT_UNIT + unit, UNIT, unit),
            _told(rows, AT_LINE + line, LINE, line),
            _select(above, AT_PATH + pl.col("label"), ABOVE, pl.col("label")),
            _assets_above(above, context, explained),
        ]
    )


def _paths(rows: pl.DataFrame) -> pl.DataFrame:
    """The paths above the rows' own (`label`), with their `depth`."""
    paths = rows.select("asset_path").drop_nulls().unique()
    parts = pl.col("asset_path").str.split("/")
    above = (
        paths.with_columns(parts=parts, depth=pl.int_ranges(1, parts.list.len(), dtype=pl.Int64))
        .explode("depth", empty_as_null=False, keep_nulls=False)
        .select("asset_path", "depth", label=pl.col("parts").list.head(pl.col("depth")).list.join("/"))
        .filter(pl.col("label") != "")
    )
    return rows.select("_row", "asset_id", "asset_path", "begin_time").join(above, on="asset_path")


def _assets_above(above: pl.DataFrame, context: Context, explained: pl.DataFrame) -> pl.DataFrame:
    """The assets that stood at a path above when the alert began."""
    frame = context.frames.get(topology.ASSET.name)
    if frame is None:
        return pl.DataFrame(schema=PLACE)
    standing = _STANDING.of(frame).join(above.select("label").unique(), on="label", how="semi")
    there = (
        above.join(standing.join(explained, on="key", how="semi"), on="label")
        .filter(pl.col("valid_from") <= pl.col("begin_time"), pl.col("begin_time") < pl.col("valid_to"))
        # An asset is not above itself, whatever path the alert was told with.
        .filter(pl.col("asset_id").is_null() | (pl.col("key") != AT_ASSET + pl.col("asset_id")))
    )
    return _select(there, pl.col("key"), ABOVE, pl.col("label"))


def _standing(assets: pl.DataFrame) -> pl.DataFrame:
    """Versions of assets: key, the path they stood at (`label`), valid_from, valid_to."""
    versions = effective(assets.select("asset_id", "valid_from", "valid_to", "path"), "asset_id")
    return versions.select(
        "valid_from", "valid_to", key=AT_ASSET + told("asset_id"), label=path(pl.col("path"))
    ).drop_nulls(["key", "label"])


_STANDING: Final = Kept(_standing)


def _told(rows: pl.DataFrame, key: pl.Expr, near: int, label: pl.Expr) -> pl.DataFrame:
    return _select(rows.with_columns(depth=0), key, near, label).drop_nulls("key")


def _select(rows: pl.DataFrame, key: pl.Expr, near: int, label: pl.Expr) -> pl.DataFrame:
    return rows.select("_row", key=key, near=near, depth="depth", label=label).cast(PLACE)
