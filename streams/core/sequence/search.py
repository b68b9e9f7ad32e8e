"""Matches of one rule that changed evidence may bring or take. Enter: kept evidence, what changed. Leaves: `Found`.

Only entities that changed evidence belongs, or belonged, to are looked at, and of them only the time that it reaches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from streams.core.correlate.tables import KEY
from streams.core.sequence.chains import Chain, Row, chains
from streams.core.sequence.located import entities, located
from streams.core.sequence.pattern import ORDER, holds, is_new, named, pair, watched, who
from streams.core.sequence.rule import ANY, Sequence
from streams.core.times import FOREVER_US, NEVER_US

_SCOPE: Final = pl.Schema({"entity": pl.String(), "site": pl.String(), "_from": pl.Int64(), "_to": pl.Int64()})


@dataclass(frozen=True)
class Changed:
    """Evidence that came, as it was before and as it is now (columns KEPT); sites of which everything is looked at.

    `known`: sites with matches of the rule, which may have to go.
    """

    rows: pl.DataFrame
    whole: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()


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
    mine = changed.rows.filter(watched([rule]))
    if not mine.height and not changed.whole:
        return Found([], pl.DataFrame(schema=_SCOPE))
    rows = _around(rule, kept, replace(changed, rows=mine), assets)
    if not rows.height:
        return Found([], pl.DataFrame(schema=_SCOPE))
    rows = _marked(rule, rows, firsts)
    related = entities(rows, rule.relation).join(rows.select("row", "site", "begin_time", "_touched"), on="row")
    scope = _scope(rule, related, changed.whole, floors)
    matched = rows.filter(pl.any_horizontal(_marks(rule)), ~pl.col("_old"))
    found = [
        (entity, chain)
        for entity, from_us, to_us, matching in _by_entity(rule, matched, related, scope)
        for chain in chains(rule, matching, from_us, to_us)
    ]
    used = {one.row for _, chain in found for step in chain.steps for one in step}
    facts = {row["row"]: row for row in rows.filter(pl.col("row").is_in(sorted(used))).iter_rows(named=True)}
    told = [(entity, chain, [[facts[one.row] for one in step] for step in chain.steps]) for entity, chain in found]
    return Found(told, scope)


def _around(rule: Sequence, kept: pl.DataFrame, changed: Changed, assets: pl.DataFrame) -> pl.DataFrame:
    """Evidence (located, with `row`, `_old`, `_touched`) that may take part in what changed.

    Of what is kept only the time around it is looked at; of what newness is judged by, only who is asked for.
    """
    came = changed.rows
    reach = 2 * rule.reach_us
    spans = came.group_by("site").agg(_from=pl.col("begin_time").min() - reach, _to=pl.col("begin_time").max() + reach)
    if rule.learn_us:
        spans = _later(rule, kept, came, spans)
    whole = pl.DataFrame({"site": sorted(changed.whole)}, schema={"site": pl.String()})
    spans = pl.concat(
        [spans.join(whole, on="site", how="anti"), whole.with_columns(_from=NEVER_US, _to=FOREVER_US)],
        how="vertical_relaxed",
    )
    near = _within(kept, spans).filter(watched([rule]))
    worth = _able(rule, near) | changed.whole | changed.known
    near, came, spans = (part.filter(pl.col("site").is_in(sorted(worth))) for part in (near, came, spans))
    if rule.learn_us:
        near = pl.concat([near, _earlier(rule, kept, pl.concat([near, came]), spans)])
    rows = pl.concat([near.with_columns(_old=False), came.with_columns(_old=True)])
    old = rows["_old"]
    rows = located(rows.drop("_old"), assets).with_columns(old)
    keys = came.select(KEY).unique().with_columns(_came=True)
    rows = rows.join(keys, on=list(KEY), how="left", maintain_order="left")
    touched = pl.col("_came").fill_null(value=False) | pl.col("site").is_in(list(changed.whole))
    return rows.with_columns(_touched=touched).drop("_came").sort(ORDER).with_row_index("row")


def _able(rule: Sequence, near: pl.DataFrame) -> frozenset[str]:
    """Sites with as much evidence of the kind and type of each step as it asks for: of others there is no chain."""
    enough = [named([step]).sum() >= step.count for step in rule.steps]
    return frozenset(near.group_by("site").agg(_able=pl.all_horizontal(enough)).filter("_able")["site"])


def _within(kept: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Rows of `kept` that begin within [_from, _to] of their site."""
    if not spans.height:
        return kept.clear()
    begin = pl.col("begin_time")
    near = kept.filter(begin.is_between(spans["_from"].min(), spans["_to"].max()))
    near = near.join(spans.select("site", "_from", "_to"), on="site")
    return near.filter(begin >= pl.col("_from"), begin <= pl.col("_to")).select(kept.columns)


def _later(rule: Sequence, kept: pl.DataFrame, came: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """`spans` up to the last evidence that is new no longer, or again, because of what came."""
    learnt = came.group_by("site").agg(_from=pl.col("begin_time").min(), _to=pl.col("begin_time").max() + rule.learn_us)
    last = _of(rule, _within(kept, learnt), came).group_by("site").agg(_last=pl.col("begin_time").max())
    reach = pl.max_horizontal("_to", pl.col("_last") + 2 * rule.reach_us)
    return spans.join(last, on="site", how="left").select("site", "_from", _to=reach)


def _earlier(rule: Sequence, kept: pl.DataFrame, rows: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """What is kept from before `spans` of who is in `rows`."""
    before = spans.select("site", _from=pl.col("_from") - rule.learn_us, _to=pl.col("_from") - 1)
    return _of(rule, _within(kept, before), rows)


def _of(rule: Sequence, rows: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
    """Those of `rows` that newness may be judged by, of who is in `asked`, too."""
    steps = [step for step in rule.steps if step.new]
    able, judged = asked.filter(named(steps)), named(steps)
    same = [who(step).is_in(able.select(who(step)).to_series().drop_nulls().unique().implode()) for step in steps]
    return rows.filter(judged).filter(pl.any_horizontal(same).fill_null(value=False))


def _marks(rule: Sequence) -> list[str]:
    return [f"_is_{number}" for number in range(len(rule.patterns))]


def _marked(rule: Sequence, rows: pl.DataFrame, firsts: Mapping[str, int]) -> pl.DataFrame:
    """`rows` with `_is_0`, ...: what each pattern matches. A pair that changed touches what is new by it or is not.

    What is earlier, or later by more than is learnt, is not: what it is judged by may not have been looked at.
    """
    rows = rows.with_columns(
        (holds(pattern) & ~pl.col("_old")).alias(mark)
        for pattern, mark in zip(rule.patterns, _marks(rule), strict=True)
    )
    first = pl.col("site").replace_strict(
        list(firsts), list(firsts.values()), default=FOREVER_US, return_dtype=pl.Int64
    )
    for pattern, mark in zip(rule.patterns, _marks(rule), strict=True):
        if pattern.new:
            pairs = rows.filter(named([pattern])).with_columns(_pair=pair(pattern)).drop_nulls("_pair")
            new = pairs.filter(mark).filter(is_new(pattern, first))["row"]
            begin = pl.col("begin_time")
            spans = pairs.filter("_touched").group_by("_pair").agg(_since=begin.min(), _until=begin.max())
            spans = spans.with_columns(pl.col("_until") + pattern.learn_us)
            again = pairs.join(spans, on="_pair").filter(begin >= pl.col("_since"), begin <= pl.col("_until"))["row"]
            rows = rows.with_columns(
                pl.col("row").is_in(new.implode()).alias(mark),
                _touched=pl.col("_touched") | pl.col("row").is_in(again.implode()),
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
    """Rows of each entity of `scope` that may have a chain by pattern, in order, with the span to look at."""
    marks = _marks(rule)
    begin = pl.col("begin_time")
    rows = (
        related.select("entity", "row", "own")
        .join(matched.select("row", *ORDER, *marks), on="row")
        .join(scope.select("entity", "_from", "_to"), on="entity")
        .filter(begin >= pl.col("_from") - rule.reach_us, begin <= pl.col("_to") + rule.reach_us)
    )
    lasts = marks[: len(rule.steps)] if rule.order == ANY else marks[len(rule.steps) - 1 : len(rule.steps)]
    last = pl.col("own") & begin.is_between("_from", "_to") & pl.any_horizontal(lasts)
    enough = [pl.col(mark).sum() >= step.count for mark, step in zip(marks, rule.steps, strict=False)]
    able = rows.group_by("entity").agg(_able=pl.all_horizontal(last.any(), *enough)).filter("_able")
    spans = {entity: (from_us, to_us) for entity, _, from_us, to_us in scope.rows()}
    by: dict[str, list[list[Row]]] = {}
    rows = rows.join(able, on="entity", how="semi").sort(*ORDER, "row")
    for entity, row, own, time_us, evidence_id, *marked in rows.select(
        "entity", "row", "own", *ORDER, *marks
    ).iter_rows():
        lists = by.setdefault(entity, [[] for _ in marks])
        for of_pattern, mark in zip(lists, marked, strict=True):
            if mark:
                of_pattern.append(Row(time_us, evidence_id, row, own))
    return [(entity, *spans[entity], by[entity]) for entity in sorted(by)]
