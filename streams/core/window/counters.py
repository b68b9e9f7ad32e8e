"""What counters have counted. Enters: held readings. Leaves: increments, resets, rollovers, by reading and by window.

An increment belongs to the instant of the later reading, however far back the one before it lies. A counter that falls
has passed its rollover if that is the shorter way round (under half of its range), else it was reset, and the new value
is the increment: the rule of the KPIs, with the same limit for what nobody can have counted. No increment is told
against a reading in another unit or scaling, of bad quality, or announced at a birth: births repeat what is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from streams.core.frames import BAD, BIRTH
from streams.core.window.rows import EXACT, Held, whole
from streams.core.window.signals import Bools, Floats, Ints, Signals

# Increments are summed in whole millionths, so that sums do not depend on where windows begin.
MICRO: Final = 1_000_000
# Between two readings of a counter: a greater one comes from a wrong reading and counts nothing.
MOST_ITEMS: Final = 9e9


COUNTS: Final = pl.Schema({"increment": pl.Float64(), "resets": pl.Int32(), "rollovers": pl.Int32()})


@dataclass(frozen=True)
class Counted:
    """By position in `Held`: the increment in millionths (0 where none), whether the counter was reset, rolled over."""

    increment: Ints
    reset: Bools
    rolled: Bools


def counting(held: Held, signals: Signals) -> Bools:
    """Readings of counters that an increment is told against."""
    found: Bools = signals.counter[held.entry] & (held.quality != BAD) & ~np.isnan(held.value)
    if held.flags is not None:
        found &= (held.flags & BIRTH) == 0
    return found


def counted(held: Held, signals: Signals) -> Counted | None:
    """Increments, resets and rollovers of the readings; None: the dictionary has no counter."""
    if not signals.counter.any():
        return None
    place = np.flatnonzero(counting(held, signals))
    before, own = place[:-1], place[1:]
    scale = signals.scaling.number[held.entry]
    related = (held.code[own] == held.code[before]) & (scale[own] == scale[before])
    before, own = before[related], own[related]
    step, around = _steps(held, signals, before, own)
    fell = step < 0
    # A counter without rollover compares with NaN: no.
    rolled = fell & (around >= 0) & (around < signals.modulus[held.entry[own]] / 2)
    count = np.where(fell, np.where(rolled, around, np.maximum(held.value[own], 0.0)), step)
    size = held.code.size
    increment, was_reset, has_rolled = np.zeros(size, np.int64), np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    increment[own] = np.rint(np.where(count <= MOST_ITEMS, count, 0.0) * MICRO).astype(np.int64)
    was_reset[own], has_rolled[own] = fell & ~rolled, rolled
    return Counted(increment, was_reset, has_rolled)


def _steps(held: Held, signals: Signals, before: Ints, own: Ints) -> tuple[Floats, Floats]:
    """From each reading before to its successor: the difference, and the difference by way of the rollover."""
    entry = held.entry[own]
    value, earlier = held.value[own], held.value[before]
    step = value - earlier
    around = step + signals.modulus[entry]
    large = np.maximum(np.abs(value), np.abs(earlier)) >= EXACT
    # A difference of more than 63 bits would not fit; nobody has counted that much.
    large &= np.abs(step) < 2.0**63
    if large.any():
        residual = held.frame["residual"].to_numpy()[held.index].astype(np.int64)
        exact = whole(held.value[own[large]]) + residual[own[large]]
        exact -= whole(held.value[before[large]]) + residual[before[large]]
        step[large] = exact
        modulus = signals.whole_modulus[entry[large]]
        around[large] = np.where(modulus > 0, exact + modulus, around[large])
    return step, around


def totals(found: Counted, row: Ints, reading: Bools, group: Ints, groups: int) -> dict[str, Ints | Floats | Bools]:
    """COUNTS of every group (a window) of pieces, of which only readings count.

    `row` is the position in `Held` of each piece.
    """
    place = np.flatnonzero(reading & ((found.increment != 0) | found.reset | found.rolled)[row])
    own, among = row[place], group[place]
    increment = np.zeros(groups, np.int64)
    np.add.at(increment, among, found.increment[own])
    resets, rolled = (np.bincount(among[mask[own]], minlength=groups) for mask in (found.reset, found.rolled))
    return {"increment": increment / MICRO, "resets": resets, "rollovers": rolled}
