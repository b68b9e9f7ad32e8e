"""Opening a task within a limit, with a word about what takes long. Enters: a task. Leaves: it is open, or why not."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final, Protocol

log = logging.getLogger(__name__)

# A large state takes minutes to read; what takes longer than this is begun anew.
OPEN_TIMEOUT_S: Final = 600.0
FIRST_WORD_S: Final = 10.0
EVERY_S: Final = 30.0


class Opening(Protocol):
    """What of a task tells how far its opening is (see `Task`)."""

    name: str
    restored_at: float
    positions: dict[tuple[str, int], int]

    async def open(self) -> None:
        """Fence the former owner, restore, and read the inputs from the restored positions."""


async def open_in_time(task: Opening, first_word_s: float = FIRST_WORD_S, every_s: float = EVERY_S) -> None:
    """Open `task`; a warning after `first_word_s` and again `every_s` says what it waits for and what to check.

    Raises what `open` raises, TimeoutError after `OPEN_TIMEOUT_S`, CancelledError also where `open` kept it to itself.
    """
    heed_cancellation()
    telling = asyncio.ensure_future(_tell(task, first_word_s, every_s))
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await task.open()
    finally:
        telling.cancel()
    heed_cancellation()


def heed_cancellation() -> None:
    """Raise the cancellation that aiokafka swallows while it stops a client; else a revoke would wait for ever."""
    current = asyncio.current_task()
    if current is not None and current.cancelling():
        raise asyncio.CancelledError


async def _tell(task: Opening, first_word_s: float, every_s: float) -> None:
    began, pause_s = time.monotonic(), first_word_s
    while True:
        await asyncio.sleep(pause_s)
        extra = {"task": task.name, "seconds": round(time.monotonic() - began, 1)}
        log.warning("task not open yet: it waits for %s", _what_is_missing(task, time.monotonic()), extra=extra)
        pause_s = every_s


def _what_is_missing(task: Opening, now: float) -> str:
    if task.positions:
        return (
            "the consumer to take up its positions; SIGUSR1 shows where every coroutine stands, and a restart is safe"
        )
    if task.restored_at:
        return (
            f"its state to be read, last progress {now - task.restored_at:.0f} s ago; a large state takes its time "
            f"(metric plantweave_restore_progress_ratio), without progress check that the partitions of the state "
            f"topic have a leader, and whether the log tells of context that is waited for"
        )
    return (
        "the broker to end the former owner's transaction and to hand out its state; check that the broker answers, "
        "and that the partitions of __transaction_state and of the state topic have a leader"
    )
