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

import polars as pl
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.core.context import Context
from streams.kafka import contracts
from streams.kafka.clients import groupless_consumer
from streams.kafka.metrics import Metrics
from streams.settings import Settings
from streams.topology import Topic

log = logging.getLogger(__name__)

# Changes of context are gathered this long: a load of 100,000 rows builds a few frames, not 100,000.
GATHER_S: Final = 0.25
POLL_MS: Final = 200
RETRY_S: Final = 2.0
Row = dict[str, Any]

_PRIMITIVE: Final[Mapping[str, pl.DataType]] = {
    "string": pl.String(),
    "long": pl.Int64(),
    "int": pl.Int32(),
    "double": pl.Float64(),
    "float": pl.Float64(),
    "boolean": pl.Boolean(),
    "bytes": pl.Binary(),
}


def frame_schema(schema: Mapping[str, Any]) -> pl.Schema:
    """Columns of a context frame: the contract's fields, times Int64 us, arrays as lists, maps as lists of {key, value}."""
    return pl.Schema({field["name"]: _column(field["type"]) for field in schema["fields"]})


def _column(declared: Any) -> pl.DataType:
    if isinstance(declared, list):
        return _column(next(part for part in declared if part != "null"))
    if isinstance(declared, str):
        return _PRIMITIVE[declared]
    if declared["type"] == "array":
        return pl.List(_column(declared["items"]))
    if declared["type"] == "map":
        return pl.List(pl.Struct({"key": pl.String(), "value": _column(declared["values"])}))
    return _column(declared["type"])


def _cell(value: Any) -> Any:
    return [{"key": key, "value": item} for key, item in value.items()] if isinstance(value, dict) else value


class ContextStore:
    """`current` is replaced, never changed; `offsets` are those that `current` holds, by "topic/partition"."""

    def __init__(self, settings: Settings, topics: Sequence[Topic], metrics: Metrics | None = None) -> None:
        if topics:
            from streams.kafka.codec import RowDecoder
        self._settings = settings
        self._topics = {settings.topic_prefix + topic.name: topic for topic in topics}
        self._decoders = {topic.name: RowDecoder(settings, topic) for topic in topics}
        self._schemas = {topic.name: frame_schema(contracts.load(topic.name).schema) for topic in topics}
        self._metrics = metrics
        self._rows: dict[str, dict[bytes, dict[int, Row]]] = {topic.name: {} for topic in topics}
        self._dirty: set[str] = set()
        self._read: dict[TopicPartition, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._follower: asyncio.Task[None] | None = None
        self.current = Context({name: pl.DataFrame(schema=schema) for name, schema in self._schemas.items()}, 0)
        self.offsets: Mapping[str, int] = {}
        self.ready = not topics

    async def start(self) -> None:
        """Read up to the present end of every context topic, then go on reading in the background."""
        if not self._topics:
            return
        await self._connect()
        await self._catch_up()
        self._publish()
        self.ready = True
        self._follower = asyncio.ensure_future(self._follow())
        log.info("context loaded", extra={"rows": {name: frame.height for name, frame in self.current.frames.items()}})

    async def stop(self) -> None:
        """Stop reading."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

    async def _connect(self) -> None:
        consumer = self._consumer = groupless_consumer(self._settings)
        await consumer.start()
        places = []
        for name in self._topics:
            numbers = consumer.partitions_for_topic(name) or set()
            places += [TopicPartition(name, number) for number in numbers]
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
            for record in records:
                await self._take(topic, record)
            self._read[place] = records[-1].offset + 1
            await asyncio.sleep(0)

    async def _take(self, topic: Topic, record: Any) -> None:
        versions = self._rows[topic.name]
        key = record.key if record.key is not None else b""
        if record.value is None:
            versions.pop(key, None)
        else:
            row = await self._decoders[topic.name].decode(record.value)
            if isinstance(row, str):
                log.warning(
                    "context record not readable", extra={"topic": record.topic, "offset": record.offset, "why": row}
                )
                if self._metrics is not None:
                    self._metrics.counts({("context_rejects", topic.name): 1})
                return
            versions.setdefault(key, {})[int(row.get("valid_from") or 0)] = row
        self._dirty.add(topic.name)

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
            except KafkaError as why:
                log.warning("context topics not readable, trying again", extra={"why": repr(why)})
                if self._consumer is not None:
                    await self._consumer.stop()
                    self._consumer = None
                await asyncio.sleep(RETRY_S)

    def _publish(self) -> None:
        frames = dict(self.current.frames)
        for name in self._dirty:
            rows = [version for versions in self._rows[name].values() for version in versions.values()]
            schema = self._schemas[name]
            columns = {column: [_cell(row[column]) for row in rows] for column in schema}
            frames[name] = pl.DataFrame(columns, schema=schema)
        self._dirty.clear()
        self.current = Context(frames, self.current.version + 1)
        self.offsets = {f"{place.topic}/{place.partition}": offset for place, offset in self._read.items()}
