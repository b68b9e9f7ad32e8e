"""The context store: all versions of all entities of the `it.*` topics, read by every worker, without a group.

Enters: compacted context topics. Leaves: `Context` (frames) that changes as topics change; ready past the end offsets.
Faust's global tables do not share writes between workers, hence a consumer of our own over all partitions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from streams.core.context import Context
from streams.kafka import topics as topic_admin
from streams.kafka.avro import contracts
from streams.kafka.avro.registry import Registry, RegistryError
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.clients import groupless_consumer, stop_consumer
from streams.kafka.context.decode import decode
from streams.kafka.context.table import Oddity, Versions
from streams.kafka.metrics import Metrics
from streams.kafka.persons import Persons, Unguarded
from streams.kafka.serde import learn
from streams.settings import Settings
from streams.topology import DAY_MS, Topic

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

# Changes of context are gathered this long: a load of 100,000 rows changes a few frames, not 100,000.
GATHER_S: Final = 0.25
POLL_MS: Final = 200
POLL_RECORDS: Final = 5_000
RETRY_S: Final = 2.0
TELL_S: Final = 2.0
LET_GO_EVERY_S: Final = DAY_MS / 1000
AWAY: Final = (KafkaError, KafkaException, RegistryError, TimeoutError, OSError)
COUNTED: Final = {"contradiction": "context_contradictions", "overlap": "context_overlaps"}


class ContextStore:
    """`current` is replaced, never changed, and holds the offsets it was read up to. No `persons`: names in clear."""

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[Topic],
        metrics: Metrics | None = None,
        persons: Persons | None = None,
    ) -> None:
        self._settings = settings
        self._persons = persons or Unguarded()
        self._topics = {settings.topic_prefix + topic.name: topic for topic in topics}
        self._registry = Registry.of(settings) if settings.registry_url else None
        self._schemas = {
            topic.name: WriterSchemas(contracts.load(topic.name), registry=self._registry is not None)
            for topic in topics
        }
        self._metrics = metrics
        self._tables = {name: Versions(schemas.columns) for name, schemas in self._schemas.items()}
        self._read: dict[TopicPartition, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._follower: asyncio.Task[None] | None = None
        # One thread: no two works on a table overlap, also where a stop left one running.
        self._thread = ThreadPoolExecutor(1, "context")
        self._replaced = asyncio.Event()
        self._let_go_at = -LET_GO_EVERY_S
        self.current = Context({name: table.frame for name, table in self._tables.items()}, 0)
        self.ready = not topics
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    # -- what others ask -------------------------------------------------------------------------------------------

    async def changed(self, seconds: float) -> None:
        """Return once `current` is replaced, or `seconds` have passed."""
        try:
            async with asyncio.timeout(seconds):
                await self._replaced.wait()
        except TimeoutError:
            return

    async def ends(self) -> Mapping[str, int]:
        """Present last stable offsets by "topic/partition"; empty while reconnecting. Raises what aiokafka raises."""
        consumer = self._consumer
        return {} if consumer is None else _by_name(await consumer.end_offsets(list(consumer.assignment())))

    async def start(self) -> None:
        """Read up to the present end of every context topic, then go on reading in the background."""
        if not self._topics:
            return
        if self._registry is not None:
            await self._registry.__aenter__()
        for schemas in self._schemas.values():
            await self._aside(schemas.warm)
        began, consumer = time.monotonic(), await self._connect()
        await self._catch_up(consumer, await consumer.end_offsets(list(consumer.assignment())))
        await self._publish()
        self.ready = True
        self._follower = asyncio.ensure_future(self._follow())
        self._follower.add_done_callback(self._ended)
        rows = {name: table.height for name, table in self._tables.items()}
        log.info("context loaded", extra={"rows": rows, "seconds": round(time.monotonic() - began, 1)})

    def _ended(self, follower: asyncio.Task[None]) -> None:
        """Bad code ends the reading of context: the worker must not go on with what it knew last."""
        if not follower.cancelled() and (why := follower.exception()) is not None and not self.failed.done():
            self.failed.set_result(why)

    async def stop(self) -> None:
        """Stop reading."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        await self._disconnect()
        if self._registry is not None:
            await self._registry.__aexit__(None, None, None)

    # -- reading ---------------------------------------------------------------------------------------------------

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = self._consumer = groupless_consumer(self._settings)
        await consumer.start()
        counts = await asyncio.to_thread(topic_admin.partitions, self._settings, self._topics)
        places = [TopicPartition(name, number) for name, count in counts.items() for number in range(count)]
        consumer.assign(places)
        starts = await consumer.beginning_offsets(places)
        for place in places:
            consumer.seek(place, max(self._read.get(place, 0), starts[place]))
        return consumer

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop_consumer(consumer)

    async def _catch_up(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> None:
        """Read up to `ends`."""
        said = time.monotonic()
        while left := sum([max(0, end - await consumer.position(place)) for place, end in ends.items()]):
            await self._poll(consumer)
            if time.monotonic() - said > TELL_S:
                said = time.monotonic()
                log.info("loading context", extra={"records_left": left})

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        for place, records in (await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)).items():
            await self._take(self._topics[place.topic], place, records)
        for place in consumer.assignment():
            # Beyond the last record: markers of transactions, and what compaction removed, are read as well.
            self._read[place] = await consumer.position(place)

    async def _take(self, topic: Topic, place: TopicPartition, records: Sequence[Any]) -> None:
        schemas, table = self._schemas[topic.name], self._tables[topic.name]
        decoded = await self._aside(decode, records, schemas, table.taken)
        while decoded.needs and self._registry is not None:
            await learn(schemas, decoded.needs, self._registry)
            decoded = await self._aside(decode, records, schemas, table.taken)
        rows, clear = await self._aside(self._persons.hidden, topic.name, decoded.rows)
        # From here to the position nothing waits: what was taken is never asked for again.
        full = table.stage(replace(decoded, rows=rows), len(records))
        self._read[place] = records[-1].offset + 1
        for offset, reason, detail in decoded.refused:
            where = {"topic": place.topic, "partition": place.partition, "offset": offset}
            log.warning("context record left out: not readable", extra={**where, "reason": reason, "why": detail})
            self._count("context_rejects", reason, 1)
        self._count("clear_name", topic.name, clear)
        if full:
            await self._absorb(topic.name)

    async def _follow(self) -> None:
        while True:
            try:
                consumer = self._consumer or await self._connect()
                await self._poll(consumer)
                if _by_name(self._read) != self.current.offsets:
                    await asyncio.sleep(GATHER_S)
                    # All that is there by now: of a load that was committed nothing is shown before the rest of it.
                    await self._catch_up(consumer, await consumer.end_offsets(list(consumer.assignment())))
                    await self._publish()
                elif time.monotonic() - self._let_go_at > LET_GO_EVERY_S:
                    await self._publish()
            except AWAY as why:
                log.warning("context topics not readable, trying again", extra={"why": repr(why)})
                await self._disconnect()
                await asyncio.sleep(RETRY_S)

    # -- what was read ---------------------------------------------------------------------------------------------

    async def _aside(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What `work` returns, while the tasks of this worker go on."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *given, **named))

    async def _absorb(self, name: str) -> None:
        for odd in await self._aside(self._tables[name].absorb):
            self._tell(name, odd)

    async def _publish(self) -> None:
        """Let `current` be all that was read."""
        for name in self._tables:
            await self._absorb(name)
        if time.monotonic() - self._let_go_at > LET_GO_EVERY_S:
            before_us = (time.time_ns() // 1_000_000 - topic_admin.CONTEXT_HORIZON_MS) * 1000
            for table in self._tables.values():
                await self._aside(table.let_go, before_us)
            self._let_go_at = time.monotonic()
        was = self.current
        moved = [name for name, table in self._tables.items() if table.show()]
        self.current = Context(
            {name: table.frame for name, table in self._tables.items()},
            was.version + bool(moved),
            {name: was.versions.get(name, 0) + (name in moved) for name in self._tables},
            _by_name(self._read),
        )
        self._replaced.set()
        self._replaced = asyncio.Event()

    def _tell(self, name: str, odd: Oddity) -> None:
        log.warning(
            "context versions contradict each other (%s): %s",
            odd.kind,
            ADVICE[odd.kind],
            extra={"topic": name, "count": odd.count, "first": [f"{key} @ {since}" for key, since in odd.first]},
        )
        self._count(COUNTED[odd.kind], name, odd.count)

    def _count(self, kind: str, label: str, count: int) -> None:
        if self._metrics is not None:
            self._metrics.counts({(kind, label): count})


ADVICE: Final = {
    "contradiction": "records of one load differ in content, the last one holds; give each change its own valid_from",
    "overlap": "a version says that it ends after the next one begins, it ends there; correct its valid_to",
}


def _by_name(offsets: Mapping[TopicPartition, int]) -> dict[str, int]:
    return {f"{place.topic}/{place.partition}": offset for place, offset in offsets.items()}
