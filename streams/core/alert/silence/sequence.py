"""A chunk in the order in which its readings count. Enter: readings, what earlier chunks left. Leaves: `Sequence`.

Records come in the order of the log; within one, readings are taken by event time, whichever way it was packed. How
long a source has *been there* is the sum of the steps by which its stamps go on; a leap (it was away, and comes back)
counts as one step only, so that no signal is blamed for having been silent while its whole node was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from streams import topology
from streams.core.alert.rule_match import Integers, Mask
from streams.core.alert.silence.match import Watched, leap_of
from streams.core.alert.silence.tables import SOURCE
from streams.core.frames import ID
from streams.core.times import NEVER_US

T = TypeVar("T", bound=np.generic)
_TIMES: Final = ("last_time", "active_us", "partition", "offset", "bad_time", "bad_active_us", "bad_offset")


@dataclass(frozen=True)
class Heard:
    """Readings that are newer than the last of their signal, by slot and in order; `first`: of their slot in the chunk.

    Arrays of equal length. `row` is the row in the sequence; `active` and `before` tell how long the source had been
    there with and just before the reading; the `prior_...` are those of the signal's reading before
    (`prior_time` NEVER_US: there was none).
    """

    row: Integers
    slot: Integers
    first: Mask
    time: Integers
    source: Integers
    active: Integers
    before: Integers
    prior_time: Integers
    prior_source: Integers
    prior_active: Integers
    prior_offset: Integers

    def last(self) -> Mask:
        """Which of them are the last of their slot."""
        return np.append(self.first[1:], True) if len(self.first) else self.first


@dataclass(frozen=True)
class Carried:
    """The table of signals by slot: codes of the source ids (-1: never heard), values (NaN: none), times."""

    source: Integers
    value: npt.NDArray[np.float64]
    times: dict[str, Integers]
    frame: pl.DataFrame
    slot: Integers

    @staticmethod
    def of(table: pl.DataFrame, watched: Watched) -> Carried:
        """From the table of signals."""
        slot = watched.slot(table["signal_id"])
        known = slot >= 0
        slot, table = slot[known], table.filter(pl.Series(known)) if not known.all() else table
        times = {name: by_slot(table[name], slot, watched.slots, NEVER_US) for name in _TIMES}
        source = by_slot(table["source_id"].to_physical(), slot, watched.slots, -1)
        value = np.full(watched.slots, np.nan)
        value[slot] = table["value"].fill_null(np.nan).to_numpy()
        return Carried(source, value, times, table, slot)


@dataclass(frozen=True)
class Sequence:
    """`rows` in order: `time` no later than it was heard, how long the source had been there with (`active`) and just
    before (`before`) each. `sources`: rows to write back.
    """

    rows: pl.DataFrame
    sources: pl.DataFrame

    def evidence(self, row: int) -> str:
        """Coordinates of the record of a row."""
        partition, offset = self.rows.row(row, named=False)[:2]
        return coordinates(partition, offset)


def coordinates(partition: int, offset: int) -> str:
    """topic/partition/offset of a record of readings."""
    return f"{topology.READING.name}/{partition}/{offset}"


def by_slot(values: pl.Series, slot: Integers, slots: int, missing: int) -> Integers:
    """Values (null: `missing`) at their slots, `missing` elsewhere."""
    found = np.full(slots, missing, dtype=np.int64)
    found[slot] = values.cast(pl.Int64).fill_null(missing).to_numpy()
    return found


def sequence(frame: pl.DataFrame, table: pl.DataFrame, watched: Watched, now_us: int) -> Sequence:
    """The rows of `frame` (columns READING and COORDINATES) in order; `table` is that of the sources."""
    heard = pl.max_horizontal("ingest_time", "_time")
    rows = frame.select(
        "_partition", "_offset", "source_id", "work_center", "signal_id", "ingest_time", "quality", "value_string",
        time=pl.min_horizontal("event_time", heard), heard=heard,
        value=pl.coalesce("value_double", pl.col("value_long").cast(pl.Float64)),
    )  # fmt: skip
    time, offset = rows["time"].to_numpy(), rows["_offset"].to_numpy()
    same = offset[1:] == offset[:-1]
    if ((offset[1:] < offset[:-1]) | (same & (time[1:] < time[:-1]))).any():
        rows = rows.sort("_offset", "time", maintain_order=True)
    carried = {source: (clock, active) for source, clock, active, _ in table.cast({ID: pl.String}).iter_rows()}
    code, time = rows["source_id"].to_physical().to_numpy(), rows["time"].to_numpy()
    active, before = np.zeros(len(time), dtype=np.int64), np.zeros(len(time), dtype=np.int64)
    order = np.argsort(code, kind="stable")
    last = []
    for own in np.split(order, np.flatnonzero(np.diff(code[order])) + 1):
        source = rows["source_id"][int(own[0])]
        clock, since = carried.get(source, (int(time[own[0]]), 0))
        clocks = np.maximum(np.maximum.accumulate(time[own]), clock)
        steps = np.minimum(np.diff(clocks, prepend=clock), leap_of(watched, source))
        active[own] = np.cumsum(steps) + since
        before[own] = active[own] - steps
        last.append((source, int(clocks[-1]), int(active[own[-1]]), now_us))
    return Sequence(
        rows.with_columns(active=pl.Series(active), before=pl.Series(before)),
        pl.DataFrame(last, schema=SOURCE.schema, orient="row"),
    )


def heard_of(found: Sequence, watched: Watched, carried: Carried) -> Heard:
    """The readings of watched signals that tell of now: those newer than the last of their signal.

    A late or repeated one tells nothing of now.
    """
    slots = watched.slot(found.rows["signal_id"])
    row = np.flatnonzero(slots >= 0)
    row = row[np.argsort(slots[row], kind="stable")]
    slot, time = slots[row], found.rows["time"].to_numpy()[row]
    latest = time
    if ((time[1:] < time[:-1]) & (slot[1:] == slot[:-1])).any():
        latest = pl.DataFrame({"s": slot, "t": time}).select(pl.col("t").cum_max().over("s"))["t"].to_numpy()
    last_time = carried.times["last_time"]
    prior = np.maximum(shifted(latest, slot, firsts(slot), last_time), last_time[slot])
    newer = time > prior
    row, slot, time, prior = row[newer], slot[newer], time[newer], prior[newer]
    source = found.rows["source_id"].to_physical().cast(pl.Int64).to_numpy()[row]
    active, offset, first = found.rows["active"].to_numpy()[row], found.rows["_offset"].to_numpy()[row], firsts(slot)
    return Heard(
        row, slot, first, time, source, active, found.rows["before"].to_numpy()[row], prior,
        shifted(source, slot, first, carried.source),
        shifted(active, slot, first, carried.times["active_us"]),
        shifted(offset, slot, first, carried.times["offset"]),
    )  # fmt: skip


def firsts(slot: Integers) -> Mask:
    """Where a new slot begins."""
    return np.append(True, slot[1:] != slot[:-1]) if len(slot) else np.zeros(0, dtype=np.bool_)


def shifted(values: npt.NDArray[T], slot: Integers, first: Mask, carried: npt.NDArray[T]) -> npt.NDArray[T]:
    """The value before each, within its slot; the carried one before the first."""
    found = np.roll(values, 1)
    found[first] = carried[slot[first]]
    return found
