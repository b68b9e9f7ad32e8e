"""Which part of the past a correction needs. Enter: reaches, what was told, readings. Leave: spans, pasts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl

from streams.core.alert.chunk import judge_sorted
from streams.core.alert.late.reach import Kept, Key, Reach, agrees
from streams.core.alert.late.replay import Past, sort_known
from streams.core.alert.late.tables import Told
from streams.core.alert.rule_match import Compiled, Integers
from streams.core.frames import BAD, COORDINATES, READING
from streams.core.past.index import BLOCK, BUCKET_US
from streams.core.stage import Span
from streams.core.times import FOREVER_US, NEVER_US

AT_ONCE: Final = 8  # pairs that one result tells of: others wait while it is made
_COLUMNS: Final = (*READING, *COORDINATES)


class Back:
    """One look-back (LookBack). `reaches` are its pairs; those in `lost` are no longer in the log."""

    def __init__(
        self,
        reaches: Sequence[Reach],
        told: Mapping[Key, Sequence[Told]],
        kept: Mapping[Key, Kept],
        compiled: Compiled,
        index: pl.DataFrame,
        log: Span,
        select: Callable[[pl.DataFrame], pl.DataFrame],
    ) -> None:
        self.compiled = compiled
        self.log = log
        self.lost: set[Key] = set()
        self.reaches = {reach.key: reach for reach in reaches}
        self.settled: set[Key] = set()
        self._told = told
        self._kept = kept
        self._index = index
        bucket: Integers = index["bucket"].to_numpy()
        self._oldest_us = int(bucket.min()) * BUCKET_US if bucket.size else NEVER_US
        self._newest_us = (int(bucket.max()) + 1) * BUCKET_US if bucket.size else NEVER_US
        for reach in reaches:
            reach.to_us = FOREVER_US if reach.to_us >= self._newest_us else reach.to_us
        self._asked: Integers = np.zeros(0, np.int64)
        self._select = select
        self._slots = np.zeros(compiled.slots, np.bool_)
        self._slots[compiled.pair_slot[[reach.pair for reach in reaches]]] = True
        self.rows = pl.DataFrame(schema={name: {**READING, **COORDINATES}[name] for name in _COLUMNS})

    def wanted(self) -> tuple[Span, ...]:
        """Offsets to read next; empty once every pair agrees with what was told, or has reached the present."""
        while True:
            blocks = self._blocks()
            new = np.setdiff1d(blocks, self._asked)
            if new.size:
                self._asked = np.union1d(self._asked, new)
                if found := _spans(new, self.log):
                    return found
            if not self._grow():
                return ()

    def take(self, frame: pl.DataFrame) -> None:
        """Rows of what is wanted; those of other signals are left out."""
        frame = self._select(frame)
        mine = np.append(self._slots, False)[self.compiled.slot(frame["signal_id"])]
        self.rows = pl.concat([self.rows, frame.filter(pl.Series(mine)).select(_COLUMNS)], rechunk=False)

    def left(self) -> bool:
        """Whether some pairs are still to be told of."""
        return bool(self.settled)

    def following(self) -> list[Key]:
        """The next pairs to be told of: each is given once."""
        keys = sorted(self.settled)[:AT_ONCE]
        self.settled.difference_update(keys)
        return keys

    def pasts(self, heard: pl.DataFrame, past_us: int, keys: Sequence[Key]) -> tuple[dict[Key, Past], pl.DataFrame]:
        """The pasts of `keys`, and anchors of rates (pair, event_time, value, birth); `heard`: readings since."""
        newer = heard.filter(pl.col("_offset") >= self.log.end)
        mine = np.zeros(self.compiled.slots + 1, np.bool_)
        mine[self.compiled.pair_slot[[self.reaches[key].pair for key in keys]]] = True
        rows = pl.concat([self.rows, newer.select(_COLUMNS)], rechunk=False)
        known = sort_known(rows.filter(pl.Series(mine[self.compiled.slot(rows["signal_id"])])), self.compiled)
        since = _since(self.reaches[key] for key in keys)
        judged, firsts = judge_sorted(known.filter(pl.col("quality") < BAD), self.compiled, past_us, since)
        time = pl.col("event_time")
        found = {}
        for key in keys:
            reach = self.reaches[key]
            inside = time.is_between(reach.from_us, reach.to_us, closed="left")
            own = _part(known, "_slot", int(self.compiled.pair_slot[reach.pair])).filter(inside)
            found[key] = Past(_part(judged, "pair", reach.pair).filter(inside), own, at_once=reach.of_change)
        return found, firsts

    def _blocks(self) -> Integers:
        """Blocks of the log that hold readings of the reaches; pairs of which some are gone are `lost`."""
        found: list[Integers] = []
        for reach in self.reaches.values():
            if reach.key in self.lost:
                continue
            inside = pl.col("bucket").is_between(reach.base_us // BUCKET_US, (reach.to_us - 1) // BUCKET_US)
            blocks = self._index.filter(inside)["block"].unique().to_numpy()
            if (blocks * BLOCK < self.log.begin).any() or reach.first_us < self._oldest_us:
                self.lost.add(reach.key)
            else:
                found.append(blocks)
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)

    def _grow(self) -> bool:
        """Reach further where it does not do yet; whether any does."""
        open_keys = [key for key in self.reaches if key not in self.settled and key not in self.lost]
        if not open_keys:
            return False
        pasts, firsts = self.pasts(self.rows.clear(), 0, open_keys)
        for key in open_keys:
            reach = self.reaches[key]
            earlier = reach.over_us and self._short_of_anchor(reach, firsts)
            past, told = pasts[key], self._told.get(key, ())
            later = reach.to_us < FOREVER_US and not (
                agrees(reach, past, reach.replay(past, FOREVER_US), told, self._kept.get(key))
                and self._rates_follow(reach, firsts)
            )
            if earlier:
                reach.base_us = max(reach.base_us - reach.width_us, self._oldest_us)
            if later:
                reach.to_us += reach.width_us
                reach.to_us = FOREVER_US if reach.to_us >= self._newest_us else reach.to_us
            if not earlier and not later:
                self.settled.add(key)
            reach.width_us *= 2
        return True

    def _short_of_anchor(self, reach: Reach, firsts: pl.DataFrame) -> bool:
        begin = reach.from_us // reach.over_us * reach.over_us
        own = firsts.filter(pl.col("pair") == reach.pair, pl.col("event_time").is_between(reach.base_us, begin, "left"))
        return not own.height and reach.base_us > self._oldest_us

    def _rates_follow(self, reach: Reach, firsts: pl.DataFrame) -> bool:
        """Whether a step after that of the last late reading is read: its rate is measured from that one's."""
        if not reach.over_us:
            return True
        after = (reach.last_us // reach.over_us + 1) * reach.over_us
        inside = pl.col("event_time").is_between(after, reach.to_us, "left")
        return firsts.filter(pl.col("pair") == reach.pair, inside).height > 0


def _since(reaches: Iterable[Reach]) -> pl.DataFrame:
    """From when on rules on changes judge, and what they had told last by then (`chunk.judge_sorted`)."""
    rows = [(one.pair, one.from_us, one.value, None, None) for one in reaches if one.of_change]
    schema = {"pair": pl.Int64(), "since_us": pl.Int64(), "anchor_value": pl.Float64()}
    return pl.DataFrame(rows, {**schema, "before_time": pl.Int64(), "before_value": pl.Float64()}, orient="row")


def _part(rows: pl.DataFrame, column: str, value: int) -> pl.DataFrame:
    """Rows with `value` in a column by which they are sorted."""
    first, end = np.searchsorted(rows[column].to_numpy(), [value, value + 1])
    return rows[int(first) : int(end)]


def _spans(block: Integers, log: Span) -> tuple[Span, ...]:
    breaks = np.flatnonzero(np.diff(block) != 1)
    starts = block[np.append(0, breaks + 1)] * BLOCK
    ends = (block[np.append(breaks, block.size - 1)] + 1) * BLOCK
    clipped = (
        Span(max(int(start), log.begin), min(int(end), log.end)) for start, end in zip(starts, ends, strict=True)
    )
    return tuple(span for span in clipped if span.begin < span.end)
