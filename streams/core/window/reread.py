"""Reading the past again. Enters: what waits, the index, re-read rows of the log. Leaves: the readings of its signals.

Rows are asked for in rounds, by bucket of event time, until the stretches are whole. Of what the log has lost, the
readings that waited are fetched as they came, for they go to the late topic.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from streams.core.past.index import BLOCK, BUCKET_US, spans
from streams.core.stage import Span, Tables
from streams.core.window.excluded import included
from streams.core.window.past import AWAITED, BASE, FLOORS, PENDING, WAITING
from streams.core.window.rows import BUFFERED, arrive
from streams.core.window.signals import Bools, Ints, Signals, codes
from streams.core.window.stretches import Stretches, anchors
from streams.core.window.watermark import Sources

# A row read again: a buffered reading and its offset; -1 where it comes from `base`.
REREAD: Final = pl.Schema({**BUFFERED, "offset": pl.Int64()})


class Reread:
    """A `LookBack`: the oldest of what waits. `state` are the tables when it began, `log` what there is to read.

    `stretches` are whole once nothing is wanted any more; `lost` is what the log has no more of, as rows of the log.
    """

    def __init__(self, state: Tables, signals: Signals, log: Span, most: int) -> None:
        # A copy: the mapping that it was given goes on with the task.
        self.state, self.signals, self.log = dict(state), signals, log
        self.lives = Sources.of(state["source"])
        self.chosen = _oldest(state[PENDING.name], most)
        index = state["index"]
        top_us = int(state[FLOORS.name]["floor"].max())  # type: ignore[arg-type]
        low_us = int(state[PENDING.name]["low"].min())  # type: ignore[arg-type]
        begin = signals.opens(codes(self.chosen["signal_id"]), np.full(self.chosen.height, low_us)).min()
        self._first = min(int(index["bucket"].min()), int(begin) // BUCKET_US)  # type: ignore[arg-type]
        self.stretches = Stretches.of(state, self.chosen, signals, top_us, self._first)
        size = int(max(self.stretches.right.max(), (top_us - 1) // BUCKET_US)) - self._first + 1
        self._need: Ints = np.full(size, log.end)
        self._given = self._need
        self._missing = self._buckets(index.filter(pl.col("block") * BLOCK < log.begin)["bucket"], size)
        self._complete = int(state[WAITING.name]["reach"][0]) <= 0
        self._rows: list[pl.DataFrame] = []
        self._lost: list[pl.DataFrame] | None = None
        self._round = 0

    def wanted(self) -> tuple[Span, ...]:
        """As in `LookBack`."""
        self._given = self._need
        while self._lost is None:
            self.stretches.lose(self._first, self._missing, self.log.begin)
            self._need = np.minimum(self._given, self.stretches.needs(self._first, self._need.size, self.log.end))
            found = self._spans()
            if found:
                return found
            self._given = self._need
            told = anchors(self._told(), self.signals, self.lives)
            self._round += 1
            if not self.stretches.grow(told, self.signals, 1 << min(self._round, 8), complete=self._complete):
                return self._lose()
        return ()

    def take(self, frame: pl.DataFrame) -> None:
        """As in `LookBack`."""
        code = codes(frame["signal_id"])
        mine = np.isin(code, np.unique(self.stretches.code[self.stretches.lost == (self._lost is not None)]))
        bucket = frame["event_time"].to_numpy() // BUCKET_US - self._first
        inside = mine & (bucket >= 0) & (bucket < self._need.size)
        place, offset = np.where(inside, bucket, 0), frame["_offset"].to_numpy()
        inside &= (offset >= self._need[place]) & (offset < self._given[place])
        if not inside.any():
            return
        frame = included(frame.filter(pl.Series(inside)), self.state)
        if self._lost is not None:
            self._lost.append(frame)
            return
        rows = arrive(frame, codes(frame["signal_id"]), self.signals)
        self._rows.append(rows.with_columns(frame["_offset"].alias("offset")))

    def rows(self) -> pl.DataFrame:
        """All rows (REREAD) of the signals whose stretches are whole, with those of `base`."""
        base = self.state[BASE.name].join(self.chosen, on="signal_id", how="semi")
        base = base.with_columns(expires=pl.lit(0, pl.Int64()), offset=pl.lit(-1, pl.Int64()))
        rows = pl.concat([base.select(REREAD.names()), *self._rows], rechunk=True)
        gone = np.unique(self.stretches.code[self.stretches.lost])
        return rows.filter(pl.Series(~np.isin(codes(rows["signal_id"]), gone))) if gone.size else rows

    def since(self, code: Ints) -> Ints:
        """By signal code: the offset below which rows have been told of."""
        awaited = self.state[AWAITED.name]
        own = codes(awaited["signal_id"])
        by_code = np.zeros(max(int(own.max()), int(code.max(initial=0))) + 1, np.int64)
        by_code[own] = awaited["since"].to_numpy()
        found: Ints = by_code[code]
        return found

    def floor_at(self, offset: Ints) -> Ints:
        """Where memory ended (us) when the row at an offset came, as far as it matters."""
        floors = self.state[FLOORS.name].sort("offset")
        place = np.searchsorted(floors["offset"].to_numpy(), offset, side="right") - 1
        found: Ints = floors["floor"].to_numpy()[np.maximum(place, 0)]
        return found

    def lost(self, chosen: pl.DataFrame) -> pl.DataFrame | None:
        """Rows of the log, of these signals, that waited for windows that cannot be told again; None: none."""
        if not self._lost:
            return None
        frame = pl.concat(self._lost).join(chosen, on="signal_id", how="semi")
        code, offset = codes(frame["signal_id"]), frame["_offset"].to_numpy()
        old = self.signals.expires(code, frame["event_time"].to_numpy()) <= self.floor_at(offset)
        return frame.filter(pl.Series(old & (offset >= self.since(code))))

    def _told(self) -> pl.DataFrame:
        """Rows so far that had been told of, of signals of which readings before and after are searched for."""
        if not self._rows or not self.stretches.deep.any():
            return pl.DataFrame(schema=REREAD)
        deep = np.unique(self.stretches.code[self.stretches.deep])
        parts = []
        for rows in self._rows:
            code = codes(rows["signal_id"])
            mask = (rows["offset"].to_numpy() < self.since(code)) & np.isin(code, deep)
            parts.append(rows.filter(pl.Series(mask)) if mask.any() else rows.clear())
        return pl.concat(parts)

    def _lose(self) -> tuple[Span, ...]:
        """Ask for the rows that waited of what is lost."""
        self._lost = []
        gone = np.unique(self.stretches.code[self.stretches.lost])
        if not gone.size:
            return ()
        pending = self.state[PENDING.name]
        pending = pending.filter(pl.Series(np.isin(codes(pending["signal_id"]), gone)))
        own = self._buckets(pending["bucket"], self._need.size)
        self._given = np.full(self._need.size, self.log.end)
        self._need = np.where(own, int(self.since(gone).min()), self.log.end)
        return self._spans()

    def _buckets(self, bucket: pl.Series, size: int) -> Bools:
        """Which of `size` buckets from the first on these are."""
        place = bucket.to_numpy() - self._first
        found = np.zeros(size, np.bool_)
        found[place[(place >= 0) & (place < size)]] = True
        return found

    def _spans(self) -> tuple[Span, ...]:
        """Offsets of what is needed and has not been given, ascending."""
        changes = (np.diff(self._need) != 0) | (np.diff(self._given) != 0)
        found: list[Span] = []
        for run in np.split(np.arange(self._need.size), np.flatnonzero(changes) + 1):
            begin, end = int(run[0]), int(run[-1]) + 1
            part = Span(max(int(self._need[begin]), self.log.begin), int(self._given[begin]))
            if part.begin < part.end:
                times = ((self._first + begin) * BUCKET_US, (self._first + end) * BUCKET_US)
                found += spans(self.state["index"], *times, part)
        return _merged(found)


def _oldest(pending: pl.DataFrame, most: int) -> pl.DataFrame:
    """Signals (signal_id) to correct now: those that reach back furthest, up to so many readings or one signal."""
    own = pending.group_by("signal_id", maintain_order=True).agg(pl.col("low").min(), pl.col("readings").sum())
    own = own.sort("low", maintain_order=True).with_columns(before=pl.col("readings").cum_sum() - pl.col("readings"))
    return own.filter(pl.col("before") < most).select("signal_id")


def _merged(found: list[Span]) -> tuple[Span, ...]:
    """Spans as few and disjoint ones, ascending."""
    made: list[Span] = []
    for span in sorted(found):
        if made and span.begin <= made[-1].end:
            made[-1] = Span(made[-1].begin, max(span.end, made[-1].end))
        else:
            made.append(span)
    return tuple(made)
