"""Chunks: what one fetch holds of one partition, as one Faust message. Enters: polled records; leaves: `Chunk`s.

A chunk carries the fetch span: `begin` and `end` are the consumer's fetch position before and after. Offsets have holes
(transaction markers, aborted batches, compaction), so only positions can tell whether something was missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from faust.types import TP
from faust.types.transports import SchedulingStrategyT

# Estimated growth from a fetched record batch to decoded columns; bounds a chunk's memory, measured on raw readings.
DECODED_BYTES_PER_FETCHED: Final = 2.0


class Polled(list[Any]):
    """Records (or record batches) of one partition out of one poll, with the poll's fetch span."""

    begin: int | None = None
    end: int | None = None


class Chunk:
    """One message to Faust: `records` of one partition and their span.

    `begin` None: the position before the poll was unknown. `end`: position after this chunk. `records` may be empty
    where the position passed over markers or aborted batches only. The remaining attributes are what Faust's consumer
    asks of any record.
    """

    __slots__ = ("begin", "end", "offset", "partition", "records", "size", "timestamp", "topic")
    timestamp_type = 0
    headers: tuple[()] = ()
    key = None
    checksum = None
    serialized_key_size = 0
    serialized_value_size = 0

    def __init__(self, tp: TP, records: Sequence[Any], begin: int | None, end: int) -> None:
        self.topic = tp.topic
        self.partition = tp.partition
        self.records = records
        self.begin = begin
        self.end = end
        self.size = sum(size_of(record) for record in records)
        self.offset = end - 1
        self.timestamp = records[-1].timestamp if records else 0

    @property
    def value(self) -> Chunk:
        """What the agent receives."""
        return self

    def __repr__(self) -> str:
        return (
            f"Chunk({self.topic}/{self.partition} {self.begin}..{self.end}, {len(self.records)} fetched, {self.size} B)"
        )


def size_of(record: Any) -> int:
    """Bytes of a record batch or a single record as fetched (decompressed)."""
    body = getattr(record, "body", None)
    if body is not None:
        return len(body)
    return int(max(record.serialized_key_size, 0) + max(record.serialized_value_size, 0) + 64)


def next_position(record: Any) -> int:
    """Fetch position after a record batch (`next`: its last offset + 1) or a single record."""
    following = getattr(record, "next", None)
    return int(following) if following is not None else int(record.offset) + 1


def split(tp: TP, polled: Polled, limit_bytes: int) -> Iterator[Chunk]:
    """Chunks of at most `limit_bytes` fetched bytes (one record at least), their spans joined end to end."""
    begin = polled.begin
    end = polled.end if polled.end is not None else next_position(polled[-1])
    part: list[Any] = []
    size = 0
    for record in polled:
        if part and size + size_of(record) > limit_bytes:
            middle = next_position(part[-1])
            yield Chunk(tp, part, begin, middle)
            begin, part, size = middle, [], 0
        part.append(record)
        size += size_of(record)
    yield Chunk(tp, part, begin, end)


class ChunkScheduler(SchedulingStrategyT):
    """Faust `ConsumerScheduler` that yields chunks; partitions of one poll follow one another.

    `limit_bytes` bounds a chunk's decoded size; set by `chunk_scheduler`.
    """

    limit_bytes = 8 << 20

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, Any]]:
        """Yield (partition, chunk); Faust calls it once per poll."""
        limit = int(self.limit_bytes / DECODED_BYTES_PER_FETCHED)
        for tp, polled in records.items():
            if not isinstance(polled, Polled):
                raise TypeError(f"{tp}: records without a fetch span; the transport is not streams.kafka.transport")
            for chunk in split(tp, polled, limit):
                yield tp, chunk


def chunk_scheduler(limit_bytes: int) -> type[ChunkScheduler]:
    """A scheduler class whose chunks hold at most `limit_bytes` once decoded."""
    return type("ChunkScheduler", (ChunkScheduler,), {"limit_bytes": limit_bytes})
