"""Tables of the rules on readings. Enter: their rows, what a chunk left. Leave: what a chunk needs, rows to write."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from streams.core.alert.book import CONDITION, Book
from streams.core.alert.change import ANCHORS
from streams.core.alert.chunk import Carried, Judged
from streams.core.alert.clocks import Clocks
from streams.core.alert.coverage import UNKNOWN
from streams.core.alert.rule_match import Compiled, Integers
from streams.core.frames import ID
from streams.core.stage import Change, Table, Tables
from streams.core.times import NEVER_US

SIGNAL: Final = Table("signal", pl.Schema({"signal_id": ID, "last_time": pl.Int64()}), key=("signal_id",))
UNKNOWN_TIME: Final = Table("unknown", UNKNOWN, key=("signal_id",))
# Event time of each source, and processing times: when it was last heard of, and when with something of the past.
SOURCE: Final = Table(
    "source",
    pl.Schema({"source_id": ID, "last_time": pl.Int64(), "last_seen": pl.Int64(), "past_seen": pl.Int64()}),
    key=("source_id",),
)
ANCHOR: Final = Table("anchor", pl.Schema({"rule_id": ID, "signal_id": ID, **ANCHORS}), key=("rule_id", "signal_id"))
TABLES: Final = (CONDITION, SIGNAL, UNKNOWN_TIME, SOURCE, ANCHOR)


def times(sources: pl.DataFrame, column: str) -> dict[str, int]:
    """A column of the sources' times by source."""
    return dict(sources.select(pl.col("source_id").cast(pl.String), column).iter_rows())


def by_slot(signals: pl.DataFrame, compiled: Compiled) -> Integers:
    """Last event time of each watched signal; NEVER_US where it was not heard of."""
    last_us = np.full(compiled.slots, NEVER_US)
    slot = compiled.slot(signals["signal_id"])
    last_us[slot[slot >= 0]] = signals["last_time"].to_numpy()[slot >= 0]
    return last_us


def carried(book: Book, compiled: Compiled, last_us: Integers, anchors: pl.DataFrame) -> Carried:
    """What earlier chunks left to the next."""
    held = book.held(compiled)
    busy = np.zeros(compiled.slots, dtype=np.bool_)
    busy[compiled.pair_slot[held["pair"].to_numpy()]] = True
    return Carried(last_us, busy, held, anchors_by_pair(anchors, compiled))


def anchors_by_pair(anchors: pl.DataFrame, compiled: Compiled) -> pl.DataFrame:
    """Rows of ANCHOR with the pair in place of rule and signal."""
    return anchors.join(compiled.known, on=["rule_id", "signal_id"]).select("pair", *ANCHORS)


def heard_of(judged: Judged, compiled: Compiled) -> pl.DataFrame:
    """Rows of SIGNAL that a chunk changes."""
    last_us = pl.DataFrame({"signal_id": compiled.signal_ids, "last_time": pl.Series(judged.last_us)})
    return last_us.filter(pl.Series(judged.seen))


def anchor_rows(anchors: pl.DataFrame, compiled: Compiled) -> pl.DataFrame:
    """Rows of ANCHOR for anchors by pair."""
    return anchors.join(compiled.known, on="pair", maintain_order="left").select(ANCHOR.schema.names())


def source_rows(clocks: Clocks, before: pl.DataFrame, past_us: int, now_us: int) -> pl.DataFrame:
    """Rows of SOURCE after a chunk; `before`: the table. What is older than `past_us` is of the past."""
    seen = times(before, "past_seen")
    rows = [
        (source, time_us, now_us, now_us if oldest_us < past_us else seen.get(source, NEVER_US))
        for source, time_us, oldest_us in clocks.sources()
    ]
    return pl.DataFrame(rows, schema=SOURCE.schema, orient="row")


def late(judged: Judged, compiled: Compiled) -> dict[tuple[str, str], int]:
    """Late readings by the rules that they concern."""
    if not judged.late.any():
        return {}
    by_rule = np.bincount(compiled.pair_rule, judged.late[compiled.pair_slot], minlength=len(compiled.rules))
    return {("late", rule.id): int(count) for rule, count in zip(compiled.rules, by_rule, strict=True) if count}


def forgotten(state: Tables, compiled: Compiled) -> dict[str, Change]:
    """Deletes rows of rules and signals that are no longer; nothing while there is no dictionary at all."""
    if not compiled.slots:
        return {}
    watched = pl.DataFrame({"signal_id": compiled.signal_ids})
    pairs = compiled.known.select("rule_id", "signal_id")
    keep = {"signal": watched, "unknown": watched, "condition": pairs, "anchor": pairs}
    gone = {
        name: state[name].join(rows, on=rows.columns, how="anti").select(rows.columns) for name, rows in keep.items()
    }
    return {name: Change(delete=rows) for name, rows in gone.items()}
