"""What windows must say: plain Python over the whole set of readings at once, one window after the other.

It shares nothing with the program but the meaning: no frames, no state, no order of arrival. Where the two differ, one
of them is wrong.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

SECOND = 1_000_000
DAY_S = 86_400
GOOD, UNCERTAIN, BAD = 0, 1, 2


@dataclass(frozen=True)
class Reading:
    """One validated reading; times in us; `sequence` is the source's own; `whole` is a number sent as an integer."""

    signal: str
    source: str
    time: int
    value: float | None = None
    label: str | None = None
    quality: int = GOOD
    sequence: int | None = None
    historical: bool = False
    whole: int | None = None
    forced: bool = False
    birth: bool = False

    @property
    def number(self) -> float | None:
        """Its number as a double."""
        return self.value if self.whole is None else float(self.whole)

    @property
    def exact(self) -> Fraction | None:
        """Its number, exactly."""
        number = self.value if self.whole is None else self.whole
        return None if number is None else Fraction(number)

    @property
    def told(self) -> tuple[str, int, Fraction | None, str | None, int]:
        """What makes two readings exact duplicates."""
        return (self.signal, self.time, self.exact, self.label, self.quality)


@dataclass(frozen=True)
class Signal:
    """What the dictionary says of a signal; times in us, lengths in s; `changes` is when its unit changes."""

    name: str
    on_change: bool = False
    period: int | None = None
    role: str = "measurement"
    lengths: tuple[int, ...] = (10, 60)
    rollover: int | None = None
    changes: tuple[int, ...] = ()

    def windowed(self) -> tuple[int, ...]:
        """Lengths of its windows: its own, if all of them divide a day."""
        fit = self.lengths and all(length > 0 and DAY_S % length == 0 for length in self.lengths)
        return self.lengths if fit else (10, 60)

    def cuts(self) -> tuple[int, ...]:
        """When its values become others; a label stays what it is."""
        return () if self.discrete() else self.changes

    def unit(self, time: int) -> int:
        """Which of its units holds then."""
        return sum(cut <= time for cut in self.cuts())

    def counts(self) -> bool:
        """Whether it is a counter."""
        return self.role in {"good_counter", "reject_counter", "total_counter"}

    def hold(self) -> int:
        """How long a value stands without a successor."""
        if self.on_change:
            return 86_400 * SECOND
        return 60 * SECOND if self.period is None else self.period * 5 // 2

    def discrete(self) -> bool:
        """Whether its values are states."""
        return self.role in {"state", "phase", "alarm", "batch_id"}


Window = tuple[str, int, int]
Segment = tuple[int, int, Reading]
Payload = dict[str, float | int | Fraction | list[str] | list[float] | None]
Count = tuple[int, Fraction, bool, bool]


def rank(reading: Reading) -> tuple[bool | int | str | Fraction, ...]:
    """Of contradicting readings the one with the highest rank holds; what is missing ranks lowest."""
    sequence, exact, label = reading.sequence, reading.exact, reading.label
    return (
        sequence is not None,
        sequence or 0,
        exact is not None,
        exact or Fraction(),
        label is not None,
        label or "",
        reading.quality,
        reading.source,
        not reading.historical,
        not reading.birth,
        not reading.forced,
    )


def accepted(readings: list[Reading]) -> tuple[dict[str, list[Reading]], int, int]:
    """Per signal the readings that hold, by time; how many repeat another exactly, how many lost against another."""
    by_instant: dict[tuple[str, int], list[Reading]] = defaultdict(list)
    for reading in readings:
        by_instant[reading.signal, reading.time].append(reading)
    by_signal: dict[str, list[Reading]] = defaultdict(list)
    duplicates = conflicts = 0
    for (signal, _), same in sorted(by_instant.items()):
        distinct = len({reading.told for reading in same})
        duplicates += len(same) - distinct
        conflicts += distinct - 1
        by_signal[signal].append(max(same, key=rank))
    return by_signal, duplicates, conflicts


def windows(readings: list[Reading], signals: dict[str, Signal], watermark: int) -> dict[Window, Payload]:
    """Every window that ends by `watermark` and of which anything is known, by (signal, length in s, begin in us)."""
    life: dict[str, int] = {}
    for reading in readings:
        life[reading.source] = max(life.get(reading.source, reading.time), reading.time)
    told = {}
    for name, own in accepted(readings)[0].items():
        signal = signals.get(name, Signal(name))
        stand = segments(own, signal, life)
        moved, counted = transitions(own, signal), increments(own, signal)
        for seconds in signal.windowed():
            length = seconds * SECOND
            begin = own[0].time // length * length
            while begin + length <= watermark:
                inside = [cut for cut in signal.cuts() if begin < cut < begin + length]
                for low, high in pairwise([begin, *inside, begin + length]):
                    payload = window(stand, signal, low, high)
                    if payload is not None:
                        payload["transitions"] = sum(low <= time < high for time in moved)
                        told[name, seconds, low] = payload | counts(counted, signal, low, high)
                begin += length
    return told


def segments(own: list[Reading], signal: Signal, life: dict[str, int]) -> list[Segment]:
    """From when until when each reading stands."""
    found = []
    for reading, following in zip(own, [*own[1:], None], strict=True):
        end = reading.time + signal.hold()
        if following is not None:
            end = min(end, following.time)
        end = min([end, *(cut for cut in signal.cuts() if cut > reading.time)])
        if signal.on_change:
            end = min(end, max(life[reading.source], reading.time))
        found.append((reading.time, end, reading))
    return found


def window(stand: list[Segment], signal: Signal, begin: int, end: int) -> Payload | None:
    """What one window says; None where nothing was read in it and nothing is known of it."""
    read = [reading for _, _, reading in stand if begin <= reading.time < end]
    usable = [reading for reading in read if reading.quality != BAD]
    time = {GOOD: 0, UNCERTAIN: 0, BAD: 0}
    known = 0
    area = 0.0
    for start, stop, reading in stand:
        part = max(0, min(stop, end) - max(start, begin))
        time[reading.quality] += part
        if reading.quality != BAD and reading.number is not None:
            known += part
            area += reading.number * part
    if not read and not any(time.values()):
        return None
    states = in_state(stand, begin, end) if signal.discrete() else {}
    return {
        "count": len(usable),
        "count_uncertain": sum(reading.quality == UNCERTAIN for reading in usable),
        "count_bad": len(read) - len(usable),
        "count_forced": sum(reading.forced for reading in usable),
        **statistics([reading.number for reading in usable if reading.number is not None]),
        "first_time": usable[0].time if usable else None,
        "last_time": usable[-1].time if usable else None,
        "mean_time_weighted": area / known if known else None,
        "integral": area / SECOND if known else None,
        "duration_good_s": time[GOOD] / SECOND,
        "duration_uncertain_s": time[UNCERTAIN] / SECOND,
        "duration_bad_s": time[BAD] / SECOND,
        "duration_unknown_s": (end - begin - sum(time.values())) / SECOND,
        "coverage": (time[GOOD] + time[UNCERTAIN]) / (end - begin),
        "share_good": time[GOOD] / (end - begin),
        "share_uncertain": time[UNCERTAIN] / (end - begin),
        "share_bad": time[BAD] / (end - begin),
        "states": sorted(states),
        "state_durations_s": [states[label] / SECOND for label in sorted(states)],
        "historical": bool(read) and all(reading.historical for reading in read),
    }


def statistics(numbers: list[float]) -> dict[str, float | None]:
    """Of the numbers read in one window, in order of time."""
    if not numbers:
        return dict.fromkeys(("sum", "min", "max", "first", "last", "stddev", "m2"))
    mean = math.fsum(numbers) / len(numbers)
    m2 = math.fsum((value - mean) ** 2 for value in numbers)
    return {
        "sum": math.fsum(numbers),
        "min": min(numbers),
        "max": max(numbers),
        "first": numbers[0],
        "last": numbers[-1],
        "stddev": math.sqrt(m2 / len(numbers)),
        "m2": m2,
    }


def text(reading: Reading) -> str | None:
    """The label of a reading of a discrete signal."""
    if reading.label is None and reading.number is not None:
        return str(int(reading.number))
    return reading.label


def in_state(stand: list[Segment], begin: int, end: int) -> dict[str, int]:
    """Time in us by label in one window."""
    durations: dict[str, int] = defaultdict(int)
    for start, stop, reading in stand:
        label, part = text(reading), max(0, min(stop, end) - max(start, begin))
        if reading.quality != BAD and label is not None and (begin <= start < end or part):
            durations[label] += part
    return durations


def transitions(own: list[Reading], signal: Signal) -> list[int]:
    """When the label changed against the last one known; bad readings say nothing."""
    known = [reading for reading in own if reading.quality != BAD] if signal.discrete() else []
    return [reading.time for before, reading in pairwise(known) if text(before) != text(reading)]


def increments(own: list[Reading], signal: Signal) -> list[Count]:
    """When a counter counted how much, and whether it was reset or rolled over. Births and bad readings say nothing."""
    told = []
    known = [one for one in own if one.exact is not None and one.quality != BAD and not one.birth]
    for before, reading in pairwise(known if signal.counts() else []):
        if signal.unit(before.time) != signal.unit(reading.time):
            continue
        assert before.exact is not None
        assert reading.exact is not None
        count, modulus = reading.exact - before.exact, Fraction((signal.rollover or -1) + 1)
        fell = count < 0
        rolled = fell and 0 <= count + modulus < modulus / 2
        if rolled:
            count += modulus
        elif fell:
            count = max(reading.exact, Fraction())
        told.append((reading.time, count if count <= 9 * 10**9 else Fraction(), fell and not rolled, rolled))
    return told


def counts(counted: list[Count], signal: Signal, begin: int, end: int) -> Payload:
    """What a counter has counted in one window; nothing of any other signal."""
    if not signal.counts():
        return dict.fromkeys(("increment", "resets", "rollovers"))
    inside = [one for one in counted if begin <= one[0] < end]
    return {
        "increment": sum((one[1] for one in inside), Fraction()),
        "resets": sum(one[2] for one in inside),
        "rollovers": sum(one[3] for one in inside),
    }
