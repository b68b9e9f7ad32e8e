"""One source's clock against the time its records were seen. Enter: its records' deviations. Leave: changes of state.

A record's deviation is source_time less reference time, 0 where it is within `end_s`. At most one record per `slot_us`
of reference time is a sample, so that samples are bounded and a busy source is watched for as long as a slow one. A
source whose last samples are all 0 has no state: healthy clocks cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.core.times import FOREVER_US, NEVER_US, SECOND_US

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
NONE: Final[Ints] = np.empty(0, np.int64)
# Records looked at between two changes of the state: a backlog with many changes is not gone through once for each.
_BLOCK: Final = 1_024
_LIMITS: Final = ("begin_s", "end_s", "readings", "span_s")


@dataclass(frozen=True)
class ClockConfig:
    """When a clock counts as skewed: its deviation is above `begin_s`, the same (within `end_s`) in `readings` of the
    last samples (one in eleven may differ), over at least `span_s` of reference time. It is right again where the
    median sample is within `end_s`. ValueError names every limit that is wrong.
    """

    begin_s: int = 60
    end_s: int = 30
    readings: int = 20
    span_s: int = 10

    def __post_init__(self) -> None:
        wrong = [f"{name}: set a positive number" for name in _LIMITS if getattr(self, name) <= 0]
        wrong += ["readings: set at least 2"] if self.readings == 1 else []
        wrong += ["end_s: set less than begin_s"] if self.end_s >= self.begin_s else []
        if wrong:
            raise ValueError("clock: " + "; ".join(wrong))

    @property
    def begin_us(self) -> int:
        """Deviation above which a skew begins."""
        return self.begin_s * SECOND_US

    @property
    def end_us(self) -> int:
        """Deviation below which it ends, and by which samples of one skew may differ."""
        return self.end_s * SECOND_US

    @property
    def step_us(self) -> int:
        """Smallest change of the offset that is followed: every change moves event times against each other."""
        return self.end_us // 6

    @property
    def window(self) -> int:
        """Samples that are kept."""
        return self.readings + self.readings // 10

    @property
    def slot_us(self) -> int:
        """Reference time of which at most one record is a sample."""
        return max(1, self.span_s * SECOND_US // (self.readings - 1))


@dataclass(frozen=True)
class Skew:
    """State of one source that is or may be skewed: its last samples (oldest first), and the offset in force.

    `offset_us` 0: none. `begin_us`: reference time of the first sample that showed the offset in force.
    """

    references: Ints = field(default_factory=lambda: NONE)
    deviations: Ints = field(default_factory=lambda: NONE)
    offset_us: int = 0
    begin_us: int = 0


class Event(NamedTuple):
    """From `record` (position) on, itself included, the offset is `offset_us`; `was_us` before; `at_us`: reference."""

    kind: Literal["begun", "moved", "ended"]
    record: int
    at_us: int
    begin_us: int
    offset_us: int
    was_us: int


class _Windows(NamedTuple):
    """One row per new sample: it and those before it (zeros where there are none), and what they say together."""

    references: Ints
    deviations: Ints
    median: Ints
    agree: Bools


def walk(skew: Skew | None, references: Ints, deviations: Ints, config: ClockConfig) -> tuple[Skew | None, list[Event]]:
    """The state after these records of one source (in order), and each change of its offset."""
    events: list[Event] = []
    at, end = 0, len(deviations)
    while at < end:
        if skew is None:
            away = np.flatnonzero(deviations[at:])
            if not away.size:
                break
            skew, at = Skew(), at + int(away[0])
        upto = min(at + _BLOCK, end)
        taken = at + _sampled(skew, references[at:upto], config)
        if not taken.size:
            at = upto
            continue
        windows = _windows(skew, references[taken], deviations[taken], config)
        found = _first(skew, windows, config)
        place = len(taken) - 1 if found is None else found[0]
        skew, event = _after(skew, windows, place, None if found is None else found[1], int(taken[place]), config)
        events += [] if event is None else [event]
        at = upto if found is None else int(taken[place]) + 1
    return skew, events


def _sampled(skew: Skew, references: Ints, config: ClockConfig) -> Ints:
    """Places of the records that are samples: each is in a later slot than all before."""
    last = skew.references[-1] // config.slot_us if skew.references.size else NEVER_US
    slots = np.concatenate(([last], references // config.slot_us))
    return np.flatnonzero(slots[1:] > np.maximum.accumulate(slots)[:-1])


def _windows(skew: Skew, references: Ints, deviations: Ints, config: ClockConfig) -> _Windows:
    def rows(before: Ints, new: Ints) -> Ints:
        padded = np.concatenate((np.zeros(config.window - before.size, np.int64), before, new))
        return np.lib.stride_tricks.sliding_window_view(padded, config.window)[1:]

    deviation = rows(skew.deviations, deviations)
    median = np.partition(deviation, config.window // 2, axis=1)[:, config.window // 2]
    # 0 never agrees with a median that is not 0: deviations within end_us are 0.
    agree = (np.abs(deviation - median[:, None]) <= config.end_us) & (median != 0)[:, None]
    return _Windows(rows(skew.references, references), deviation, median, agree)


def _first(skew: Skew, windows: _Windows, config: ClockConfig) -> tuple[int, int | None] | None:
    """The first sample that changes the state, and the offset after it (0: none; None: the state is forgotten)."""
    count = windows.agree.sum(axis=1)
    agreeing = np.sort(np.where(windows.agree, windows.deviations, FOREVER_US), axis=1)
    offset = np.take_along_axis(agreeing, np.maximum(count - 1, 0)[:, None] // 2, axis=1)[:, 0]
    enough = count >= config.readings
    if skew.offset_us:
        over = windows.median == 0
        changed = over | (enough & (np.abs(offset - skew.offset_us) > config.step_us))
        offset = np.where(over, 0, offset)
        places = np.flatnonzero(changed)
        return (int(places[0]), int(offset[places[0]])) if places.size else None
    begins = enough & (np.abs(windows.median) > config.begin_us) & _running(windows, config)
    healthy: Bools = (windows.deviations == 0).all(axis=1)
    places = np.flatnonzero(begins | healthy)
    if not places.size:
        return None
    return int(places[0]), None if healthy[places[0]] else int(offset[places[0]])


def _running(windows: _Windows, config: ClockConfig) -> Bools:
    """The samples that agree span enough reference time, and the clock ran meanwhile.

    A stamp that stands still (a constant, or a value that was acquired long ago and is read again and again) falls
    behind by as much as the reference advances; a clock keeps its distance.
    """
    agree, half = windows.agree, config.window // 2
    latest = np.where(agree, windows.references, NEVER_US).max(axis=1)
    span = latest - np.where(agree, windows.references, FOREVER_US).min(axis=1)
    above = np.where(agree, windows.deviations - windows.median[:, None], 0)
    means = [
        above[:, part].sum(axis=1) // np.maximum(agree[:, part].sum(axis=1), 1)
        for part in (slice(None, half), slice(half, None))
    ]
    running: Bools = (span >= config.span_s * SECOND_US) & (np.abs(means[1] - means[0]) * 4 < span)
    return running


def _after(
    skew: Skew, windows: _Windows, place: int, offset_us: int | None, record: int, config: ClockConfig
) -> tuple[Skew | None, Event | None]:
    """The state after the sample at `place`, where the offset is `offset_us` from then on (None: as it was)."""
    known = min(config.window, skew.references.size + place + 1)
    references, deviations = windows.references[place, -known:], windows.deviations[place, -known:]
    if offset_us is None:
        return (Skew(references, deviations, skew.offset_us, skew.begin_us) if deviations.any() else None), None
    at_us = int(references[-1])
    if not offset_us:
        return None, Event("ended", record, at_us, skew.begin_us, 0, skew.offset_us)
    if skew.offset_us:
        event = Event("moved", record, at_us, skew.begin_us, offset_us, skew.offset_us)
    else:
        begin_us = int(windows.references[place][windows.agree[place]].min())
        event = Event("begun", record, at_us, begin_us, offset_us, 0)
    return Skew(references, deviations, offset_us, event.begin_us), event
