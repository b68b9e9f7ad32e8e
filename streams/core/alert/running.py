"""Which production order ran. Enter: places and times, the context. Leave: order and product of each.

An order's own start and end are facts in event time, often told late: its newest version says them best, whenever it
was written. An order of the machine itself says more than one of the line; of several, the last that was started.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from streams import topology
from streams.core.context import Context, Memo
from streams.core.times import FOREVER_US

_PLACE: Final = ["work_center", "unit"]
_FOUND: Final = ("order_id", "product")


def running(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """order_id and product of `rows` (work_center, work_unit, event_time), in their order; null where none ran."""
    runs = _RUNS.of(context)
    asked = rows.select("work_center", "event_time", unit="work_unit").with_row_index("_at")
    own = _ran(asked.filter(pl.col("unit").is_not_null()), runs)
    of_line = _ran(asked.with_columns(unit=pl.lit("")), runs)
    both = pl.concat([own, of_line]).unique("_at", keep="first", maintain_order=True)
    return asked.select("_at").join(both, on="_at", how="left", maintain_order="left").select(_FOUND)


def _ran(asked: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """_at, order_id, product of those places and times at which an order of exactly that place ran."""
    started = asked.sort("event_time").join_asof(
        runs.select(*_PLACE, "start", "number").sort("start", maintain_order=True),
        by=_PLACE, left_on="event_time", right_on="start", check_sortedness=False,
    )  # fmt: skip
    started = started.filter(pl.col("number").is_not_null())
    at, time = started["number"].to_numpy().astype(np.int64), started["event_time"].to_numpy()
    end, around = runs["end"].to_numpy(), runs["around"].to_numpy()
    # What was started last may be over, while one that was started before it still runs.
    while (over := np.flatnonzero((at >= 0) & (end[at] <= time))).size:
        at[over] = around[at[over]]
    ran = at >= 0
    return started.select("_at").filter(pl.Series(ran)).hstack(runs.select(_FOUND)[at[ran]])


def _runs(context: Context) -> pl.DataFrame:
    """Orders that were started, by place and start; `around`: the last one before that ended later (-1: none)."""
    runs = (
        context.frame(topology.PRODUCTION_ORDER.name)
        .sort("valid_from", maintain_order=True)
        .unique("order_id", keep="last", maintain_order=True)
        .filter(pl.col("actual_start").is_not_null() & (pl.col("status") != "cancelled"))
        .select(
            "work_center", *_FOUND, unit=pl.col("work_unit").fill_null(""), start="actual_start",
            end=pl.col("actual_end").fill_null(FOREVER_US),
        )
        .sort(*_PLACE, "start", "order_id")
        .with_row_index("number")
    )  # fmt: skip
    around, open_runs, place = [-1] * runs.height, list[tuple[int, int]](), None
    for number, line, unit, end in runs.select("number", *_PLACE, "end").iter_rows():
        if place != (line, unit):
            place, open_runs = (line, unit), []
        while open_runs and open_runs[-1][1] <= end:
            open_runs.pop()
        around[number] = open_runs[-1][0] if open_runs else -1
        open_runs.append((number, end))
    return runs.with_columns(around=pl.Series(around, dtype=pl.Int64))


_RUNS: Final = Memo((topology.PRODUCTION_ORDER.name,), _runs)
