"""Who answers for a place. Enter: alerts with path, line and time; operator positions. Leaves: a position per alert.

The position with the longest path that the asset's path begins with, as of event time; one that names only the line
comes after any that names a path. Of several, the operator's, then the first by its id.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams import topology
from streams.core.alert.enrich import effective
from streams.core.context import Context
from streams.core.verdict.explanations import AT_LINE, AT_PATH, path
from streams.core.verdict.kept import Kept

OPERATOR: Final = "operator"


def positions(rows: pl.DataFrame, context: Context) -> pl.Series | None:
    """`position` of `rows` (asset_path, work_center, event_time), in their order; None where no positions are told."""
    frame = context.frames.get(topology.OPERATOR_POSITION.name)
    if frame is None or frame.is_empty():
        return None
    numbered = rows.select(path(pl.col("asset_path")), "work_center", "event_time").with_row_index("_row")
    time = pl.col("event_time")
    best = (
        pl.concat([_paths(numbered), _lines(numbered)])
        .join(_PLACES.of(frame), on="place")
        .filter(pl.col("valid_from") <= time, time < pl.col("valid_to"))
        .sort("_row", "depth", "operator", "position_id", descending=[False, True, True, False])
        .unique("_row", keep="first", maintain_order=True)
        .select("_row", position="position_id")
    )
    return numbered.select("_row").join(best, on="_row", how="left", maintain_order="left")["position"]


def _paths(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with every path that their own begins with; `depth`: how many words it has."""
    parts = pl.col("asset_path").str.split("/")
    begins = (
        rows.select("asset_path")
        .drop_nulls()
        .unique()
        .with_columns(parts=parts, depth=pl.int_ranges(1, parts.list.len() + 1, dtype=pl.Int64))
        .explode("depth", empty_as_null=False, keep_nulls=False)
        .select("asset_path", "depth", place=AT_PATH + pl.col("parts").list.head(pl.col("depth")).list.join("/"))
    )
    return rows.join(begins, on="asset_path").select("_row", "event_time", "depth", "place")


def _lines(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("_row", "event_time", depth=pl.lit(0, pl.Int64), place=AT_LINE + pl.col("work_center"))


def _places(frame: pl.DataFrame) -> pl.DataFrame:
    """Versions of positions by the places that they answer for."""
    versions = effective(frame, "position_id")
    parts = [
        versions.explode(column, empty_as_null=False, keep_nulls=False).select(
            "position_id",
            "valid_from",
            "valid_to",
            operator=(pl.col("kind") == OPERATOR).fill_null(value=False),
            place=place,
        )
        for column, place in (
            ("paths", AT_PATH + path(pl.col("paths"))),
            ("work_centers", AT_LINE + pl.col("work_centers")),
        )
    ]
    return pl.concat(parts).drop_nulls("place")


_PLACES: Final = Kept(_places)
