"""Parts of a partition, read by offsets. Enters: spans of offsets, a consumer. Leaves: chunks that hold them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from streams.core.stage import Span
from streams.kafka.chunks import Chunk, Polled, next_position, split

CHUNK_BYTES: Final = 1 << 20  # about 20,000 readings: 10 ms during which nothing else happens
POLL_MS: Final = 200
STANDSTILL_S: Final = 30.0


class Wanted:
    """Spans of offsets, ascending and apart, and questions to them."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._begins = np.array([span.begin for span in spans], np.int64)
        self._ends = np.array([span.end for span in spans], np.int64)
        if (self._ends <= self._begins).any() or (self._begins[1:] < self._ends[:-1]).any():
            raise ValueError(f"spans of offsets must be ascending, apart and not empty: {list(spans)}")
        self._before = np.append(0, np.cumsum(self._ends - self._begins))
        self.total = int(self._before[-1])

    def following(self, position: int) -> int | None:
        """The first wanted offset from `position` on; None: there is none."""
        index = int(np.searchsorted(self._ends, position, "right"))
        return None if index == self._ends.size else max(position, int(self._begins[index]))

    def passed(self, position: int) -> int:
        """How many wanted offsets lie below `position`."""
        index = int(np.searchsorted(self._ends, position, "right"))
        inside = 0 if index == self._ends.size else max(0, position - int(self._begins[index]))
        return int(self._before[index]) + inside

    def of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows (`_offset`, ascending) that are wanted."""
        offset = frame["_offset"].to_numpy()
        if self.passed(int(offset[-1]) + 1) - self.passed(int(offset[0])) == int(offset[-1]) + 1 - int(offset[0]):
            return frame  # one span holds them all, as nearly always
        index = np.searchsorted(self._ends, offset, "right")
        begins = np.append(self._begins, np.iinfo(np.int64).max)
        return frame.filter(pl.Series(begins[index] <= offset))


async def read(consumer: AIOKafkaConsumer, place: TopicPartition, wanted: Wanted) -> AsyncIterator[Chunk]:
    """Chunks (of a bulk topic) that hold all that is wanted, in order; empty ones where only the position moved.

    Gaps shorter than what one fetch brings are read over, not sought over. Raises TimeoutError where the position
    stands still, OffsetOutOfRangeError where the log no longer holds what is wanted.
    """
    position, reach, moved_at = -1, 0, time.monotonic()
    while (target := wanted.following(position)) is not None:
        if position < 0 or target > position + reach:
            consumer.seek(place, target)
            position = target
        found: list[Any] = (await consumer.getmany(place, timeout_ms=POLL_MS)).get(place, [])
        reached = await consumer.position(place)
        if reached > position:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > STANDSTILL_S:
            raise TimeoutError(f"nothing comes of {place.topic}/{place.partition} from offset {position} on")
        polled = Polled(block for block in found if _overlaps(block.base_offset, next_position(block), wanted))
        polled.begin, polled.end = position, reached
        for chunk in split(TP(*place), polled, CHUNK_BYTES):
            yield chunk
        position, reach = reached, reached - position


def _overlaps(begin: int, end: int, wanted: Wanted) -> bool:
    first = wanted.following(begin)
    return first is not None and first < end
