"""What a task has done since its last commit, and the transaction that makes it true.

Enters: step results as records and changes. Leaves: one Kafka transaction with outputs, state record and input offsets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder

from streams.core.stage import Change, Table, combine
from streams.kafka.service import Record


def partition_of(key: bytes | None, partitions: int) -> int:
    """Kafka's default partitioner (murmur2, positive, modulo); records without key go to partition 0."""
    if key is None:
        return 0
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


@dataclass
class Outbox:
    """Changes and records that wait for the next commit; `size` bounds them (see `Task`)."""

    changes: dict[str, Change] = field(default_factory=dict)
    records: dict[TopicPartition, list[Record]] = field(default_factory=dict)
    size: int = 0
    moved: bool = False
    ingest_us: int | None = None

    @property
    def empty(self) -> bool:
        """Nothing to tell anybody; positions may still have moved."""
        return not self.changes and not self.records

    def came(self, frame: pl.DataFrame) -> None:
        """These rows are inputs of this commit. Latency counts over all hops: from the raw reading's arrival on, where
        the rows know it (it is neither null nor 0), else from their own.
        """
        known = frame["ingest_time"].min() if "ingest_time" in frame.columns else None
        earliest = known if isinstance(known, int) and known > 0 else frame["_time"].min()
        if isinstance(earliest, int):
            self.ingest_us = earliest if self.ingest_us is None else min(self.ingest_us, earliest)

    def change(self, tables: Mapping[str, Table], changes: Mapping[str, Change]) -> None:
        """Add a step's changes to those before it."""
        for name, new in changes.items():
            before = self.changes.get(name)
            self.changes[name] = new if before is None else combine(tables[name], before, new)

    def put(self, topic: str, partitions: int, records: Iterable[Record]) -> None:
        """Add output records of `topic` (full name), each to the partition of its key."""
        for record in records:
            tp = TopicPartition(topic, partition_of(record.key, partitions))
            self.records.setdefault(tp, []).append(record)
            self.size += len(record.value or b"") + len(record.key or b"") + 32


async def send(
    producer: AIOKafkaProducer, tp: TopicPartition, records: Iterable[Record]
) -> list[asyncio.Future[object]]:
    """Hand records to the producer as whole batches, in order; the futures tell the first offset of each batch."""
    futures: list[asyncio.Future[object]] = []

    async def post(builder: BatchBuilder) -> None:
        if builder.record_count():
            builder.close()
            futures.append(await producer.send_batch(builder, tp.topic, partition=tp.partition))

    builder = producer.create_batch()
    for record in records:
        if builder.append(key=record.key, value=record.value, timestamp=None) is None:  # full
            await post(builder)
            builder = producer.create_batch()
            builder.append(key=record.key, value=record.value, timestamp=None)
    await post(builder)
    return futures


async def transact(
    producer: AIOKafkaProducer,
    group: str,
    outbox: Outbox,
    state: TopicPartition,
    state_values: list[bytes],
    offsets: Mapping[TopicPartition, int],
) -> int:
    """Commit outputs, state and offsets in one transaction; returns the offset of its first state record.

    Without `offsets` the group's stay as they are: parts of a state that are of no use before the last one is there.
    Raises what aiokafka raises; the caller discards the task then, whatever it was.
    """
    await producer.begin_transaction()
    futures = await send(producer, state, [Record(b"state", value) for value in state_values])
    for tp, records in outbox.records.items():
        futures += await send(producer, tp, records)
    if offsets:
        await producer.send_offsets_to_transaction(dict(offsets), group)
    # aiokafka commits in spite of a batch that the broker refused: learn of it before, or it would be lost for good.
    await asyncio.gather(*futures)
    await producer.commit_transaction()
    return int(futures[0].result().offset)  # type: ignore[attr-defined]
