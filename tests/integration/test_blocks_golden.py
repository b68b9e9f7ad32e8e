"""What a real broker holds is read alike through blocks and through aiokafka's own path, whoever wrote it.

Writers: aiokafka and librdkafka with every codec, transactional ones with aborts, and the broker itself: a topic with a
`compression.type` of its own is compressed anew by it, and `__consumer_offsets` is its own. Java's client has a file of
its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from streams.kafka.avro import block as avro_block
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.blocks.block import HEADER
from tests.integration.golden import (
    CODECS,
    COMMITTED,
    UNCOMMITTED,
    codecs,
    compare,
    create,
    decoded_sequences,
    read,
    settled,
)
from tests.kafka.readings import CONTRACT, value


async def aiokafka_writes(bootstrap: str, topic: str, codec: str) -> None:
    """Batches of several sizes, timestamps out of order."""
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec, linger_ms=5
    ) as producer:
        for size in (1, 40, 300):
            batch = [producer.send(topic, value(n), key=b"edge-1", timestamp_ms=10_000 - n) for n in range(size)]
            await asyncio.gather(*await asyncio.gather(*batch))


async def librdkafka_writes(bootstrap: str, topic: str, codec: str) -> None:
    """The same from librdkafka, idempotent."""
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 5,
                         "enable.idempotence": True})  # fmt: skip
    for size in (1, 40, 300):
        for number in range(size):
            producer.produce(topic, value(number), b"edge-1", timestamp=10_000 - number)
        assert await asyncio.to_thread(producer.flush, 30) == 0


@pytest.mark.parametrize("write", [aiokafka_writes, librdkafka_writes], ids=["aiokafka", "librdkafka"])
@pytest.mark.parametrize("codec", CODECS)
async def test_every_codec_of_every_writer(
    bootstrap: str, codec: str, write: Callable[[str, str, str], Awaitable[None]]
) -> None:
    """Records, times and positions are equal, and the readings decode block by block, none record by record."""
    topic = create(bootstrap)
    await write(bootstrap, topic, codec)
    found = await compare(bootstrap, topic)
    sequences = [number for size in (1, 40, 300) for number in range(size)]
    assert decoded_sequences(found) == list(enumerate(sequences))
    # librdkafka sends what does not become smaller as it is.
    assert CODECS.index(codec) in codecs(found) <= {CODECS.index(codec), 0}
    await compare(bootstrap, topic, begin=20)


@pytest.mark.parametrize("codec", CODECS[1:])
async def test_batches_that_java_compressed(bootstrap: str, codec: str) -> None:
    """The broker decompresses, stamps and compresses anew with Java's libraries: append time, and equal records."""
    topic = create(bootstrap, compression_type=codec, message_timestamp_type="LogAppendTime")
    await librdkafka_writes(bootstrap, topic, "none")
    found = await compare(bootstrap, topic)
    assert codecs(found) == {CODECS.index(codec)}
    assert {block.timestamp_type for block in found} == {1}
    assert len(decoded_sequences(found)) == 341


async def test_headers_null_keys_and_tombstones(bootstrap: str) -> None:
    """What is no plain block is the same all the same, and only the tombstone is rejected."""
    topic = create(bootstrap)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50})
    shapes: list[dict[str, Any]] = [
        {"key": b"k"}, {"key": None}, {"key": b""}, {"key": b"k", "headers": [("a", b"1"), ("a", None), ("", b"")]},
    ]  # fmt: skip
    for number, shape in enumerate(shapes * 3):
        producer.produce(topic, value(number), **shape)
    producer.produce(topic, None, b"k")
    assert await asyncio.to_thread(producer.flush, 30) == 0
    decoded = avro_block.decode(await compare(bootstrap, topic), WriterSchemas(CONTRACT))
    assert decoded.frame["sequence"].to_list() == list(range(12))
    assert decoded.rejects.select("reason", "offset").rows() == [("tombstone", 12)]


async def _transactions(bootstrap: str, topic: str) -> None:
    """Two producers, their transactions woven into each other; every third aborts; one stays open at the end."""
    producers = [AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{topic}-{n}") for n in range(2)]
    plain = AIOKafkaProducer(bootstrap_servers=bootstrap)
    for producer in (*producers, plain):
        await producer.start()
    try:
        for turn in range(6):
            for producer in producers:
                await producer.begin_transaction()
            for number in range(5):
                for producer in (*producers, plain):
                    await producer.send_and_wait(topic, value(turn * 10 + number), key=b"k", partition=0)
            await (producers[0].abort_transaction() if turn % 3 == 0 else producers[0].commit_transaction())
            await (producers[1].abort_transaction() if turn % 3 == 1 else producers[1].commit_transaction())
    finally:
        for producer in (*producers, plain):
            await producer.stop()


async def test_transactions(bootstrap: str) -> None:
    """Aborted records are dropped and markers passed just as aiokafka does, committed and uncommitted reads alike;
    from any offset in between too.
    """
    topic = create(bootstrap)
    await _transactions(bootstrap, topic)
    await settled(bootstrap, topic)
    committed = await compare(bootstrap, topic)
    everything = await compare(bootstrap, topic, UNCOMMITTED)
    assert sum(block.count for block in everything) == 6 * 5 * 3
    assert sum(block.count for block in committed) == 6 * 5 * 3 - 4 * 5
    for begin in range(0, 90, 13):
        await compare(bootstrap, topic, begin=begin)


async def test_what_the_broker_writes_itself(bootstrap: str) -> None:
    """Offset commits of a group: batches that Java built, keys and values of no schema of ours, tombstones."""
    topic, group = create(bootstrap), "golden-group"
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    tp = TopicPartition(topic, 0)
    await consumer.start()
    consumer.assign([tp])
    for offset in range(5):
        await consumer.commit({tp: OffsetAndMetadata(offset, "golden")})
    await consumer.stop()
    partitions = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=30).topics["__consumer_offsets"]
    count = 0
    for number in partitions.partitions:
        try:
            found = await compare(bootstrap, "__consumer_offsets", partition=number)
        except AssertionError:  # another group's end was written between the two readings: once more, it is over
            found = await compare(bootstrap, "__consumer_offsets", partition=number)
        count += sum(block.count for block in found)
    assert count >= 5


async def test_compacted_topics(bootstrap: str) -> None:
    """After compaction batches have holes and lie apart; offsets, positions and decoding hold."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    fast = ConfigEntry("log.cleaner.backoff.ms", "50", incremental_operation=AlterConfigOpType.SET)
    broker = str(next(iter(admin.list_topics(timeout=30).brokers)))
    resource = ConfigResource(ConfigResource.Type.BROKER, broker, incremental_configs=[fast])
    admin.incremental_alter_configs([resource])[resource].result(timeout=30)
    topic = create(bootstrap, cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.01",
                   delete_retention_ms="0", max_compaction_lag_ms="100")  # fmt: skip
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "compression.type": "lz4"})
    total, own = 0, list[Any]()
    # The active segment is never compacted: each round also closes the one before.
    for _ in range(100):
        for number in range(200):
            producer.produce(topic, value(total + number), b"edge-%d" % (number % 150))
        assert await asyncio.to_thread(producer.flush, 30) == 0
        total += 200
        own, _ = await read(bootstrap, topic, COMMITTED)
        if len(own) < total - 300:
            break
        await asyncio.sleep(0.15)
    # The cleaner may still be at work: wait until it leaves two reads in a row the same.
    before: list[Any] = []
    while [record.offset for record in before] != [record.offset for record in own]:
        before = own
        await asyncio.sleep(0.5)
        own, _ = await read(bootstrap, topic, COMMITTED)
    found = await compare(bootstrap, topic)
    assert sum(block.count for block in found) < total - 300
    fields = [HEADER.unpack(header) for block in found for header, _ in block.batches()]
    assert any(count <= last for *_, last, _, _, _, _, _, count in fields), "no batch with a hole"
    assert all(offset == sequence for offset, sequence in decoded_sequences(found))
    assert found[-1].next == total
