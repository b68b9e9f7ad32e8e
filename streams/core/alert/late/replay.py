"""What a condition should have told. Enter: one signal's readings, judged by one rule, by time. Leave: its excursions.

The readings go through the same transition table as when they came, but in the order of event time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from streams.core.alert import state as alert_state
from streams.core.alert.rule import Rule
from streams.core.alert.rule_condition import CHANGE
from streams.core.alert.rule_match import Compiled, Integers, Mask
from streams.core.alert.state import Condition, Reading, Transition
from streams.core.alert.walk import limit_of, reading_of
from streams.core.frames import BAD
from streams.core.times import NEVER_US


@dataclass(frozen=True)
class Excursion:
    """A time for which the condition held, on-delay and off-delay applied. Times in us.

    `begin`, `active`: when it began and was to be told; `end`: None while it stands. `cleared`: when its end was to be
    told, `why` it ended.
    """

    begin: int
    active: int
    end: int | None = None
    cleared: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Replay:
    """Excursions by begin, and the condition as it is after the last reading and up to some time."""

    excursions: Sequence[Excursion]
    condition: Condition


# Up to when a rule watches a signal of a line from some event time on, and why no longer.
Until = Callable[[str, int], tuple[int, str]]


def replayed(
    changes: Iterable[tuple[int, bool, str]], rule: Rule, clock_us: int, until: Until, fresh: Condition
) -> Replay:
    """Let what readings decide, (event time, whether the condition holds, line) by time, pass up to `clock_us`.

    `fresh` is the condition before: normal, or active.
    """
    condition, told = fresh, list[Transition]()
    begin = fresh.begin_time if fresh.phase == alert_state.ACTIVE else None
    active = fresh.active_time
    on_us, off_us = rule.condition.delays_us
    for event_time, holds, line in changes:
        told += _passed(condition, event_time, until)
        if condition.work_center != line:
            told += alert_state.withdrawn(condition, event_time, "moved")
            condition.work_center = line
        if condition.phase == alert_state.NORMAL and event_time >= until(line, event_time)[0]:
            continue
        if holds:
            alert_state.began(condition, event_time, on_us, None, "")
        else:
            alert_state.ended(condition, event_time, off_us)
        told += alert_state.advance(condition, event_time, NEVER_US, None)
        if holds and rule.type == CHANGE:
            alert_state.ended(condition, event_time, off_us)
            told += alert_state.advance(condition, event_time, NEVER_US, None)
    told += _passed(condition, clock_us, until)
    found: dict[int, Excursion] = {}
    if begin is not None:
        found[begin] = Excursion(begin, active)
    for transition in told:
        one = transition.condition
        if transition.state == "active":
            found[one.begin_time] = Excursion(one.begin_time, one.active_time)
        else:
            cleared, why = transition.event_time, transition.reason
            found[one.begin_time] = replace(found[one.begin_time], end=one.end_time, cleared=cleared, why=why)
    return Replay(list(found.values()), condition)


def _passed(condition: Condition, clock_us: int, until: Until) -> Iterator[Transition]:
    """Let time pass, at most as long as the rule watches the signal there."""
    if condition.phase == alert_state.NORMAL:
        return
    until_us, why = until(condition.work_center, condition.begin_time)
    yield from alert_state.advance(condition, min(clock_us, until_us), NEVER_US, None)
    if until_us <= clock_us:
        yield from alert_state.withdrawn(condition, until_us, why)


class Past:
    """The judged readings of one pair by time, as what transitions rest on.

    `judged`: rows of `chunk.judge_sorted` of the pair; `known`: all readings of its signal by time, also bad ones.
    `at_once`: each reading that says that the condition holds is an end, too (rules on changes).
    """

    def __init__(self, judged: pl.DataFrame, known: pl.DataFrame, *, at_once: bool = False) -> None:
        self._judged = judged
        self._at_once = at_once
        self._time: Integers = judged["event_time"].to_numpy()
        self._unknown = _unknown(known)
        self._offsets: Integers = known["_offset"].to_numpy()
        self._times: Integers = known["event_time"].to_numpy()
        self._good = known["quality"].to_numpy() < BAD

    def changes(self) -> list[tuple[int, bool, str]]:
        """What readings decide and of which line, where it is not what the one before had decided."""
        decided = self._judged.filter(pl.col("holds").is_not_null())
        said = pl.struct("holds", pl.col("work_center").cast(pl.String))
        changed = decided.filter("holds" if self._at_once else said.ne_missing(said.shift(1)))
        return list(changed.select("event_time", "holds", pl.col("work_center").cast(pl.String)).iter_rows())

    def told_last(self, before: float | None) -> float | None:
        """The value that a rule on changes told last, or its first; `before`: the one before these readings."""
        if not self._judged.height:
            return before
        row = self._judged.row(-1, named=True)
        value: float = row["value"] if row["holds"] or row["high"] is None else row["high"]
        return value

    def row(self, event_time: int, *, inclusive: bool) -> dict[str, Any] | None:
        """The last judged reading before (or, `inclusive`, at) a time."""
        at = int(np.searchsorted(self._time, event_time, side="right" if inclusive else "left")) - 1
        return self._judged.row(at, named=True) if at >= 0 else None

    def reading(self, event_time: int, *, inclusive: bool) -> Reading | None:
        """The same as what a transition rests on."""
        row = self.row(event_time, inclusive=inclusive)
        return None if row is None else reading_of(row)

    def limit(self, event_time: int) -> float | None:
        """The limit that the reading at this time is beyond."""
        row = self.row(event_time, inclusive=True)
        return None if row is None else limit_of(row)

    def unknown_us(self, begin: int, end: int) -> int:
        """How long the signal was unknown in [begin, end): from bad readings to the next that are not."""
        return sum(max(min(until, end) - max(since, begin), 0) for since, until in self._unknown)

    def coverage(self, begin: int, end: int) -> float:
        """The known share of [begin, end)."""
        return 1.0 - self.unknown_us(begin, end) / (end - begin) if end > begin else 1.0

    def came_late(self, begin: int, end: int, first_offset: int, before: int) -> bool:
        """Whether a reading of [begin, end) came after one that is newer, in a record from `first_offset` on.

        Of an alert that stands (`end` after `before`), only readings older than `before` count.
        """
        if not self._times.size:
            return False
        known = np.flatnonzero(self._good)
        times, offsets = self._times[known], self._offsets[known]
        newer = np.minimum.accumulate(offsets[::-1])[::-1]
        late = np.append(newer[1:] < offsets[:-1], False) if known.size else np.zeros(0, np.bool_)
        inside = (times >= begin) & (times < end) & (offsets >= first_offset) & (times < before)
        return bool((late & inside).any())


def _unknown(known: pl.DataFrame) -> list[tuple[int, int]]:
    """Spans (us) in which the last reading was bad; the last may be open."""
    turns = known.select("event_time", bad=pl.col("quality") >= BAD)
    turns = turns.filter(pl.col("bad") != pl.col("bad").shift(1).fill_null(value=False))
    times = [time for time, _ in turns.iter_rows()]
    return list(zip(times[::2], [*times[1::2], 1 << 62][: len(times[::2])], strict=True))


def sort_known(rows: pl.DataFrame, compiled: Compiled) -> pl.DataFrame:
    """Readings by signal (`_slot`) and time; of those that are not bad one for each instant.

    As in windows: the one with the highest source sequence, then the highest in a fixed order.
    """
    slot, time = compiled.slot(rows["signal_id"]), rows["event_time"].to_numpy()
    if not slot.size:
        return rows.with_columns(_slot=pl.Series(slot))
    low = int(time.min())
    bits = (int(time.max()) - low).bit_length() + 1  # one for what is bad: it comes behind what is not
    assert bits + int(slot.max()).bit_length() < 64, "times of a correction lie within the horizon"
    place = (slot << bits) | ((time - low) << 1) | (rows["quality"].to_numpy() >= BAD)
    order = np.argsort(place, kind="stable")
    same = place[order][1:] == place[order][:-1]
    if same.any():
        order = _winners(rows, place, order, same)
    return rows[order].with_columns(_slot=pl.Series(slot[order]))


def _winners(rows: pl.DataFrame, place: Integers, order: Integers, same: Mask) -> Integers:
    """`order` without the readings that are not the one that counts at their place."""
    involved = np.append(same, False) | np.append(False, same)
    tied = rows[order[involved]].select(
        pl.Series("place", place[order[involved]]),
        "sequence",
        pl.coalesce("value_double", pl.col("value_long").cast(pl.Float64)).fill_nan(None),
        pl.col("value_string").cast(pl.String),
        "quality",
        pl.col("source_id").cast(pl.String),
        "_offset",
        pl.Series("row", order[involved]),
    )
    best = tied.sort(tied.columns, nulls_last=False).unique("place", keep="last", maintain_order=True)
    kept = np.append(order[~involved], best["row"].to_numpy())
    return kept[np.argsort(place[kept], kind="stable")]
