"""A chunk in the order in which its readings count. Enter: readings, what earlier chunks left. Leaves: `Sequence`.

Records come in the order of the log; within one, readings are taken by event time, whichever way it was packed. How
long a source has *been there* is the sum of the steps by which its stamps go on; a leap (it was away, and comes back)
counts as one step only, so that no signal is blamed for having been silent while its whole node was.

Sources and slots are numbered anew in each chunk, only those that it has: what a chunk costs depends on what it brings,
not on how many signals are watched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import polars as pl

from streams import topology
from streams.core.alert.rule_match import Floats, Integers
from streams.core.alert.silence.match import Watched, leap_of
from streams.core.alert.silence.slots import (
    by_slot,
    codes,
    firsts,
    grouped,
    highest,
    lasts,
    numbered,
    places,
    shifted,
    summed,
)
from streams.core.alert.silence.tables import SIGNAL, SOURCE
from streams.core.times import NEVER_US

T = TypeVar("T", bound=np.generic)
_COLUMNS: Final = tuple(
    name for name in SIGNAL.schema if name not in {*SIGNAL.key, "source_id", "work_center", "value"}
)


@dataclass(frozen=True)
class Heard:
    """Readings that are newer than the last of their signal, by slot and in order; slots are places in `Carried.slots`.

    Arrays of equal length, but for `starts`: places of the first of each slot. `row` is the row in the sequence,
    `place` that in the frame; `active` and `before` tell how long the source had been there with and just before the
    reading.
    """

    row: Integers
    place: Integers
    slot: Integers
    starts: Integers
    time: Integers
    active: Integers
    before: Integers

    def last(self) -> Integers:
        """Places of the last of each slot."""
        return lasts(self.starts, len(self.slot))


@dataclass(frozen=True)
class Carried:
    """What is known of the signals at `slots` (of `Watched`, ascending), by their places there.

    Codes of the source ids (-1: never heard), values (NaN: none), the other columns of the table (null: NEVER_US).
    """

    slots: Integers
    source: Integers
    value: Floats
    columns: dict[str, Integers]

    @staticmethod
    def of(table: pl.DataFrame, watched: Watched, slots: Integers) -> Carried:
        """From the table of signals."""
        found = places(watched.slot(table["signal_id"]), slots, watched.slots)
        slot, size = np.flatnonzero(found >= 0), len(slots)
        rows = table[found[slot]]
        filled = rows.select(pl.col(_COLUMNS).cast(pl.Int64).fill_null(NEVER_US), pl.col("value").fill_null(np.nan))
        return Carried(
            slots,
            by_slot(codes(rows["source_id"]), slot, size, -1),
            by_slot(filled["value"].to_numpy(), slot, size, np.nan),
            {name: by_slot(filled[name].to_numpy(), slot, size, NEVER_US) for name in _COLUMNS},
        )


@dataclass(frozen=True)
class Sequence:
    """Readings in order: arrays of equal length, but for `order`: None: they are in the order of `frame`.

    `order` has the places in `frame`. `time` is no later than when the broker or the gateway had the reading; `source`
    is the code of the source id. The source had been there for `active` with it, for `before` just before.
    `by_source` has the rows source by source, which begin at `starts`. `sources`: rows to write back.
    """

    frame: pl.DataFrame
    order: Integers | None
    offset: Integers
    time: Integers
    source: Integers
    active: Integers
    before: Integers
    by_source: Integers
    starts: Integers
    sources: pl.DataFrame

    def places(self, rows: Integers) -> Integers:
        """Where the readings stand in `frame`."""
        return rows if self.order is None else self.order[rows]

    def told(self, row: int) -> tuple[int, str]:
        """When the record of a row was received, and its coordinates."""
        place = row if self.order is None else int(self.order[row])
        return self.frame["ingest_time"][place], coordinates(self.frame["_partition"][place], int(self.offset[row]))

    def line(self, row: int) -> str:
        """The line that a row was sent for."""
        line: str = self.frame["work_center"][row if self.order is None else int(self.order[row])]
        return line


def coordinates(partition: int, offset: int) -> str:
    """topic/partition/offset of a record of readings."""
    return f"{topology.READING.name}/{partition}/{offset}"


def sequence(frame: pl.DataFrame, table: pl.DataFrame, watched: Watched, now_us: int) -> Sequence:
    """The rows of `frame` (columns READING and COORDINATES) in order; `table` is that of the sources."""
    time, offset = np.minimum(frame["event_time"].to_numpy(), heard_at(frame)), frame["_offset"].to_numpy()
    source, order = codes(frame["source_id"]), _order(offset, time)
    if order is not None:
        time, offset, source = time[order], offset[order], source[order]
    distinct, number = numbered(source, int(source.max()) + 1)
    by_source = grouped(number, len(distinct))
    number = number[by_source]
    starts = firsts(number)
    ids = frame["source_id"].gather(by_source[starts] if order is None else order[by_source[starts]])
    at = places(codes(table["source_id"]), distinct, int(distinct[-1]) + 1)
    known = at >= 0
    stamps = time[by_source]
    began, since = stamps[starts], np.zeros(len(distinct), dtype=np.int64)
    began[known] = table["clock_time"].to_numpy()[at[known]]
    since[known] = table["active_us"].to_numpy()[at[known]]
    clock = highest(stamps, number, starts, began)
    steps, leap = clock - shifted(clock, number, starts, began), leap_of(watched, distinct)
    if (steps > leap.min()).any():
        steps = np.minimum(steps, leap[number])
        there = summed(steps, starts, since)
    else:
        there = clock - (began - since)[number]
    active, before = np.empty_like(there), np.empty_like(there)
    active[by_source], before[by_source] = there, there - steps
    last = lasts(starts, len(number))
    times = {"clock_time": clock[last], "active_us": there[last], "seen_time": np.full(len(last), now_us)}
    rows = pl.DataFrame({"source_id": ids, **times}, schema=SOURCE.schema)
    return Sequence(frame, order, offset, time, source, active, before, by_source, starts, rows)


def heard_at(frame: pl.DataFrame) -> Integers:
    """When the broker, or the gateway where its clock is ahead, had each reading."""
    found: Integers = np.maximum(frame["ingest_time"].to_numpy(), frame["_time"].to_numpy())
    return found


def _order(offset: Integers, time: Integers) -> Integers | None:
    """The order by offset, then time, then as it was; None: it is that already."""
    same = offset[1:] == offset[:-1]
    if not ((offset[1:] < offset[:-1]) | (same & (time[1:] < time[:-1]))).any():
        return None
    first, width = int(time.min()), int(time.max()) - int(time.min()) + 1
    low = int(offset.min())
    if (int(offset.max()) - low + 1) * width < -NEVER_US:  # both fit one number, which is sorted faster
        return np.argsort((offset - low) * width + (time - first), kind="stable")
    return np.lexsort((time, offset))


def heard_of(found: Sequence, watched: Watched, table: pl.DataFrame) -> tuple[Heard, Carried]:
    """The readings of watched signals that tell of now, those newer than the last of their signal; what was known.

    A late or repeated one tells nothing of now. `table` is that of the signals.
    """
    of_row = watched.slot(found.frame["signal_id"])
    if found.order is not None:
        of_row = of_row[found.order]
    row = None if of_row.min() >= 0 else np.flatnonzero(of_row >= 0)
    slots, slot = numbered(of_row if row is None else of_row[row], watched.slots)
    carried = Carried.of(table, watched, slots)
    order = grouped(slot, len(slots))
    row, slot = order if row is None else row[order], slot[order]
    time, starts, last_time = found.time[row], firsts(slot), carried.columns["last_time"]
    newer = time > shifted(highest(time, slot, starts, last_time), slot, starts, last_time)
    if not newer.all():
        row, slot, time = row[newer], slot[newer], time[newer]
        starts = firsts(slot)
    return Heard(row, found.places(row), slot, starts, time, found.active[row], found.before[row]), carried
