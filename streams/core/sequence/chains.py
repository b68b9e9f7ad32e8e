"""Steps that follow one another. Enter: the rows of one entity by pattern, a rule. Leave: chains, one per last step.

Evidence is in the order of event time, that of one instant in the order of its ids. A chain is sought backwards from
each piece of evidence that may be the last: every step takes the latest evidence that no later step has taken, from the
same instant as the step behind it or from before. Where no evidence fits two steps, a chain is found if there is one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from streams.core.sequence.rule import AFTER, ANY, BEFORE
from streams.core.sequence.rule import Sequence as Rule


class Row(NamedTuple):
    """A row of evidence in its order; `row` is its number."""

    time_us: int
    evidence_id: str
    row: int
    own: bool


class Chain(NamedTuple):
    """Rows of each step, in the order of the rule's steps; `holds`: nothing is there that must be absent."""

    last: Row
    steps: tuple[tuple[Row, ...], ...]
    holds: bool


Rows = Sequence[Row]


def chains(rule: Rule, matching: Sequence[Rows], from_us: int, to_us: int) -> Iterator[Chain]:
    """Chains whose last row lies within [from_us, to_us]. `matching`: by pattern of the rule, rows in order."""
    steps = matching[: len(rule.steps)]
    for last, ends in _lasts(rule, steps, from_us, to_us):
        for end in ends:
            taken = _unordered(rule, steps, last, end) if rule.order == ANY else _ordered(rule, steps, last)
            if taken is not None:
                yield Chain(last, taken, not _present(rule, matching, taken))
                break


def _lasts(rule: Rule, steps: Sequence[Rows], from_us: int, to_us: int) -> Iterator[tuple[Row, list[int]]]:
    """Rows that may be the last, each with the steps that it may be."""
    found: dict[Row, list[int]] = {}
    for number in range(len(steps)) if rule.order == ANY else (len(steps) - 1,):
        for row in _span(steps[number], from_us, to_us + 1):
            if row.own:
                found.setdefault(row, []).append(number)
    yield from sorted(found.items())


def _span(rows: Rows, from_us: int, until_us: int) -> Rows:
    """Rows within [from_us, until_us)."""
    return rows[bisect_left(rows, (from_us,)) : bisect_left(rows, (until_us,))]


def _ordered(rule: Rule, steps: Sequence[Rows], last: Row) -> tuple[tuple[Row, ...], ...] | None:
    used, floor_us = {last.row}, last.time_us - rule.within_us
    taken: list[tuple[Row, ...]] = []
    place = bisect_left(steps[-1], last)
    for number in range(len(steps) - 1, -1, -1):
        is_last = number == len(steps) - 1
        found = _latest(steps[number], place, floor_us, rule.steps[number].count - is_last, used)
        if found is None:
            return None
        taken.append((*found, last) if is_last else found)
        if number:
            place = bisect_left(steps[number - 1], (taken[-1][0].time_us + 1,))
    return tuple(reversed(taken))


def _unordered(rule: Rule, steps: Sequence[Rows], last: Row, end: int) -> tuple[tuple[Row, ...], ...] | None:
    """Steps in any order, all before `last`, which is one of step `end`."""
    used, floor_us = {last.row}, last.time_us - rule.within_us
    taken: list[tuple[Row, ...]] = []
    for number, rows in enumerate(steps):
        found = _latest(rows, bisect_left(rows, last), floor_us, rule.steps[number].count - (number == end), used)
        if found is None:
            return None
        taken.append((*found, last) if number == end else found)
    return tuple(taken)


def _latest(rows: Rows, place: int, floor_us: int, count: int, used: set[int]) -> tuple[Row, ...] | None:
    """The last `count` of `rows[:place]` that are not `used` nor before `floor_us`, which are used then; in order."""
    found: list[Row] = []
    while len(found) < count:
        place -= 1
        if place < 0 or rows[place].time_us < floor_us:
            return None
        if rows[place].row not in used:
            found.append(rows[place])
    used.update(row.row for row in found)
    return tuple(reversed(found))


def _present(rule: Rule, matching: Sequence[Rows], taken: tuple[tuple[Row, ...], ...]) -> bool:
    """Whether something is there that must be absent; what is a step of the chain is not."""
    used = {row.row for step in taken for row in step}
    first_us = min(row.time_us for step in taken for row in step)
    last_us = max(row.time_us for step in taken for row in step)
    for absent, rows in zip(rule.absent, matching[len(rule.steps) :], strict=True):
        if absent.when == BEFORE:
            span = _span(rows, first_us - absent.within_us, first_us)
        elif absent.when == AFTER:
            span = _span(rows, last_us + 1, last_us + absent.within_us + 1)
        else:
            span = _span(rows, first_us, last_us + 1)
        if any(row.row not in used for row in span):
            return True
    return False
