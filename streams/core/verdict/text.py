"""A verdict in words. Enters: a judged pair of alert and explanation. Leaves: what matched, and what is doubtful.

It names places and activities, never an account.
"""

from __future__ import annotations

import polars as pl

from streams.core.times import HOUR_US
from streams.core.verdict.explanations import Policy
from streams.core.verdict.places import ABOVE, ITSELF, LINE, UNIT


def text(policy: Policy) -> pl.Expr:
    """Parts joined by semicolons: where it is told for, what matches, and what makes it less sure."""
    said = [_where(), _matches(), *_doubts(policy)]
    return pl.concat_list(said).list.drop_nulls().list.join("; ")


def _where() -> pl.Expr:
    thing = pl.when("change").then(pl.lit("change")).otherwise(pl.lit("order"))
    near, label = pl.col("near"), pl.col("label")
    return (
        pl.when(near == ITSELF)
        .then(pl.lit(None, pl.String))
        .when("asset")
        .then(pl.format("{} for all below {}", thing, label))
        .when(near == ABOVE)
        .then(pl.format("{} on {} above", thing, label))
        .when(near == UNIT)
        .then(pl.format("{} on machine {}, without an asset", thing, label))
        .when(near == LINE)
        .then(pl.format("{} on line {}, without an asset", thing, label))
    )


def _matches() -> pl.Expr:
    """E.g. "asset, time and activity repair match"."""
    parts = pl.concat_list(
        pl.when("asset").then(pl.lit("asset")),
        pl.lit("time"),
        pl.when("does").then(pl.format("activity {}", "activity")),
        pl.when("actor").then(pl.lit("actor")),
    ).list.drop_nulls()
    count = parts.list.len()
    several = pl.format("{} and {} match", parts.list.head(count - 1).list.join(", "), parts.list.last())
    return pl.when(count == 1).then(pl.lit("time matches")).otherwise(several)


def _doubts(policy: Policy) -> list[pl.Expr]:
    hours = f"{policy.standing_us / HOUR_US:g} h"
    doubts = {
        "it names only the day": pl.col("day"),
        "its times were typed later": pl.col("typed"),
        "its times are planned": pl.col("planned"),
        f"it has no end: {hours} count": pl.col("endless"),
        "for such evidence only a change of the asset with its actor is enough": ~pl.col("eased") & ~pl.col("expected"),
        "it ended, the alert goes on": pl.col("over"),
    }
    return [pl.when(holds).then(pl.lit(words)) for words, holds in doubts.items()]
