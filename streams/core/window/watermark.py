"""How far event time has come. Enters: readings' sources, event times and log times. Leaves: the task's watermark.

A source's watermark is the highest event time seen of it minus the allowed disorder. The task's is the minimum over
the sources that are alive, and never goes back. A source is one that has sent a reading; one that the dictionary
expects but that never sent holds nothing back. Silence is measured in two clocks. While records flow, in the log's own
append times: a replay releases an idle source where the live run did, and one that left for good holds nothing back.
Where nothing flows, the timer measures in processing time, and only once the task has read all there was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from streams.core.frames import ID
from streams.core.stage import Moment, Table
from streams.core.times import FOREVER_US, NEVER_US
from streams.core.window.signals import Bools, Ints, codes

# `max_event_time`, `last_seen` (processing time) and `last_logged` (append time in the log) in us.
SOURCE: Final = Table(
    "source",
    pl.Schema({"source_id": ID, "max_event_time": pl.Int64(), "last_seen": pl.Int64(), "last_logged": pl.Int64()}),
    ("source_id",),
)


@dataclass(frozen=True)
class Patience:
    """How long to wait, in us: for disordered readings, for a silent source, for corrections."""

    disorder_us: int
    idle_us: int
    horizon_us: int


@dataclass(frozen=True)
class Sources:
    """The `source` table as arrays by source code, in us; NEVER_US where a code is no source, last one always."""

    latest: Ints
    seen: Ints
    logged: Ints

    @staticmethod
    def of(table: pl.DataFrame) -> Sources:
        """From the `source` table."""
        code = codes(table["source_id"])
        columns = np.full((3, int(code.max(initial=-1)) + 2), NEVER_US)
        for own, name in zip(columns, SOURCE.schema.names()[1:], strict=True):
            own[code] = table[name].to_numpy()
        return Sources(*columns)

    def at(self, code: Ints) -> Ints:
        """Highest event time of each source; NEVER_US where it has not been seen."""
        return self.latest[np.minimum(code, self.latest.size - 1)]

    def known(self) -> Ints:
        """Codes of the sources."""
        return np.flatnonzero(self.latest != NEVER_US)

    def after(self, code: Ints, time: Ints, logged: Ints, now_us: int) -> Sources:
        """With a chunk processed at `now_us`: source, event time and append time of its readings."""
        size = max(self.latest.size, int(code.max()) + 2)
        columns = np.full((3, size), NEVER_US)
        columns[:, : self.latest.size] = self.latest, self.seen, self.logged
        np.maximum.at(columns[0], code, time)
        columns[1][code] = np.maximum(columns[1][code], now_us)
        np.maximum.at(columns[2], code, logged)
        return Sources(*columns)

    def rows(self, source: pl.Series, code: Ints) -> pl.DataFrame:
        """Rows of the `source` table for the sources that occur in a column, whose codes are `code`."""
        place = np.full(self.latest.size, -1)
        place[code] = np.arange(code.size)
        there = np.flatnonzero(place >= 0)
        columns = zip(SOURCE.schema.names()[1:], (self.latest, self.seen, self.logged), strict=True)
        return pl.DataFrame(
            [source.gather(place[there]), *(pl.Series(name, values[there]) for name, values in columns)]
        )


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
    alive = after.latest[after.logged >= after.logged.max() - patience.idle_us]
    end = max(watermark_us, int(alive.min()) - patience.disorder_us)
    holding = before.logged >= max(int(logged.min()) - patience.idle_us, NEVER_US + 1)
    joins = not holding[np.minimum(code, holding.size - 1)].all()
    # No watermark on the way is above this, whoever is alive.
    highest = max(watermark_us, int(time.max()) - patience.disorder_us)
    suspect = int(time.min()) < highest - patience.horizon_us
    if not joins and not suspect:
        return Progress(end, None, time[:0])
    running = _running(before, np.flatnonzero(holding), code, time, watermark_us, patience.disorder_us)
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
    caught_up_us, known = moment.caught_up_since_us, sources.known()
    if caught_up_us is None or not known.size:
        return watermark_us
    latest, seen = sources.latest[known], sources.seen[known]
    since = np.maximum(seen, caught_up_us)
    alive = since >= moment.now_us - patience.idle_us
    if alive.any():
        return max(watermark_us, int(latest[alive].min()) - patience.disorder_us)
    last = seen >= seen.max() - patience.idle_us
    passed = moment.now_us - int(since.max())
    return max(watermark_us, int(latest[last].min()) + passed - patience.disorder_us)


def _running(before: Sources, holding: Ints, code: Ints, time: Ints, watermark_us: int, disorder_us: int) -> Ints:
    """Watermark (us) that each reading of a chunk leaves; sources that join count from their first reading on."""
    lowest = np.full(time.size, FOREVER_US)
    order = np.argsort(code, kind="stable")
    borders = np.flatnonzero(np.diff(code[order], prepend=-1))
    for place in np.split(order, borders[1:]):
        own = int(code[place[0]])
        latest = np.maximum(np.maximum.accumulate(time[place]), before.at(code[place[:1]]))
        first = int(place[0])
        filled = np.repeat(latest, np.diff(np.append(place, time.size)))
        lowest[first:] = np.minimum(lowest[first:], filled)
        if own in holding:
            lowest[:first] = np.minimum(lowest[:first], before.latest[own])
    others = np.setdiff1d(holding, code)
    lowest = np.minimum(lowest, before.latest[others].min(initial=FOREVER_US))
    return np.maximum(np.maximum.accumulate(lowest - disorder_us), watermark_us)
