"""A task: one service on one partition number. It owns one state, one transactional producer and its own positions.

Enters: chunks of all co-partitioned inputs, and timer ticks. Leaves: transactions (outputs, state record, input
offsets). The positions in the state record are the truth: what lies below them is skipped, what is missing above them
is sought again, and whatever fails inside discards the task, which is then restored from its topic.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import polars as pl
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced
from faust.types import TP

from streams import topology
from streams.core.context import Context
from streams.core.stage import Moment, Result, Tables, apply
from streams.kafka.chunks import Chunk
from streams.kafka.clients import stop, transactional_producer
from streams.kafka.commit import Committer
from streams.kafka.context.position import reach
from streams.kafka.progress import Progress, Status
from streams.kafka.restore import check_positions, restore
from streams.kafka.shell import Shell

log = logging.getLogger(__name__)

# Longer than a commit of another task may take: one agent serves all.
SEEK_LIMIT_S: Final = 30.0
CLOSE_LIMIT_S: Final = 15.0


class Task:
    """See the module. `failed` is set once the task was discarded or fenced; the manager opens a new one then."""

    def __init__(self, shell: Shell, partition: int, accept_loss: bool = False) -> None:
        self.shell = shell
        self._accept_loss = accept_loss
        self.partition = partition
        self.name = f"{shell.service.name}/{partition}"
        self.status = Status.OPENING
        self.failed = asyncio.Event()
        self.positions: dict[tuple[str, int], int] = {}
        self._inputs = {shell.full(topic.name): topic for topic in shell.service.reads}
        self._tables = {table.name: table for table in shell.service.core.tables}
        self._state: dict[str, pl.DataFrame] = {}
        self._lock = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self._committer: Committer | None = None
        self._lost: dict[tuple[str, int], float] = {}
        self._progress = Progress(self._inputs, shell.consumer)
        self._caught_up_since_us: int | None = None
        self.restored_at, self._restored = 0.0, -1  # monotonic time of the restore's last progress, and how far it is

    @property
    def tps(self) -> set[TP]:
        """Its input partitions."""
        return {TP(topic, self.partition) for topic in self._inputs}

    @property
    def watermark_us(self) -> int | None:
        """The task's watermark, as its core last told it."""
        return self._committer.watermark_us if self._committer is not None else None

    async def open(self) -> None:
        """Fence the former owner, restore, wait for its context, and read the inputs from the restored positions."""
        began, shell = time.monotonic(), self.shell
        # The same id for every owner: starting it fences the one before and ends its open transaction.
        self._producer = transactional_producer(shell.settings, f"{shell.group}-{self.partition}")
        await self._producer.start()
        state_tp = TopicPartition(shell.full(topology.state_topic(shell.service.name)), self.partition)
        inputs = [TopicPartition(tp.topic, tp.partition) for tp in sorted(self.tps)]
        restored, starts, ends = await restore(shell.settings, state_tp, self._tables.values(), inputs, self._restoring)
        if restored.origin is not None:
            shell.origin.check(restored.origin)
        check_positions(shell.service.name, restored, starts, ends, self._accept_loss)
        await reach(shell.context, restored.context, self.name, accept_loss=self._accept_loss)
        self._state = restored.tables
        self.positions = {key: restored.positions.get(key, starts[key]) for key in starts}
        self._committer = Committer(
            shell, state_tp, self._producer, restored, self.positions, self._state, self.discard
        )
        self.status = Status.OPEN
        await shell.consumer.open_at({TP(topic, number): at for (topic, number), at in self.positions.items()})
        took = round(time.monotonic() - began, 3)
        shell.metrics.restored(self.partition, took, restored.records)
        log.info("task open", extra={"task": self.name, "restored_records": restored.records, "seconds": took})

    def _restoring(self, done: int, total: int) -> None:
        if done > self._restored:
            self._restored, self.restored_at = done, time.monotonic()
        self.shell.metrics.restoring(self.partition, done, total)

    async def close(self) -> None:
        """Finish the running transaction and commit what is left; then close the producer.

        Bounded: a rebalance waits for it, and the next owner fences what is left open.
        """
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S), self._lock:
                if self.status is Status.OPEN and self._committer is not None:
                    await self._committer.settle()
        except TimeoutError:
            log.warning("task not closed in time, given up", extra={"task": self.name})
        if self.status in (Status.OPEN, Status.OPENING):
            self.status = Status.CLOSED
        self.shell.consumer.close_partitions(self.tps)
        if self._committer is not None:
            await self._committer.close()
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop(producer)

    async def discard(self, why: BaseException) -> None:
        """Give up memory and producer: memory may be ahead of the log. The manager opens the task anew."""
        if self._committer is not None:
            self._committer.halt()  # at once: what waits there may be half a step
        fenced = isinstance(why, ProducerFenced)
        if self.status in (Status.OPEN, Status.OPENING):
            self.status = Status.FENCED if fenced else Status.DISCARDED
            self.shell.metrics.discarded("fenced" if fenced else "failed")
            log.warning("task discarded", extra={"task": self.name, "why": f"{type(why).__name__}: {why}"})
        self.failed.set()

    async def process(self, chunk: Chunk) -> None:
        """Take one chunk of an input: decode what is new, step the core, commit when it is time."""
        async with self._lock:
            if self._committer is not None:
                await self._committer.room()
            if self.status is not Status.OPEN or self._committer is None:
                return
            key = (chunk.topic, chunk.partition)
            position = self.positions[key]
            if chunk.begin is None or chunk.begin > position:
                await self._seek(key, position, out_of_range=chunk.begin is None)
                return
            if chunk.end <= position:
                return
            self._lost.pop(key, None)
            if chunk.records and not await self._step(chunk, position):
                return
            self.positions[key] = chunk.end
            self._committer.outbox.moved = True
            self._committer.schedule()

    async def _step(self, chunk: Chunk, position: int) -> bool:
        """Decode and step; False where the task was given up meanwhile."""
        service, topic = self.shell.service, self._inputs[chunk.topic]
        decoded = await service.serde.decode(topic, chunk, position)
        if self.status is not Status.OPEN:
            return False  # a commit failed while a writer schema was fetched
        self.shell.metrics.counts(decoded.counts)
        if decoded.rejects is not None and decoded.rejects.height:
            self._put(topology.REJECTED.name, decoded.rejects)
        frame = decoded.frame
        if frame.height:
            moment = Moment(time.time_ns() // 1000, None, self.partition)
            self._act(partial(service.core.step, topic.name, frame), moment)
            self.shell.metrics.records(topic.name, frame.height)
            if self._committer is not None:
                self._committer.outbox.came(frame)
        return True

    async def tick(self) -> None:
        """Let time pass: what the core does without input, also where nothing arrives."""
        async with self._lock:
            if self.status is not Status.OPEN or self._committer is None:
                return
            if self._lost and time.monotonic() - min(self._lost.values()) > SEEK_LIMIT_S:
                # Opening anew tells why: deleted input is a data loss there, which is for people to accept.
                await self.discard(LookupError(f"what follows the positions does not come: {sorted(self._lost)}"))
                return
            now_us = time.time_ns() // 1000
            if any(self.lags(unknown=1).values()):
                self._caught_up_since_us = None
            elif self._caught_up_since_us is None:
                self._caught_up_since_us = now_us
            moment = Moment(now_us, self._caught_up_since_us, self.partition)
            self._act(self.shell.service.core.timer, moment)
            self._committer.schedule()

    async def turn(self, act: Callable[[Tables, Context, Moment], Result]) -> bool:
        """Between two steps, `act` on the tables as they are; what it leaves is taken as of a step.

        False: the task is no longer open, and `act` was not called.
        """
        async with self._lock:
            if self._committer is not None:
                await self._committer.room()
            if self.status is not Status.OPEN or self._committer is None:
                return False
            moment = Moment(time.time_ns() // 1000, self._caught_up_since_us, self.partition)
            self._act(act, moment)
            self._committer.schedule()
            return True

    def _act(self, act: Callable[[Tables, Context, Moment], Result], moment: Moment) -> None:
        """Take what `act` leaves; the next commit tells the context that it was computed with."""
        assert self._committer is not None
        context = self.shell.context.current
        result, self._committer.context = act(self._state, context, moment), context.offsets
        for name, change in result.changes.items():
            self._state[name] = apply(self._tables[name], self._state[name], change)
        self._committer.outbox.change(self._tables, result.changes)
        for topic, frame in result.out.items():
            if frame.height:
                self._put(topic, frame)
        if result.watermark_us is not None:
            self._committer.watermark_us = result.watermark_us
        self.shell.metrics.counts(result.counts)
        self.shell.metrics.gauges(self.partition, result.gauges)

    def _put(self, topic: str, frame: pl.DataFrame) -> None:
        assert self._committer is not None
        full = self.shell.full(topic)
        self._committer.outbox.put(full, self.shell.partitions[full], self.shell.service.encode(topic, frame))
        self.shell.metrics.written(topic, frame.height)

    async def _seek(self, key: tuple[str, int], position: int, out_of_range: bool) -> None:
        """A fetch was lost: ask for it once, and drop what comes until it is there; `tick` watches the time."""
        if out_of_range and key in self._lost:  # asked for, and not to be had: opening anew tells why
            await self.discard(LookupError(f"offset {position} of {key[0]}/{key[1]} is out of range"))
        if key not in self._lost:
            self._lost[key] = time.monotonic()
            self.shell.metrics.sought()
            try:
                await self.shell.consumer.seek_again(TP(*key), position)
            except (TimeoutError, RuntimeError) as why:  # the consumer is stopping, or hangs in a reconnect
                await self.discard(why)

    def lags(self, unknown: int = 0) -> dict[str, int]:
        """Offsets between position and last stable offset, by topic; `unknown` where nothing was fetched yet."""
        return self._progress.lags(self.positions, unknown)

    def lagging_since(self, now: float) -> float | None:
        """Since when an input has had lag while its committed position did not move (monotonic s); None: it moves."""
        return self._progress.lagging_since({} if self._committer is None else self._committer.committed, now)

    def rows(self) -> dict[str, int]:
        """Rows of each table."""
        return {name: frame.height for name, frame in self._state.items()}
