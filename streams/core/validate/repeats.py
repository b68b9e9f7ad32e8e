"""Batches that were sent before: enter the sound batches of a chunk, leave which are new, and what to remember.

Two batches are the same where source_id, boot_id and sequence are; their contents are not compared, the first one
counts. What was seen is kept as merged intervals of sequences, so that a source which loses nothing costs one row.
One thing is compared: a batch with a used number whose newest source time is later than any that this boot sent before
cannot be a copy (a counter that wrapped, or started over without a new boot_id). It passes, counted as contradiction:
to drop it would lose data, and a copy does no harm after this, where windows compare readings.
A batch without boot_id or sequence, or with a negative one, is always new.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from streams.core.stage import Change, Table
from streams.core.times import DAY_US, FOREVER_US
from streams.core.validate.inventory import KEY_LIMIT

BOOT: Final = ("source_id", "boot_id")
# Sequences begin..end of one boot: their newest source time (null: none was sent), and the broker time of the last one.
TABLE: Final = Table(
    "sequences",
    pl.Schema(
        {"source_id": pl.String(), "boot_id": pl.String()}
        | dict.fromkeys(("begin", "end", "newest", "last_seen"), pl.Int64())
    ),
    (*BOOT, "begin"),
)
_ROW: Final = pl.Schema({**TABLE.schema, "row": pl.UInt32()})


@dataclass(frozen=True)
class Memory:
    """How much is remembered.

    `horizon_us`: intervals that were last added to longer ago (broker time) are forgotten. `per_source`, `in_all`:
    intervals of one source and of the task; of more the ones added to longest ago are forgotten, counted.
    `ahead_us`: a source time further ahead of the broker's is no time. ValueError where one of them is not positive.
    """

    horizon_us: int = DAY_US
    per_source: int = 4_096
    in_all: int = 100_000
    ahead_us: int = DAY_US

    def __post_init__(self) -> None:
        wrong = [name for name in self.__dataclass_fields__ if getattr(self, name) <= 0]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: set a positive number")


@dataclass(frozen=True)
class Sifted:
    """`new`: which batches were not there before (one Boolean per batch); what becomes of TABLE (None: nothing).

    Counts: ("repeats", "batch"|"contradiction"), ("sequence", "gap"): holes that opened, filled later or not,
    ("sequence", "forgotten"): intervals that found no room.
    """

    new: pl.Series
    change: Change | None = None
    counts: dict[tuple[str, str], int] = field(default_factory=dict)


def sift(frame: pl.DataFrame, state: pl.DataFrame, now_us: int, memory: Memory) -> Sifted:
    """Tell new batches (rows of `ot.raw.batch.v1` with COORDINATES, in log order) from repeated ones."""
    sent = _numbered(frame, now_us, memory.ahead_us)
    new = np.ones(frame.height, np.bool_)
    if not sent.height:
        return Sifted(pl.Series(new))
    known = state.join(sent.select("source_id"), on="source_id", how="semi")
    sent = _compared(sent, known)
    new[sent.filter("repeated")["row"].to_numpy()] = False
    floor_us = _floor(state, sent, memory.horizon_us)
    remembered = pl.lit(value=True) if floor_us is None else pl.col("last_seen") >= floor_us
    near = _near(known, sent)
    fresh = _merged(near, sent).filter(remembered)
    if _most(known) + fresh.height > memory.per_source:
        near = known
        fresh = _merged(known, sent).filter(remembered)
    kept = _newest(fresh, memory.per_source)
    crowded = state.clear()
    if state.height - near.height + kept.height > memory.in_all:
        others = state.join(near, on=list(TABLE.key), how="anti").filter(remembered)
        crowded = others.sort("last_seen", *TABLE.key).head(max(0, others.height + kept.height - memory.in_all))
    gone = pl.concat([near, crowded]).join(kept, on=list(TABLE.key), how="anti").select(TABLE.key)
    change = Change(
        upsert=kept.join(near, on=TABLE.schema.names(), how="anti", nulls_equal=True),
        delete=gone if gone.height else None,
        floor=None if floor_us is None else ("last_seen", floor_us),
    )
    counts = {
        ("repeats", "batch"): int((~new).sum()),
        ("repeats", "contradiction"): int(sent["contradicting"].sum()),
        ("sequence", "gap"): int(sent["gap"].sum()),
        ("sequence", "forgotten"): fresh.height - kept.height + crowded.height,
    }
    return Sifted(pl.Series(new), change, counts)


def _numbered(frame: pl.DataFrame, now_us: int, ahead_us: int) -> pl.DataFrame:
    """A row of `_ROW` per batch that has a number; begin and end are its sequence."""
    sequence, newest = pl.col("sequence"), pl.col("source_time").list.max()
    seen = pl.when(pl.col("_time") >= 0).then("_time").otherwise(now_us)
    length = pl.sum_horizontal(pl.col(name).str.len_bytes() for name in BOOT)
    numbered = sequence.is_between(0, FOREVER_US) & pl.all_horizontal(pl.col(BOOT).is_not_null())
    rows = frame.with_row_index("row").filter(numbered & (length <= KEY_LIMIT))
    return rows.select(
        *BOOT,
        begin="sequence",
        end="sequence",
        newest=pl.when(newest <= seen + ahead_us).then(newest),
        last_seen=seen,
        row="row",
    ).cast(_ROW)


def _compared(sent: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """`sent` with the verdicts `repeated`, `contradicting` and `gap`, as of each batch's place in the log."""
    boots = known.group_by(BOOT).agg(highest=pl.col("end").max(), latest=pl.col("newest").max())
    rows = sent.join(boots, on=list(BOOT), how="left", maintain_order="left")
    ranges = known.select(*BOOT, pl.col("begin").alias("known_begin"), known_end="end").sort("known_begin")
    found = rows.select("row", *BOOT, "begin").sort("begin", "row")
    found = found.join_asof(
        ranges, left_on="begin", right_on="known_begin", by=list(BOOT), strategy="backward", check_sortedness=False
    )
    rows = rows.join(found.select("row", "known_end"), on="row", how="left", maintain_order="left")

    def before(column: str, carried: str) -> pl.Expr:
        # Nulls stay null in a running maximum: what was before them stands.
        running = pl.col(column).cum_max().forward_fill().shift(1).over(BOOT)
        return pl.max_horizontal(running, pl.col(carried))

    taken = (pl.col("begin") <= pl.col("known_end")).fill_null(value=False)
    taken |= ~pl.struct(*BOOT, "begin").is_first_distinct()
    later = (pl.col("newest") > before("newest", "latest")).fill_null(value=False)
    gap = (pl.col("begin") > before("begin", "highest") + 1).fill_null(value=False)
    return rows.with_columns(repeated=taken & ~later, contradicting=taken & later, gap=gap)


def _near(known: pl.DataFrame, sent: pl.DataFrame) -> pl.DataFrame:
    """The intervals that what came may touch; most sources go on where they were, so that is their last one."""
    spans = sent.group_by(BOOT).agg(low=pl.col("begin").min() - 1, high=pl.col("begin").max() + 1)
    touched = (pl.col("end") >= pl.col("low")) & (pl.col("begin") <= pl.col("high"))
    return known.join(spans, on=list(BOOT)).filter(touched).select(TABLE.schema.names())


def _merged(known: pl.DataFrame, sent: pl.DataFrame) -> pl.DataFrame:
    """Intervals (columns of TABLE) of what was known and what came, touching ones joined."""
    points = pl.concat([known, sent.select(TABLE.schema.names())]).sort(*TABLE.key)
    reached = pl.col("end").cum_max().shift(1).over(BOOT)
    parts = points.with_columns(part=(reached.is_null() | (pl.col("begin") > reached + 1)).cum_sum())
    merged = parts.group_by(*BOOT, "part", maintain_order=True).agg(
        pl.col("begin").min(), pl.col("end", "newest", "last_seen").max()
    )
    return merged.select(TABLE.schema.names())


def _most(intervals: pl.DataFrame) -> int:
    """The most intervals that one source has."""
    most = intervals["source_id"].value_counts()["count"].max()
    return most if isinstance(most, int) else 0


def _newest(intervals: pl.DataFrame, limit: int) -> pl.DataFrame:
    """At most `limit` intervals of each source, those that were added to last."""
    if intervals.height <= limit:
        return intervals
    ranked = intervals.sort("last_seen", *TABLE.key, descending=True)
    return ranked.filter(pl.int_range(pl.len()).over("source_id") < limit)


def _floor(state: pl.DataFrame, sent: pl.DataFrame, horizon_us: int) -> int | None:
    """Broker time before which intervals are forgotten; None: none is that old."""
    latest, oldest = sent["last_seen"].max(), state["last_seen"].min()
    if not isinstance(latest, int) or not isinstance(oldest, int) or oldest >= latest - horizon_us:
        return None
    return latest - horizon_us
