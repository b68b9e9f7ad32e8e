"""One line in motion. In: seed, line, start. Out: what each of its signals is worth at given times, in published units.

All functions of time are pure: the same times give the same values, however they are asked for.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.plant import noise
from streams.plant.model import SECOND_US, UNITS, Signal, signal_id, signals
from streams.plant.noise import Floats, Integers
from streams.plant.script import Episode, Order, Script
from streams.plant.timeline import Segments, segments
from streams.plant.values import ON_CHANGE, SAMPLED, Events

GOOD, UNCERTAIN, BAD = range(3)
# Sensors that fail now and then, and what their source then says of them.
_DEFECTS: Final = {"torque": BAD, "glue-temperature": UNCERTAIN}
_DEFECT_EVERY_US: Final = 180 * SECOND_US
_DEFECT_US: Final = 25 * SECOND_US


class Line:
    """A line of the plant; `prepare` before asking for values up to a time.

    Args:
        seed: what chance depends on.
        number: place of the line in the plant, 0 is the first.
        start_us: when the plant starts.
    """

    def __init__(self, seed: int, number: int, start_us: int) -> None:
        self.number = number
        self.start_us = start_us
        self.signals = signals(number)
        self._script = Script(seed, number, start_us)
        self._keys = {signal: noise.key(seed, signal_id(number, signal)) for signal in self.signals}
        self._delay_keys = {signal: noise.key(seed, signal_id(number, signal) + "/delay") for signal in self.signals}
        self.segments: tuple[Segments, ...] = ()

    @property
    def episodes(self) -> list[Episode]:
        """What happens on the line, as far as prepared."""
        return self._script.episodes

    @property
    def orders(self) -> list[Order]:
        """The orders of the line, as far as prepared; the last one is released and not started."""
        return self._script.orders

    def prepare(self, until_us: int) -> None:
        """Make values before `until_us` available; costs nothing where they are already."""
        if self._script.read_until(until_us):
            self.segments = tuple(
                segments(unit, self.start_us, self.episodes, self.orders) for unit in range(len(UNITS))
            )

    def sample(self, signal: Signal, number: Integers, time_us: Integers) -> Floats:
        """Values of a sampled signal at its samples' numbers and times."""
        return SAMPLED[signal.value](self, signal, number, time_us)

    def events(self, signal: Signal) -> Events:
        """All values of a signal that only events change, as far as prepared."""
        return ON_CHANGE[signal.value](self, signal)

    def noise(self, signal: Signal, number: Integers) -> Floats:
        """Noise of a signal's samples: mean 0, standard deviation 1."""
        return noise.normal(self._keys[signal], number)

    def delay(self, signal: Signal, number: Integers) -> Floats:
        """How much later than its turn each sample is taken, as a share in [0, 1) of what the signal allows."""
        return noise.uniform(self._delay_keys[signal], number)

    def quality(self, signal: Signal, time_us: Integers) -> Integers:
        """Quality of a signal at each time: 0 good, 1 uncertain, 2 bad."""
        defect = _DEFECTS.get(signal.name, GOOD)
        turn, into = np.divmod(time_us - self.start_us, _DEFECT_EVERY_US)
        begin = (0.3 + 0.5 * self.delay(signal, turn)) * _DEFECT_EVERY_US
        return np.where((into >= begin) & (into < begin + _DEFECT_US), defect, GOOD).astype(np.int64)
