"""Labels of alerts. Enter: bare rows, the context. Leave: what the context says of them, as of event time."""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.alert.enrich import ADDED, enrich, enrich_nodes
from streams.core.alert.row import HINTS, LABELS
from streams.core.context import Context
from streams.core.label.position import positions
from streams.core.verdict import verdicts

_PLACE: Final = ("asset_id", "asset_path", "work_unit")
# Reasons for which an alert ends where a version of its signal does.
OF_VERSION: Final = ("moved", "signal_removed")


def labels(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """The labels (LABELS) of `rows` (BARE and `known_until`: event time up to which an alert is known to stand).

    Their order is kept. Pure: the same rows and the same versions give the same labels.
    """
    # What ends with a version of the dictionary is that version's: its end is the first instant that no longer is.
    rows = rows.with_columns(event_time=pl.col("event_time") - pl.col("reason").is_in(OF_VERSION).cast(pl.Int64))
    found = _enriched(rows, context)
    rate, of_signal = pl.col("unit_as").str.starts_with("/"), pl.col("unit")
    unit = pl.when(rate).then(of_signal.fill_null("1") + pl.col("unit_as")).otherwise(pl.coalesce("unit_as", of_signal))
    found = found.hstack(rows.select("unit_as", "work_center", "event_time")).with_columns(unit=unit)
    position = positions(found, context)
    if position is None:
        found = found.with_columns(position=pl.lit(None, pl.String))
    else:
        missing = pl.when(pl.col("position").is_null()).then(pl.lit("position"))
        both = pl.col("context_missing").list.concat(pl.concat_list(missing)).list.drop_nulls()
        found = found.with_columns(position).with_columns(context_missing=both)
    asked = rows.select("begin_time", "end_time", "domain", "activities", "actors", "known_until")
    places = _where_it_began(rows, found.select(_PLACE), context)
    said = verdicts(places.hstack(rows.select("work_center")).hstack(asked), context)
    return found.hstack(said).select(pl.col(name).cast(dtype) for name, dtype in LABELS.items())


def _where_it_began(rows: pl.DataFrame, places: pl.DataFrame, context: Context) -> pl.DataFrame:
    """`places` (_PLACE), which are as of event time, as of the begin of each alert.

    What an order exchanges stands there no more when the alert ends.
    """
    later = rows["begin_time"] != rows["event_time"]
    if not later.any():
        return places
    began = _enriched(rows.filter(later).with_columns(event_time="begin_time"), context).select(_PLACE)
    both = places.with_row_index("_at")
    return pl.concat([both.filter(~later), both.filter(later).select("_at").hstack(began)]).sort("_at").drop("_at")


def _enriched(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Columns ADDED: of signals by the dictionary, of nodes and zones by what they are."""
    numbered = rows.select("signal_id", "source_id", "zone", "work_center", "event_time", *HINTS)
    numbered = numbered.with_row_index("_at")
    nodes = pl.col("signal_id").is_null()
    parts = [
        enrich(numbered.filter(~nodes).drop("zone"), context, HINTS),
        enrich_nodes(numbered.filter(nodes), context),
    ]
    return pl.concat(part.select("_at", *ADDED) for part in parts).sort("_at").drop("_at")
