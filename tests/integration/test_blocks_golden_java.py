"""What Kafka's Java client writes is read alike through blocks and through aiokafka's own path, and decodes."""

from __future__ import annotations

import asyncio

import pytest

from streams.kafka.avro import block as avro_block
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.blocks.block import HEADER, Block
from tests.integration.golden import CODECS, UNCOMMITTED, codecs, compare, create, decoded_sequences, settled
from tests.integration.java_producer import JavaProducer, Plan
from tests.kafka.readings import CONTRACT, value

# The last is above 64 KiB: more than one block of lz4, and of Java's framing of snappy (32 KiB).
SIZES = (1, 40, 2000)
SEQUENCES = [number for size in SIZES for number in range(size)]
# Of Java's codecs; the default of each is a third one.
LEVELS = {"gzip": (1, 9), "lz4": (1, 17), "zstd": (-5, 19)}


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> JavaProducer:
    """The program, compiled."""
    return JavaProducer(tmp_path_factory.mktemp("java"))


def batches(plan: Plan, topic: str, producer: str = "p", **settings: object) -> None:
    """Idempotent as by default: a batch of each size, its timestamps falling."""
    plan.open(producer, linger_ms=60_000, batch_size=1 << 20, **settings)
    for size in SIZES:
        for number in range(size):
            plan.send(producer, topic, value(number), b"edge-1", 10_000 - number)
        plan.tell(producer, "flush")


def counts(found: list[Block]) -> list[int]:
    """Records of every batch in blocks."""
    return [HEADER.unpack(header)[-1] for block in found for header, _ in block.batches()]


@pytest.mark.parametrize("codec", CODECS)
async def test_every_codec(bootstrap: str, java: JavaProducer, codec: str) -> None:
    """Also at their lowest and highest level; batches are as large as they were sent, none decodes record by record."""
    topic, plan = create(bootstrap), Plan(bootstrap)
    batches(plan, topic, compression_type=codec)
    for level in LEVELS.get(codec, ()):
        settings = {"compression_type": codec, f"compression_{codec}_level": level}
        batches(plan, topic, f"level {level}", **settings)
    await asyncio.to_thread(java.run, plan)
    found = await compare(bootstrap, topic)
    rounds = 1 + len(LEVELS.get(codec, ()))
    assert counts(found) == [*SIZES] * rounds
    assert decoded_sequences(found) == list(enumerate(SEQUENCES * rounds))
    assert codecs(found) == {CODECS.index(codec)}
    await compare(bootstrap, topic, begin=20)
    await compare(bootstrap, topic, begin=1000)


async def test_as_configured_out_of_the_box(bootstrap: str, java: JavaProducer) -> None:
    """A Java producer without a single setting cuts its own batches, and without idempotence it is no different."""
    topic, plan = create(bootstrap), Plan(bootstrap)
    plan.open("stock")
    plan.open("old", enable_idempotence="false", acks=1)
    for number in range(1000):
        plan.send("stock", topic, value(number), None, number)
    plan.tell("stock", "flush")
    for number in range(1000, 1500):
        plan.send("old", topic, value(number), b"edge-1", number)
    await asyncio.to_thread(java.run, plan)
    found = await compare(bootstrap, topic)
    assert decoded_sequences(found) == [(number, number) for number in range(1500)]
    assert len(counts(found)) > 3


async def test_headers_null_keys_tombstones_and_text(bootstrap: str, java: JavaProducer) -> None:
    """What is no plain block is the same all the same; exactly the tombstone and the text are rejected, in place."""
    topic, plan = create(bootstrap), Plan(bootstrap)
    plan.open("p", linger_ms=60_000)
    for number in range(0, 12, 4):
        plan.send("p", topic, value(number), b"k", number)
        plan.send("p", topic, value(number + 1), None, number)
        plan.send("p", topic, value(number + 2), b"", number)
        headers = [("trace", b"1"), ("trace", None), ("", b""), ("größe", b"\xff" * 300)]
        plan.send("p", topic, value(number + 3), b"k", number, headers)
    plan.send("p", topic, None, b"k", 12)
    plan.send("p", topic, b"a line of text", b"k", 13, [("source", b"console")])
    plan.send("p", topic, None, None, 14)
    plan.tell("p", "flush")
    await asyncio.to_thread(java.run, plan)
    decoded = avro_block.decode(await compare(bootstrap, topic), WriterSchemas(CONTRACT))
    assert decoded.frame.select("_offset", "sequence").rows() == [(number, number) for number in range(12)]
    expected = [("tombstone", 12), ("undecodable", 13), ("tombstone", 14)]
    assert decoded.rejects.select("reason", "offset").rows() == expected


async def test_transactions(bootstrap: str, java: JavaProducer) -> None:
    """Two producers' transactions woven into each other, some aborted, beside a plain one; the last stays open."""
    topic, plan = create(bootstrap), Plan(bootstrap)
    plan.open("plain", compression_type="lz4")
    for name in ("a", "b"):
        plan.open(name, transactional_id=f"{topic}-{name}", compression_type="zstd", linger_ms=60_000)
    for turn in range(6):
        for name in ("a", "b"):
            plan.tell(name, "begin")
        for number in range(5):
            for name in ("a", "plain", "b"):
                plan.send(name, topic, value(turn * 10 + number), b"k", turn)
                # Two records of a transaction to a batch, then one.
                if number % 2:
                    plan.tell(name, "flush")
        plan.tell("plain", "flush")
        plan.tell("a", "flush", "abort" if turn % 3 == 0 else "commit")
        plan.tell("b", "flush", "abort" if turn % 3 == 1 else "commit")
    await asyncio.to_thread(java.run, plan)
    await settled(bootstrap, topic)
    assert sum(block.count for block in await compare(bootstrap, topic, UNCOMMITTED)) == 6 * 5 * 3
    assert sum(block.count for block in await compare(bootstrap, topic)) == 6 * 5 * 3 - 4 * 5
    for begin in range(0, 90, 13):
        await compare(bootstrap, topic, begin=begin)
    await asyncio.to_thread(java.run, _left_open(bootstrap, topic))
    # What stands behind an open transaction is not committed yet, whoever wrote it.
    assert sum(block.count for block in await compare(bootstrap, topic, UNCOMMITTED)) == 6 * 5 * 3 + 4
    assert sum(block.count for block in await compare(bootstrap, topic)) == 6 * 5 * 3 - 4 * 5 + 1


def _left_open(bootstrap: str, topic: str) -> Plan:
    """A plain record, two of a transaction without an end, and a plain one."""
    plan = Plan(bootstrap)
    plan.open("plain")
    plan.open("dies", transactional_id=f"{topic}-dies")
    plan.tell("dies", "begin")
    for name, numbers in (("plain", [1]), ("dies", [2, 3]), ("plain", [4])):
        for number in numbers:
            plan.send(name, topic, value(number), b"k", number)
        plan.tell(name, "flush")
    return plan
