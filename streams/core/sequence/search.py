"""Matches of one rule that changed evidence may bring or take. Enter: kept evidence, what changed. Leaves: `Found`.

Only entities that changed evidence belongs, or belonged, to are looked at, and of them only the time that it reaches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from streams.core.correlate.tables import KEY
from streams.core.sequence.chains import Chain, Row, chains
from streams.core.sequence.located import entities, located
from streams.core.sequence.pattern import ORDER, holds, is_new, pair, watched
from streams.core.sequence.rule import Sequence
from streams.core.times import FOREVER_US, NEVER_US

_SCOPE: Final = pl.Schema({"entity": pl.String(), "site": pl.String(), "_from": pl.Int64(), "_to": pl.Int64()})


@dataclass(frozen=True)
class Changed:
    """Evidence that came, as it was before and as it is now (columns KEPT); sites of which everything is looked at."""

    rows: pl.DataFrame
    whole: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Found:
    """`chains` with entity and rows of their steps; `scope` (entity, site, _from, _to): where all were sought."""

    chains: list[tuple[str, Chain, list[list[dict[str, Any]]]]]
    scope: pl.DataFrame


def search(
    rule: Sequence,
    kept: pl.DataFrame,
    changed: Changed,
    assets: pl.DataFrame,
    firsts: Mapping[str, int],
    floors: Mapping[str, int],
) -> Found:
    """All chains that `changed` may have brought about or ended. `kept`: columns KEPT; `assets`: `effective` versions.

    `firsts`: since when each site has been watched; `floors`: chains that end before are left as they are.
    """
    rows = _around(rule, kept, changed, assets)
    if not rows.height:
        return Found([], pl.DataFrame(schema=_SCOPE))
    rows = _marked(rule, rows, firsts)
    related = entities(rows, rule.relation).join(rows.select("row", "site", "begin_time", "_touched"), on="row")
    scope = _scope(rule, related, changed.whole, floors)
    matched = rows.filter(pl.any_horizontal(_marks(rule)), ~pl.col("_old"))
    facts = {row["row"]: row for row in matched.iter_rows(named=True)}
    found = [
        (entity, chain, [[facts[one.row] for one in step] for step in chain.steps])
        for entity, from_us, to_us, matching in _by_entity(rule, matched, related, scope)
        for chain in chains(rule, matching, from_us, to_us)
    ]
    return Found(found, scope)


def _around(rule: Sequence, kept: pl.DataFrame, changed: Changed, assets: pl.DataFrame) -> pl.DataFrame:
    """Evidence (located, with `row`, `_old`, `_touched`) that may take part in what changed."""
    mine = watched([rule])
    came = changed.rows.filter(mine)
    reach = 2 * rule.reach_us + rule.learn_us
    spans = came.group_by("site").agg(_from=pl.col("begin_time").min() - reach, _to=pl.col("begin_time").max() + reach)
    whole = pl.DataFrame({"site": sorted(changed.whole)}, schema={"site": pl.String()})
    spans = pl.concat(
        [spans.join(whole, on="site", how="anti"), whole.with_columns(_from=NEVER_US, _to=FOREVER_US)],
        how="vertical_relaxed",
    )
    near = (
        kept.filter(mine)
        .join(spans, on="site")
        .filter(pl.col("begin_time") >= pl.col("_from"), pl.col("begin_time") <= pl.col("_to"))
        .select(kept.columns)
    )
    rows = pl.concat([near.with_columns(_old=False), came.with_columns(_old=True)])
    old = rows["_old"]
    rows = located(rows.drop("_old"), assets).with_columns(old)
    keys = came.select(KEY).unique().with_columns(_came=True)
    rows = rows.join(keys, on=list(KEY), how="left", maintain_order="left")
    touched = pl.col("_came").fill_null(value=False) | pl.col("site").is_in(list(changed.whole))
    return rows.with_columns(_touched=touched).drop("_came").sort(ORDER).with_row_index("row")


def _marks(rule: Sequence) -> list[str]:
    return [f"_is_{number}" for number in range(len(rule.patterns))]


def _marked(rule: Sequence, rows: pl.DataFrame, firsts: Mapping[str, int]) -> pl.DataFrame:
    """`rows` with `_is_0`, ...: what each pattern matches. A pair that changed touches all evidence of the pair."""
    rows = rows.with_columns(
        (holds(pattern) & ~pl.col("_old")).alias(mark)
        for pattern, mark in zip(rule.patterns, _marks(rule), strict=True)
    )
    first = pl.col("site").replace_strict(
        list(firsts), list(firsts.values()), default=FOREVER_US, return_dtype=pl.Int64
    )
    for pattern, mark in zip(rule.patterns, _marks(rule), strict=True):
        if pattern.new:
            seen = rows.filter(mark)
            new = seen.filter(is_new(pattern, first))["row"]
            pairs = rows.filter("_touched").select(pair(pattern)).to_series().drop_nulls().unique()
            rows = rows.with_columns(
                pl.col("row").is_in(new.implode()).alias(mark),
                _touched=pl.col("_touched") | pair(pattern).is_in(pairs.implode()).fill_null(value=False),
            )
    return rows


def _scope(rule: Sequence, related: pl.DataFrame, whole: frozenset[str], floors: Mapping[str, int]) -> pl.DataFrame:
    """Entities that were touched, and within which time a chain's last row may have been."""
    reach = rule.reach_us
    floor = pl.col("site").replace_strict(list(floors), list(floors.values()), default=NEVER_US, return_dtype=pl.Int64)
    every = pl.col("site").is_in(list(whole))
    return (
        related.filter("_touched")
        .group_by("entity", "site")
        .agg(_low=pl.col("begin_time").min() - reach, _high=pl.col("begin_time").max() + reach)
        .select(
            "entity",
            "site",
            _from=pl.max_horizontal(pl.when(every).then(NEVER_US).otherwise("_low"), floor),
            _to=pl.when(every).then(FOREVER_US).otherwise("_high"),
        )
        .sort("entity")
    )


def _by_entity(
    rule: Sequence, matched: pl.DataFrame, related: pl.DataFrame, scope: pl.DataFrame
) -> list[tuple[str, int, int, list[list[Row]]]]:
    """Rows of each entity of `scope` by pattern, in order, with the span to look at."""
    spans = {entity: (from_us, to_us) for entity, _, from_us, to_us in scope.rows()}
    by: dict[str, list[list[Row]]] = {entity: [[] for _ in rule.patterns] for entity in spans}
    marks = _marks(rule)
    rows = (
        related.select("entity", "row", "own")
        .join(scope.select("entity"), on="entity", how="semi")
        .join(matched.select("row", *ORDER, *marks), on="row")
        .sort(*ORDER, "row")
    )
    for entity, row, own, time_us, evidence_id, *marked in rows.iter_rows():
        for lists, mark in zip(by[entity], marked, strict=True):
            if mark:
                lists.append(Row(time_us, evidence_id, row, own))
    return [(entity, *spans[entity], lists) for entity, lists in by.items()]
