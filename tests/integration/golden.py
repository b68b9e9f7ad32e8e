"""The golden comparison: a topic read through blocks and through aiokafka's own path, record by record.

Enters: a topic of a real broker. Leaves: its blocks, after every record, time and position has proved to be the same.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.kafka.avro import block as avro_block
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.blocks import codecs as block_codecs
from streams.kafka.blocks import install as blocks
from streams.kafka.blocks.block import LOG_APPEND_TIME, Block
from streams.kafka.blocks.records import records
from tests.kafka.readings import CONTRACT

CODECS: Final = block_codecs.NAMES
COMMITTED: Final = "read_committed"
UNCOMMITTED: Final = "read_uncommitted"
_numbers = itertools.count()
Read = tuple[list[Any], int]


def create(bootstrap: str, **config: str) -> str:
    """A new topic with one partition, which keeps records of any age: those of the tests are of 1970."""
    name = f"golden-{next(_numbers)}"
    settings = {"retention.ms": "-1", **{key.replace("_", "."): setting for key, setting in config.items()}}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, 1, 1, config=settings)])[name].result(timeout=30)
    return name


async def read(bootstrap: str, topic: str, isolation: str, partition: int = 0, begin: int = 0) -> Read:
    """Everything from `begin` to the end, and the position there (past markers)."""
    tp = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level=isolation, enable_auto_commit=False, auto_offset_reset="none",
        max_partition_fetch_bytes=1 << 20,
    )  # fmt: skip
    await consumer.start()
    try:
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        consumer.seek(tp, begin)
        found: list[Any] = []
        while await consumer.position(tp) < end:
            for batch in (await consumer.getmany(tp, timeout_ms=500, max_records=7)).values():
                found += batch
        return found, await consumer.position(tp)
    finally:
        await consumer.stop()


async def compare(
    bootstrap: str, topic: str, isolation: str = COMMITTED, partition: int = 0, begin: int = 0
) -> list[Block]:
    """Read on both ways; assert that every record, and the position at the end, is the same. Returns the blocks."""
    own, own_end = await read(bootstrap, topic, isolation, partition, begin)
    blocks.install({topic})
    found, end = await read(bootstrap, topic, isolation, partition, begin)
    blocks.remove({topic})
    expected = [(record.offset, record.timestamp, record.value, record.key is None) for record in own]
    batches = [part for block in found for part in block.batches()]
    mine = [record for header, body in batches for record in records(header, body)[0] if record.offset >= begin]
    assert [tuple(record) for record in mine] == expected
    assert (end, {block.fault for block in found} - {None}) == (own_end, set())
    types = {record.offset: record.timestamp_type for record in own}
    assert all(types.get(record.offset, stamp(header)) == stamp(header)
               for header, body in batches for record in records(header, body)[0])  # fmt: skip
    return found


async def settled(bootstrap: str, topic: str) -> None:
    """Return once the last transaction's markers are written: a commit is answered before they are."""
    tp, ends = TopicPartition(topic, 0), {0, 1}
    async with asyncio.timeout(30):
        while len(ends) > 1:
            ends = set()
            for isolation in (COMMITTED, UNCOMMITTED):
                async with AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level=isolation) as consumer:
                    ends |= set((await consumer.end_offsets([tp])).values())


def stamp(header: bytes) -> int:
    """Timestamp type of a batch."""
    return (header[22] & LOG_APPEND_TIME) >> 3


def codecs(found: list[Block]) -> set[int]:
    """Codecs of the batches in blocks."""
    return {header[22] & 7 for block in found for header, _ in block.batches()}


def decoded_sequences(found: list[Block]) -> list[tuple[int, int]]:
    """(offset, sequence) of the readings in blocks, all of them plain blocks."""
    decoded = avro_block.decode(found, WriterSchemas(CONTRACT))
    assert decoded.slow_batches == 0
    return decoded.frame.select("_offset", "sequence").rows()
