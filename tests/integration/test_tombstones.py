"""Topics of what stands, on a real broker: what has ended is deleted, in the transaction that tells everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
from aiokafka import TopicPartition as Place
from confluent_kafka import Consumer, TopicPartition

from streams import topology
from streams.core.correlate.tables import INCIDENT
from streams.kafka import topics
from streams.kafka.avro import contracts
from streams.kafka.clients import stop, transactional_producer
from streams.kafka.outbox import Outbox, transact
from streams.kafka.serde import AvroSerde
from streams.settings import Settings
from tests.chaos.services import Decoder
from tests.integration import harness

pytestmark = pytest.mark.timeout(120)

PARTITIONS: Final = 3


def incident(name: str, revision: int, state: str) -> dict[str, Any]:
    """A row of incidents; what it does not say is the contract's default."""
    row = {part["name"]: part.get("default") for part in contracts.load(topology.INCIDENT.name).schema["fields"]}
    row |= {"incident_id": name, "revision": revision, "reason": "updated", "site": "s", "state": state}
    return row | {"priority": "low", "message": "m"} | dict.fromkeys(("event_time", "begin_time", "detection_time"), 1)


def read(settings: Settings, topic: topology.Topic) -> list[tuple[str, str | None]]:
    """What a subscriber finds: key and state of each committed record, None for a tombstone; by partition."""
    found: list[tuple[str, str | None]] = []
    own = {"bootstrap.servers": settings.bootstrap_servers, "group.id": f"{settings.topic_prefix}late", "log_level": 0}
    decode = Decoder(topic).row
    for number in range(PARTITIONS):
        consumer = Consumer({**own, "isolation.level": "read_committed", "enable.partition.eof": True})
        consumer.assign([TopicPartition(settings.topic_prefix + topic.name, number, 0)])
        while (message := consumer.poll(30)) is not None and not message.error():
            value = message.value()
            found.append(((message.key() or b"").decode(), None if value is None else decode(value)["state"]))
        consumer.close()
    return found


async def test_what_stands_is_there_and_what_has_ended_is_deleted(bootstrap: str, tmp_path: Path) -> None:
    """A subscriber that comes late learns what is open: of each id the last record counts, of what was closed, merged
    or retracted that is a tombstone. The topic with all revisions keeps their last words. The broker compacts the one.
    """
    target = harness.deploy(bootstrap, tmp_path, (), PARTITIONS)
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=target.prefix, partitions=PARTITIONS)
    ends = {"a": "closed", "b": "merged", "c": "retracted", "d": "open", "e": "open"}
    rows = [incident(name, 1, "open") for name in ends] + [incident(name, 2, state) for name, state in ends.items()]
    frame = pl.DataFrame(rows, schema=INCIDENT)
    serde = AvroSerde(settings, topology.CORRELATE_STAGE)
    await serde.start()
    outbox = Outbox()
    for topic in (topology.INCIDENT, topology.INCIDENT_CURRENT):
        outbox.put(target.prefix + topic.name, PARTITIONS, serde.encode(topic, frame))
    producer = transactional_producer(settings, f"{target.prefix}one")
    await producer.start()
    try:
        state = Place(target.prefix + topology.state_topic(topology.CORRELATE_STAGE.name), 0)
        await transact(producer, "group", outbox, state, [b"state"], {})
    finally:
        await stop(producer)
        await serde.stop()
    current = read(settings, topology.INCIDENT_CURRENT)
    assert len(current) == len(rows)
    assert dict(current) == {"a": None, "b": None, "c": None, "d": "open", "e": "open"}
    assert sorted(read(settings, topology.INCIDENT)) == sorted(("s", row["state"]) for row in rows)
    config = topics.configuration(settings, target.prefix + topology.INCIDENT_CURRENT.name)
    assert (config["cleanup.policy"], config["delete.retention.ms"]) == ("compact", str(7 * topology.DAY_MS))
