"""What counters have counted, by window. Enters: held readings. Leaves: increments, resets, rollovers, what is refused.

The rule is that of `core.counters`, as for KPIs. No increment is told against a reading in another unit or scaling, of
bad quality, or announced at a birth: births repeat what is known.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from streams.core import counters
from streams.core.counters import MICRO, Counted, Numbers, Registers
from streams.core.frames import BAD, BIRTH
from streams.core.window.rows import Held
from streams.core.window.signals import Bools, Floats, Ints, Signals

COUNTS: Final = pl.Schema({"increment": pl.Float64(), "resets": pl.Int32(), "rollovers": pl.Int32()})


def counting(held: Held, signals: Signals) -> Bools:
    """Readings of counters that an increment is told against."""
    found: Bools = signals.counter[held.entry] & (held.quality != BAD) & ~np.isnan(held.value)
    if held.flags is not None:
        found &= (held.flags & BIRTH) == 0
    return found


def counted(held: Held, signals: Signals) -> Counted | None:
    """What was counted, by position in `Held`; None: the dictionary has no counter."""
    if not signals.counter.any():
        return None
    place = np.flatnonzero(counting(held, signals))
    before, own = place[:-1], place[1:]
    scale = signals.scaling.number[held.entry]
    related = (held.code[own] == held.code[before]) & (scale[own] == scale[before])
    before, own = before[related], own[related]
    entry = held.entry[own]
    registers = Registers(signals.modulus[entry], signals.whole_modulus[entry])
    found = counters.counted(_numbers(held, before), _numbers(held, own), registers)
    size = held.code.size
    increment = np.zeros(size, np.int64)
    increment[own] = found.increment
    masks = np.zeros((3, size), np.bool_)
    masks[:, own] = found.reset, found.rolled, found.refused
    return Counted(increment, *masks)


def _numbers(held: Held, place: Ints) -> Numbers:
    residual = held.frame["residual"].to_numpy()[held.index[place]]
    return Numbers(held.value[place], residual.astype(np.int64))


def refused(held: Held, signals: Signals, before_us: int, watermark_us: int) -> int:
    """Increments of more than can be counted, over which the shortest windows close between these watermarks."""
    found = counted(held, signals)
    if found is None or not found.refused.any():
        return 0
    code, time = held.code[found.refused], held.time[found.refused]
    closed = (time >= signals.settled(code, before_us)) & (time < signals.settled(code, watermark_us))
    return int(closed.sum())


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
