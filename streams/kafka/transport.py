"""Faust's aiokafka transport, made fit for exactly once: read committed, range assignment, fetch spans, no acks.

Enters: Faust's calls. Leaves: `Polled` lists per partition, each with the fetch position before and after. Faust keeps
no offsets here: positions live in the tasks' state records, and a task says where its partition is to be read from.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, MutableMapping
from typing import Any

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.kafka.chunks import Polled

FETCH_MAX_WAIT_MS = 500
FETCH_MAX_BYTES = 48 << 20
SEEK_TIMEOUT_S = 10.0
IDLE_POLL_S = 0.05


class NoOffsets(MutableMapping[TP, Any]):
    """Faust's table of read offsets, kept empty: it would drop what a task asked to read again."""

    def __getitem__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: Any) -> None:
        return None

    def __delitem__(self, tp: TP) -> None:
        return None

    def __iter__(self) -> Iterator[TP]:
        return iter(())

    def __len__(self) -> int:
        return 0


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Runs the aiokafka consumer in its own thread; adds spans to what is fetched."""

    logger = logging.getLogger("faust.transport.plantweave")

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        consumer: aiokafka.AIOKafkaConsumer = super()._create_worker_consumer(transport)
        # Set before start: aiokafka reads them when it starts. Faust hard-codes the first two.
        consumer._isolation_level = "read_committed"
        # Range keeps partition n of all inputs on one worker, which a task needs.
        consumer._partition_assignment_strategy = (RangePartitionAssignor,)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        consumer._retry_backoff_ms = 100
        self._assignor = RangePartitionAssignor
        # A poll decompresses all it was given: what it is given is bounded.
        consumer._fetch_max_bytes = max(FETCH_MAX_BYTES, int(conf.consumer_max_fetch_size or 0))
        return consumer

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sought: dict[TP, int] = {}

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> Any:
        """Poll the partitions that tasks have opened; each result carries its span, also where it is empty."""
        ready = (active_partitions or set()) & self.consumer.open_partitions  # type: ignore[attr-defined]
        # While partitions are being reassigned aiokafka's poll would wait for the end of it, and hold a worker of
        # Faust's method queue as long.
        if not ready or consumer._subscription.reassignment_in_progress:
            await asyncio.sleep(min(timeout or IDLE_POLL_S, IDLE_POLL_S))
            return {}
        assignment = _assignment(consumer)
        before, known = _positions(assignment, ready), _known(assignment, ready)
        self._sought.clear()
        records = await super()._fetch_records(consumer, ready, timeout=timeout, max_records=max_records) or {}
        if assignment is None or _assignment(consumer) is not assignment:
            return {}  # a rebalance came between: its tasks seek anew
        after = _positions(assignment, ready)
        # A seek that came while the poll waited precedes everything the poll returns.
        before.update({tp: offset for tp, offset in self._sought.items() if tp in before})
        out: dict[TP, Polled] = {}
        for tp in ready:
            found = records.get(tp, ())
            # Markers and aborted batches move the position and leave no record: the task must learn of it,
            # or it would take the next chunk's begin for a lost fetch.
            if found or (after[tp] is not None and before[tp] is not None and after[tp] != before[tp]):
                polled = out[tp] = Polled(found)
                # Where the position was out of range, aiokafka went on at the log start: the span is not whole.
                polled.begin = before[tp] if _known(assignment, {tp}) == {tp: known[tp]} else None
                polled.end = after[tp]
        return out

    async def seek_to(self, offsets: dict[TP, int]) -> None:
        """Move fetch positions, in the consumer's own thread.

        Not through Faust's method queue: its few workers may all sit in fetches that wait for the next assignment,
        while the assignment waits for a task that waits for its seek.
        """
        future = asyncio.run_coroutine_threadsafe(self._seek_to(offsets), self.thread_loop)
        async with asyncio.timeout(SEEK_TIMEOUT_S):
            await asyncio.wrap_future(future)

    async def _seek_to(self, offsets: dict[TP, int]) -> None:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        for tp, offset in offsets.items():
            if tp in assigned:
                consumer.seek(driver.ensure_aiokafka_TP(tp), offset)
                self._sought[tp] = offset

    def stable_end(self, tp: TP) -> int | None:
        """Last stable offset as of the newest fetch; None: nothing fetched since the assignment."""
        assignment = _assignment(self._consumer)
        if assignment is None:
            return None
        try:
            state = assignment.state_value(driver.ensure_aiokafka_TP(tp))
        except KeyError:
            return None
        return None if state is None or state.lso is None or state.lso < 0 else int(state.lso)


def _assignment(consumer: Any) -> Any:
    subscription = None if consumer is None else consumer._subscription.subscription
    return None if subscription is None else subscription.assignment


def _positions(assignment: Any, tps: set[TP]) -> dict[TP, int | None]:
    found: dict[TP, int | None] = {}
    for tp in tps:
        state = assignment.state_value(tp) if assignment is not None and tp in assignment.tps else None
        # `_position` is None until known; the public property raises there.
        found[tp] = None if state is None else state._position
    return found


def _known(assignment: Any, tps: set[TP]) -> dict[TP, Any]:
    """An object per partition that aiokafka replaces when it gives up a position to find another one by itself."""
    return {tp: assignment.state_value(tp)._position_fut if assignment and tp in assignment.tps else None for tp in tps}


class Consumer(driver.Consumer):
    """Faust's consumer without offsets of its own; polls only what tasks have opened."""

    logger = logging.getLogger("faust.transport.plantweave")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.open_partitions: set[TP] = set()
        self._read_offset = NoOffsets()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Nothing: the truth is in the state records, not in the group's committed offsets."""

    async def open_at(self, offsets: dict[TP, int]) -> None:
        """Read these partitions from these positions, from now on."""
        await self._thread.seek_to(offsets)  # type: ignore[attr-defined]
        self.open_partitions |= set(offsets)

    async def seek_again(self, tp: TP, offset: int) -> None:
        """Move the position of an open partition."""
        await self._thread.seek_to({tp: offset})  # type: ignore[attr-defined]

    def close_partitions(self, tps: set[TP]) -> None:
        """Stop polling these partitions; what was fetched of them is dropped by their task."""
        self.open_partitions -= tps

    def stable_end(self, tp: TP) -> int | None:
        """Last stable offset as of the newest fetch, or None."""
        end: int | None = self._thread.stable_end(tp)  # type: ignore[attr-defined]
        return end


class Transport(driver.Transport):
    """Faust transport with the consumer above."""

    Consumer = Consumer
