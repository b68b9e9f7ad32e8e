"""Which spans of event time a correction needs whole. Enters: what waits, re-read rows. Leaves: stretches, and buckets.

A stretch is a signal and a span of event time whose readings are all there, with those that stand at its begin. It
begins where the first window that a reading touches begins, and ends where the reading tells nothing any more: of a
periodic signal when its holding time is over; of others at the next reading that was there before (of counters and
states: at the next that counts), or else where memory begins. What stands at the begin is found in `base` or in the
log before. So stretches grow, some buckets of event time at a time, until they have both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from streams.core.past.index import BUCKET_US
from streams.core.stage import Tables
from streams.core.times import FOREVER_US, NEVER_US
from streams.core.window.counters import counting
from streams.core.window.past import AWAITED, BASE, PENDING
from streams.core.window.rows import Lives, hold
from streams.core.window.signals import Bools, Ints, Signals, codes
from streams.core.window.states import telling


class Order:
    """Numbers in the order of signal and event time, for binary search: of signals with these codes, of these times."""

    def __init__(self, code: Ints, *times: Ints) -> None:
        self._codes = np.unique(code)
        self._begin = min(int(time.min(initial=FOREVER_US)) for time in times)
        self._span = max(int(time.max(initial=self._begin)) for time in times) - self._begin + 1

    def of(self, code: Ints, time: Ints) -> Ints:
        """The numbers; 100,000 signals over two years fit."""
        found: Ints = np.searchsorted(self._codes, code) * self._span + (time - self._begin)
        return found


@dataclass
class Stretches:
    """By signal and bucket that waits, event times in us; `left` to `right` are the buckets wanted, `least` the first
    that can matter. `high` is the last event time that changed.

    `begin` and `end` are those of the windows touched, as far as known. `deep`: readings before and after are to be
    searched for. `known`: the latest reading of which `base` tells; from there to `until` the log holds nothing of the
    signal below `offset`. Rows below `since` have been told of. `lost`: the log or its index does not reach back.
    """

    code: Ints
    high: Ints
    begin: Ints
    end: Ints
    left: Ints
    right: Ints
    least: Ints
    deep: Bools
    tracked: Bools
    known: Ints
    until: Ints
    offset: Ints
    lost: Bools
    top_us: int

    @staticmethod
    def of(state: Tables, chosen: pl.DataFrame, signals: Signals, top_us: int, first: int) -> Stretches:
        """Of the chosen signals (signal_id). Windows that end by `top_us` are told again; `first` is the first bucket
        that the index knows.
        """
        standing = state[BASE.name].filter(~pl.col("earlier")).select("signal_id", known="event_time")
        rows = state[PENDING.name].join(chosen, on="signal_id", how="semi")
        rows = rows.join(state[AWAITED.name], on="signal_id", maintain_order="left")
        rows = rows.join(standing, on="signal_id", how="left", maintain_order="left")
        code, low, high = codes(rows["signal_id"]), rows["low"].to_numpy(), rows["high"].to_numpy()
        known = rows["known"].fill_null(NEVER_US).to_numpy()
        begin, until = signals.opens(code, low), signals.opens(code, rows["floor"].to_numpy())
        longest, deep = _holding(signals, code)
        tracked = signals.tracked(code)
        deep |= tracked
        end = np.minimum(signals.expires(code, np.where(deep, high, high + longest)), top_us)
        least = np.where(tracked, first, np.maximum((begin - longest) // BUCKET_US, first))
        # What `base` holds stands at the begin, unless something has been told of since.
        fresh = (rows["since"] == rows["offset"]).to_numpy()
        based = np.where(fresh, np.minimum(begin, until), known + 1) // BUCKET_US
        least = np.where(known < begin, np.maximum(least, based), least)
        return Stretches(
            code=code,
            high=high,
            begin=begin,
            end=end,
            left=np.where(deep, np.maximum(begin // BUCKET_US, least), least),
            right=(end - 1) // BUCKET_US,
            least=least,
            deep=deep,
            tracked=tracked,
            known=known,
            until=until,
            offset=rows["offset"].to_numpy(),
            lost=np.zeros(code.size, np.bool_),
            top_us=top_us,
        )

    def needs(self, first: int, size: int, none: int) -> Ints:
        """By bucket from `first` on: the offset from which its rows are needed; `none` where they are not."""
        found = np.full(size, none)
        least = int(self.offset[~self.lost].min(initial=none))
        for offset, whole in ((least, False), (0, True)):
            total = np.zeros(size + 1, np.int64)
            for begin, end in self.parts(whole=whole):
                there = np.flatnonzero((begin <= end) & ~self.lost)
                np.add.at(total, begin[there] - first, 1)
                np.add.at(total, end[there] - first + 1, -1)
            found = np.where(np.cumsum(total)[:size] > 0, offset, found)
        return found

    def parts(self, *, whole: bool) -> list[tuple[Ints, Ints]]:
        """First and last buckets of which all rows are needed, or only what came while the signal waited."""
        low = np.where(self.known < self.begin, self.known + 1, self.known + BUCKET_US) // BUCKET_US
        high = np.where(self.end <= self.until, (self.until - 1) // BUCKET_US, self.until // BUCKET_US - 1)
        if not whole:
            return [(np.maximum(self.left, low), np.minimum(self.right, high))]
        # Where nothing is spared, the second part would begin before the first one ends.
        high = np.maximum(high, low - 1)
        return [(self.left, np.minimum(self.right, low - 1)), (np.maximum(self.left, high + 1), self.right)]

    def lose(self, first: int, missing: Bools, log_begin: int) -> None:
        """Mark what needs buckets (`missing`, from `first` on) of which the log has lost some."""
        gone = np.append(0, np.cumsum(missing))
        for whole in (True, False):
            for begin, end in self.parts(whole=whole):
                there = (begin <= end) & (whole | (self.offset < log_begin))
                place = np.flatnonzero(there)
                self.lost[place] |= gone[end[place] - first + 1] > gone[begin[place] - first]

    def grow(self, anchors: tuple[Ints, Ints], signals: Signals, step: int, *, complete: bool) -> bool:
        """Look among `anchors` (code, time) for readings before and after; widen by `step` buckets where there are
        none. False: all is there. `complete`: nothing was ever before the first bucket of the index.
        """
        code, time = anchors
        order = Order(self.code, time, self.begin, self.high + 1)
        key = order.of(code, time)
        code, time = np.append(code, -1), np.append(time, FOREVER_US)
        old = self.left.copy(), self.right.copy(), self.end.copy()
        search = self.deep & ~self.lost
        place = np.searchsorted(key, order.of(self.code, self.high + 1))
        after = np.where(code[place] == self.code, time[place], FOREVER_US)
        found = after // BUCKET_US <= self.right
        last = (self.top_us - 1) // BUCKET_US
        self.right = np.where(search & ~found, np.minimum(self.right + step, np.maximum(last, self.right)), self.right)
        reached = np.minimum((self.right + 1) * BUCKET_US, self.top_us)
        closes = np.minimum(signals.expires(self.code, np.where(found, after, 0)), self.top_us)
        self.end = np.where(search, np.where(found, np.maximum(closes, self.end), reached), self.end)
        self.right = np.maximum(self.right, (self.end - 1) // BUCKET_US)
        place = np.searchsorted(key, order.of(self.code, self.begin)) - 1
        there = (code[place] == self.code) & (time[place] // BUCKET_US >= self.left)
        open_ = search & ~there
        if not complete:
            self.lost |= open_ & self.tracked & (self.left <= self.least) & (self.known >= self.begin)
        self.left = np.where(open_, np.minimum(np.maximum(self.left - step, self.least), self.left), self.left)
        # An end that has passed `until` needs all rows of buckets of which it had only the new ones.
        now = (self.left, self.right, self.end)
        return any(bool((was != own).any()) for was, own in zip(old, now, strict=True))

    def whole(self) -> pl.DataFrame:
        """Spans of event time (us) by signal that are complete: code, begin, end, ascending, none inside another."""
        rows = pl.DataFrame({"code": self.code, "begin": self.begin, "end": self.end}).filter(pl.Series(~self.lost))
        rows = rows.sort("code", "begin").with_columns(reach=pl.col("end").cum_max().over("code"))
        apart = (pl.col("begin") > pl.col("reach").shift(1).over("code")).fill_null(value=True)
        rows = rows.with_columns(number=apart.cum_sum())
        return rows.group_by("code", "number", maintain_order=True).agg(pl.col("begin").min(), pl.col("end").max())


def anchors(told: pl.DataFrame, signals: Signals, lives: Lives) -> tuple[Ints, Ints]:
    """Code and event time, ascending, of readings (BUFFERED) that end a stretch; of tracked signals what counts."""
    held = hold(told, signals, lives)
    mask = ~signals.tracked(held.code) | counting(held, signals) | telling(held, signals)
    return held.code[mask], held.time[mask]


def _holding(signals: Signals, code: Ints) -> tuple[Ints, Bools]:
    """The longest time that a value of each signal stands, and whether it is sent on change, in any version."""
    at = np.minimum(code, signals.first.size - 1)
    longest, on_change = np.zeros(code.size, np.int64), np.zeros(code.size, np.bool_)
    for step in range(int(signals.versions.max(initial=1))):
        entry = signals.first[at] + np.minimum(step, signals.versions[at] - 1)
        longest, on_change = np.maximum(longest, signals.hold_us[entry]), on_change | signals.on_change[entry]
    return longest, on_change
