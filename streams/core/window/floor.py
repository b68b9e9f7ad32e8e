"""Forgetting. Enters: the buffer of readings and the horizon. Leaves: a floor for it, and the values carried beyond.

A reading is kept while a window that holds it can be corrected from memory; the latest of each signal that goes is kept
in `carry` for as long as its value stands or readings after it may come. Of a counter or discrete signal the latest
reading that counts is kept without end (`earlier`), for the next one tells an increment or a transition against it, be
it days later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from streams.core.stage import Change, Table, Tables
from streams.core.times import FOREVER_US, NEVER_US
from streams.core.window.counters import counting
from streams.core.window.rows import BUFFERED, Lives, hold, last_before
from streams.core.window.signals import Signals, codes
from streams.core.window.states import telling

CARRY: Final = Table(
    "carry",
    pl.Schema({name: dtype for name, dtype in BUFFERED.items() if name != "expires"} | {"earlier": pl.Boolean()}),
    ("signal_id", "earlier"),
)


@dataclass(frozen=True)
class Truncation:
    """Changes of `reading` and `carry`."""

    reading: Change
    carry: Change


def truncate(
    state: Tables, rows: pl.DataFrame, signals: Signals, lives: Lives, threshold_us: int, forget_us: int
) -> Truncation:
    """Drop readings, buffered and new ones (`rows`), none of whose windows ends after `threshold_us`.

    What does not stand any more is carried as long as it is not before `forget_us`.
    """
    buffer, carry = state["reading"], state["carry"]
    going = pl.concat([part.filter(pl.col("expires") <= threshold_us) for part in (buffer, rows)])
    last = going.filter(pl.Series(last_before(going, FOREVER_US)))
    held = hold(last, signals, lives)
    # Windows that memory can correct begin here or later.
    begin = min(threshold_us // length * length for length in signals.lengths)
    reaching = (held.time + signals.hold_us[held.entry] >= begin) | (held.time >= forget_us)
    standing = last[held.index[reaching]].with_columns(pl.lit(value=False).alias("earlier"))
    counted = _counting(going, signals, lives).with_columns(pl.lit(value=True).alias("earlier"))
    candidates = pl.concat([standing, counted]).select(CARRY.schema.names())
    older = carry.select(*CARRY.key, pl.col("event_time").alias("carried"))
    upsert = candidates.join(older, on=CARRY.key, how="left", maintain_order="left")
    upsert = upsert.filter(pl.col("event_time") >= pl.col("carried").fill_null(NEVER_US)).drop("carried")
    time = carry["event_time"].to_numpy()
    entry = signals.entry(codes(carry["signal_id"]), time)
    spent = ~carry["earlier"].to_numpy() & (time + signals.hold_us[entry] < begin) & (time < forget_us)
    delete = carry.filter(pl.Series(spent)).select(CARRY.key) if np.any(spent) else None
    return Truncation(
        reading=Change(
            upsert=rows.filter(pl.col("expires") > threshold_us),
            floor=("expires", threshold_us + 1),
        ),
        carry=Change(upsert=upsert, delete=delete),
    )


def behind(carry: pl.DataFrame, rows: pl.DataFrame, signals: Signals, lives: Lives) -> Change:
    """The change of `carry` by readings (BUFFERED) that are older than memory."""
    own = carry.join(rows.select("signal_id").unique(), on="signal_id", how="semi")
    known = own.with_columns(pl.lit(0, pl.Int64()).alias("expires")).select(BUFFERED.names()).unique()
    pool = pl.concat([known, rows])
    last = pool.filter(pl.Series(last_before(pool, FOREVER_US)))
    standing = last[hold(last, signals, lives).index].with_columns(pl.lit(value=False).alias("earlier"))
    counted = _counting(pool, signals, lives).with_columns(pl.lit(value=True).alias("earlier"))
    after = pl.concat([standing, counted]).select(CARRY.schema.names())
    gone = own.join(after, on=CARRY.key, how="anti").select(CARRY.key)
    upsert = after.join(own, on=CARRY.schema.names(), how="anti", nulls_equal=True)
    return Change(upsert=upsert if upsert.height else None, delete=gone if gone.height else None)


def _counting(going: pl.DataFrame, signals: Signals, lives: Lives) -> pl.DataFrame:
    """Of each counter and discrete signal the latest reading that an increment or a transition is told against."""
    if not signals.any_tracked.any():
        return going.clear()
    own = going.filter(pl.Series(signals.tracked(codes(going["signal_id"]))))
    held = hold(own, signals, lives)
    place = np.flatnonzero(counting(held, signals) | telling(held, signals))
    code = held.code[place]
    last = place[np.append(code[1:] != code[:-1], True)[: place.size]]
    return own.select(pl.all().gather(held.index[last]))
