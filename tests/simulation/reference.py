"""What windows must say: plain Python over the whole set of readings at once, one window after the other.

It shares nothing with the program but the meaning: no frames, no state, no order of arrival. Where the two differ, one
of them is wrong.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

SECOND = 1_000_000
GOOD, UNCERTAIN, BAD = 0, 1, 2


@dataclass(frozen=True)
class Reading:
    """One validated reading; times in us; `sequence` is the source's own."""

    signal: str
    source: str
    time: int
    value: float | None = None
    label: str | None = None
    quality: int = GOOD
    sequence: int | None = None
    historical: bool = False

    @property
    def told(self) -> tuple[str, int, float | None, str | None, int]:
        """What makes two readings exact duplicates."""
        return (self.signal, self.time, self.value, self.label, self.quality)


@dataclass(frozen=True)
class Signal:
    """What the dictionary says of a signal; times in us, lengths in s."""

    name: str
    on_change: bool = False
    period: int | None = None
    role: str = "measurement"
    lengths: tuple[int, ...] = (10, 60)

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


def rank(reading: Reading) -> tuple[tuple[bool, float], tuple[bool, float], tuple[bool, str], int, str, bool]:
    """Of contradicting readings the one with the highest rank holds; what is missing ranks lowest."""
    sequence, value, label = reading.sequence, reading.value, reading.label
    return (
        (sequence is not None, sequence or 0),
        (value is not None, value or 0.0),
        (label is not None, label or ""),
        reading.quality,
        reading.source,
        not reading.historical,
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


def windows(
    readings: list[Reading], signals: dict[str, Signal], watermark: int
) -> dict[Window, dict[str, float | int | list[str] | list[float] | None]]:
    """Every window that ends by `watermark` and of which anything is known, by (signal, length in s, begin in us)."""
    life: dict[str, int] = {}
    for reading in readings:
        life[reading.source] = max(life.get(reading.source, reading.time), reading.time)
    told = {}
    for name, own in accepted(readings)[0].items():
        signal = signals.get(name, Signal(name))
        segments = []
        for reading, following in zip(own, [*own[1:], None], strict=True):
            end = reading.time + signal.hold()
            if following is not None:
                end = min(end, following.time)
            if signal.on_change:
                end = min(end, max(life[reading.source], reading.time))
            segments.append((reading.time, end, reading))
        for seconds in signal.lengths:
            length = seconds * SECOND
            begin = own[0].time // length * length
            while begin + length <= watermark:
                payload = window(segments, signal, begin, begin + length)
                if payload is not None:
                    told[name, seconds, begin] = payload
                begin += length
    return told


def window(
    segments: list[Segment], signal: Signal, begin: int, end: int
) -> dict[str, float | int | list[str] | list[float] | None] | None:
    """What one window says; None where nothing was read in it and nothing is known of it."""
    read = [reading for _, _, reading in segments if begin <= reading.time < end]
    usable = [reading for reading in read if reading.quality != BAD]
    time = {GOOD: 0, UNCERTAIN: 0, BAD: 0}
    known = 0
    area = 0.0
    for start, stop, reading in segments:
        part = max(0, min(stop, end) - max(start, begin))
        time[reading.quality] += part
        if reading.quality != BAD and reading.value is not None:
            known += part
            area += reading.value * part
    if not read and not any(time.values()):
        return None
    states, transitions = in_state(segments, begin, end) if signal.discrete() else ({}, 0)
    return {
        "count": len(usable),
        "count_uncertain": sum(reading.quality == UNCERTAIN for reading in usable),
        "count_bad": len(read) - len(usable),
        **statistics([reading.value for reading in usable if reading.value is not None]),
        "first_time": usable[0].time if usable else None,
        "last_time": usable[-1].time if usable else None,
        "mean_time_weighted": area / known if known else None,
        "integral": area / SECOND if known else None,
        "duration_good_s": time[GOOD] / SECOND,
        "duration_uncertain_s": time[UNCERTAIN] / SECOND,
        "duration_bad_s": time[BAD] / SECOND,
        "duration_unknown_s": (end - begin - sum(time.values())) / SECOND,
        "coverage": (time[GOOD] + time[UNCERTAIN]) / (end - begin),
        "states": sorted(states),
        "state_durations_s": [states[label] / SECOND for label in sorted(states)],
        "transitions": transitions,
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


def in_state(segments: list[Segment], begin: int, end: int) -> tuple[dict[str, int], int]:
    """Time in us by label, and how often the label changed, in one window."""
    durations: dict[str, int] = defaultdict(int)
    before: str | None = None
    transitions = 0
    for start, stop, reading in segments:
        if start >= end or stop < begin or reading.quality == BAD:
            continue
        text = reading.label
        if text is None and reading.value is not None:
            text = str(int(reading.value))
        read_here = start >= begin
        part = max(0, min(stop, end) - max(start, begin))
        if text is not None and (read_here or part):
            durations[text] += part
        if read_here and before is not None and text != before:
            transitions += 1
        before = text
    return durations, transitions
