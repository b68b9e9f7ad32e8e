"""What explains a sequence away. Enter: last steps and what their rules say, the context. Leaves: the explained.

A ticket covers a match if its interval holds the last step, it is said of the step's asset or of what that is part of,
its activity (where told) is one of the rule's (where told), and its accounts (where told) are among those that acted
(where known). What lasts longer than 72 h covers nothing: see `core.verdict.explanations`. Work that was finished
before the last step, as the rule's `unless` says, explains it too.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams import topology
from streams.core.context import Context
from streams.core.sequence.pattern import glob
from streams.core.sequence.rule import Unless
from streams.core.verdict.explanations import TOLD, Policy, explanations
from streams.core.verdict.places import places

# What is asked: where and when the last step was, what tickets may say, and which count.
ASKED: Final = pl.Schema(
    {
        **dict.fromkeys(("asset_id", "asset_path", "work_center", "work_unit"), pl.String()),
        "begin_time": pl.Int64(),
        **dict.fromkeys(("activities", "actors", "without"), pl.List(pl.String())),
    }
)
_POLICY: Final = Policy()


def covered(asked: pl.DataFrame, context: Context) -> list[bool]:
    """Whether a ticket covers each row of `asked` (columns ASKED)."""
    rows = asked.with_row_index("_row")
    wanted = set(rows["without"].explode(empty_as_null=False, keep_nulls=False))
    every: list[tuple[pl.DataFrame, pl.DataFrame]] = explanations(context, _POLICY) if wanted else []
    found = [one for one, _ in every if one["by"][0] in wanted]  # each is of one kind only
    if not found:
        return [False] * rows.height
    there = places(rows, context, pl.concat([one.select("key") for one in found])).select("_row", "key").unique()
    there = there.join(rows.select("_row", "begin_time", "activities", "actors", "without"), on="_row")
    hit = {row for one in found for row in _hits(there, one)}
    return [row in hit for row in range(rows.height)]


def _hits(there: pl.DataFrame, found: pl.DataFrame) -> pl.Series:
    """Rows at places that these explanations cover."""
    shared = pl.col("actors").list.set_intersection("allowed").list.len() > 0
    nobody = (pl.col("actors").list.len() == 0) | (pl.col("allowed").list.len() == 0)
    does = pl.col("activity").is_null() | (pl.col("activities").list.len() == 0)
    begin = pl.col("begin_time")
    hits = there.join(found.select("key", "by", "opens", "until", "activity", "allowed"), on="key").filter(
        pl.col("opens") <= begin,
        begin < pl.col("until"),
        pl.col("without").list.contains(pl.col("by")),
        does | pl.col("activities").list.contains(pl.col("activity")),
        nobody | shared,
    )
    return hits["_row"].unique()


def renewed(asset_id: str | None, time_us: int, unless: tuple[Unless, ...], work: pl.DataFrame) -> bool:
    """Whether such work was finished at this asset. `work`: see `finished`."""
    if not unless or asset_id is None or not work.height:
        return False
    done = work.filter(pl.col("asset_id") == asset_id, pl.col("finished_at") <= time_us)
    return any(done.select(_such(one, time_us).any()).item() for one in unless)


def _such(one: Unless, time_us: int) -> pl.Expr:
    parts = [pl.col("finished_at") >= time_us - one.within_us]
    if one.activities:
        parts.append(pl.col("activity").is_in(one.activities))
    if one.texts:
        parts.append(glob("text", one.texts))
    return pl.all_horizontal(parts).fill_null(value=False)


def finished(context: Context) -> pl.DataFrame:
    """Work that is done, by the newest version of each order: asset_id, finished_at, activity, text."""
    orders = context.frames.get(topology.WORK_ORDER.name)
    if orders is None:
        return pl.DataFrame(schema={"asset_id": pl.String(), "finished_at": pl.Int64()})
    return (
        orders.sort("valid_from", maintain_order=True)
        .unique("order_id", keep="last", maintain_order=True)
        .filter(
            pl.col("status").is_in(("finished", "verified")),
            pl.col("finished_at").is_not_null() & pl.col("finished_at_precision").is_in(TOLD),
        )
        .select("asset_id", "finished_at", "activity", "text")
    )
