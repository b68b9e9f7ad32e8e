"""Patterns as expressions. Enter: rules, rows of evidence. Leave: which rows each pattern matches, which are new."""

from __future__ import annotations

import re
from collections.abc import Iterable

import polars as pl

from streams.core.sequence.rule import Pattern, Sequence

# A row of evidence, in the order of event time; of one instant the ids decide.
ORDER = ("begin_time", "evidence_id")


def watched(rules: Iterable[Sequence]) -> pl.Expr:
    """Rows that some pattern may match, now or in a later revision: kind and type of evidence never change."""
    return named(one for rule in rules for one in rule.patterns)


def named(patterns: Iterable[Pattern]) -> pl.Expr:
    """Rows of the kind and type of one of the patterns."""
    found = pl.lit(value=False)
    for kind, types in sorted({(one.kind, dict(one.globs)["type"]) for one in patterns}):
        found = found | ((pl.col("kind") == kind) & glob("type", types))
    return found.fill_null(value=False)


def holds(pattern: Pattern) -> pl.Expr:
    """Whether a row of evidence (located) is what a pattern says, but for newness."""
    parts = [pl.col("kind") == pattern.kind, pl.col("state").is_in(pattern.states)]
    parts += [glob(column, globs) for column, globs in pattern.globs]
    if pattern.remote is not None:
        parts.append(pl.col("remote") == pattern.remote)
    if pattern.above is not None:
        parts.append(pl.col("value") > pattern.above)
    if pattern.below is not None:
        parts.append(pl.col("value") < pattern.below)
    return pl.all_horizontal(parts).fill_null(value=False)


def who(pattern: Pattern) -> pl.Expr:
    """Who may be new: the accounts that acted, or the address they came from; null where that is not known."""
    if pattern.new != "actor":
        return pl.col("source_address")
    return pl.when(pl.col("actors").list.len() > 0).then(pl.col("actors").list.sort().list.join("\x1f"))


def pair(pattern: Pattern) -> pl.Expr:
    """Who is where, as one text; null where one of the two is not known."""
    return pl.concat_str([pl.col("site"), who(pattern), pl.coalesce("asset_id", "target_address")], separator="\x1e")


def is_new(pattern: Pattern, first_us: pl.Expr) -> pl.Expr:
    """Of rows that match, with `_pair`, in ORDER: nobody saw the pair in the time before, in which somebody watched."""
    before = pl.col("begin_time").shift(1).over("_pair")
    unseen = before.is_null() | (before < pl.col("begin_time") - pattern.learn_us)
    watched_ = pl.col("begin_time") - first_us >= pattern.learn_us
    return (unseen & watched_).fill_null(value=False)


def glob(column: str, globs: Iterable[str]) -> pl.Expr:
    """Whether a column is one of the texts, in which `*` is any text and `?` one character; case is ignored."""
    text = pl.col(column)
    plain = [one.lower() for one in globs if not set(one) & set("*?")]
    found = text.str.to_lowercase().is_in(plain)
    for one in globs:
        if set(one) & set("*?"):
            found = found | text.str.contains(_regex(one))
    return found


def _regex(text: str) -> str:
    """A glob as a regular expression of Polars."""
    return "(?is)^" + "".join({"*": ".*", "?": "."}.get(mark, re.escape(mark)) for mark in text) + "$"
