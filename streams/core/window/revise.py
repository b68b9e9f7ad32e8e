"""Corrections of closed windows. Enters: readings of closed windows, sources that return. Leaves: new revisions.

What was emitted is not kept: it is the aggregate of the readings as they were before the chunk, computed again for
the few signals that the chunk touches, and compared with the aggregate as it is now. Where the payloads differ, the
window gets its next revision; only revisions from 2 on are remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from streams.core.frames import ID
from streams.core.stage import Table, Tables
from streams.core.times import FOREVER_US, NEVER_US, SECOND_US
from streams.core.window.aggregate import AGGREGATED, KEY, PAYLOAD, aggregate
from streams.core.window.rows import BUFFERED, hold, relevant, repeats
from streams.core.window.signals import Bools, Ints, Signals, Spans, codes
from streams.core.window.watermark import Patience, Sources

REVISED: Final = Table(
    "revised",
    pl.Schema(
        {"signal_id": ID, "length_s": pl.Int32(), "window_start": pl.Int64()}
        | {"window_end": pl.Int64(), "revision": pl.Int32()}
    ),
    KEY,
)
# What `window_output.windows` adds to an aggregate.
EMITTED: Final = pl.Schema({**AGGREGATED, "provisional": pl.Boolean(), "revision": pl.Int32(), "reason": pl.String()})
NONE: Final = pl.DataFrame(schema=EMITTED)
CLOSED_BY_WATERMARK: Final = "watermark"
CLOSED_IDLE: Final = "idle"
LATE: Final = "late"
CONFIRMED: Final = "confirmed"
RETRACTED: Final = "retracted"


class Closed(NamedTuple):
    """Windows to correct: closed by the watermark before the chunk, ended after the floor (us).

    `behind`: what readings older than memory have done to `carry`: codes of their signals, and the table after them.
    """

    watermark_us: int
    floor_us: int = NEVER_US
    behind: tuple[Ints, pl.DataFrame] | None = None


@dataclass(frozen=True)
class Revision:
    """New revisions (EMITTED), the readings to keep of the chunk, and how many of them were late or repeats."""

    windows: pl.DataFrame
    rows: pl.DataFrame
    late: int = 0
    duplicates: int = 0
    conflicts: int = 0


def revise(
    state: Tables,
    rows: pl.DataFrame,
    signals: Signals,
    lives: tuple[Sources, Sources],
    closed: Closed,
    patience: Patience,
) -> Revision:
    """What readings `rows` (BUFFERED) change about closed windows; `lives`: the sources before and after the chunk."""
    nothing, watermark_us = Revision(NONE, rows), closed.watermark_us
    if watermark_us == NEVER_US:
        return nothing
    before, after = lives
    returned = _returned(before, after, watermark_us)
    time = rows["event_time"].to_numpy()
    if time.min(initial=FOREVER_US) >= watermark_us and not returned.any() and closed.behind is None:
        return nothing
    code = codes(rows["signal_id"])
    late = time < signals.settled(code, watermark_us)
    carried = _carried(state, signals, returned)
    begin = int(time[late].min(initial=FOREVER_US))
    if carried.size:
        begin = min(begin, int(before.latest[returned].min()))
    carries = [state["carry"]] * 2
    if closed.behind is not None:
        carried, begin, carries[1] = np.union1d(carried, closed.behind[0]), closed.floor_us, closed.behind[1]
    touched = np.union1d(code[late], carried)
    if not touched.size:
        return nothing
    kept, late_duplicates, conflicts = _admit(state["reading"], rows, late)
    spans = signals.spans(max(begin, watermark_us - patience.horizon_us, closed.floor_us), watermark_us)
    changed = NONE
    if spans:
        old = _only(state["reading"], touched)
        now = pl.concat([old, _only(kept, touched)])
        known = zip((old, now), lives, carries, strict=True)
        was, now = (_aggregate(rows, life, _only(carry, touched), signals, spans) for rows, life, carry in known)
        changed = numbered(differing(was, now, patience), state[REVISED.name])
    return Revision(changed, kept, int(late.sum()), late_duplicates, conflicts)


def provisional(windows: pl.DataFrame, patience: Patience) -> pl.Series:
    """Whether a window's own source had not passed its end (AGGREGATED): only time or other sources closed it."""
    source = codes(windows["source_id"])
    passed = windows["reach"].to_numpy() - patience.disorders(int(source.max(initial=-1)) + 1)[source]
    return pl.Series("provisional", passed < windows["window_end"].to_numpy())


def remembered(changed: pl.DataFrame) -> pl.DataFrame:
    """Rows of the `revised` table for these windows (EMITTED)."""
    return changed.filter(pl.col("revision") > 1).select(REVISED.schema.names())


def _returned(before: Sources, after: Sources, watermark_us: int) -> Bools:
    """By source code: sources that the watermark had left behind and that have now gone on."""
    known = before.latest
    returned: Bools = (known != NEVER_US) & (known < watermark_us) & (after.latest[: known.size] > known)
    return returned


def _carried(state: Tables, signals: Signals, returned: Bools) -> Ints:
    """Codes of the on-change signals whose values stand longer now that their source has returned."""
    if not returned.any() or not signals.on_change.any():
        return np.zeros(0, np.int64)
    found = []
    for name in ("reading", "carry"):
        source = codes(state[name]["source_id"])
        rows = state[name].filter(pl.Series(returned[np.minimum(source, returned.size - 1)]))
        code = codes(rows["signal_id"])
        found.append(code[signals.on_change[signals.entry(code, rows["event_time"].to_numpy())]])
    return np.unique(np.concatenate(found))


def _only(frame: pl.DataFrame, touched: Ints) -> pl.DataFrame:
    """Rows of these signals."""
    code = codes(frame["signal_id"])
    marked = np.zeros(max(int(code.max(initial=0)), int(touched.max())) + 1, np.bool_)
    marked[touched] = True
    return frame.filter(pl.Series(marked[code]))


def _aggregate(rows: pl.DataFrame, lives: Sources, carry: pl.DataFrame, signals: Signals, spans: Spans) -> pl.DataFrame:
    """Aggregates of the closed windows of the touched signals."""
    return aggregate(hold(relevant(rows, carry, spans, signals), signals, lives), signals, lives, spans)


def _admit(buffer: pl.DataFrame, rows: pl.DataFrame, late: Bools) -> tuple[pl.DataFrame, int, int]:
    """The chunk's readings without late ones that repeat a known one in everything; late duplicates and conflicts."""
    mask = pl.Series(late)
    arrived = rows.filter(mask)
    if not arrived.height:
        return rows, 0, 0
    there = buffer.join(arrived.select("signal_id", "event_time").unique(), on=["signal_id", "event_time"], how="semi")
    duplicates, conflicts = repeats(pl.concat([there, arrived]))
    old_duplicates, old_conflicts = repeats(there)
    new = arrived.unique(maintain_order=True).join(there, on=BUFFERED.names(), how="anti", nulls_equal=True)
    return pl.concat([rows.filter(~mask), new]), duplicates - old_duplicates, conflicts - old_conflicts


def differing(was: pl.DataFrame, now: pl.DataFrame, patience: Patience) -> pl.DataFrame:
    """Windows (AGGREGATED) whose payload differs from what it was; `reason`, and `fresh`: they had not been told."""
    earlier = was.with_columns(provisional(was, patience))
    pairs = now.join(earlier, on=KEY, how="left", suffix="_was", nulls_equal=True, maintain_order="left")
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_was")) for name in PAYLOAD)
    fresh = pl.col("provisional").is_null()
    reason = pl.when(pl.col("provisional").fill_null(value=False)).then(pl.lit(CONFIRMED)).otherwise(pl.lit(LATE))
    changed = pairs.filter(fresh | differs).with_columns(fresh.alias("fresh"), reason.alias("reason"))
    gone = was.join(now, on=KEY, how="anti").with_columns(
        *_nothing_told(), pl.lit(value=False).alias("fresh"), pl.lit(RETRACTED).alias("reason")
    )
    columns = [*AGGREGATED.names(), "fresh", "reason"]
    every = pl.concat([changed.select(columns), gone.select(columns)])
    return every.with_columns(provisional(every, patience))


def numbered(changed: pl.DataFrame, revised: pl.DataFrame) -> pl.DataFrame:
    """What `differing` found as new revisions (EMITTED)."""
    every = changed.join(revised.select(*KEY, "revision"), on=KEY, how="left", maintain_order="left")
    first = pl.when(pl.col("fresh")).then(1).otherwise(2)
    number = pl.coalesce(pl.col("revision") + 1, first).cast(pl.Int32).alias("revision")
    return every.with_columns(number).select(EMITTED.names())


def _nothing_told() -> list[pl.Expr]:
    """Payload of a window that a correction has emptied: no reading, all of its time unknown."""
    told = {"duration_unknown_s": (pl.col("window_end") - pl.col("window_start")) / SECOND_US}
    empty = ("count", "duration", "coverage", "share", "transitions", "historical")
    zero = {name for name in PAYLOAD if name.startswith(empty)}
    return [
        told.get(name, pl.lit(0 if name in zero else None)).cast(dtype).alias(name)
        if not isinstance(dtype, pl.List)
        else pl.col(name).list.head(0)
        for name, dtype in PAYLOAD.items()
    ]
