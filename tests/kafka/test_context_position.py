"""A task waits for context as new as its state: how long, and what it says where that does not come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import pytest

from streams.core.context import Context
from streams.kafka.context.position import ContextBehind, reach
from streams.kafka.restore import DataLoss


class Source:
    """Context that is read as far as the test says."""

    def __init__(self, read: Mapping[str, int], ends: Mapping[str, int] | None = None) -> None:
        self.current = Context(offsets=read)
        self._ends = ends or {}
        self._replaced = asyncio.Event()

    def read(self, offsets: Mapping[str, int]) -> None:
        """Read on to these offsets."""
        self.current = Context(offsets=offsets)
        self._replaced.set()
        self._replaced = asyncio.Event()

    async def changed(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(min(seconds, 0.01)):
                await self._replaced.wait()
        except TimeoutError:
            return

    async def ends(self) -> Mapping[str, int]:
        return self._ends


async def test_what_is_read_already_is_not_waited_for() -> None:
    """Further than wanted is as good; topics that the service does not read any more are nobody's business."""
    await reach(Source({"a/0": 5, "a/1": 9}), {"a/0": 5, "a/1": 7, "former/0": 3}, "alert/0", limit_s=0.0)


async def test_a_task_waits_until_the_last_partition_is_read_as_far() -> None:
    """One of two is not enough."""
    source = Source({"a/0": 1, "a/1": 1}, {"a/0": 9, "a/1": 9})
    waiting = asyncio.ensure_future(reach(source, {"a/0": 5, "a/1": 5}, "alert/0"))
    source.read({"a/0": 5, "a/1": 4})
    await asyncio.sleep(0.03)
    assert not waiting.done()
    source.read({"a/0": 5, "a/1": 5})
    await asyncio.wait_for(waiting, 5)


async def test_context_that_does_not_come_is_told_with_its_place() -> None:
    """Bounded; the text says what is missing and what to check."""
    with pytest.raises(ContextBehind, match=r"alert/0: waited .* \(a/0 up to 5\)\. Check that .* a leader"):
        await reach(Source({"a/0": 1}, {"a/0": 5}), {"a/0": 5}, "alert/0", limit_s=0.05)


async def test_context_that_was_deleted_is_a_loss_that_people_accept(caplog: pytest.LogCaptureFixture) -> None:
    """A topic that ends before what was used was emptied or made anew: no wait would bring it back."""
    source = Source({"a/0": 1, "a/1": 5}, {"a/0": 1, "a/1": 5})
    lost = r"\(a/0 ends at 1, used up to 5\).*`plantweave worker alert --accept-data-loss`"
    with pytest.raises(DataLoss, match=lost):
        await reach(source, {"a/0": 5, "a/1": 5}, "alert/0")
    with caplog.at_level(logging.WARNING):
        await reach(source, {"a/0": 5, "a/1": 5}, "alert/0", accept_loss=True)
    assert "goes on with less context" in caplog.text
