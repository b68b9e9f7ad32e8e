"""Closing windows. Enters: one advance of the watermark. Leaves: first revisions of the windows that it has passed."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from streams.core.counters import REFUSED
from streams.core.stage import Tables
from streams.core.window.aggregate import aggregate
from streams.core.window.counters import refused
from streams.core.window.revise import CLOSED_BY_WATERMARK, CLOSED_IDLE, EMITTED, NONE, provisional
from streams.core.window.rows import hold, relevant, repeats, settled
from streams.core.window.signals import Signals
from streams.core.window.watermark import Patience, Sources


@dataclass(frozen=True)
class Advance:
    """One advance of the watermark: the tables before it, new readings (BUFFERED), and what holds after it.

    `carry` is the table of that name with what readings older than memory have changed of it.
    """

    state: Tables
    carry: pl.DataFrame
    signals: Signals
    lives: Sources
    rows: pl.DataFrame
    before_us: int
    watermark_us: int
    now_us: int
    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def count(self, metric: str, label: str, number: int) -> None:
        """Add to a counter of the result."""
        if number:
            self.counts[metric, label] = self.counts.get((metric, label), 0) + number


def close(advance: Advance, patience: Patience) -> pl.DataFrame:
    """First revisions (EMITTED) of the windows that the watermark has passed."""
    spans = advance.signals.spans(advance.before_us, advance.watermark_us)
    if not spans:
        return NONE
    buffer = pl.concat([advance.state["reading"], advance.rows])
    frame = relevant(buffer, advance.carry, spans, advance.signals)
    held = hold(frame, advance.signals, advance.lives)
    advance.count(*REFUSED, refused(held, advance.signals, advance.before_us, advance.watermark_us))
    if held.repeated:
        # Each repeat is counted once: when its signal's shortest window closes over it.
        duplicates, conflicts = repeats(settled(frame, advance.signals, advance.before_us, advance.watermark_us))
        advance.count("readings", "duplicate", duplicates)
        advance.count("readings", "conflict", conflicts)
    closed = aggregate(held, advance.signals, advance.lives, spans)
    idle_close = provisional(closed, patience)
    return closed.with_columns(
        idle_close,
        pl.lit(1, pl.Int32()).alias("revision"),
        pl.when(idle_close).then(pl.lit(CLOSED_IDLE)).otherwise(pl.lit(CLOSED_BY_WATERMARK)).alias("reason"),
    ).select(EMITTED.names())
