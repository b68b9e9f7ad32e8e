"""Arrays that lie slot by slot. Enter: numbers and codes. Leave: places, and what was before each within its slot.

A slot is whatever readings are grouped by (a signal, a source, a node), numbered from 0; `starts` are the places where
the slots of an array begin.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.core.alert.rule_match import Integers, Mask

T = TypeVar("T", bound=np.generic)
_SMALL: Final = 1 << 16


def by_slot(values: npt.NDArray[T], slot: Integers, slots: int, missing: object) -> npt.NDArray[T]:
    """Values at their slots, `missing` elsewhere."""
    found = np.full(slots, missing, dtype=values.dtype)
    found[slot] = values
    return found


def codes(labels: pl.Series) -> Integers:
    """Codes of Categorical labels; -1: null."""
    found = labels.to_physical()
    if found.null_count():
        found = found.cast(pl.Int64).fill_null(-1)
    return found.to_numpy().astype(np.int64)


def places(keys: Integers, wanted: Integers, size: int) -> Integers:
    """Where each of `wanted` stands among the distinct `keys` (those from `size` on, and -1, are nobody's); -1: not."""
    at = np.full(size + 1, -1)
    at[np.where(keys < size, keys, size)] = np.arange(len(keys))
    return at[wanted]


def numbered(codes_: Integers, size: int) -> tuple[Integers, Integers]:
    """The distinct codes (0 up to `size`), ascending, and which of them each is."""
    there = np.zeros(size, dtype=np.bool_)
    there[codes_] = True
    distinct = np.flatnonzero(there)
    number = np.zeros(size, dtype=np.int64)
    number[distinct] = np.arange(len(distinct))
    return distinct, number[codes_]


def grouped(number: Integers, groups: int) -> Integers:
    """Places of all, group by group, in order within each."""
    # Small numbers are sorted by counting.
    small = number.astype(np.uint16) if groups <= _SMALL else number
    return np.argsort(small, kind="stable")


def firsts(slot: Integers) -> Integers:
    """Places where a new slot begins."""
    return np.flatnonzero(np.append(True, slot[1:] != slot[:-1])) if len(slot) else np.zeros(0, dtype=np.int64)


def lasts(starts: Integers, size: int) -> Integers:
    """Places where slots end that begin at `starts`, of `size` in all."""
    return np.append(starts[1:], size) - 1 if len(starts) else starts


def begins(starts: Integers, size: int) -> Integers:
    """By place: where its slot begins."""
    return np.repeat(starts, np.diff(starts, append=size))


def highest(values: Integers, slot: Integers, starts: Integers, carried: Integers) -> Integers:
    """The highest so far, within each slot, of it and what was carried."""
    falls = values[1:] < values[:-1]
    falls[starts[1:] - 1] = False
    if falls.any():
        values = pl.DataFrame({"s": slot, "v": values}).select(pl.col("v").cum_max().over("s"))["v"].to_numpy()
    return values if (values[starts] >= carried[slot[starts]]).all() else np.maximum(values, carried[slot])


def summed(values: Integers, starts: Integers, since: Integers) -> Integers:
    """Cumulative sums that begin anew at each of `starts`, with what `since` has for it."""
    total = np.cumsum(values)
    total -= np.repeat((total - values)[starts] - since, np.diff(starts, append=len(values)))
    return total


def shifted(values: npt.NDArray[T], slot: Integers, starts: Integers, carried: npt.NDArray[T]) -> npt.NDArray[T]:
    """The value before each, within its slot; the carried one before the first."""
    found = np.empty_like(values)
    found[1:] = values[:-1]
    found[starts] = carried[slot[starts]]
    return found


def before(values: npt.NDArray[T], at: Integers, slot: Integers, carried: npt.NDArray[T]) -> npt.NDArray[T]:
    """What `shifted` has at a few places."""
    return np.where(first_of(at, slot), carried[slot[at]], values[at - 1])


def first_of(at: Integers, slot: Integers) -> Mask:
    """Which of these places are the first of their slot."""
    found: Mask = (at == 0) | (slot[at] != slot[at - 1])
    return found
