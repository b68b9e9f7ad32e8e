"""Silence told apart, reading by reading, in plain Python: what the alert stage is compared with.

Enter: records (when the broker had them, and their readings). Leaves: (rule, subject, begin, state, event time)s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.core.alert_scene import BAD, R

LIMIT = {"missing": 10.0, "bad_quality": 10.0, "frozen": 20.0, "source_offline": 30.0}
PERIODS, GAP_PERIODS, LEAP_PERIODS, RESOLUTION, DISORDER = 3, 3, 2, 0.5, 1.0
Transition = tuple[str, str, float, str, float]


class Record(NamedTuple):
    """One record of readings: when the broker had it (s), from which source, what it holds."""

    at: float
    source: str
    readings: Sequence[R]


class Entry(NamedTuple):
    """A signal of the dictionary: source, period in s (None: on change), whether it is a measurement."""

    source: str
    period: float | None
    measurement: bool


class Judged(NamedTuple):
    """A reading that may show that a signal is frozen; `counts`: s since the one before that count."""

    time: float
    value: float
    works: bool
    counts: float


@dataclass
class Last:
    """The newest reading of a signal, the first bad one of a run, and all that could be judged."""

    time: float
    there: float
    bad: tuple[float, float] | None = None
    judged: list[Judged] = field(default_factory=list)


class Reference:
    """One partition: `signals` by id; `state` is the signal that tells the state of their machine."""

    def __init__(self, signals: Mapping[str, Entry], state: str) -> None:
        self.signals = signals
        self.state = state
        self.out: set[Transition] = set()
        self.heard: dict[str, float] = {}
        self.clock: dict[str, float] = {}
        self.there: dict[str, float] = {}
        self.last: dict[str, Last] = {}
        self.label: tuple[float, str] | None = None
        self.frozen: dict[str, float] = {}

    def run(self, records: Iterable[Record]) -> set[Transition]:
        """All records, then what stands."""
        for record in records:
            self._record(record)
        self._stands()
        return self.out

    def _period(self, source: str) -> float:
        return min(e.period for e in self.signals.values() if e.source == source and e.period is not None)

    def _told(self, rule: str, subject: str, begin: float, active: float, end: float | None) -> None:
        self.out.add((rule, subject, begin, "active", active))
        if end is not None:
            self.out.add((rule, subject, begin, "cleared", max(end, active)))

    def _record(self, record: Record) -> None:
        source = record.source
        if source in self.heard and record.at - self.heard[source] > LIMIT["source_offline"]:
            begin = self.heard[source]
            self._told("source-offline", f"{source}@line-1", begin, begin + LIMIT["source_offline"], record.at)
        self.heard[source] = record.at
        timed = [(min(reading.at, record.at), reading) for reading in record.readings]
        for time, reading in sorted(timed, key=lambda pair: pair[0]):
            before = self.there.get(source, 0.0)
            clock = max(self.clock.get(source, time), time)
            step = min(clock - self.clock.get(source, clock), LEAP_PERIODS * self._period(source))
            self.clock[source], self.there[source] = clock, before + step
            if reading.signal == self.state and reading.quality < BAD and isinstance(reading.value, str):
                self.label = (time, reading.value) if self.label is None or time >= self.label[0] else self.label
            last = self.last.get(reading.signal)
            if last is None or time > last.time:
                self._newer(reading, time, before, last)

    def _newer(self, reading: R, time: float, before: float, last: Last | None) -> None:
        name, entry = reading.signal, self.signals[reading.signal]
        there = self.there[entry.source]
        is_bad = reading.quality >= BAD
        if last is not None:
            self._over(name, entry, last, before, time, is_bad=is_bad)
        now = Last(time, there, judged=last.judged if last else [])
        if is_bad:
            now.bad = last.bad if last and last.bad else (time, there)
        self.last[name] = now
        if entry.measurement and entry.period is not None and not is_bad and isinstance(reading.value, float):
            self._judge(name, entry.period, now, time, reading.value)

    def _over(self, name: str, entry: Entry, last: Last, before: float, time: float, *, is_bad: bool) -> None:
        if entry.period is not None:
            limit = max(LIMIT["missing"], PERIODS * entry.period)
            if before - last.there > limit + DISORDER:
                self._told("missing", name, last.time, last.time + limit, time)
        if last.bad is not None and not is_bad and before - last.bad[1] > LIMIT["bad_quality"] + DISORDER:
            self._told("bad-quality", name, last.bad[0], last.bad[0] + LIMIT["bad_quality"], time)

    def _judge(self, name: str, period: float, now: Last, time: float, value: float) -> None:
        works = self.label is not None and self.label[1] != "stopped"
        prior = now.judged[-1] if now.judged else None
        near = prior is not None and prior.works and works and time - prior.time <= GAP_PERIODS * period
        now.judged.append(Judged(time, value, works, time - prior.time if prior is not None and near else 0.0))
        lasted, begin = max((self._run(now.judged, grid) for grid in (0, 1)), key=lambda run: run[0])
        if lasted >= LIMIT["frozen"] and name not in self.frozen:
            self.frozen[name] = begin
            self._told("frozen", name, begin, time, None)
        elif lasted < LIMIT["frozen"] and name in self.frozen:
            self.out.add(("frozen", name, self.frozen.pop(name), "cleared", time))

    @staticmethod
    def _run(judged: Sequence[Judged], grid: int) -> tuple[float, float]:
        """How long the newest value has stayed in its cell of a grid, and since when."""
        cells = [math.floor(one.value / (2 * RESOLUTION) + grid / 2) for one in judged]
        first = len(cells) - 1
        while first > 0 and cells[first - 1] == cells[-1]:
            first -= 1
        return sum(one.counts for one in judged[first + 1 :]), judged[first].time

    def _stands(self) -> None:
        now = max(self.heard.values(), default=0.0)
        for source, heard in self.heard.items():
            if now - heard > LIMIT["source_offline"]:
                self._told("source-offline", f"{source}@line-1", heard, heard + LIMIT["source_offline"], None)
        for name, last in self.last.items():
            entry = self.signals[name]
            there = self.there[entry.source]
            if entry.period is not None:
                limit = max(LIMIT["missing"], PERIODS * entry.period)
                if there - last.there > limit + DISORDER:
                    self._told("missing", name, last.time, last.time + limit, None)
            if last.bad is not None and there - last.bad[1] > LIMIT["bad_quality"] + DISORDER:
                self._told("bad-quality", name, last.bad[0], last.bad[0] + LIMIT["bad_quality"], None)
