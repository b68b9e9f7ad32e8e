"""Verdicts. Enter: alerts with place, time, what explains them and who acted; the context. Leave: one verdict per row.

`expected`: asset, time, and activity or actor match a work order or a change. `possible`: place and time match.
`expired`: it did, the interval ended, and the alert goes on. A label: no row is dropped, none changes its severity.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.context import Context
from streams.core.verdict.catalogue import EASED
from streams.core.verdict.explanations import CHANGE, Policy, explanations
from streams.core.verdict.kept import Kept
from streams.core.verdict.places import ABOVE, ITSELF, places
from streams.core.verdict.text import text

VERDICT: Final = pl.Schema(
    {
        "verdict": pl.String(),
        "verdict_by": pl.String(),
        "verdict_reference": pl.String(),
        "verdict_text": pl.String(),
        "verdict_until": pl.Int64(),
    }
)
# What is asked of a row.
ASKED: Final = pl.Schema(
    {
        "asset_id": pl.String(),
        "asset_path": pl.String(),
        "work_center": pl.String(),
        "work_unit": pl.String(),
        "begin_time": pl.Int64(),
        "end_time": pl.Int64(),
        "domain": pl.String(),
        "activities": pl.List(pl.String()),
        "actors": pl.List(pl.String()),
        "known_until": pl.Int64(),
    }
)
DEFAULT: Final = Policy()
# Pairs of alerts and explanations that are looked at together: some 150 MiB. On a busy line each alert meets hundreds.
PAIRS_AT_ONCE: Final = 500_000


def verdicts(rows: pl.DataFrame, context: Context, policy: Policy = DEFAULT) -> pl.DataFrame:
    """The verdicts (columns VERDICT) of `rows` (columns ASKED, times in microseconds), in their order.

    A row whose `end_time` is null still stands, and is known to stand up to `known_until`. Pure: the same rows and the
    same newest versions give the same verdicts.
    """
    asked = rows.select(pl.col(name).cast(dtype) for name, dtype in ASKED.items()).with_row_index("_row")
    found = explanations(context, policy)
    if not found or asked.is_empty():
        none = pl.DataFrame({"verdict": ["none"] * asked.height}, schema={"verdict": pl.String})
        return none.select(pl.col(n) if n == "verdict" else pl.lit(None, t).alias(n) for n, t in VERDICT.items())
    there = _there(asked, context, pl.concat([one.select("key") for one, _ in found]), policy)
    parts = [(part, one, finder) for one, finder in found for part in _parts(there, finder)]
    said = _said(_best(pl.concat([_judged(_within(part, finder), one, asked) for part, one, finder in parts])), policy)
    return (
        asked.select("_row")
        .join(said, on="_row", how="left", maintain_order="left")
        .with_columns(pl.col("verdict").fill_null("none"))
        .select(pl.col(name).cast(dtype) for name, dtype in VERDICT.items())
    )


def _there(asked: pl.DataFrame, context: Context, explained: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """The places of the rows, with the bucket of time of their begin and the time up to which they are known."""
    times = asked.select(
        "_row",
        "begin_time",
        bucket=pl.col("begin_time") // policy.bucket_us,
        last=pl.coalesce("end_time", "known_until"),
    )
    return places(asked, context, explained).join(times, on="_row")


def _crowd(finder: pl.DataFrame) -> pl.DataFrame:
    """How many explanations each place has in each bucket of time."""
    return finder.group_by("key", "bucket").len("count")


_CROWD: Final = Kept(_crowd)


def _parts(there: pl.DataFrame, finder: pl.DataFrame) -> list[pl.DataFrame]:
    """`there` in parts that meet about PAIRS_AT_ONCE explanations each; a row's places are in one part."""
    met = there.join(_CROWD.of(finder), on=["key", "bucket"])
    if met["count"].sum() <= PAIRS_AT_ONCE:
        return [there]
    rows = met.group_by("_row").agg(pl.col("count").sum()).sort("_row")
    rows = rows.select("_row", _part=pl.col("count").cum_sum() // PAIRS_AT_ONCE)
    return there.join(rows, on="_row", maintain_order="left").partition_by("_part", include_key=False)


def _within(there: pl.DataFrame, finder: pl.DataFrame) -> pl.DataFrame:
    """Rows with the explanations of their places whose interval holds their begin: all those of the asset itself, and
    of the others, which are possible at most, the one to be told.

    A line may have hundreds of orders at a time: what they say is looked at only where it counts.
    """
    pairs = there.join(finder, on=["key", "bucket"]).filter(
        pl.col("opens") <= pl.col("begin_time"), pl.col("begin_time") < pl.col("until")
    )
    pairs = pairs.with_columns(
        asset=(pl.col("near") == ITSELF) | (pl.col("whole") & (pl.col("near") == ABOVE)),
        over=(pl.col("last") > pl.col("until")).fill_null(value=False),
    ).select("_row", "near", "depth", "label", "start", "at", "asset", "over")
    rest = pairs.filter(~pl.col("asset"))
    for best in (~pl.col("over"), pl.col("near"), pl.col("depth"), pl.col("start")):
        rest = rest.filter(best == best.max().over("_row"))
    return pl.concat([pairs.filter("asset"), rest])


def _judged(pairs: pl.DataFrame, found: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
    """Pairs with what their explanation says, what of it matches (`does`, `actor`), and whether it is `expected`."""
    what = found.select(pl.exclude("key", "start", "opens"))[pairs["at"]]
    activity = pl.col("activity")
    shared = pl.col("actors").list.set_intersection("allowed").list.drop_nulls()
    pairs = (
        pairs.hstack(what)
        .join(asked.select("_row", "domain", "activities", "actors"), on="_row")
        .with_columns(
            does=(activity.is_not_null() & pl.col("activities").list.contains(activity)).fill_null(value=False),
            actor=(shared.list.len() > 0).fill_null(value=False),
            change=pl.col("by") == CHANGE,
            eased=pl.col("domain").is_in(EASED).fill_null(value=False),
        )
    )
    reason = pl.when("eased").then(pl.col("does") | pl.col("actor")).otherwise(pl.col("change") & pl.col("actor"))
    return pairs.with_columns(expected=pl.col("asset") & reason & ~pl.col("day"))


def _best(pairs: pl.DataFrame) -> pl.DataFrame:
    """One pair per row: the strongest, of those one that still holds, for security a change, the nearest, the last."""
    ticket = pl.col("change") & ~pl.col("eased")
    by = ["_row", pl.col("expected"), ~pl.col("over"), ticket, "near", "depth", "start", "reference", "change"]
    descending = [False, True, True, True, True, True, True, False, True]
    return pairs.sort(by, descending=descending).unique("_row", keep="first", maintain_order=True)


def _said(best: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    verdict = pl.when("over").then(pl.lit("expired")).when("expected").then(pl.lit("expected"))
    return best.select(
        "_row",
        verdict=verdict.otherwise(pl.lit("possible")),
        verdict_by="by",
        verdict_reference="reference",
        verdict_text=text(policy),
        verdict_until="until",
    )
