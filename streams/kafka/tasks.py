"""The tasks of a worker: opened on assignment, closed on revoke, restored after a failure, ticked by time.

Enters: assignments, chunks, time. Leaves: open tasks, readiness and liveness. Opening happens in the background and
concurrently, never in the agent's loop: a partition that receives nothing must be alive too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable

from faust.types import TP

from streams.kafka.avro.registry import RegistryError
from streams.kafka.chunks import Chunk
from streams.kafka.clients import STOP_TIMEOUT_S
from streams.kafka.opening import open_in_time
from streams.kafka.progress import Status
from streams.kafka.reread import Rereader
from streams.kafka.restore import DataLoss
from streams.kafka.shell import Shell
from streams.kafka.state import StateFault
from streams.kafka.task import Task

log = logging.getLogger(__name__)

TICK_S = 0.2
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
# A fenced task whose partition is still ours: nobody else can own it once the session has timed out.
FENCE_MARGIN_S = 2.0
# A little more than a client takes to be given up.
REREAD_STOP_S = STOP_TIMEOUT_S + 1.0


class CoPartitionFault(RuntimeError):
    """A worker was given part of a task's inputs only."""


class Tasks:
    """All tasks of one worker. `fatal` is set to what no retry can mend; the worker stops then."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.fatal: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.assigned_once = False
        self._tasks: dict[int, Task] = {}
        self._newest: dict[int, Task] = {}
        self._keepers: dict[int, asyncio.Task[None]] = {}
        self._ticker: asyncio.Task[None] | None = None
        self._rereading: asyncio.Task[None] | None = None
        self._lagging_since: dict[int, float] = {}
        self._stopping = False
        self._accepting = set(range(shell.origin.partitions)) if shell.accept_data_loss else set()

    # -- assignment ------------------------------------------------------------------------------------------------

    async def assign(self, tps: Iterable[TP]) -> None:
        """The group gave us these input partitions: open a task per partition number."""
        inputs = {self.shell.full(topic.name) for topic in self.shell.service.reads}
        by_number: dict[int, set[str]] = defaultdict(set)
        for tp in tps:
            if tp.topic in inputs:
                by_number[tp.partition].add(tp.topic)
        for number, topics in by_number.items():
            if topics != inputs:
                fault = (
                    f"partition {number} of {sorted(inputs - topics)} went to another worker than {sorted(topics)}; "
                )
                more = "all inputs of a service need the same number of partitions: run `plantweave topics check`"
                self._fail(CoPartitionFault(fault + more))
                return
        await self.revoke(set(self._tasks) - set(by_number))
        if self._ticker is None:
            self._ticker = asyncio.ensure_future(self._tick())
            self._rereading = asyncio.ensure_future(Rereader(self.shell, lambda: self.open, self._fail).run())
            self._rereading.add_done_callback(self._kept)
        for number in sorted(by_number):
            if number not in self._keepers and not self._stopping:
                self._keepers[number] = asyncio.ensure_future(self._keep(number))
                self._keepers[number].add_done_callback(self._kept)
        self.assigned_once = True

    def _kept(self, keeper: asyncio.Task[None]) -> None:
        """A keeper that ended by an error would leave its task closed for good, and nobody would know."""
        if not keeper.cancelled() and (why := keeper.exception()) is not None:
            self._fail(why)

    async def revoked(self) -> None:
        """The group takes all partitions back; not ready until it has given some, or none, again."""
        self.assigned_once = False
        await self.revoke()

    async def revoke(self, numbers: Iterable[int] | None = None) -> None:
        """Close these tasks (all of them by default), each after its transaction."""
        leaving = list(self._keepers) if numbers is None else list(numbers)
        keepers = [self._keepers.pop(number) for number in leaving if number in self._keepers]
        tasks = [self._tasks.pop(number) for number in leaving if number in self._tasks]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        # A keeper that was closing its task when it was cancelled left it half closed: closing twice is harmless.
        newest = [self._newest[number] for number in leaving if number in self._newest]
        await asyncio.gather(*(task.close() for task in {*tasks, *newest}))
        topics = tuple(topic.name for topic in self.shell.service.reads)
        tables = tuple(table.name for table in self.shell.service.core.tables)
        for number in leaving:
            self.shell.metrics.forget(number, topics, tables)
            self._lagging_since.pop(number, None)
            self._newest.pop(number, None)

    async def stop(self) -> None:
        """Finish every transaction and close everything; nothing is taken afterwards."""
        self._stopping = True
        for part in (self._ticker, self._rereading):
            if part is not None:
                part.cancel()
        await self.revoke()
        if self._rereading is not None:
            await asyncio.wait([self._rereading], timeout=REREAD_STOP_S)  # its consumer stops

    async def _keep(self, number: int) -> None:
        """Open a task and open it again after each failure, until revoked."""
        attempt = 0
        accept_loss = number in self._accepting
        while True:
            task = self._newest[number] = Task(self.shell, number, accept_loss)
            try:
                await open_in_time(task)
            except (StateFault, DataLoss) as why:
                await task.close()
                self._fail(why)
                return
            except Exception as why:  # noqa: BLE001 - the broker is away, or a former owner is being fenced: again
                log.warning(
                    "task not opened, trying again", extra={"task": task.name, "why": f"{type(why).__name__}: {why}"}
                )
                await task.close()
                await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
                attempt += 1
                continue
            except asyncio.CancelledError:
                await task.close()
                raise
            self._tasks[number] = task
            # What was accepted is what was lost before the start.
            accept_loss = False
            self._accepting.discard(number)
            opened = time.monotonic()
            await task.failed.wait()
            self._tasks.pop(number, None)
            fenced = task.status is Status.FENCED
            await task.close()
            attempt = 0 if time.monotonic() - opened > BACKOFF_S[-1] else attempt + 1
            wait = BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
            if fenced:
                wait = self.shell.settings.session_timeout_ms / 1000 + FENCE_MARGIN_S
            await asyncio.sleep(wait)

    def _fail(self, why: BaseException) -> None:
        if not self.fatal.done():
            self.fatal.set_result(why)

    # -- work ------------------------------------------------------------------------------------------------------

    async def process(self, chunk: Chunk) -> None:
        """Give a chunk to its task; chunks of partitions that are not open are dropped, their task will seek."""
        task = self._tasks.get(chunk.partition)
        if task is None:
            return
        try:
            await task.process(chunk)
        except asyncio.CancelledError as why:
            await task.discard(why)
            raise
        except (TimeoutError, RegistryError) as why:
            await task.discard(why)  # the registry does not answer: again, after a pause, from the last commit
        except BaseException as why:
            # Bad code, not bad data: going on would lose the chunk. Rust panics derive from BaseException.
            await task.discard(RuntimeError(str(why)))
            log.exception("a step failed on %r; the worker stops, nothing of it is committed", chunk)
            self._fail(why)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for number, task in list(self._tasks.items()):
                try:
                    await task.tick()
                except asyncio.CancelledError:
                    raise
                except BaseException as why:
                    await task.discard(RuntimeError(str(why)))
                    log.exception("a timer failed in task %s; the worker stops", task.name)
                    self._fail(why)
                self._sample(number, task)
            self.shell.metrics.tasks(len(self.open), len(self._keepers), self.ready, self.shell.context.current.version)

    # -- health ----------------------------------------------------------------------------------------------------

    @property
    def open(self) -> list[Task]:
        """Tasks at work."""
        return [task for task in self._tasks.values() if task.status is Status.OPEN]

    @property
    def ready(self) -> bool:
        """Every assigned task is open (none restoring, none fenced)."""
        return self.assigned_once and len(self.open) == len(self._keepers)

    def stuck(self, timeout_s: float) -> list[str]:
        """Tasks that have had lag for `timeout_s` without committing: the worker is not live.

        Also those that were given up with lag and are not open again; a restore that gets on is no standstill.
        """
        for number, task in self._tasks.items():
            self._note(number, task)
        before = time.monotonic() - timeout_s
        since = {number: max(at, self._newest[number].restored_at) for number, at in self._lagging_since.items()}
        return [self._newest[number].name for number, at in since.items() if at < before]

    def _sample(self, number: int, task: Task) -> None:
        self._note(number, task)
        self.shell.metrics.task(number, task.watermark_us, task.rows(), task.lags())

    def _note(self, number: int, task: Task) -> None:
        since = task.lagging_since(time.monotonic())
        if since is None:
            self._lagging_since.pop(number, None)
        else:
            self._lagging_since[number] = since
