"""How much of a span of event time a signal was known. Enter: readings of any quality. Leaves: unknown time, by signal.

A signal is unknown from a bad reading until the next good or uncertain one. Its unknown time is counted up for ever
(microseconds), so that any span's is a difference; only signals that had a bad reading have a count.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from streams.core.alert.clocks import Trail
from streams.core.alert.rule_match import Compiled, Integers
from streams.core.frames import BAD, ID
from streams.core.times import NEVER_US

# Columns of the table `unknown`: since when a signal is unknown (`bad`) or known again, and how long it had been
# unknown in all by then.
UNKNOWN: Final = pl.Schema({"signal_id": ID, "since": pl.Int64(), "bad": pl.Boolean(), "unknown_us": pl.Int64()})


class Unknown:
    """Unknown time of the signals of one task, before and within one chunk; `upsert` has what the chunk changed.

    `last_us` is the last event time of a known reading before the chunk, by slot.
    """

    def __init__(self, table: pl.DataFrame, compiled: Compiled, frame: pl.DataFrame, last_us: Integers) -> None:
        self._carried = table.with_columns(slot=pl.Series(compiled.slot(table["signal_id"]), dtype=pl.Int64))
        counts = self._carried.select("slot", "since", "bad", "unknown_us").rows()
        self._counts = {slot: count for slot, *count in counts}
        self.upsert = table.clear()
        self._trail: Trail | None = None
        bad = frame.filter(pl.col("quality") >= BAD)["signal_id"].unique()
        shaky = np.union1d(compiled.slot(bad), self._carried.filter("bad")["slot"].to_numpy())
        if len(shaky := shaky[shaky >= 0]):
            self._count(frame, compiled, shaky, last_us)

    def _count(self, frame: pl.DataFrame, compiled: Compiled, shaky: Integers, last_us: Integers) -> None:
        rows = (
            frame.select("signal_id", "event_time", "_offset", bad=pl.col("quality") >= BAD)
            .with_columns(slot=pl.Series(compiled.slot(frame["signal_id"])))
            .filter(pl.col("slot").is_in(shaky.tolist()))
        )
        known = pl.when(~pl.col("bad")).then("event_time").otherwise(NEVER_US).cum_max().over("slot")
        newest = pl.max_horizontal(known, pl.Series(last_us[rows["slot"].to_numpy()], dtype=pl.Int64))
        # A late reading tells nothing about now.
        rows = rows.with_columns(newest=newest).filter(pl.col("bad") | (pl.col("event_time") >= pl.col("newest")))
        before = self._carried.select("slot", since_before="since", bad_before="bad", unknown_before="unknown_us")
        rows = rows.join(before, on="slot", how="left", maintain_order="left")
        was_bad = pl.col("bad").shift(1).over("slot").fill_null(pl.col("bad_before").fill_null(value=False))
        turns = rows.filter(pl.col("bad") != was_bad)
        time = pl.max_horizontal("event_time", "newest").cum_max().over("slot")
        turns = turns.with_columns(since=pl.max_horizontal(time, "since_before"))
        last = pl.col("since").shift(1).over("slot").fill_null(pl.col("since_before"))
        span = pl.when(~pl.col("bad")).then(pl.col("since") - last).otherwise(0).cum_sum().over("slot")
        turns = turns.with_columns(unknown_us=span + pl.col("unknown_before").fill_null(0))
        turns = turns.sort("slot", maintain_order=True)
        self._trail = Trail(turns["slot"].to_numpy(), turns["since"].to_numpy(), turns["_offset"].to_numpy())
        self._turns = turns.select("since", "bad", "unknown_us").rows()
        self.upsert = turns.unique("slot", keep="last").select(UNKNOWN.names())

    def until(self, slot: int, event_time: int, until: int | None = None) -> int:
        """Unknown time of the signal in `slot` up to `event_time`, in us, as records up to offset `until` tell."""
        found = None if self._trail is None else self._trail.find(slot, event_time, until)
        since, bad, unknown_us = self._counts.get(slot, (0, False, 0)) if found is None else self._turns[found]
        return int(unknown_us) + (max(event_time - int(since), 0) if bad else 0)
