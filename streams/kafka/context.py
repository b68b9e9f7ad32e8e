"""The context store: all versions of all entities of the `it.*` topics, read by every worker, without a group.

Enters: compacted context topics. Leaves: `Context` (frames) that changes as topics change; ready past the end offsets.
Faust's global tables do not share writes between workers, hence a consumer of our own over all partitions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from streams.core.context import Context
from streams.kafka import topics as topic_admin
from streams.kafka.avro import codec, contracts
from streams.kafka.avro.registry import Registry
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.clients import groupless_consumer
from streams.kafka.metrics import Metrics
from streams.kafka.serde import learn
from streams.settings import Settings
from streams.topology import Topic

log = logging.getLogger(__name__)

# Changes of context are gathered this long: a load of 100,000 rows builds a few frames, not 100,000.
GATHER_S: Final = 0.25
POLL_MS: Final = 200
RETRY_S: Final = 2.0
Row = dict[str, Any]


class ContextStore:
    """`current` is replaced, never changed; `offsets` are those that `current` holds, by "topic/partition"."""

    def __init__(self, settings: Settings, topics: Sequence[Topic], metrics: Metrics | None = None) -> None:
        self._settings = settings
        self._topics = {settings.topic_prefix + topic.name: topic for topic in topics}
        self._registry = Registry.of(settings) if settings.registry_url else None
        self._schemas = {
            topic.name: WriterSchemas(contracts.load(topic.name), registry=self._registry is not None)
            for topic in topics
        }
        self._metrics = metrics
        self._rows: dict[str, dict[bytes, dict[int, Row]]] = {topic.name: {} for topic in topics}
        self._dirty: set[str] = set()
        self._read: dict[TopicPartition, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._follower: asyncio.Task[None] | None = None
        self.current = Context({topic.name: codec.frame((), topic.name) for topic in topics}, 0)
        self.offsets: Mapping[str, int] = {}
        self.ready = not topics
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Read up to the present end of every context topic, then go on reading in the background."""
        if not self._topics:
            return
        if self._registry is not None:
            await self._registry.__aenter__()
        await self._connect()
        await self._catch_up()
        self._publish()
        self.ready = True
        self._follower = asyncio.ensure_future(self._follow())
        self._follower.add_done_callback(self._ended)
        log.info("context loaded", extra={"rows": {name: frame.height for name, frame in self.current.frames.items()}})

    def _ended(self, follower: asyncio.Task[None]) -> None:
        """Bad code ends the reading of context: the worker must not go on with what it knew last."""
        if not follower.cancelled() and (why := follower.exception()) is not None and not self.failed.done():
            self.failed.set_result(why)

    async def stop(self) -> None:
        """Stop reading."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None
        if self._registry is not None:
            await self._registry.__aexit__(None, None, None)

    async def _connect(self) -> None:
        consumer = self._consumer = groupless_consumer(self._settings)
        await consumer.start()
        counts = await asyncio.to_thread(topic_admin.partitions, self._settings, self._topics)
        places = [TopicPartition(name, number) for name, count in counts.items() for number in range(count)]
        consumer.assign(places)
        starts = await consumer.beginning_offsets(places)
        for place in places:
            consumer.seek(place, max(self._read.get(place, 0), starts[place]))

    async def _catch_up(self) -> None:
        consumer = self._consumer
        assert consumer is not None
        ends = await consumer.end_offsets(list(consumer.assignment()))
        said = time.monotonic()
        while behind := {place for place, end in ends.items() if await consumer.position(place) < end}:
            await self._poll(consumer)
            if time.monotonic() - said > 2.0:
                said = time.monotonic()
                left = sum([ends[place] - await consumer.position(place) for place in behind])
                log.info("loading context", extra={"records_left": left})

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        for place, records in (await consumer.getmany(timeout_ms=POLL_MS, max_records=5000)).items():
            topic = self._topics[place.topic]
            await self._take(topic, records)
            self._read[place] = records[-1].offset + 1
            await asyncio.sleep(0)

    async def _take(self, topic: Topic, records: Sequence[Any]) -> None:
        schemas = self._schemas[topic.name]
        values = [record.value for record in records]
        decoded = codec.decode(values, schemas)
        while decoded.needs and self._registry is not None:
            await learn(schemas, decoded.needs, self._registry)
            decoded = codec.decode(values, schemas)
        versions = self._rows[topic.name]
        for position, record in enumerate(records):
            key = record.key if record.key is not None else b""
            if record.value is None:
                versions.pop(key, None)
            elif (row := decoded.rows.get(position)) is not None:
                versions.setdefault(key, {})[int(row.get("valid_from") or 0)] = row
            else:
                self._refuse(record, decoded.refused[position])
        self._dirty.add(topic.name)

    def _refuse(self, record: Any, why: codec.Refused) -> None:
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        log.warning("context record left out: not readable", extra={**place, "reason": why.reason, "why": why.detail})
        if self._metrics is not None:
            self._metrics.counts({("context_rejects", why.reason): 1})

    async def _follow(self) -> None:
        while True:
            try:
                consumer = self._consumer
                if consumer is None:
                    await self._connect()
                    continue
                await self._poll(consumer)
                if self._dirty:
                    await asyncio.sleep(GATHER_S)
                    await self._poll(consumer)
                    self._publish()
            except (KafkaError, KafkaException) as why:
                log.warning("context topics not readable, trying again", extra={"why": repr(why)})
                if self._consumer is not None:
                    await self._consumer.stop()
                    self._consumer = None
                await asyncio.sleep(RETRY_S)

    def _publish(self) -> None:
        frames = dict(self.current.frames)
        for name in self._dirty:
            rows = [version for versions in self._rows[name].values() for version in versions.values()]
            frames[name] = codec.frame(rows, name)
        self._dirty.clear()
        self.current = Context(frames, self.current.version + 1)
        self.offsets = {f"{place.topic}/{place.partition}": offset for place, offset in self._read.items()}
