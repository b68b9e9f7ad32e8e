"""How far event time has come. Enters: readings' sources, event times and log times. Leaves: the task's watermark.

A source's watermark is the highest event time seen of it minus its allowed disorder. The task's is the minimum over
the sources that hold it, and never goes back. A source is one that has sent a reading; one that the dictionary
expects but that never sent holds nothing back. A source that is silent for longer than its own limit is released.
Silence is measured in two clocks. While records flow, in the log's own append times: a replay releases an idle source
where the live run did, and one that left for good holds nothing back. Where nothing flows, the timer measures in
processing time, and only once the task has read all there was.

A source that returns after it was released, further behind the watermark than its limit, delivers a backlog: it
corrects its own windows and holds nobody's until it is that near again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from streams.core.frames import ID
from streams.core.stage import Moment, Table
from streams.core.times import FOREVER_US, NEVER_US
from streams.core.window.signals import Bools, Ints, codes

# In us: `max_event_time`, `last_seen` (processing time), `last_logged` (append time in the log), and `backlog_since`:
# append time of the first reading of the backlog that the source is delivering, NEVER_US where it is not.
SOURCE: Final = Table(
    "source",
    pl.Schema(
        {"source_id": ID, "max_event_time": pl.Int64(), "last_seen": pl.Int64(), "last_logged": pl.Int64()}
        | {"backlog_since": pl.Int64()}
    ),
    ("source_id",),
)


@dataclass(frozen=True)
class Patience:
    """How long to wait, in us: for disordered readings, for a silent source, for corrections.

    `disorder_of` and `idle_of` hold, by source id, what single sources have instead.
    """

    disorder_us: int
    idle_us: int
    horizon_us: int
    disorder_of: Mapping[str, int] = field(default_factory=dict)
    idle_of: Mapping[str, int] = field(default_factory=dict)

    def disorders(self, size: int) -> Ints:
        """Allowed disorder by source code, of the codes below `size`."""
        return _by_code(self.disorder_us, self.disorder_of, size)

    def idles(self, size: int) -> Ints:
        """Longest silence by source code, of the codes below `size`."""
        return _by_code(self.idle_us, self.idle_of, size)


def _by_code(default: int, own: Mapping[str, int], size: int) -> Ints:
    limits = np.full(size, default, np.int64)
    if own:
        code, values = codes(pl.Series(list(own), dtype=ID)), np.fromiter(own.values(), np.int64)
        there = code < size
        limits[code[there]] = values[there]
    return limits


@dataclass(frozen=True)
class Sources:
    """The `source` table as arrays by source code, in us; NEVER_US where a code is no source, last one always."""

    latest: Ints
    seen: Ints
    logged: Ints
    backlog: Ints

    @staticmethod
    def of(table: pl.DataFrame) -> Sources:
        """From the `source` table."""
        code = codes(table["source_id"])
        columns = np.full((4, int(code.max(initial=-1)) + 2), NEVER_US)
        for own, name in zip(columns, SOURCE.schema.names()[1:], strict=True):
            own[code] = table[name].to_numpy()
        return Sources(*columns)

    def at(self, code: Ints) -> Ints:
        """Highest event time of each source; NEVER_US where it has not been seen."""
        return self.latest[np.minimum(code, self.latest.size - 1)]

    def known(self) -> Ints:
        """Codes of the sources."""
        return np.flatnonzero(self.latest != NEVER_US)

    def after(
        self, code: Ints, time: Ints, logged: Ints, now_us: int, watermark_us: int, patience: Patience
    ) -> Sources:
        """With a chunk processed at `now_us` under a watermark: source, event time and append time of its readings."""
        size = max(self.latest.size, int(code.max()) + 2)
        columns = np.full((4, size), NEVER_US)
        columns[:, : self.latest.size] = self.latest, self.seen, self.logged, self.backlog
        before = columns[2].copy()
        np.maximum.at(columns[0], code, time)
        columns[1][code] = np.maximum(columns[1][code], now_us)
        np.maximum.at(columns[2], code, logged)
        idle = patience.idles(size)
        first = np.full(size, FOREVER_US)
        np.minimum.at(first, code, logged)
        returned = (before != NEVER_US) & (first != FOREVER_US) & (first - before > idle)
        backlog = np.where((columns[3] == NEVER_US) & returned, first, columns[3])
        # Once it is as near to the watermark as its limit, it is no backlog any more.
        near = columns[0] - patience.disorders(size) >= watermark_us - idle
        columns[3] = np.where(near, NEVER_US, backlog)
        return Sources(*columns)

    def holding(self, clock: Ints, newest_us: int, patience: Patience) -> Bools:
        """By code: sources that by a clock (`seen` or `logged`), which stands at `newest_us`, are neither silent nor
        deliver a backlog.
        """
        heard: Bools = clock >= np.maximum(newest_us - patience.idles(clock.size), NEVER_US + 1)
        heard &= self.backlog == NEVER_US
        return heard

    def rows(self, source: pl.Series, code: Ints) -> pl.DataFrame:
        """Rows of the `source` table for the sources that occur in a column, whose codes are `code`."""
        place = np.full(self.latest.size, -1)
        place[code] = np.arange(code.size)
        there = np.flatnonzero(place >= 0)
        columns = (self.latest, self.seen, self.logged, self.backlog)
        named = zip(SOURCE.schema.names()[1:], columns, strict=True)
        return pl.DataFrame([source.gather(place[there]), *(pl.Series(name, values[there]) for name, values in named)])


@dataclass(frozen=True)
class Progress:
    """The watermark after a chunk, and which of its readings came beyond the horizon.

    `beyond` is None where none did; `at` is then empty, else the watermark (us) when each reading came.
    """

    watermark_us: int
    beyond: Bools | None
    at: Ints


def progress(
    before: Sources, after: Sources, code: Ints, time: Ints, logged: Ints, watermark_us: int, patience: Patience
) -> Progress:
    """The watermark after a chunk of readings (source code, event time, append time), from the watermark before it.

    What a reading meets is the watermark that the readings before it left, not what the chunk leaves at its end: so it
    does not depend on how the stream was cut. That is computed only where it can matter.
    """
    disorder = patience.disorders(after.latest.size)
    holds = after.holding(after.logged, int(after.logged.max()), patience)
    end = max(watermark_us, _lowest(after.latest - disorder, holds, watermark_us))
    held = before.holding(before.logged, int(logged.min()), patience)
    joins = not held[np.minimum(code, held.size - 1)].all()
    # No watermark on the way is above this, whoever is alive.
    highest = max(watermark_us, int((time - disorder[code]).max()))
    suspect = int(time.min()) < highest - patience.horizon_us
    if not joins and not suspect:
        return Progress(end, None, time[:0])
    counts = after.backlog[code] == NEVER_US
    running = _running(before, np.flatnonzero(held), code, np.where(counts, time, NEVER_US), watermark_us, disorder)
    end = max(end, int(running[-1]))
    beyond = time < running - patience.horizon_us
    if not beyond.any():
        return Progress(end, None, time[:0])
    return Progress(end, beyond, running)


def idle(sources: Sources, watermark_us: int, moment: Moment, patience: Patience) -> int:
    """The watermark that time alone brings: silent sources are released, and where all are silent, time goes on.

    Then the sources that were alive last go on by the time that has passed since, so that one with a wild clock that
    had been released before still decides nothing. Unchanged while the task has not caught up.
    """
    caught_up_us = moment.caught_up_since_us
    current = (sources.latest != NEVER_US) & (sources.backlog == NEVER_US)
    if caught_up_us is None or not current.any():
        return watermark_us
    marks = sources.latest - patience.disorders(sources.latest.size)
    since = np.where(current, np.maximum(sources.seen, caught_up_us), NEVER_US)
    alive = sources.holding(since, moment.now_us, patience)
    if alive.any():
        return max(watermark_us, int(marks[alive].min()))
    last = sources.holding(sources.seen, int(sources.seen[current].max()), patience)
    passed = moment.now_us - int(since.max())
    return max(watermark_us, int(marks[last].min()) + passed)


def _lowest(marks: Ints, holds: Bools, otherwise: int) -> int:
    """The slowest of the sources that hold; `otherwise` where none does."""
    return int(marks[holds].min()) if holds.any() else otherwise


def _running(before: Sources, holding: Ints, code: Ints, time: Ints, watermark_us: int, disorder: Ints) -> Ints:
    """Watermark (us) that each reading of a chunk leaves; sources that join count from their first reading on.

    Readings of a backlog have no time (NEVER_US) and count for nothing.
    """
    lowest = np.full(time.size, FOREVER_US)
    order = np.argsort(code, kind="stable")
    borders = np.flatnonzero(np.diff(code[order], prepend=-1))
    for place in np.split(order, borders[1:]):
        own, first = int(code[place[0]]), int(place[0])
        if time[first] == NEVER_US:
            continue
        latest = np.maximum(np.maximum.accumulate(time[place]), before.at(code[place[:1]])) - disorder[own]
        lowest[first:] = np.minimum(lowest[first:], np.repeat(latest, np.diff(np.append(place, time.size))))
        if own in holding:
            lowest[:first] = np.minimum(lowest[:first], before.latest[own] - disorder[own])
    others = np.setdiff1d(holding, code)
    lowest = np.minimum(lowest, (before.latest[others] - disorder[others]).min(initial=FOREVER_US))
    known = np.where(lowest == FOREVER_US, NEVER_US, lowest)
    return np.maximum(np.maximum.accumulate(known), watermark_us)
