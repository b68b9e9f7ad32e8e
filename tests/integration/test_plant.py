"""The simulated plant on a real broker, in the wire format that is configured."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import fastavro
import pytest

from streams import topology
from streams.kafka import topics
from streams.kafka.avro import contracts
from streams.kafka.avro.registry import Registry, RegistryError
from streams.kafka.avro.wire import PREFIX_BYTES, Kind, framing
from streams.kafka.avro.writer import stripped
from streams.kafka.clients import groupless_consumer
from streams.plant.model import SECOND_US
from streams.plant.plant import Plant
from streams.plant.publish import Publisher
from streams.settings import Settings
from tests.kafka.registry_peer import RegistryPeer

START_US = 1_790_001_000 * SECOND_US
WRITTEN = (topology.SIGNAL, topology.RAW_READING, topology.RAW_BATCH)


async def received(settings: Settings, topic: topology.Topic, count: int) -> list[bytes]:
    """The first values of a topic of one partition."""
    consumer = groupless_consumer(settings)
    consumer.subscribe([settings.topic_prefix + topic.name])
    await consumer.start()
    try:
        async with asyncio.timeout(20):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_the_plant_writes_with_the_ids_of_the_registry(bootstrap: str) -> None:
    """With framing `confluent` each value begins with the id that the registry gave its contract, and can be read."""
    peer = RegistryPeer()
    async with peer.running() as url:
        settings = Settings(
            bootstrap_servers=bootstrap,
            topic_prefix="plant-framing.",
            partitions=1,
            framing="confluent",
            registry_url=url,
        )
        await asyncio.to_thread(topics.create, settings)
        publisher = await asyncio.to_thread(Publisher, settings)
        plant = Plant(START_US, rate=20)
        sent: dict[str, list[dict[str, Any]]] = {topology.SIGNAL.name: plant.context(START_US)[topology.SIGNAL.name]}
        for name, frame in plant.readings(START_US, START_US + 2 * SECOND_US).items():
            sent[name] = frame.to_dicts()
        for name, rows in sent.items():
            assert rows
            publisher.send(name, rows)
        assert await asyncio.to_thread(publisher.flush) is None
        for topic in WRITTEN:
            (ident,) = peer.subjects[f"{settings.topic_prefix}{topic.name}-value"]
            values = await received(settings, topic, len(sent[topic.name]))
            assert {framing(value) for value in values} == {(Kind.CONFLUENT, ident)}
            parsed = fastavro.parse_schema(stripped(contracts.load(topic.name).schema))
            bodies = [io.BytesIO(value[PREFIX_BYTES[Kind.CONFLUENT] :]) for value in values]
            assert [fastavro.schemaless_reader(body, parsed, None) for body in bodies] == sent[topic.name]


async def test_a_registry_that_refuses_a_contract_keeps_the_plant_from_starting() -> None:
    """A subject that holds a schema that the contract does not fit is told before anything is sent."""
    peer = RegistryPeer()
    async with peer.running() as url:
        other = contracts.load(topology.KPI.name).text
        async with Registry(url) as registry:
            await registry.register(f"{topology.RAW_READING.name}-value", other)
        with pytest.raises(RegistryError, match="not compatible"):
            await asyncio.to_thread(Publisher, Settings(framing="confluent", registry_url=url))
