"""Sequences as a part of the correlate stage. Enter: evidence of sites, IT context, time. Leave: their alerts.

Which alerts stand follows from evidence and context alone, not from the order in which these came, as long as evidence
is not later than the allowed lateness. An alert is the match of a rule, an entity and the last step's evidence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import polars as pl

from streams import topology
from streams.core.alert.enrich import effective
from streams.core.context import Context, Memo
from streams.core.sequence import intake, tell
from streams.core.sequence.facts import alert_id, facts
from streams.core.sequence.rule import Sequence
from streams.core.sequence.search import Changed, Found, search
from streams.core.sequence.tables import KEPT, KEPT_TABLE, MATCH, MATCH_TABLE, SITE_TABLE, TABLES, Book
from streams.core.stage import Change, Moment, Tables
from streams.core.times import DAY_US, FOREVER_US, HOUR_US, NEVER_US

# A week: after an outage partitions of one site pass each other by as much as they have to catch up with.
LATENESS_US: Final = 7 * DAY_US
HORIZON_US: Final = 35 * DAY_US
# What is not needed any more goes so often (event time), as all that is kept is looked at for it.
FORGET_US: Final = 6 * HOUR_US
# Columns of a match that say what was told of it.
_TOLD: Final = ("revision", "state", "told")
# Of an asset, what says where evidence was.
_PLACE: Final = ("asset_id", "valid_from", "valid_to", "path", "name", "work_center", "work_unit", "zone", "model")


class Outcome(NamedTuple):
    """Changes by table; the same alerts as rows of ops.evidence.v1 and of ops.alert.v1; what was counted."""

    changes: dict[str, Change]
    evidence: pl.DataFrame
    alerts: pl.DataFrame
    counts: dict[tuple[str, str], int]


class _Assets(NamedTuple):
    versions: pl.DataFrame
    key: int


class Sequences:
    """Evidence to alerts about sequences.

    Args:
        rules: the sequences (`rule.load`); deprecated ones are not evaluated.
        lateness_us: evidence may come so much later than the newest of its site, and counts all the same.
        horizon_us: context that is so late still tells or retracts an alert.
    """

    tables = TABLES

    def __init__(
        self, rules: Iterable[Sequence], *, lateness_us: int = LATENESS_US, horizon_us: int = HORIZON_US
    ) -> None:
        self._rules = {rule.id: rule for rule in rules if rule.runs}
        self._lateness_us = lateness_us
        self._horizon_us = horizon_us
        self._assets = Memo((topology.ASSET.name,), _assets)

    def step(self, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Outcome:
        """Take in evidence (columns EVIDENCE, any order, with repeats)."""
        book = Book(state)
        came = intake.possible(frame)
        book.counts["sequence_left_out", "impossible_time"] += frame.height - came.height
        before = intake.clocks(book)
        came = intake.timely(came, before, self._lateness_us, moment.now_us)
        earlier = intake.hear(book, came, moment.now_us)
        rules = list(self._rules.values())
        changed = intake.take(book, came, rules)
        revisions = self._look(book, changed, earlier, context, before, tell.LATE)
        revisions += self._due(book, before, context)
        times = intake.clocks(book)
        if any(time // FORGET_US != before.get(site, time) // FORGET_US for site, time in times.items()):
            intake.forget(book, rules, self._lateness_us, self._horizon_us)
        if None in book.seen():
            book.remember(self._assets.of(context).key, _key(context))
        return _outcome(book, revisions, moment)

    def timer(self, state: Tables, context: Context, moment: Moment) -> Outcome:
        """Tell what nothing followed; follow the context."""
        book = Book(state)
        if not book[SITE_TABLE].height:
            return _outcome(book, [], moment)
        before, times = intake.clocks(book), intake.idle(book, moment)
        waiting = _waiting(book, before, times)
        if waiting.height:
            intake.advance(book, times)
        revisions = self._due(book, before, context)
        assets, key = self._assets.of(context), _key(context)
        assets_key, context_key = book.seen()
        if assets_key != assets.key:
            everything = Changed(pl.DataFrame(schema=KEPT), frozenset(times))
            revisions += self._look(book, everything, frozenset(), context, before, tell.CONTEXT)
        if context_key != key:
            revisions += self._settle(book, book[MATCH_TABLE], context, tell.CONTEXT)
        book.remember(assets.key, key)
        return _outcome(book, revisions, moment)

    def _look(
        self,
        book: Book,
        changed: Changed,
        earlier: frozenset[str],
        context: Context,
        before: dict[str, int],
        reason: str,
    ) -> list[dict[str, Any]]:
        """Seek matches where evidence changed; of sites that were watched earlier than known, all with newness.

        What is older than evidence may have been at the clocks `before` is left as it is.
        """
        if not changed.rows.height and not changed.whole and not earlier:
            return []
        kept, assets = book[KEPT_TABLE], self._assets.of(context).versions
        firsts, nothing = intake.firsts(book), dict.fromkeys(intake.clocks(book), NEVER_US)
        revisions = []
        for rule in self._rules.values():
            known = book[MATCH_TABLE].filter(pl.col("rule_id") == rule.id)["site"]
            whole = changed.whole | (earlier if rule.learn_us else frozenset())
            of_rule = Changed(changed.rows, whole, frozenset(known))
            old = {site: time - self._lateness_us - rule.reach_us for site, time in before.items()}
            floors = nothing | old
            found = search(rule, kept, of_rule, assets, firsts, floors)
            matches = _matches(rule, found, book[MATCH_TABLE], of_rule.whole, floors)
            revisions += self._settle(book, matches, context, reason)
        return revisions

    def _due(self, book: Book, before: dict[str, int], context: Context) -> list[dict[str, Any]]:
        """Tell what has become known by time alone."""
        return self._settle(book, _waiting(book, before, intake.clocks(book)), context, tell.LATE)

    def _settle(self, book: Book, matches: pl.DataFrame, context: Context, reason: str) -> list[dict[str, Any]]:
        return tell.settle(book, matches, self._rules, context, intake.clocks(book), reason=reason)


def _waiting(book: Book, before: dict[str, int], after: dict[str, int]) -> pl.DataFrame:
    """Matches that were not due at the clocks `before` and are at those `after`."""
    matches = book[MATCH_TABLE]
    if not matches.height:
        return matches
    low, high = (
        matches["site"].replace_strict(list(times), list(times.values()), default=NEVER_US, return_dtype=pl.Int64)
        if times
        else pl.repeat(NEVER_US, matches.height, dtype=pl.Int64, eager=True)
        for times in (before, after)
    )
    return matches.filter((matches["due_us"] > low) & (matches["due_us"] <= high))


def _matches(
    rule: Sequence, found: Found, known: pl.DataFrame, whole: frozenset[str], floors: dict[str, int]
) -> pl.DataFrame:
    """Rows of MATCH as they are now: those found, and those known that were sought and not found."""
    rows = []
    for entity, chain, steps in found.chains:
        told = facts(rule, chain.last.evidence_id, steps)
        rows.append(
            {
                "alert_id": alert_id(rule, entity, chain.last.evidence_id),
                "site": told["site"],
                "rule_id": rule.id,
                "entity": entity,
                "last_us": chain.last.time_us,
                "due_us": chain.last.time_us + rule.wait_us,
                "holds": chain.holds,
                "facts": json.dumps(told, sort_keys=True),
            }
        )
    now = pl.DataFrame(rows, schema={name: dtype for name, dtype in MATCH.items() if name not in _TOLD})
    mine = known.filter(pl.col("rule_id") == rule.id)
    now = now.join(mine.select("alert_id", *_TOLD), on="alert_id", how="left").with_columns(
        pl.col("revision").fill_null(0), pl.col("state").fill_null("")
    )
    floor = pl.col("site").replace_strict(
        list(floors), list(floors.values()), default=FOREVER_US, return_dtype=pl.Int64
    )
    sought = pl.concat(
        [
            mine.join(found.scope.drop("site"), on="entity").filter(
                pl.col("last_us") >= pl.col("_from"), pl.col("last_us") <= pl.col("_to")
            ).select(MATCH.names()),
            mine.filter(pl.col("site").is_in(list(whole)), pl.col("last_us") >= floor),
        ]
    ).unique("alert_id")  # fmt: skip
    gone = sought.join(now, on="alert_id", how="anti").with_columns(holds=False)
    return pl.concat([now.select(MATCH.names()), gone])


def _assets(context: Context) -> _Assets:
    frame = context.frame(topology.ASSET.name)
    # A number for its rows, whatever their order; it need not be the same in another release.
    told = (
        frame.select(*_PLACE, "criticality", "owner", faces=pl.col("interfaces").list.join(",")).hash_rows(seed=1)
        % 2**40
    )
    return _Assets(effective(frame, "asset_id"), int(told.sum()))


def _key(context: Context) -> int:
    """A number of the context; the sum of its offsets rises with every record of it, in every worker alike."""
    return sum(context.offsets.values()) or context.version


def _outcome(book: Book, revisions: list[dict[str, Any]], moment: Moment) -> Outcome:
    counts = {name: count for name, count in book.counts.items() if count}
    now_us = moment.now_us
    return Outcome(book.changes, tell.evidence(revisions, now_us), tell.alerts(revisions, now_us), counts)
