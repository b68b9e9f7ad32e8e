"""Windows told again from the log. Enters: re-read rows of whole stretches. Leaves: windows whose payload has changed.

Each window is computed twice: from what had been told of when memory let go of it, or since then by a look back, and
from all there is now; where the payloads differ it gets its next revision. What had been told differs between bands of
windows, cut where memory ended when something began to wait. Signals are worked in by pages, for what one page changes
is written in one transaction.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from streams.core.stage import Span, Tables
from streams.core.window.aggregate import NOTHING, aggregate
from streams.core.window.config import WindowConfig
from streams.core.window.floor import CARRY
from streams.core.window.past import FLOORS, TOLD
from streams.core.window.reread import Reread
from streams.core.window.revise import differing
from streams.core.window.rows import BUFFERED, hold, relevant, repeats
from streams.core.window.signals import Bools, Ints, Signals, Spans, codes
from streams.core.window.stretches import Order
from streams.core.window.watermark import Sources

NO_CARRY: Final = CARRY.empty()


class Page(NamedTuple):
    """Signals (signal_id), their windows that differ (as `revise.differing` leaves them), late repeats among them."""

    signals: pl.DataFrame
    differing: pl.DataFrame
    duplicates: int
    conflicts: int


class Recomputation:
    """A `LookBack` and, once all is read, its pages."""

    def __init__(self, state: Tables, signals: Signals, log: Span, config: WindowConfig) -> None:
        self.reread = Reread(state, signals, log, config.look_back_readings)
        self._config = config
        self._pages: list[tuple[pl.DataFrame, Ints]] | None = None

    def wanted(self) -> tuple[Span, ...]:
        """As in `LookBack`."""
        return self.reread.wanted()

    def take(self, frame: pl.DataFrame) -> None:
        """As in `LookBack`."""
        self.reread.take(frame)

    def left(self) -> bool:
        """As in `LookBack`."""
        return self._pages is None or bool(self._pages)

    def page(self) -> Page:
        """The next page."""
        if self._pages is None:
            self._whole = self.reread.stretches.whole()
            self._rows = self.reread.rows()
            self._pages = self._cut()
        chosen, place = self._pages.pop()
        rows = self._rows[place]
        code, offset = codes(rows["signal_id"]), rows["offset"].to_numpy()
        fresh, floor = offset >= self.reread.since(code), self.reread.floor_at(offset)
        arrived = fresh & (rows["expires"].to_numpy() <= floor)
        repeated = np.flatnonzero((offset >= 0) & _repeated(code, rows["event_time"].to_numpy()))
        there, late = (rows[repeated[arrived[repeated] == new]] for new in (False, True))
        before, after = repeats(there), repeats(pl.concat([there, late]))
        found = self._differing(rows, np.where(fresh, floor, np.iinfo(np.int64).min), chosen)
        return Page(chosen, found, after[0] - before[0], after[1] - before[1])

    def _differing(self, rows: pl.DataFrame, floor: Ints, chosen: pl.DataFrame) -> pl.DataFrame:
        """Windows that differ. `floor`: rows had been told of in windows that end after it."""
        reread = self.reread
        told = reread.state[TOLD.name].join(chosen, on="signal_id", how="semi")
        told = told.select("source_id", "floor", "life").unique(maintain_order=True)
        floors = np.unique(np.append(reread.state[FLOORS.name]["floor"].to_numpy(), told["floor"].to_numpy()))
        begin = int(self._whole["begin"].min()) if self._whole.height else 0  # type: ignore[arg-type]
        parts = []
        for end in floors.tolist():
            spans = reread.signals.spans(begin, end) if begin < end else {}
            begin = max(begin, end)
            if not spans:
                continue
            lives = _as_told(reread.lives, told.filter(pl.col("floor") >= end))
            was = self._aggregate(rows.filter(pl.Series(floor < end)), lives, spans)
            now = self._aggregate(rows, reread.lives, spans)
            parts.append(self._inside(differing(was, now, self._config.patience)))
        return pl.concat(parts) if parts else differing(NOTHING, NOTHING, self._config.patience)

    def _aggregate(self, rows: pl.DataFrame, lives: Sources, spans: Spans) -> pl.DataFrame:
        signals = self.reread.signals
        frame = relevant(rows.select(BUFFERED.names()), NO_CARRY, spans, signals)
        return aggregate(hold(frame, signals, lives), signals, lives, spans)

    def _inside(self, found: pl.DataFrame) -> pl.DataFrame:
        """Windows of which all readings are there."""
        code, begin = codes(found["signal_id"]), found["window_start"].to_numpy()
        own, first, last = (self._whole[name].to_numpy() for name in ("code", "begin", "end"))
        order = Order(own, first, begin)
        place = np.searchsorted(order.of(own, first), order.of(code, begin), "right") - 1
        own, last = np.append(own, -1), np.append(last, 0)
        return found.filter(pl.Series((own[place] == code) & (found["window_end"].to_numpy() <= last[place])))

    def _cut(self) -> list[tuple[pl.DataFrame, Ints]]:
        """Signals (signal_id) by page, and where their rows are: together only those told of with equal lives."""
        reread, code = self.reread, codes(self._rows["signal_id"])
        life = pl.format("{}/{}/{}", pl.col("source_id").cast(pl.String), "floor", "life").sort().str.join("|")
        told = reread.state[TOLD.name].group_by("signal_id").agg(life.alias("life"))
        shortest = reread.signals.lengths[0]
        span = self._whole.group_by("code").agg(((pl.col("end") - pl.col("begin")) // shortest).sum().alias("windows"))
        own = codes(reread.chosen["signal_id"])
        number = np.bincount(code, minlength=int(own.max()) + 1)[own]
        chosen = reread.chosen.with_columns(pl.Series("code", own), pl.Series("rows", number))
        chosen = chosen.join(told, on="signal_id", how="left").join(span, on="code", how="left")
        weight = pl.col("rows") + pl.col("windows").fill_null(0)
        chosen = chosen.with_columns(pl.col("life").fill_null("")).sort("life", "code")
        chosen = chosen.with_columns(page=weight.cum_sum().over("life") // self._config.page)
        chosen = chosen.select("signal_id", "code", page=pl.struct("life", "page").rle_id())
        page_of = np.zeros(int(own.max()) + 1, np.uint16)  # which numpy sorts by radix
        page_of[chosen["code"].to_numpy()] = chosen["page"].to_numpy()
        pages = chosen.select("signal_id", "page").partition_by("page", include_key=False, maintain_order=True)
        page = page_of[code]
        order = np.argsort(page, kind="stable")
        ends = np.cumsum(np.bincount(page, minlength=len(pages)))[:-1]
        return list(zip(pages, np.split(order, ends), strict=True))


def _repeated(code: Ints, time: Ints) -> Bools:
    """Rows of a signal and instant that have several."""
    if not code.size:
        return np.zeros(0, np.bool_)
    number = Order(code, time).of(code, time)
    order = np.argsort(number)
    same = np.diff(number[order]) == 0
    found = np.zeros(code.size, np.bool_)
    found[order] = np.append(same, False) | np.append(False, same)
    return found


def _as_told(lives: Sources, told: pl.DataFrame) -> Sources:
    """The lives of sources as they were when windows that end by the lowest of these floors had been told."""
    first = told.sort("floor").unique("source_id", keep="first")
    latest = lives.latest.copy()
    latest[codes(first["source_id"])] = first["life"].to_numpy()
    return replace(lives, latest=latest)
