"""What the load's plant is made of: edge nodes, their offline spells, messages, and the record of what was sent."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

SECOND_US: Final = 1_000_000
PERIOD_US: Final = SECOND_US // 10
SLOW_STEPS: Final = 5  # steps of PERIOD_US between two readings of the slow signals, and in a batch
EDGES: Final = 8
LINES: Final = 3
SINGLES: Final = 4  # edge nodes below this number send one reading per message, the others columnar batches
STATES: Final = ("running", "stopped", "setup")


@dataclass
class Track:
    """All readings that were sent of one signal, as columns; `value` of a state is a place in STATES."""

    signal: str
    source: str
    time: array[int] = field(default_factory=lambda: array("q"))
    value: array[float] = field(default_factory=lambda: array("d"))
    sequence: array[int] = field(default_factory=lambda: array("q"))
    historical: array[int] = field(default_factory=lambda: array("b"))

    def add(self, time: int, value: float, sequence: int, *, historical: bool) -> None:
        """One more reading."""
        self.time.append(time)
        self.value.append(value)
        self.sequence.append(sequence)
        self.historical.append(historical)


@dataclass(frozen=True)
class Message:
    """One record to send: fields of `ot.raw.batch.v1` (`batch`) or `ot.raw.reading.v1`; `steady`: never disturbed."""

    edge: int
    row: dict[str, Any]
    batch: bool = False
    steady: bool = False


@dataclass(frozen=True)
class Spell:
    """An edge node cannot deliver from `begin` to `end` (us), and how it delivers afterwards."""

    begin: int
    end: int
    newest_first: bool
    historical: bool

    def covers(self, time: int) -> bool:
        """Whether it is offline then."""
        return self.begin <= time < self.end


@dataclass(frozen=True)
class Excursion:
    """`alarm` of an edge node is high from `begin` to `end` (us), within or at the end of a spell."""

    edge: int
    begin: int
    end: int
    spell: Spell

    @property
    def past(self) -> bool:
        """It is over before anybody can know, and says so: it must not ring."""
        return self.spell.historical and self.end < self.spell.end

    @property
    def signal(self) -> str:
        """The signal that tells it."""
        return f"alarm-{self.edge}"


@dataclass
class Edge:
    """An edge node: how far it has measured (`step`), and what it still has to deliver.

    `kept` is its buffer while it is offline, `queue` what it delivers of it afterwards; `in_order`: new readings wait
    behind that. `gaps` are times (us) in which it did not measure.
    """

    number: int
    signals: tuple[str, ...]
    spell: Spell
    step: int = 0
    boot: int = 1
    sequence: int = 0
    singles: int = 0
    state: int = 0
    in_order: bool = True
    kept: list[Message] = field(default_factory=list)
    queue: deque[Message] = field(default_factory=deque)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    excursions: list[Excursion] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its source_id."""
        return f"edge-{self.number}"

    @property
    def batches(self) -> bool:
        """Whether it sends columnar batches."""
        return self.number >= SINGLES

    def high(self, time: int) -> bool:
        """Whether its `alarm` is high then."""
        return any(one.begin <= time < one.end for one in self.excursions[-4:])

    def row(self, signal: str, time: int, value: float, *, historical: bool) -> None:
        """Add a reading to the batch that is being filled."""
        named = {"address": signal, "source_time": time, "value_double": value, "historical": historical}
        for name, item in named.items():
            self.columns.setdefault(name, []).append(item)

    def batch(self) -> Message:
        """The batch that was filled; the next one is begun."""
        row = {"source_id": self.name, "boot_id": str(self.boot), "sequence": self.sequence, **self.columns}
        self.sequence += 1
        self.columns = {}
        return Message(self.number, row, batch=True)

    def restart(self) -> None:
        """It comes back as another boot: what it numbers begins anew."""
        self.boot += 1
        self.sequence = 0
