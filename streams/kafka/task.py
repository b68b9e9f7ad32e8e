"""A task: one service on one partition number. It owns one state, one transactional producer and its own positions.

Enters: chunks of all co-partitioned inputs, and timer ticks. Leaves: transactions (outputs, state record, input
offsets). The positions in the state record are the truth: what lies below them is skipped, what is missing above them
is sought again, and whatever fails inside discards the task, which is then restored from its topic.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import polars as pl
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced
from faust.types import TP

from streams.core.context import Context
from streams.core.stage import Moment, Result, apply
from streams.kafka.chunks import Chunk
from streams.kafka.clients import transactional_producer
from streams.kafka.metrics import Metrics
from streams.kafka.outbox import Outbox, transact
from streams.kafka.restore import check_positions, delete_before, restore
from streams.kafka.service import Service
from streams.kafka.state import Origin, encode, snapshot
from streams.settings import Settings

log = logging.getLogger(__name__)

OUTBOX_BYTES = 32 << 20
# A commit that moves positions past markers only may wait: nothing depends on it but the lag that people see.
QUIET_COMMIT_S = 0.5
STOP_TIMEOUT_S = 5.0
SEEK_AGAIN_S = 5.0


class Status(enum.Enum):
    """Where a task stands."""

    OPENING = "opening"
    OPEN = "open"
    CLOSED = "closed"
    DISCARDED = "discarded"
    FENCED = "fenced"


class Reading(Protocol):
    """What a task asks of the consumer."""

    async def open_at(self, offsets: dict[TP, int]) -> None: ...
    async def seek_again(self, tp: TP, offset: int) -> None: ...
    def close_partitions(self, tps: set[TP]) -> None: ...
    def stable_end(self, tp: TP) -> int | None: ...


class ContextSource(Protocol):
    """What a task asks of the context consumer."""

    @property
    def current(self) -> Context: ...
    @property
    def offsets(self) -> Mapping[str, int]: ...


class Pace(Protocol):
    """Says whether a commit may start at once (idle) or waits for the interval (load)."""

    def at_once(self) -> bool: ...


@dataclass(frozen=True)
class Shell:
    """What all tasks of a worker share."""

    service: Service
    settings: Settings
    origin: Origin
    group: str
    consumer: Reading
    context: ContextSource
    metrics: Metrics
    pace: Pace
    partitions: Mapping[str, int]
    accept_data_loss: bool = False

    def full(self, name: str) -> str:
        """Topic name with the deployment's prefix."""
        return self.settings.topic_prefix + name


class Task:
    """See the module. `failed` is set once the task was discarded or fenced; the manager opens a new one then."""

    def __init__(self, shell: Shell, partition: int) -> None:
        self.shell = shell
        self.partition = partition
        self.status = Status.OPENING
        self.failed = asyncio.Event()
        self.committed_at = time.monotonic()
        self.positions: dict[tuple[str, int], int] = {}
        self.watermark_us: int | None = None
        self._inputs = {shell.full(topic.name): topic for topic in shell.service.reads}
        self._tables = {table.name: table for table in shell.service.core.tables}
        self._state: dict[str, pl.DataFrame] = {}
        self._lock = asyncio.Lock()
        self._outbox = Outbox()
        self._flight: asyncio.Task[None] | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._producer: AIOKafkaProducer | None = None
        self._lost: dict[tuple[str, int], float] = {}
        self._caught_up_since_us: int | None = None
        self._sequence = 0
        self._delta_bytes = 0
        self._snapshot_bytes = 0
        self._state_tp = TopicPartition(shell.full(f"plantweave.{shell.service.name}.state.v1"), partition)

    @property
    def tps(self) -> set[TP]:
        """Its input partitions."""
        return {TP(topic, self.partition) for topic in self._inputs}

    @property
    def name(self) -> str:
        """Service and partition, for people."""
        return f"{self.shell.service.name}/{self.partition}"

    @property
    def transactional_id(self) -> str:
        """The same for every owner of the task: opening it fences the one before."""
        return f"{self.shell.group}-{self.partition}"

    # -- opening and closing -------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Fence the former owner, restore, and read the inputs from the restored positions."""
        began = time.monotonic()
        shell = self.shell
        self._producer = transactional_producer(shell.settings, self.transactional_id)
        await self._producer.start()  # ends the former owner's open transaction
        inputs = [TopicPartition(tp.topic, tp.partition) for tp in sorted(self.tps)]
        restored, starts = await restore(
            shell.settings,
            self._state_tp,
            self._tables.values(),
            inputs,
            lambda done, total: shell.metrics.restoring(self.partition, done, total),
        )
        if restored.origin is not None:
            shell.origin.check(restored.origin)
        if shell.accept_data_loss:
            restored.positions = {tp: max(at, starts.get(tp, 0)) for tp, at in restored.positions.items()}
        check_positions(shell.service.name, restored, starts)
        self._state = restored.tables
        self.watermark_us = restored.watermark_us
        self._delta_bytes, self._snapshot_bytes = restored.delta_bytes, restored.snapshot_bytes
        self._sequence = int(time.time() * 1000)
        self.positions = {key: restored.positions.get(key, starts[key]) for key in starts}
        if self.status is not Status.OPENING:
            return  # revoked meanwhile
        self.status = Status.OPEN
        self.committed_at = time.monotonic()
        await shell.consumer.open_at({TP(topic, number): at for (topic, number), at in self.positions.items()})
        took = time.monotonic() - began
        shell.metrics.restored(self.partition, took, restored.records)
        log.info("task open", extra={"task": self.name, "restored_records": restored.records, "seconds": round(took, 3)})

    async def close(self) -> None:
        """Finish the running transaction and commit what is left, or abort; then close the producer."""
        async with self._lock:
            if self.status is Status.OPEN:
                await self._settle()
            if self.status in (Status.OPEN, Status.OPENING):
                self.status = Status.CLOSED
        await self._release()

    async def _settle(self) -> None:
        if self._flight is not None:
            await asyncio.wait([self._flight])
        if self.status is Status.OPEN and (not self._outbox.empty or self._outbox.moved):
            self._begin_commit()
            if self._flight is not None:
                await asyncio.wait([self._flight])

    async def _release(self) -> None:
        self.shell.consumer.close_partitions(self.tps)
        if self._waiting is not None:
            self._waiting.cancel()
        if self._flight is not None and not self._flight.done():
            self._flight.cancel()
            await asyncio.wait([self._flight])
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_producer(producer)

    async def discard(self, why: BaseException) -> None:
        """Give up memory and producer: memory may be ahead of the log. The manager opens the task anew."""
        fenced = isinstance(why, ProducerFenced)
        if self.status in (Status.OPEN, Status.OPENING):
            self.status = Status.FENCED if fenced else Status.DISCARDED
            self.shell.metrics.discarded("fenced" if fenced else "failed")
            log.warning("task discarded", extra={"task": self.name, "why": f"{type(why).__name__}: {why}"})
        self.failed.set()

    # -- work ------------------------------------------------------------------------------------------------------

    async def process(self, chunk: Chunk) -> None:
        """Take one chunk of an input: decode what is new, step the core, commit when it is time."""
        async with self._lock:
            if self.status is not Status.OPEN:
                return
            await self._room()
            key = (chunk.topic, chunk.partition)
            position = self.positions[key]
            if chunk.end <= position:
                return
            if chunk.begin is None or chunk.begin > position:
                await self._seek(key, position)
                return
            self._lost.pop(key, None)
            topic = self._inputs[chunk.topic]
            if chunk.records:
                decoded = await self.shell.service.serde.decode(topic, chunk, position)
                if self.status is not Status.OPEN:
                    return  # a commit failed while a writer schema was fetched
                if decoded.rejects is not None and self.shell.service.rejects is not None:
                    self._put(self.shell.service.rejects.name, decoded.rejects)
                self.shell.metrics.counts(decoded.counts)
                if decoded.frame.height:
                    moment = Moment(time.time_ns() // 1000, None)
                    context = self.shell.context.current
                    self._absorb(self.shell.service.core.step(topic.name, decoded.frame, self._state, context, moment))
                    self.shell.metrics.records(topic.name, decoded.frame.height)
                    self._note_ingest(decoded.frame)
            self.positions[key] = chunk.end
            self._outbox.moved = True
            self._schedule()

    async def tick(self) -> None:
        """Let time pass: what the core does without input, also where nothing arrives."""
        async with self._lock:
            if self.status is not Status.OPEN:
                return
            now_us = time.time_ns() // 1000
            if not self._caught_up():
                self._caught_up_since_us = None
            elif self._caught_up_since_us is None:
                self._caught_up_since_us = now_us
            moment = Moment(now_us, self._caught_up_since_us)
            self._absorb(self.shell.service.core.timer(self._state, self.shell.context.current, moment))
            self._schedule()

    def _caught_up(self) -> bool:
        for (topic, number), position in self.positions.items():
            end = self.shell.consumer.stable_end(TP(topic, number))
            if end is None or position < end:
                return False
        return True

    def _absorb(self, result: Result) -> None:
        for name, change in result.changes.items():
            self._state[name] = apply(self._tables[name], self._state[name], change)
        self._outbox.change(self._tables, result.changes)
        for topic, frame in result.out.items():
            if frame.height:
                self._put(topic, frame)
        if result.watermark_us is not None:
            self.watermark_us = result.watermark_us
        self.shell.metrics.counts(result.counts)
        self.shell.metrics.gauges(self.partition, result.gauges)

    def _put(self, topic: str, frame: pl.DataFrame) -> None:
        declared = next(written for written in self.shell.service.writes if written.name == topic)
        full = self.shell.full(topic)
        self._outbox.put(full, self.shell.partitions[full], self.shell.service.serde.encode(declared, frame))
        self.shell.metrics.written(topic, frame.height)

    def _note_ingest(self, frame: pl.DataFrame) -> None:
        if "_time" in frame.columns:
            earliest = frame["_time"].min()
            if isinstance(earliest, int):
                known = self._outbox.ingest_us
                self._outbox.ingest_us = earliest if known is None else min(known, earliest)

    async def _seek(self, key: tuple[str, int], position: int) -> None:
        """A fetch was lost: ask for it once, and drop what comes until it is there."""
        asked = self._lost.get(key)
        if asked is not None and time.monotonic() - asked < SEEK_AGAIN_S:
            return
        self._lost[key] = time.monotonic()
        self.shell.metrics.sought()
        await self.shell.consumer.seek_again(TP(*key), position)

    def lags(self) -> dict[str, int]:
        """Records (offsets) between position and last stable offset, by topic; 0 where nothing was fetched yet."""
        found = {}
        for (topic, number), position in self.positions.items():
            end = self.shell.consumer.stable_end(TP(topic, number))
            found[self._inputs[topic].name] = max(0, (end or 0) - position)
        return found

    def rows(self) -> dict[str, int]:
        """Rows of each table."""
        return {name: frame.height for name, frame in self._state.items()}

    # -- committing ------------------------------------------------------------------------------------------------

    async def _room(self) -> None:
        """Wait while the last commit is still under way and the next one is already large."""
        while self._outbox.size > OUTBOX_BYTES and self._flight is not None and not self._flight.done():
            await asyncio.wait([self._flight])

    def _schedule(self) -> None:
        if self._flight is not None and not self._flight.done():
            return  # its end schedules the next
        if self.status is not Status.OPEN or (self._outbox.empty and not self._outbox.moved):
            return
        since = time.monotonic() - self.committed_at
        interval = self.shell.settings.commit_interval_ms / 1000
        wait = (QUIET_COMMIT_S if self._outbox.empty else interval) - since
        if wait <= 0 or self._outbox.size > OUTBOX_BYTES or (not self._outbox.empty and self.shell.pace.at_once()):
            self._begin_commit()
        elif self._waiting is None:
            self._waiting = asyncio.get_running_loop().call_later(wait, self._wake)

    def _wake(self) -> None:
        self._waiting = None
        if self.status is Status.OPEN:
            self._schedule()

    def _begin_commit(self) -> None:
        """Start the transaction for everything up to now; the next chunks are decoded while it runs."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        outbox, self._outbox = self._outbox, Outbox()
        whole = self._delta_bytes > max(self.shell.settings.snapshot_min_bytes, 2 * self._snapshot_bytes)
        self._sequence += 1
        values = encode(
            "snapshot" if whole else "delta",
            snapshot(self._state) if whole else outbox.changes,
            self.positions,
            self.shell.context.offsets,
            self.shell.origin,
            self._sequence,
            self.watermark_us,
        )
        offsets = {TopicPartition(topic, number): at for (topic, number), at in self.positions.items()}
        self._flight = asyncio.ensure_future(self._commit(outbox, values, offsets, whole))

    async def _commit(
        self, outbox: Outbox, values: list[bytes], offsets: dict[TopicPartition, int], whole: bool
    ) -> None:
        began = time.monotonic()
        try:
            if self._producer is None:
                raise RuntimeError(f"{self.name}: commit without a producer")
            async with asyncio.timeout(self.shell.settings.transaction_timeout_ms / 1000):
                first = await transact(self._producer, self.shell.group, outbox, self._state_tp, values, offsets)
        except (Exception, asyncio.CancelledError) as why:
            await self.discard(why)
            if isinstance(why, asyncio.CancelledError):
                raise
            return
        size = sum(map(len, values))
        self._delta_bytes = 0 if whole else self._delta_bytes + size
        self._snapshot_bytes = size if whole else self._snapshot_bytes
        self.committed_at = time.monotonic()
        self.shell.metrics.committed(self.partition, self.committed_at - began, outbox.ingest_us, offsets, size)
        if whole:
            asyncio.ensure_future(self._truncate(first))  # noqa: RUF006 - best effort, repeated by the next snapshot
        if self.status is Status.OPEN:
            self._flight = None
            self._schedule()

    async def _truncate(self, first: int) -> None:
        try:
            await delete_before(self.shell.settings, self._state_tp, first)
        except Exception as why:  # noqa: BLE001 - the topic stays longer than needed; the next snapshot tries again
            log.warning("state topic not truncated", extra={"task": self.name, "why": str(why)})


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Stop a producer, also where the broker is away: an open transaction ends by its timeout then."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await producer.stop()
    except (Exception, asyncio.TimeoutError) as why:  # noqa: BLE001 - it is given up in any case
        log.debug("producer did not stop in time: %s", why)
        await producer.client.close()
