"""What a counter has counted between two readings of it: one rule for windows and KPIs.

Enter: numbers as published, and those of the readings before. Leave: increments, resets, rollovers, what is refused.
An increment belongs to the instant of the later reading, however far back the one before it lies. A counter that falls
has passed its rollover if that is the shorter way round (under half of its range), else it was reset, and the new value
is the increment. The rollover is that of the dictionary's version as of the later reading. Which readings an increment
is told against is the caller's to see to: never one in another unit or scaling, of bad quality, or announced at a
birth, for births repeat what is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Increments are summed in whole millionths, so that sums do not depend on where windows and periods begin.
MICRO: Final = 1_000_000
# Between two readings: more comes from a wrong reading and counts nothing. A thousand of these still add up exactly.
MOST_ITEMS: Final = 9e9
# From here on a double does not hold every integer.
EXACT: Final = 2**53
# How increments that were refused are counted.
REFUSED: Final = ("readings", "implausible_increment")


class Numbers(NamedTuple):
    """Published numbers: the nearest double, and what it loses of a 64-bit integer (at most 512)."""

    value: Floats
    residual: Ints


class Registers(NamedTuple):
    """What a rollover takes off the published number: `modulus` (NaN: there is none), and the same as an exact integer
    where the published number is the register's own (`whole`, else 0).
    """

    modulus: Floats
    whole: Ints


@dataclass(frozen=True)
class Counted:
    """By reading: the increment in millionths (0 where none), whether the counter was reset, rolled over, refused."""

    increment: Ints
    reset: Bools
    rolled: Bools
    refused: Bools


def whole(value: Floats) -> Ints:
    """As 64-bit integers. 2^63, to which the largest ones are rounded, wraps: a residual brings it back."""
    with np.errstate(invalid="ignore"):
        return value.astype(np.int64)


def split(number: Ints) -> Numbers:
    """64-bit integers as `Numbers`."""
    value = number.astype(np.float64)
    return Numbers(value, number - whole(value))


def counted(before: Numbers, own: Numbers, registers: Registers) -> Counted:
    """From each number before to its successor; exact in 64 bits, whatever the register's width."""
    with np.errstate(over="ignore", invalid="ignore"):
        step, around, shorter = _steps(before, own, registers)
        fell = step < 0
        rolled = fell & shorter
        count = np.where(fell, np.where(rolled, around, np.maximum(own.value, 0.0)), step)
        refused = count > MOST_ITEMS
        increment = np.rint(np.where(refused, 0.0, count) * MICRO).astype(np.int64)
    return Counted(increment, fell & ~rolled, rolled, refused)


def _steps(before: Numbers, own: Numbers, registers: Registers) -> tuple[Floats, Floats, Bools]:
    """The difference, that by way of the rollover, and whether the latter is the shorter way round."""
    step = own.value - before.value
    around = step + registers.modulus
    # A counter without rollover compares with NaN: no.
    shorter = (around >= 0) & (around < registers.modulus / 2)
    # A difference of more than 63 bits would not fit; nobody has counted that much.
    large = (np.maximum(np.abs(own.value), np.abs(before.value)) >= EXACT) & (np.abs(step) < 2.0**63)
    if large.any():
        exact = whole(own.value[large]) + own.residual[large]
        exact -= whole(before.value[large]) + before.residual[large]
        step[large] = exact
        modulus = registers.whole[large]
        over, known = exact + modulus, modulus > 0
        around[large] = np.where(known, over, around[large])
        shorter[large] = np.where(known, (over >= 0) & (over < modulus - over), shorter[large])
    return step, around, shorter
