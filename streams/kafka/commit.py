"""When a task commits, and what: one transaction at a time, while the next chunks are decoded.

Enters: changes and records of steps. Leaves: transactions, each with the state as it was when it began. By interval
under load, at once when idle; a commit that fails tells the task, which is discarded then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiokafka import AIOKafkaProducer, TopicPartition

from streams.core.stage import Tables
from streams.kafka.outbox import Outbox, transact
from streams.kafka.restore import delete_before
from streams.kafka.shell import Shell
from streams.kafka.state import Restored, encode, snapshot

log = logging.getLogger(__name__)

OUTBOX_BYTES: Final = 32 << 20
# A commit that moves positions past markers only may wait: nothing depends on it but the lag that people see.
QUIET_COMMIT_S: Final = 0.5
PARTS_AT_ONCE: Final = 64  # of 480 KiB: about 30 MiB in one transaction
PACE_PER_S: Final = 20.0
PACE_BURST: Final = 5.0


class CommitPace:
    """Token bucket: commits start at once while there are few of them; under load the interval rules."""

    def __init__(self, per_s: float = PACE_PER_S, burst: float = PACE_BURST) -> None:
        self._per_s, self._burst = per_s, burst
        self._tokens, self._at = burst, time.monotonic()

    def at_once(self) -> bool:
        """Take a token, if there is one."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Committer:
    """Commits of one task. `positions` and `tables` are asked for when a commit begins.

    `context`: the offsets of the newest context that anything in them was computed with, as the task tells it.
    `failed` is told why a commit failed; before it awaits anything it must `halt` this committer (`Task.discard` does).
    """

    def __init__(
        self,
        shell: Shell,
        state_tp: TopicPartition,
        producer: AIOKafkaProducer,
        restored: Restored,
        positions: Mapping[tuple[str, int], int],
        tables: Tables,
        failed: Callable[[BaseException], Awaitable[None]],
    ) -> None:
        self.outbox = Outbox()
        self.committed_at = time.monotonic()
        self.committed = dict(positions)
        self.watermark_us = restored.watermark_us
        self.context: Mapping[str, int] = restored.context
        self._shell = shell
        self._state_tp = state_tp
        self._producer = producer
        self._positions = positions
        self._tables = tables
        self._failed = failed
        self._delta_bytes, self._snapshot_bytes = restored.delta_bytes, restored.snapshot_bytes
        self._known = restored.origin is not None
        # Numbers rise over restarts: parts of one record are never mixed with those of an older owner.
        self._sequence = time.time_ns() // 1_000_000
        self._flight: asyncio.Task[None] | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._truncating: asyncio.Task[None] | None = None
        self._closed = False
        self._limit_s = shell.settings.transaction_timeout_ms / 1000

    async def room(self) -> None:
        """Wait while the last commit is still under way and the next one is already large: memory is bounded."""
        while self.outbox.size > OUTBOX_BYTES and self._flight is not None and not self._flight.done():
            await asyncio.wait([self._flight])

    def schedule(self) -> None:
        """Begin a commit now, or when it is due; nothing where there is nothing to commit."""
        if self._closed or (self.outbox.empty and not self.outbox.moved):
            return
        if self._flight is not None and not self._flight.done():
            return  # its end schedules the next
        interval = QUIET_COMMIT_S if self.outbox.empty else self._shell.settings.commit_interval_ms / 1000
        wait = interval - (time.monotonic() - self.committed_at)
        if wait <= 0 or self.outbox.size > OUTBOX_BYTES or (not self.outbox.empty and self._shell.pace.at_once()):
            self._try_begin()
        elif self._waiting is None or not self.outbox.empty:
            if self._waiting is not None:
                self._waiting.cancel()  # it may have been set for a quiet commit, which waits longer
            self._waiting = asyncio.get_running_loop().call_later(wait, self._wake)

    async def settle(self) -> None:
        """Finish the running transaction, and commit what came since."""
        while not self._closed:
            if self._flight is not None and not self._flight.done():
                await asyncio.wait([self._flight])
            elif self.outbox.empty and not self.outbox.moved:
                return
            else:
                self._try_begin()

    def halt(self) -> None:
        """Begin nothing any more: what waits may be half a step."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def close(self) -> None:
        """Begin nothing any more; a running transaction is given up."""
        self.halt()
        if self._flight is not None and not self._flight.done():
            self._flight.cancel()
            await asyncio.wait([self._flight])

    def _wake(self) -> None:
        self._waiting = None
        self.schedule()

    def _try_begin(self) -> None:
        """Begin a commit; where its state cannot be encoded the task is given up, and nothing of it is lost."""
        try:
            self._begin()
        except BaseException as why:
            self.halt()
            self._flight = asyncio.ensure_future(self._failed(why))
            log.exception("the state of %s could not be encoded", self._state_tp)

    def _begin(self) -> None:
        """Start the transaction for everything up to now."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        # A state begins with a snapshot: a log that begins with anything else has lost its head.
        due = self._delta_bytes > max(self._shell.settings.snapshot_min_bytes, 2 * self._snapshot_bytes)
        whole = due or not self._known
        self._sequence += 1
        values = encode(
            "snapshot" if whole else "delta",
            snapshot(self._tables) if whole else self.outbox.changes,
            self._positions,
            self.context,
            self._shell.origin,
            self._sequence,
            self.watermark_us,
        )
        outbox, self.outbox = self.outbox, Outbox()
        offsets = {TopicPartition(topic, number): at for (topic, number), at in self._positions.items()}
        self._flight = asyncio.ensure_future(self._commit(outbox, values, offsets, whole))

    async def _commit(
        self, outbox: Outbox, values: list[bytes], offsets: dict[TopicPartition, int], whole: bool
    ) -> None:
        began = time.monotonic()
        try:
            first, rest = await self._ahead(values)
            last = await self._transact(outbox, rest, offsets)
        except asyncio.CancelledError as why:
            await self._failed(why)
            raise
        except Exception as why:  # noqa: BLE001 - whatever it was, memory may be ahead of the log now
            await self._failed(why)
            return
        size = sum(map(len, values))
        self._delta_bytes = 0 if whole else self._delta_bytes + size
        self._snapshot_bytes = size if whole else self._snapshot_bytes
        self.committed_at = time.monotonic()
        self.committed = {(place.topic, place.partition): at for place, at in offsets.items()}
        self._shell.metrics.committed(self.committed_at - began, outbox.ingest_us, size)
        self._known = True
        first = last if first is None else first
        if whole and first > 0:
            # Beside the next commits: nothing waits for it.
            self._truncating = asyncio.ensure_future(self._truncate(first))
        self._flight = None
        self.schedule()

    async def _ahead(self, values: list[bytes]) -> tuple[int | None, list[bytes]]:
        """Send a large snapshot's parts but the last in transactions of their own, or it would not fit one's time.

        Until the last part is there the parts mean nothing. Returns the offset of the first, and what is left to send.
        """
        first = None
        while len(values) > PARTS_AT_ONCE:
            offset = await self._transact(Outbox(), values[:PARTS_AT_ONCE], {})
            first = offset if first is None else first
            values = values[PARTS_AT_ONCE:]
        return first, values

    async def _transact(self, outbox: Outbox, values: list[bytes], offsets: Mapping[TopicPartition, int]) -> int:
        async with asyncio.timeout(self._limit_s):
            return await transact(self._producer, self._shell.group, outbox, self._state_tp, values, offsets)

    async def _truncate(self, first: int) -> None:
        """A snapshot is committed: what precedes it in the state topic is history."""
        try:
            await delete_before(self._shell.settings, self._state_tp, first)
        except Exception as why:  # noqa: BLE001 - the topic stays longer than needed; the next snapshot tries again
            log.warning("state topic not truncated", extra={"partition": self._state_tp.partition, "why": str(why)})
