"""Noise that is a function of its place. In: a key and sample numbers. Out: the same numbers in every run and any step.

A generator with a state would make a reading depend on how many were drawn before it; a hash of (key, sample number)
does not. The hash is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
OOPSLA 2014).
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_GOLDEN: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1


def key(seed: int, name: str) -> int:
    """A 64-bit key for a named stream of numbers; equal for equal arguments on every machine."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "little")


def uniform(stream: int, index: Integers) -> Floats:
    """Evenly distributed numbers in [0, 1), one per sample number."""
    z = index.astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(stream)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(stream: int, index: Integers) -> Floats:
    """Normally distributed numbers (mean 0, standard deviation 1), one per sample number, by Box and Muller."""
    radius = np.sqrt(-2.0 * np.log1p(-uniform(stream, index)))
    return radius * np.cos(2.0 * np.pi * uniform((stream + _GOLDEN) & _MASK ^ 0x5851F42D4C957F2D, index))
