"""Where evidence is, and what hangs together by that. Enter: rows of evidence, assets. Leave: places, entities.

What a row does not say of its place the assets say as of its event time; where it names no asset, the one whose
interface has the address that was entered.
"""

from __future__ import annotations

from typing import Final

import polars as pl

# What an asset says of a row that concerns it, where the row does not: column of the row, column of the asset.
_SAYS: Final = {
    "asset_path": "path",
    "asset_name": "name",
    **{name: name for name in ("work_center", "work_unit", "zone", "criticality", "owner")},
}
_BETWEEN: Final = "\x1f"
# What is the same of evidence that has one of these relations.
_SAME: Final = {
    "asset": ("asset_id",),
    "work_unit": ("work_center", "work_unit"),
    "zone": ("zone",),
    "address": ("source_address",),
    "site": (),
}


def located(rows: pl.DataFrame, assets: pl.DataFrame) -> pl.DataFrame:
    """`rows` (columns KEPT) with places, and `asset_model`.

    `assets`: versions of it.asset.v1 whose intervals do not overlap (`effective`).
    """
    if not rows.height or not assets.height:
        return rows.with_columns(asset_model=pl.lit(None, pl.String))
    numbered = rows.with_row_index("_row")
    faces = assets.select("valid_from", "valid_to", _found="asset_id", target_address="interfaces")
    unplaced = numbered.filter(pl.col("asset_id").is_null(), pl.col("target_address").is_not_null())
    wanted = unplaced["target_address"].unique().implode()
    if not unplaced.height:
        faces = faces.clear()
    at = (
        unplaced.select("_row", "begin_time", "target_address")
        .join(
            faces.explode("target_address", empty_as_null=False, keep_nulls=False).filter(
                pl.col("target_address").is_in(wanted)
            ),
            on="target_address",
        )
        .filter(_valid())
        .group_by("_row")
        .agg(pl.col("_found").min())  # of several assets with one address the first by id
    )
    numbered = numbered.join(at, on="_row", how="left", maintain_order="left").with_columns(
        asset_id=pl.coalesce("asset_id", "_found")
    )
    columns = {"asset_model": "model", **{f"_{name}": column for name, column in _SAYS.items()}}
    says = assets.select("asset_id", "valid_from", "valid_to", **columns)
    found = numbered.select("_row", "asset_id", "begin_time").join(says, on="asset_id").filter(_valid())
    return (
        numbered.join(found.drop("asset_id", "begin_time"), on="_row", how="left", maintain_order="left")
        .with_columns(pl.coalesce(name, f"_{name}") for name in _SAYS)
        .select(*rows.columns, "asset_model")
    )


def _valid() -> pl.Expr:
    return (pl.col("begin_time") >= pl.col("valid_from")) & (pl.col("begin_time") < pl.col("valid_to"))


def entities(rows: pl.DataFrame, relation: str) -> pl.DataFrame:
    """`row`, `entity`, `own`: rows (located, with `row`) by what relates them. A row may belong to several, or to none.

    Rows of one entity are related to those that are its `own`: only by `ancestor` are there others, parts of what the
    entity is a part of.
    """
    if relation == "actor":
        token, found = pl.col("actors"), rows.explode("actors", empty_as_null=False, keep_nulls=False)
    elif relation == "ancestor":
        return _lineage(rows)
    else:
        token, found = _told(_SAME[relation]), rows
    return (
        found.select("row", entity=pl.concat_str([pl.col("site"), token], separator="\x1e"), own=pl.lit(value=True))
        .filter(pl.col("entity").is_not_null())
        .unique(maintain_order=True)
    )


def _told(columns: tuple[str, ...]) -> pl.Expr:
    """The texts of the columns as one; null where one is null or empty."""
    if not columns:
        return pl.lit("")
    return pl.concat_str([pl.when(pl.col(name) != "").then(pl.col(name)) for name in columns], separator=_BETWEEN)


def _lineage(rows: pl.DataFrame) -> pl.DataFrame:
    """Entities are paths; a path's rows are its own, those of the paths above it, and of the paths below it."""
    bare = pl.col("asset_path").str.strip_chars_end("/")
    placed = rows.select("row", "site", path=bare).filter(pl.col("path") != "")
    paths = placed.select("site", "path").unique()
    parts = pl.col("path").str.split("/")
    above = (
        paths.with_columns(parts=parts, depth=pl.int_ranges(1, parts.list.len() + 1, dtype=pl.Int64))
        .explode("depth", empty_as_null=False, keep_nulls=False)
        .select("site", "path", above=pl.col("parts").list.head(pl.col("depth")).list.join("/"))
        .join(paths.rename({"path": "above"}), on=["site", "above"])
    )
    # (entity, path of its rows): each path with those above it, and the other way round.
    related = pl.concat(
        [above.select("site", of="path", path="above"), above.select("site", of="above", path="path")]
    ).unique()
    return placed.join(related, on=["site", "path"]).select(
        "row",
        entity=pl.concat_str(["site", "of"], separator="\x1e"),
        own=pl.col("of") == pl.col("path"),
    )
