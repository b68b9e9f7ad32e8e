"""What the demo reads. In: settings. Out: records of the output topics, committed ones only, from the first on."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from streams import topology
from streams.kafka.avro import contracts
from streams.kafka.avro.wire import PREFIX_BYTES, framing
from streams.kafka.avro.writer import stripped
from streams.kafka.clients import librdkafka
from streams.settings import Settings

TOPICS: Final = (topology.READING, topology.WINDOW, topology.ALERT, topology.KPI, topology.INCIDENT)
_AT_ONCE: Final = 500


class Feed:
    """A consumer without a group over topics (by default those that the view shows); close it."""

    def __init__(self, settings: Settings, topics: Sequence[topology.Topic] = TOPICS) -> None:
        self._prefix = settings.topic_prefix
        # Without logical types, times stay the integers that they are.
        self._schemas = {
            topic.name: fastavro.parse_schema(stripped(contracts.load(topic.name).schema)) for topic in topics
        }
        self._consumer = Consumer(
            {
                **librdkafka(settings),
                "group.id": "plantweave-demo-view",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
            }
        )
        self._consumer.assign(
            [
                TopicPartition(self._prefix + topic.name, partition, OFFSET_BEGINNING)
                for topic in topics
                for partition in range(settings.partitions)
            ]
        )

    def poll(self, timeout_s: float) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Records that arrive within `timeout_s`: topic (name without prefix) and fields. Raises KafkaException."""
        for message in self._consumer.consume(_AT_ONCE, timeout_s):
            error, topic, value = message.error(), message.topic(), message.value()
            if error is not None:
                if error.fatal():
                    raise KafkaException(error)
                continue
            if topic is not None and value is not None:
                name = topic.removeprefix(self._prefix)
                body = io.BytesIO(value[PREFIX_BYTES[framing(value)[0]] :])
                row = fastavro.schemaless_reader(body, self._schemas[name], None)
                if isinstance(row, dict):
                    yield name, row

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()
