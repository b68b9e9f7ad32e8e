"""What a stage of the core looks like to the shell: tables, changes to them, output frames, counts.

Enters: a chunk as a frame, the tables of one task, the IT context, the time. Leaves: a `Result`. The shell applies the
changes, writes outputs, changes and input positions in one transaction, and rebuilds the tables from the same changes
after a restart; so what a restart restores is by construction what ran before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable

import polars as pl

if TYPE_CHECKING:
    from streams.core.context import Context

# More pieces than this make a table slower to pass over than to copy (measured with ten small appends per second).
MAX_PIECES: Final = 64

# Upserts of a table that is so many times as large are few.
_FEW: Final = 8
# Gauges of open incidents are called so, with the site behind it.
OPEN_INCIDENTS: Final = "open_incidents/"

Tables = Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class Table:
    """A table of a stage's state: one row per `key`; no key: rows are only appended, and truncated by a floor."""

    name: str
    schema: pl.Schema
    key: tuple[str, ...] = ()

    def empty(self) -> pl.DataFrame:
        """The table without rows."""
        return pl.DataFrame(schema=self.schema)


@dataclass(frozen=True)
class Change:
    """A change of one table, applied in this order: rows below the floor go, deleted keys go, upserts come.

    `floor` is (column, value): rows whose column is below value are removed. `delete` has the key's columns. `upsert`
    has the table's columns; of rows with one key the last wins. In a table without key upserts are appended.
    """

    upsert: pl.DataFrame | None = None
    delete: pl.DataFrame | None = None
    floor: tuple[str, int] | None = None


class Moment(NamedTuple):
    """Processing time, as an argument: now, and since when the task has read all there was (None: it has not).

    `partition`: the task's number, for what only one task of a service is to do.
    """

    now_us: int
    caught_up_since_us: int | None = None
    partition: int = 0


@dataclass(frozen=True)
class Result:
    """What a step leaves: changes by table, output frames by topic name, counts by (metric, label), gauges by name.

    A gauge is a present number of the task, e.g. {"open_windows": 120}.
    """

    changes: Mapping[str, Change] = field(default_factory=dict)
    out: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    watermark_us: int | None = None
    gauges: Mapping[str, int] = field(default_factory=dict)


class Span(NamedTuple):
    """Offsets of a partition, from `begin` up to but without `end`."""

    begin: int
    end: int


class LookBack(Protocol):
    """Readings of the past that a correction needs: what is wanted of the log, and what has been given so far."""

    def wanted(self) -> tuple[Span, ...]:
        """Offsets to read next, ascending; empty once it has all it needs. Ask again after each round."""
        ...

    def take(self, frame: pl.DataFrame) -> None:
        """Rows of what is wanted, as `StageCore.step` gets them: a part of the spans, in the order of the log."""
        ...

    def left(self) -> bool:
        """Whether `Corrector.looked` has more to tell once what it told is committed; each result is bounded."""
        ...


@runtime_checkable
class Corrector(Protocol):
    """A stage that corrects what is older than its memory by reading `topic`, an input, once more."""

    @property
    def topic(self) -> str:
        """Name (without prefix) of the topic that is read again."""
        ...

    def due(self, state: Tables, moment: Moment) -> bool:
        """Whether something waits for a correction that should begin now. Cheap: asked about once a second."""
        ...

    def look_back(self, state: Tables, context: Context, log: Span, moment: Moment) -> LookBack:
        """Begin a correction of what waits. `log` is what there is: the log's first offset, the task's position."""
        ...

    def looked(self, back: LookBack, state: Tables, context: Context, moment: Moment) -> Result:
        """The corrections. `state` may be later than that of `look_back`: steps go on while the log is read."""
        ...


class StageCore(Protocol):
    """The pure part of one service. Configuration is bound at construction; nothing else is remembered."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables of its state."""
        ...

    def step(self, topic: str, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Result:
        """Process the rows of one chunk of `topic` (a name of the topology, without prefix), in offset order."""
        ...

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        """Called about once a second, also where nothing arrives: what time alone brings about."""
        ...


def apply(table: Table, frame: pl.DataFrame, change: Change) -> pl.DataFrame:
    """`frame` after `change`; column order and types as declared."""
    if change.floor is not None:
        column, value = change.floor
        frame = frame.filter(pl.col(column) >= value)
    elif frame.n_chunks() > MAX_PIECES:
        frame = frame.rechunk()  # thousands of small appends would slow every pass over the table
    if change.delete is not None and change.delete.height:
        frame = frame.join(change.delete, on=list(table.key), how="anti", nulls_equal=True)
    if change.upsert is None or not change.upsert.height:
        return frame
    upsert = change.upsert.select(pl.col(name).cast(dtype) for name, dtype in table.schema.items())
    if table.key:
        upsert = upsert.unique(subset=list(table.key), keep="last", maintain_order=True)
        if _replaces(table, frame, upsert):
            frame = frame.join(upsert, on=list(table.key), how="anti", nulls_equal=True)
    return pl.concat([frame, upsert], rechunk=False)


def _replaces(table: Table, frame: pl.DataFrame, upsert: pl.DataFrame) -> bool:
    """Whether a row of `upsert` may be in `frame` already. A few new rows of a large table are worth a look at the last
    column of its key: to drop what is not there copies the table.
    """
    last = table.key[-1]
    if upsert.height * _FEW > frame.height or upsert[last].has_nulls():
        return True
    return bool(frame[last].is_in(upsert[last].implode()).any())


def empty(change: Change) -> bool:
    """Whether a change changes nothing."""
    rows = (frame.height for frame in (change.upsert, change.delete) if frame is not None)
    return change.floor is None and not any(rows)


def combine(table: Table, first: Change, second: Change) -> Change:
    """One change with the effect of `first` and then `second` (same floor column in both)."""
    if first.floor and second.floor:
        if first.floor[0] != second.floor[0]:
            raise ValueError(f"table {table.name}: floors on {first.floor[0]} and {second.floor[0]}; use one column")
        floor: tuple[str, int] | None = max(first.floor, second.floor)
    else:
        floor = first.floor or second.floor
    deletes = [frame for frame in (first.delete, second.delete) if frame is not None]
    before = table.empty() if first.upsert is None else first.upsert.select(table.schema.names())
    if table.key and second.floor and before.height:
        # A row that the floor takes again had replaced another, which must not come back.
        column, value = second.floor
        before = before.unique(subset=list(table.key), keep="last", maintain_order=True)
        gone = before.filter(pl.col(column) < value)
        deletes.append(gone.select(pl.col(name).cast(table.schema[name]) for name in table.key))
    upsert = apply(table, before, second)
    return Change(
        upsert=upsert if upsert.height else None,
        delete=pl.concat(deletes).unique() if deletes else None,
        floor=floor,
    )
