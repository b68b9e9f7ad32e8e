"""Rules joined with the signal dictionary, once per version of it. Enter: rules, `it.signal.v1`. Leaves: `Compiled`.

A *pair* is a rule and a signal it watches, a *slot* a signal that at least one rule watches; both are numbered from 0,
so that a chunk looks its limits up by position. The selection holds as of event time: each row of `pairs` is one
version of the dictionary entry, with the time it is valid.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.core.alert.rule import Rule
from streams.core.alert.rule_condition import CHANGE, PER_S, RATE_OF_CHANGE, STATE, THRESHOLD, Selector
from streams.core.dictionary import versions
from streams.core.frames import ID
from streams.core.times import SECOND_US, microseconds

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
T = TypeVar("T", bound=np.generic)

PAIRS: Final = pl.Schema(
    {
        "pair": pl.Int64(),
        "slot": pl.Int64(),
        "rule": pl.Int64(),
        "rule_id": ID,
        "signal_id": ID,
        "type": pl.String(),
        "valid_from": pl.Int64(),
        "valid_to": pl.Int64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "high_clear": pl.Float64(),
        "low_clear": pl.Float64(),
        "over_us": pl.Int64(),
        "per_us": pl.Int64(),
        "by": pl.Float64(),
    }
)
# What there is to know of a rule on changes and a signal.
CHANGING: Final = ("pair", "slot", "rule_id", "signal_id", "valid_from", "valid_to", "by")
# States of discrete signals that each rule (by its number) names.
LABELS: Final = pl.Schema({"rule": pl.Int64(), "value_string": ID})


@dataclass(frozen=True)
class Compiled:
    """What the rules mean for the signals of one dictionary.

    `slot_of` maps the code of a Categorical signal id to its slot (-1: no rule watches it). A value of slot *s* that
    is within `safe_low[s]`..`safe_high[s]` ends every threshold condition of the signal; `label_named` tells, by the
    code of a label, whether a state rule names it. `pair_until` is the event time from which on a rule watches a signal
    no longer (FOREVER_US: open). `moves` has (valid_from, valid_to, line) of each version of signals that changed
    their line, by signal. `levels`, `rates` and `changing` are the `pairs` of limits and states, of
    rates of change, and of changes; `known` has every pair once, with rule_id and signal_id.
    """

    rules: tuple[Rule, ...]
    pairs: pl.DataFrame
    levels: pl.DataFrame
    rates: pl.DataFrame
    changing: pl.DataFrame
    known: pl.DataFrame
    pair_keys: tuple[tuple[str, str], ...]
    pair_number: dict[tuple[str, str], int]
    pair_slot: Integers
    pair_rule: Integers
    pair_until: Integers
    moves: dict[str, list[tuple[int, int, str]]]
    signal_ids: pl.Series
    slot_of: npt.NDArray[np.int64]
    safe_low: Floats
    safe_high: Floats
    has_state: Mask
    has_rate: Mask
    has_change: Mask
    label_named: Mask
    labels: pl.DataFrame

    @property
    def slots(self) -> int:
        """Number of signals that rules watch."""
        return len(self.signal_ids)

    def slot(self, signal_ids: pl.Series) -> Integers:
        """Slots of Categorical signal ids; -1 where no rule watches the signal."""
        return look_up(self.slot_of, signal_ids, -1)

    def until(self, pair: int, line: str, begin_us: int) -> tuple[int, str]:
        """Event time from which on a rule does not watch a signal of a line any longer, from `begin_us` on, and why."""
        end_us = int(self.pair_until[pair])
        for valid_from, valid_to, now in self.moves.get(self.pair_keys[pair][1], ()):
            if now != line and valid_to > begin_us and valid_from < end_us:
                return max(valid_from, begin_us), "moved"
        return end_us, "signal_removed"


def look_up(table: npt.NDArray[T], labels: pl.Series, missing: object) -> npt.NDArray[T]:
    """`table` at the codes of Categorical `labels`; `missing` for nulls and labels that came after the table."""
    codes = labels.to_physical().cast(pl.Int64).fill_null(len(table)).to_numpy()
    padded: npt.NDArray[T] = np.append(table, np.array([missing], dtype=table.dtype))
    found: npt.NDArray[T] = padded[np.minimum(codes, len(table))]
    return found


def compile_rules(rules: Sequence[Rule], signals: pl.DataFrame) -> Compiled:
    """Every running rule with every signal it watches, in every version of the dictionary `signals`."""
    running = tuple(rule for rule in rules if rule.runs and rule.watch is None)
    entries = versions(signals)
    found = [_select(rule, number, entries) for number, rule in enumerate(running)]
    pairs = pl.concat([pl.DataFrame(schema=_FOUND), *found]).sort("signal_id", "rule", "valid_from")
    pairs = pairs.with_columns(
        slot=pl.col("signal_id").rle_id().cast(pl.Int64),
        pair=pl.struct("signal_id", "rule").rle_id().cast(pl.Int64),
    ).select(pl.col(name).cast(dtype) for name, dtype in PAIRS.items())
    once = pairs.unique("pair", keep="last").sort("pair")
    signal_ids = once.unique("slot").sort("slot")["signal_id"]
    keys = tuple(once.select("rule_id", "signal_id").cast(pl.String).iter_rows())
    labels = _labels(running)
    safe_low, safe_high = _bounds(once, len(signal_ids))
    return Compiled(
        rules=running,
        pairs=pairs,
        levels=pairs.filter(pl.col("type").is_in((THRESHOLD, STATE))).drop("over_us", "per_us", "by"),
        rates=pairs.filter(pl.col("type") == RATE_OF_CHANGE).drop("by"),
        changing=pairs.filter(pl.col("type") == CHANGE).select(*CHANGING),
        known=once.select("pair", "rule_id", "signal_id"),
        pair_keys=keys,
        pair_number={key: number for number, key in enumerate(keys)},
        pair_slot=once["slot"].to_numpy(),
        pair_rule=once["rule"].to_numpy(),
        pair_until=once["valid_to"].to_numpy(),
        moves=_moves(entries),
        signal_ids=signal_ids,
        slot_of=by_code(signal_ids, np.arange(len(signal_ids), dtype=np.int64), -1),
        label_named=by_code(labels["value_string"], np.ones(labels.height, dtype=np.bool_), fill=False),
        labels=labels,
        safe_low=safe_low,
        safe_high=safe_high,
        has_state=_has(once, len(signal_ids), STATE),
        has_rate=_has(once, len(signal_ids), RATE_OF_CHANGE),
        has_change=_has(once, len(signal_ids), CHANGE),
    )


_FOUND: Final = pl.Schema({name: dtype for name, dtype in PAIRS.items() if name not in {"pair", "slot"}} | {
    "rule_id": pl.String(), "signal_id": pl.String()
})  # fmt: skip


def wanted(select: Selector) -> pl.Expr:
    """Whether a row (of the dictionary, or of nodes) is one that the rule watches."""
    found = pl.col("role") == select.role if select.role else pl.lit(value=True)
    if select.unit is not None:
        # UCUM writes "no unit" as 1, dictionaries leave it out.
        found &= pl.col("unit").fill_null("1") == select.unit
    for column, patterns in select.globs:
        found &= pl.col(column).fill_null("").str.contains("|".join(_regex(pattern) for pattern in patterns))
    return found


def _select(rule: Rule, number: int, entries: pl.DataFrame) -> pl.DataFrame:
    condition = rule.condition
    high = np.inf if condition.high is None else condition.high
    low = -np.inf if condition.low is None else condition.low
    return entries.filter(wanted(rule.select)).select(
        rule=pl.lit(number, pl.Int64),
        rule_id=pl.lit(rule.id),
        signal_id="signal_id",
        type=pl.lit(rule.type),
        valid_from="valid_from",
        valid_to="valid_to",
        high=pl.lit(high),
        low=pl.lit(low),
        high_clear=pl.lit(high - condition.deadband),
        low_clear=pl.lit(low + condition.deadband),
        over_us=pl.lit(microseconds(condition.over_s), pl.Int64),
        per_us=pl.lit(PER_S.get(condition.per, 1) * SECOND_US, pl.Int64),
        by=pl.lit(condition.by),
    ).select(_FOUND.names())  # fmt: skip


def _regex(pattern: str) -> str:
    """A glob (`*` any text, `?` one character, upper and lower case alike) as a regular expression of Polars."""
    return "(?is)^" + "".join({"*": ".*", "?": "."}.get(mark, re.escape(mark)) for mark in pattern) + "$"


def _moves(entries: pl.DataFrame) -> dict[str, list[tuple[int, int, str]]]:
    """Versions of the signals that belong to one line after another, by signal and in order."""
    several = entries.filter(pl.col("work_center").n_unique().over("signal_id") > 1)
    found: dict[str, list[tuple[int, int, str]]] = {}
    for signal_id, *version in several.select("signal_id", "valid_from", "valid_to", "work_center").iter_rows():
        found.setdefault(signal_id, []).append((version[0], version[1], version[2]))
    return found


def _labels(rules: Sequence[Rule]) -> pl.DataFrame:
    rows = [(number, state) for number, rule in enumerate(rules) for state in rule.condition.states]
    return pl.DataFrame(rows, schema=LABELS, orient="row")


def by_code(labels: pl.Series, values: npt.NDArray[T], fill: object) -> npt.NDArray[T]:
    """`values` of Categorical `labels` by the labels' codes, for `look_up`; `fill` where no label has the code."""
    codes = labels.to_physical().to_numpy()
    table = np.full(int(codes.max()) + 1 if len(codes) else 0, fill, dtype=values.dtype)
    table[codes] = values
    return table


def _bounds(once: pl.DataFrame, slots: int) -> tuple[Floats, Floats]:
    """By slot: the values within which every threshold condition of the signal has ended."""
    limits = once.filter(pl.col("type") == THRESHOLD)
    safe_low, safe_high = np.full(slots, -np.inf), np.full(slots, np.inf)
    np.maximum.at(safe_low, limits["slot"].to_numpy(), limits["low_clear"].to_numpy())
    np.minimum.at(safe_high, limits["slot"].to_numpy(), limits["high_clear"].to_numpy())
    return safe_low, safe_high


def _has(once: pl.DataFrame, slots: int, rule_type: str) -> Mask:
    found = np.zeros(slots, dtype=np.bool_)
    found[once.filter(pl.col("type") == rule_type)["slot"].to_numpy()] = True
    return found
