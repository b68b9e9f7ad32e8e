"""One transaction on a real broker: all of it is visible, or nothing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import NewTopic

from streams.kafka import topics
from streams.kafka.app import build
from streams.kafka.clients import groupless_consumer, stop, transactional_producer
from streams.kafka.outbox import Outbox, transact
from streams.kafka.service import Record
from streams.settings import Settings


@pytest.fixture
def settings(bootstrap: str) -> Settings:
    """A deployment with an output that takes small records only, and a state topic."""
    found = Settings(bootstrap_servers=bootstrap, topic_prefix=f"tx{time.time_ns()}.", partitions=1)
    made = [NewTopic(found.topic_prefix + "out", 1, 1, config={"max.message.bytes": "2000"})]
    topics.create(found, [*made, *(NewTopic(found.topic_prefix + name, 1, 1) for name in ("in", "state"))])
    return found


async def visible(settings: Settings, name: str) -> list[bytes | None]:
    """What a read-committed consumer sees of a topic."""
    consumer = groupless_consumer(settings)
    await consumer.start()
    try:
        place = TopicPartition(settings.topic_prefix + name, 0)
        consumer.assign([place])
        consumer.seek(place, 0)
        end = (await consumer.end_offsets([place]))[place]
        found: list[bytes | None] = []
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [record.value for record in records]
        return found
    finally:
        await consumer.stop()


async def becomes(settings: Settings, name: str, expected: list[bytes]) -> None:
    """A commit is answered before its markers are written: what it wrote is visible a moment later."""
    found: list[bytes | None] = []
    for _ in range(50):
        found = await visible(settings, name)
        if found == expected:
            return
    raise AssertionError(f"{name}: {found}, not {expected}")


def committed(settings: Settings, group: str, place: TopicPartition) -> int:
    """The group's committed offset."""
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": group})
    try:
        (found,) = consumer.committed([Place(place.topic, place.partition)], timeout=10)
        return int(found.offset)
    finally:
        consumer.close()


async def test_a_refused_batch_takes_the_whole_transaction_with_it(settings: Settings) -> None:
    """An output that the broker refuses: no output, no state, no offsets; the next owner's transaction is whole."""
    prefix = settings.topic_prefix
    state, place = TopicPartition(f"{prefix}state", 0), TopicPartition(f"{prefix}in", 0)
    producer = transactional_producer(settings, f"{prefix}task")
    await producer.start()
    bad = Outbox()
    bad.put(f"{prefix}out", 1, [Record(b"k", b"x" * 10_000)])
    with pytest.raises(Exception, match=r"(?i)too ?large|message size"):
        await transact(producer, f"{prefix}group", bad, state, [b"first state"], {place: 42})
    await stop(producer)
    heir = transactional_producer(settings, f"{prefix}task")
    await heir.start()
    assert await visible(settings, "state") == []
    good = Outbox()
    good.put(f"{prefix}out", 1, [Record(b"k", b"small")])
    await transact(heir, f"{prefix}group", good, state, [b"second state"], {place: 1})
    await stop(heir)
    await becomes(settings, "state", [b"second state"])
    await becomes(settings, "out", [b"small"])


async def test_parts_of_a_large_snapshot_go_ahead_in_transactions_of_their_own(settings: Settings) -> None:
    """Without offsets, state records are committed alone, the first one's offset is told, and the group stays put."""
    prefix = settings.topic_prefix
    state, place = TopicPartition(f"{prefix}state", 0), TopicPartition(f"{prefix}in", 0)
    producer = transactional_producer(settings, f"{prefix}large")
    await producer.start()
    first = await transact(producer, f"{prefix}group", Outbox(), state, [b"one", b"two"], {place: 7})
    second = await transact(producer, f"{prefix}group", Outbox(), state, [b"three"], {})
    await stop(producer)
    assert first == 0
    assert second > 1
    assert await asyncio.to_thread(committed, settings, f"{prefix}group", place) == 7
    await becomes(settings, "state", [b"one", b"two", b"three"])


async def test_membership_does_not_depend_on_polls(settings: Settings, tmp_path: Path) -> None:
    """A worker without partitions polls nothing for hours, and must still be given some when another leaves."""
    app = build(settings, "group", "standby", str(tmp_path))
    assert app.conf.broker_max_poll_interval > 86_400
