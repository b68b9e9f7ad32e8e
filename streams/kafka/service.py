"""A service as the shell runs it: which topics, which core, how records become frames and frames become records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from streams.core.stage import StageCore
from streams.kafka.chunks import Chunk
from streams.kafka.persons import Persons
from streams.topology import Topic


@dataclass(frozen=True)
class Record:
    """One record to send: `key` decides the partition (murmur2, as Java's and Faust's producers)."""

    key: bytes | None
    value: bytes | None


@dataclass(frozen=True)
class Decoded:
    """Rows of a chunk in offset order, and what of it could not be decoded (columns of ot.reading.rejected.v1)."""

    frame: pl.DataFrame
    rejects: pl.DataFrame | None = None
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)


class Serde(Protocol):
    """Decodes chunks and encodes output frames of one service."""

    async def start(self) -> None:
        """What needs the network before the first record."""
        ...

    async def stop(self) -> None:
        """Let go of it."""
        ...

    async def decode(self, topic: Topic, chunk: Chunk, from_offset: int) -> Decoded:
        """Rows of `chunk` at or above `from_offset`."""
        ...

    def encode(self, topic: Topic, frame: pl.DataFrame) -> Sequence[Record]:
        """Records for the rows of `frame`, in order."""
        ...


@dataclass(frozen=True)
class Service:
    """One service: consumer group, inputs, outputs, pure core, serde, context, and what it may know of persons (None:
    all that its context says).
    """

    name: str
    reads: tuple[Topic, ...]
    writes: tuple[Topic, ...]
    core: StageCore
    serde: Serde
    context: tuple[Topic, ...] = ()
    persons: Persons | None = None

    def encode(self, name: str, frame: pl.DataFrame) -> Sequence[Record]:
        """Records of the output topic `name`. KeyError: a core that writes to another one is bad code."""
        for topic in self.writes:
            if topic.name == name:
                return self.serde.encode(topic, frame)
        raise KeyError(
            f"{name} is no output of {self.name}; the topology declares {[topic.name for topic in self.writes]}"
        )
