"""Looking back: the log is read once more where a stage corrects what its memory no longer holds.

Enters: open tasks whose core is a `Corrector`. Leaves: corrections, absorbed and committed as any step. One look-back
at a time per worker, beside the steps: with a consumer of its own, in short pieces with pauses between them, so that
what is new does not wait. Nothing of it outlives the task: what waits is in the state tables, and is begun again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams import topology
from streams.core.context import Context
from streams.core.stage import Corrector, LookBack, Moment, Result, Span, Tables
from streams.kafka.avro.registry import RegistryError
from streams.kafka.chunks import Chunk
from streams.kafka.clients import rereading_consumer, stop_consumer
from streams.kafka.opening import heed_cancellation
from streams.kafka.progress import Status
from streams.kafka.shell import Shell
from streams.kafka.spans import Wanted, read
from streams.kafka.task import Task

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
BETWEEN_S: Final = 0.1
# Rest after each piece, as a share of its time: while input waits, and while none does.
REST_BUSY: Final = 1.0
REST_IDLE: Final = 0.2
BACKOFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
AWAY: Final = (KafkaError, RegistryError, TimeoutError, OSError)
Pause = Callable[[float], Awaitable[None]]


class Rereader:
    """Looks back for the tasks of one worker, one after another. `failed` is told what no retry can mend."""

    def __init__(
        self, shell: Shell, tasks: Callable[[], Iterable[Task]], failed: Callable[[BaseException], None]
    ) -> None:
        self._shell = shell
        self._tasks = tasks
        self._failed = failed
        self._attempts = 0

    async def run(self) -> None:
        """Until cancelled, or until something fails that no retry can mend."""
        core = self._shell.service.core
        if not isinstance(core, Corrector):
            return
        while True:
            found = False
            for task in list(self._tasks()):
                try:
                    found |= await self._serve(task, core)
                except asyncio.CancelledError:
                    raise
                except BaseException as why:
                    # Bad code, as in a step.
                    await task.discard(RuntimeError(str(why)))
                    log.exception("a look-back failed in task %s; the worker stops", task.name)
                    self._failed(why)
                    return
            heed_cancellation()
            await asyncio.sleep(BETWEEN_S if found else LOOK_EVERY_S)

    async def _serve(self, task: Task, core: Corrector) -> bool:
        """Look back for `task`, where it is due; whether it was."""
        due = False

        def ask(state: Tables, _context: Context, moment: Moment) -> Result:
            nonlocal due
            due = core.due(state, moment)
            return Result()

        await task.turn(ask)
        if not due:
            return False
        metrics, began = self._shell.metrics.look_back, time.monotonic()
        job = Job(self._shell, task, core, self._pause)
        try:
            outcome = "ended" if await job.run() else "dropped"
            self._attempts = 0
        except (*AWAY, asyncio.CancelledError) as why:
            heed_cancellation()  # others come out of aiokafka, where a connection ends under a request
            outcome, wait_s = "failed", BACKOFF_S[min(self._attempts, len(BACKOFF_S) - 1)]
            self._attempts += 1
            extra = {"task": task.name, "in_s": wait_s, "why": f"{type(why).__name__}: {why}"}
            log.warning("look-back failed, it begins again", extra=extra)
            await asyncio.sleep(wait_s)
        finally:
            metrics.progress(task.partition, None)
        metrics.outcome(outcome)
        if outcome == "ended":
            metrics.took(time.monotonic() - began)
        if outcome != "failed":
            extra = {"task": task.name, "readings": job.readings, "seconds": round(time.monotonic() - began, 3)}
            log.info("look-back %s", outcome, extra=extra)
        return True

    async def _pause(self, worked_s: float) -> None:
        """Let others work, as long as the last piece took while input waits."""
        busy = any(any(task.lags().values()) for task in self._tasks())
        await asyncio.sleep(worked_s * (REST_BUSY if busy else REST_IDLE))


class Job:
    """One look-back of one task. `readings`: rows given to the core so far."""

    def __init__(self, shell: Shell, task: Task, core: Corrector, pause: Pause) -> None:
        self.readings = 0
        self._shell = shell
        self._task = task
        self._core = core
        self._pause = pause
        self._topic = topology.topic(core.topic)
        self._place = TopicPartition(shell.full(core.topic), task.partition)
        self._done = self._total = 0

    async def run(self) -> bool:
        """Read what the core wants and let it correct; False where the task closed meanwhile. Raises `AWAY`."""
        consumer = rereading_consumer(self._shell.settings)
        try:
            await consumer.start()
            consumer.assign([self._place])
            consumer.seek(self._place, 0)  # without any position aiokafka would tell that there is none
            consumer.pause(self._place)
            start = (await consumer.beginning_offsets([self._place]))[self._place]
            back = await self._begin(start)
            while back is not None and (spans := back.wanted()):
                consumer.resume(self._place)
                if not await self._round(consumer, back, Wanted(spans)):
                    return False
                consumer.pause(self._place)
        finally:
            await stop_consumer(consumer)
        return back is not None and await self._correct(back)

    async def _correct(self, back: LookBack) -> bool:
        """The corrections, each part of them committed like a step; False where the task closed meanwhile."""
        took_s = 0.0

        def correct(state: Tables, context: Context, moment: Moment) -> Result:
            nonlocal took_s
            began = time.monotonic()
            result = self._core.looked(back, state, context, moment)
            took_s = time.monotonic() - began
            return result

        while await self._task.turn(correct):
            if not back.left():
                return True
            await self._pause(took_s)
        return False

    async def _begin(self, start: int) -> LookBack | None:
        back: LookBack | None = None

        def begin(state: Tables, context: Context, moment: Moment) -> Result:
            nonlocal back
            end = self._task.positions[self._place.topic, self._place.partition]
            back = self._core.look_back(state, context, Span(min(start, end), end), moment)
            return Result()

        await self._task.turn(begin)
        if back is not None:
            self._shell.metrics.look_back.outcome("begun")
            log.info("look-back begins", extra={"task": self._task.name})
        return back

    async def _round(self, consumer: AIOKafkaConsumer, back: LookBack, wanted: Wanted) -> bool:
        """Read and hand over one answer of `LookBack.wanted`; False where the task closed meanwhile."""
        self._total += wanted.total
        async for chunk in read(consumer, self._place, wanted):
            if self._task.status is not Status.OPEN:
                return False
            began = time.monotonic()
            if chunk.records:
                await self._hand(chunk, back, wanted)
            share = (self._done + wanted.passed(chunk.end)) / self._total
            self._shell.metrics.look_back.progress(self._task.partition, share)
            await self._pause(time.monotonic() - began)
        self._done += wanted.total
        return True

    async def _hand(self, chunk: Chunk, back: LookBack, wanted: Wanted) -> None:
        # What cannot be decoded was told when it was first read.
        frame = (await self._shell.service.serde.decode(self._topic, chunk, 0)).frame
        if frame.height:
            frame = wanted.of(frame)
        if frame.height:
            back.take(frame)
            self.readings += frame.height
            self._shell.metrics.look_back.readings(frame.height)
