"""What happened near an incident and is no member of it. Enter: evidence, assets. Leaves: rows by site and event time.

Logons, flows that cross a zone's border and have one end at an asset, events that rules recorded, and what sources told
of their alarms besides.
Where a row does not say which asset an address is, the assets' interfaces say it, as of event time.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.correlate.intake import EVENTS, recorded
from streams.core.correlate.tables import EVIDENCE

# What an asset says of a row that concerns it, where the row does not: column of the row, column of the asset.
_SAYS: Final = {
    "asset_path": "path",
    "asset_name": "name",
    **{name: name for name in ("work_center", "work_unit", "zone", "criticality", "owner")},
}


def is_near() -> pl.Expr:
    """Rows of evidence that may be near an incident: no alarms and alerts, which are members or nothing yet."""
    alarm = (pl.col("kind") == "alarm") & pl.col("state").is_in(("cleared", "acknowledged"))
    return pl.col("kind").is_in(EVENTS) | alarm | recorded()


def happened() -> pl.Expr:
    """When a row that may be near happened: what a rule recorded is told once more when its delay has passed."""
    return pl.when(pl.col("kind") == "alert").then("begin_time").otherwise("event_time")


def near(evidence: pl.DataFrame, assets: pl.DataFrame) -> pl.DataFrame:
    """Rows (columns EVIDENCE) of what may be near, sorted by site, event_time (`happened`) and evidence_id.

    `assets`: versions of it.asset.v1 with intervals that do not overlap (`effective`).
    """
    rows = evidence.filter(is_near()).with_columns(event_time=happened()).sort("site", "event_time", "evidence_id")
    if not rows.height:
        return rows
    rows = rows.with_row_index("_row").with_columns(
        asset_id=pl.coalesce("asset_id", _at(rows, assets, "target_address")),
        source_asset_id=pl.coalesce("source_asset_id", _at(rows, assets, "source_address")),
    )
    rows = _says(rows, assets, "source_asset_id", {"_source_zone": "zone"})
    rows = _says(rows, assets, "asset_id", {f"_{name}": column for name, column in _SAYS.items()})
    rows = rows.with_columns(pl.coalesce(name, f"_{name}") for name in _SAYS)
    known = pl.col("asset_id").is_not_null() | pl.col("source_asset_id").is_not_null()
    crosses = known & pl.col("zone").ne_missing(pl.col("_source_zone"))
    return rows.filter((pl.col("kind") != "flow") | crosses).select(EVIDENCE.names())


def _at(rows: pl.DataFrame, assets: pl.DataFrame, column: str) -> pl.Series:
    """The asset that has the address of `column` at event time; of several the first by id. Null: none."""
    faces = assets.select("valid_from", "valid_to", _found="asset_id", address="interfaces").explode("address")
    asked = rows.select("event_time", address=column).with_row_index("_row")
    found = (
        asked.filter(pl.col("address").is_not_null())
        .join(faces, on="address")
        .filter(_valid())
        .group_by("_row")
        .agg(pl.col("_found").min())
    )
    return asked.join(found, on="_row", how="left", maintain_order="left")["_found"]


def _says(rows: pl.DataFrame, assets: pl.DataFrame, key: str, columns: dict[str, str]) -> pl.DataFrame:
    """`rows` with what the version of the asset in `key` says then: new columns by column of the assets."""
    says = assets.select("valid_from", "valid_to", **{key: "asset_id"}, **columns)
    found = rows.select("_row", key, "event_time").join(says, on=key).filter(_valid()).select("_row", *columns)
    return rows.join(found, on="_row", how="left", maintain_order="left")


def _valid() -> pl.Expr:
    return (pl.col("event_time") >= pl.col("valid_from")) & (pl.col("event_time") < pl.col("valid_to"))
