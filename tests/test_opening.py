"""A task that takes long to open: what its worker says meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import pytest

from streams.kafka.opening import open_in_time


class Slow:
    """A task that opens when it is let, with as much of its opening done as the test says."""

    def __init__(self, restored_at: float = 0.0, positions: dict[tuple[str, int], int] | None = None) -> None:
        self.name = "window/3"
        self.restored_at = restored_at
        self.positions = positions or {}
        self.let = asyncio.Event()

    async def open(self) -> None:
        await self.let.wait()


async def _said(task: Slow, caplog: pytest.LogCaptureFixture, words: int) -> list[str]:
    """What was logged until `words` warnings were, of a task that is let open only then."""
    opening = asyncio.ensure_future(open_in_time(task, first_word_s=0.01, every_s=0.02))
    async with asyncio.timeout(10):
        while len(caplog.records) < words:  # noqa: ASYNC110 - a log tells no one
            await asyncio.sleep(0.005)
    task.let.set()
    await opening
    told = len(caplog.records)
    await asyncio.sleep(0.05)
    assert len(caplog.records) == told, "an open task is silent"
    assert {(record.levelno, record.__dict__["task"]) for record in caplog.records} == {(logging.WARNING, "window/3")}
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("restored", "positions", "waits_for", "check"),
    [
        (False, {}, "the broker to end the former owner's transaction", "__transaction_state"),
        (True, {}, "its state to be read, last progress 7 s ago", "plantweave_restore_progress_ratio"),
        (True, {("in", 3): 42}, "the consumer to take up its positions", "SIGUSR1"),
    ],
    ids=["fencing", "restoring", "seeking"],
)
async def test_it_is_told_again_and_again_what_is_waited_for(
    caplog: pytest.LogCaptureFixture, restored: bool, positions: dict[tuple[str, int], int], waits_for: str, check: str
) -> None:
    """A warning with the task, what it waits for and what to check; once more while it lasts; none afterwards."""
    task = Slow(time.monotonic() - 7.0 if restored else 0.0, positions)
    said = await _said(task, caplog, words=2)
    assert all(f"waits for {waits_for}" in text and check in text for text in said)


async def test_a_task_that_opens_at_once_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """No warning, and no coroutine that is left behind."""
    task = Slow()
    task.let.set()
    before = asyncio.all_tasks()
    await open_in_time(task)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert caplog.records == []


async def test_a_cancellation_that_a_library_swallows_still_ends_the_opening() -> None:
    """Stopping a client, aiokafka takes a cancellation for its own; a revoked task must not open all the same."""

    class Deaf(Slow):
        async def open(self) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await self.let.wait()

    opening = asyncio.ensure_future(open_in_time(Deaf()))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening


async def test_why_a_task_did_not_open_is_passed_on() -> None:
    """What `open` raises reaches the keeper."""

    class Broken(Slow):
        async def open(self) -> None:
            raise ConnectionError("no broker")

    with pytest.raises(ConnectionError, match="no broker"):
        await open_in_time(Broken())
