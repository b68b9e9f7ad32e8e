"""IT context as of event time. Enter: transitions, the context. Leave: the same rows with asset, owner, order, product.

What is looked up and not found is named in `context_missing`, never guessed: "signal", "asset", "production_order".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from streams import topology
from streams.core import dictionary
from streams.core.alert.running import running
from streams.core.context import Context
from streams.core.frames import ID
from streams.core.times import FOREVER_US

# Columns that `enrich` adds.
ADDED: Final = pl.Schema(
    {
        "work_unit": pl.String(),
        "asset_id": pl.String(),
        "asset_path": pl.String(),
        "asset_name": pl.String(),
        "criticality": pl.String(),
        "owner": pl.String(),
        "zone": pl.String(),
        "signal_name": pl.String(),
        "unit": pl.String(),
        "order_id": pl.String(),
        "product": pl.String(),
        "context_missing": pl.List(pl.String()),
    }
)


def effective(frame: pl.DataFrame, key: str) -> pl.DataFrame:
    """The versions of `frame` by `key` with intervals [valid_from, valid_to) that do not overlap, sorted.

    A version ends where the next begins, if it does not say so itself; of two that begin at once the later row holds.
    """
    following = pl.col("valid_from").shift(-1).over(key).fill_null(FOREVER_US)
    return (
        frame.unique([key, "valid_from"], keep="last", maintain_order=True)
        .sort(key, "valid_from", maintain_order=True)
        .with_columns(valid_to=pl.min_horizontal(pl.col("valid_to").fill_null(FOREVER_US), following))
    )


def enrich(rows: pl.DataFrame, context: Context, hints: Mapping[str, str] | None = None) -> pl.DataFrame:
    """`rows` (signal_id, work_center as text, event_time in microseconds) with the columns of `ADDED` behind.

    `hints`: columns of `rows`, each with the one of `ADDED` that it stands for where the signal is missing.
    """
    numbered = _with_signal(rows.with_row_index("_row"), context)
    unknown = ~pl.col("_signal_found")
    numbered = numbered.with_columns(
        pl.when(unknown).then(hint).otherwise(name).alias(name) for hint, name in (hints or {}).items()
    ).sort("event_time", maintain_order=True)
    numbered = _with_asset(numbered, context)
    numbered = _with_order(numbered, context)
    found = {"signal": "_signal_found", "asset": "_asset_found", "production_order": "_order_found"}
    missing = pl.concat_list(
        pl.when(~pl.col(mark)).then(pl.lit(name)) for name, mark in found.items()
    ).list.drop_nulls()
    return (
        numbered.with_columns(context_missing=missing)
        .sort("_row")
        .select(*rows.columns, *(pl.col(name).cast(dtype) for name, dtype in ADDED.items()))
    )


def enrich_nodes(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """`rows` (source_id, zone, work_center as text, event_time) of edge nodes and zones with the columns of `ADDED`.

    A node's asset is the one whose asset_id is its source_id; where there is none, or its zone is not told, the zone of
    the row holds.
    """
    nothing = {name: pl.lit(None, pl.String) for name in ("work_unit", "signal_name", "unit")}
    numbered = rows.with_row_index("_row").rename({"zone": "_zone"}).with_columns(asset_id="source_id", **nothing)
    numbered = _with_order(_with_asset(numbered.sort("event_time", maintain_order=True), context), context)
    known = pl.col("_asset_found") | pl.col("source_id").is_null()
    missing = pl.concat_list(
        pl.when(~known).then(pl.lit("asset")), pl.when(~pl.col("_order_found")).then(pl.lit("production_order"))
    ).list.drop_nulls()
    return (
        numbered.with_columns(zone=pl.coalesce("zone", "_zone"), context_missing=missing)
        .sort("_row")
        .select(*(c for c in rows.columns if c != "zone"), *(pl.col(n).cast(dtype) for n, dtype in ADDED.items()))
    )


def _as_of(rows: pl.DataFrame, versions: pl.DataFrame, key: str, found: str) -> pl.DataFrame:
    """`rows` (sorted by event_time) with the version of `key` that is valid then; `found` tells whether any."""
    versions = effective(versions.join(rows.select(key), on=key, how="semi"), key)
    names = [name for name in versions.columns if name not in {key, "valid_from", "valid_to"}]
    joined = rows.join_asof(
        versions.sort("valid_from"), by=key, left_on="event_time", right_on="valid_from", check_sortedness=False
    )
    valid = (pl.col("event_time") < pl.col("valid_to")).fill_null(value=False)
    return joined.with_columns(pl.when(valid).then(pl.col(name)).alias(name) for name in names).with_columns(
        valid.alias(found)
    ).drop("valid_from", "valid_to")  # fmt: skip


def _with_signal(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    columns = ("work_unit", "asset_id", "unit", "name", "role")
    of = rows.select(pl.col("signal_id").cast(ID), "event_time")
    found = dictionary.as_of(context, of, columns).select(pl.col(columns).cast(pl.String))
    # Every entry of the dictionary has a role.
    return rows.hstack(found.with_columns(_signal_found=pl.col("role").is_not_null()).drop("role")).rename(
        {"name": "signal_name"}
    )


def _with_asset(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    assets = context.frame(topology.ASSET.name).select(
        "asset_id", "valid_from", "valid_to", "work_center", "work_unit", "criticality", "owner", "zone",
        asset_path="path", asset_name="name",
    )  # fmt: skip
    rows = rows.join(_of_unit(rows, assets), on="_row", how="left", maintain_order="left")
    rows = rows.with_columns(asset_id=pl.coalesce("asset_id", "_unit_asset")).drop("_unit_asset")
    return _as_of(rows, assets.drop("work_center", "work_unit"), "asset_id", "_asset_found")


def _of_unit(rows: pl.DataFrame, assets: pl.DataFrame) -> pl.DataFrame:
    """A signal without an asset of its own belongs to its work unit: _row, and the asset that stood highest there."""
    unit, time = ["work_center", "work_unit"], pl.col("event_time")
    asked = rows.filter(pl.col("asset_id").is_null(), pl.col("work_unit").is_not_null())
    once = assets.join(asked, on=unit, how="semi").select("asset_id").unique()
    versions = effective(assets.join(once, on="asset_id", how="semi"), "asset_id")
    return (
        asked.select("_row", "event_time", *unit)
        .join(versions.rename({"asset_id": "_unit_asset"}), on=unit)
        .filter(pl.col("valid_from") <= time, time < pl.col("valid_to"))
        .sort(pl.col("asset_path").str.len_chars(), "_unit_asset")
        .unique("_row", keep="first", maintain_order=True)
        .select("_row", "_unit_asset")
    )


def _with_order(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """The order that ran at event time."""
    ran = running(rows, context)
    return rows.hstack(ran).with_columns(_order_found=pl.col("order_id").is_not_null())
