"""What was when, within one chunk: rows of a key by time, and how far each source had come. Enter: readings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from streams.core.alert.rule_match import Integers


class Trail:
    """Rows by (key, log order), event time rising within a key: which was the last up to some time and offset?"""

    def __init__(self, key: Integers, event_time: Integers, offset: Integers) -> None:
        self._key = key
        self._time = event_time
        self._offset = offset

    def find(self, key: int, event_time: int, until: int | None = None) -> int | None:
        """Index of the last row of `key` not after `event_time`, in a record up to offset `until`; None: none such."""
        first, end = np.searchsorted(self._key, [key, key + 1])
        count = int(np.searchsorted(self._time[first:end], event_time, side="right"))
        if until is not None:
            count = min(count, int(np.searchsorted(self._offset[first:end], until, side="right")))
        return int(first) + count - 1 if count else None


class Clocks:
    """Event time by source, record by record: how far had a source come when some record was read?

    `frame` is the whole chunk (readings of any quality tell the time); `before` maps sources to their last event time.
    A record counts once it is complete: the readings of a batch are signal by signal, not in the order of time.
    """

    def __init__(self, frame: pl.DataFrame, before: Callable[[str], int]) -> None:
        self._before = before
        records = frame.group_by("source_id", "_offset").agg(pl.col("event_time").max()).sort("_offset")
        self._offset: dict[str, Integers] = {}
        self._time: dict[str, Integers] = {}
        self._oldest: dict[str, int] = {}
        for (source,), part in records.cast({"source_id": pl.String}).group_by("source_id", maintain_order=True):
            name = str(source)
            time = part["event_time"].to_numpy()
            self._offset[name], self._oldest[name] = part["_offset"].to_numpy(), int(time.min())
            self._time[name] = np.maximum(np.maximum.accumulate(time), before(name))

    def sources(self) -> list[tuple[str, int, int]]:
        """Every source of the chunk with its last event time, and the oldest that one of its records ends with."""
        return [(name, int(time[-1]), self._oldest[name]) for name, time in self._time.items()]

    def at(self, source: str, offset: int | None = None) -> int:
        """Last event time of `source` before the record at `offset`; None: after the whole chunk."""
        if source not in self._time:
            return self._before(source)
        end = len(self._time[source]) if offset is None else int(np.searchsorted(self._offset[source], offset))
        return int(self._time[source][end - 1]) if end else self._before(source)

    def reached(self, source: str, event_time: int) -> int | None:
        """Offset of the record with which `source` reached `event_time`; -1: before this chunk, None: not yet."""
        if self._before(source) >= event_time:
            return -1
        if source not in self._time:
            return None
        at = int(np.searchsorted(self._time[source], event_time))
        return int(self._offset[source][at]) if at < len(self._offset[source]) else None
