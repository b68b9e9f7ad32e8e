"""A chunk of readings, reduced to what can change a condition. Enter: readings, what is carried. Leaves: `Judged`.

Readings are taken in the order of the log. One that is older than the last of its signal is *late*: it is counted and
changes nothing, so the outcome depends on the log alone, never on how it was cut into chunks. Of the others only those
remain whose signal has an open condition, a rate rule, or a value beyond a limit somewhere in this chunk; where
nothing happens that is none. Those are judged rule by rule, and only changes of the judgement go on to the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from streams.core.alert.rule import STATE
from streams.core.alert.rule_match import Compiled, Floats, Integers, Mask, look_up
from streams.core.frames import BAD, BIRTH, HISTORICAL

# What a judged reading keeps of the reading.
KEPT: Final = (
    "site", "tenant", "work_center", "source_id", "event_time", "ingest_time", "value_string", "quality",
    "_partition", "_offset",
)  # fmt: skip


@dataclass(frozen=True)
class Carried:
    """What earlier chunks left. By slot: last event time and whether a condition is open; by pair: what holds.

    `held` has (pair, held: whether the condition holds) for every open condition, `anchors` has (pair, anchor_time,
    anchor_value), the reading that the next rate is measured from.
    """

    last_us: Integers
    busy: Mask
    held: pl.DataFrame
    anchors: pl.DataFrame


@dataclass(frozen=True)
class Judged:
    """A chunk after judgement.

    `readings` are the judged readings by (pair, log order) with `holds` and `behind`; `changes` those of them that may
    change a condition, in log order; `late` counts late readings by slot; `last_us` and `seen` are the last event
    time and whether anything was applied, by slot; `anchors` are rows to keep for the next rates.
    """

    readings: pl.DataFrame
    changes: pl.DataFrame
    late: Integers
    last_us: Integers
    seen: Mask
    anchors: pl.DataFrame


def judge(frame: pl.DataFrame, compiled: Compiled, carried: Carried, past_us: int) -> Judged:
    """Judge the readings of `frame` (columns READING and COORDINATES); events before `past_us` are of the past."""
    slot = compiled.slot(frame["signal_id"])
    rows = np.flatnonzero((slot >= 0) & (frame["quality"].to_numpy() < BAD))
    slot, event_time = slot[rows], frame["event_time"].to_numpy()[rows]
    latest = pl.DataFrame({"slot": slot, "time": event_time}).select(pl.col("time").cum_max().over("slot"))
    late = event_time < np.maximum(latest["time"].to_numpy(), carried.last_us[slot])
    last_us = carried.last_us.copy()
    np.maximum.at(last_us, slot, event_time)
    seen = np.zeros(compiled.slots, dtype=np.bool_)
    seen[slot] = True
    late_by_slot = np.bincount(slot[late], minlength=compiled.slots)
    rows, slot = rows[~late], slot[~late]
    value = _number(frame)
    busy = carried.busy | compiled.has_rate
    busy[slot[_beyond(frame, compiled, value, rows, slot)]] = True
    rows, slot = rows[busy[slot]], slot[busy[slot]]
    picked = frame[rows].select(
        *KEPT,
        slot=pl.Series(slot),
        row=pl.Series(rows),
        value=pl.Series(value[rows]).fill_nan(None),
        behind=(pl.col("flags") & HISTORICAL != 0) | (pl.col("event_time") < past_us),
        birth=pl.col("flags") & BIRTH != 0,
    )
    rates, anchors = _rates(picked, compiled, carried)
    levels = picked.drop("birth").join(compiled.levels, on="slot", maintain_order="left")
    readings = _held(_classify(pl.concat([levels, rates.select(levels.columns)]), compiled), carried)
    changed = pl.col("holds") != pl.col("held_before")
    told = pl.col("holds") & ~pl.col("behind") & pl.col("behind_before")
    return Judged(readings, readings.filter(changed | told).sort("row", "pair"), late_by_slot, last_us, seen, anchors)


def _number(frame: pl.DataFrame) -> Floats:
    """The readings as numbers; NaN where they are texts."""
    value = frame["value_double"]
    if value.null_count():
        value = frame.select(pl.coalesce("value_double", pl.col("value_long").cast(pl.Float64)))["value_double"]
    return value.to_numpy()


def _beyond(frame: pl.DataFrame, compiled: Compiled, value: Floats, rows: Integers, slot: Integers) -> Mask:
    numbers = value[rows]
    beyond: Mask = (numbers > compiled.safe_high[slot]) | (numbers < compiled.safe_low[slot])
    if compiled.has_state.any() and frame["value_string"].null_count() < frame.height:
        beyond |= look_up(compiled.label_named, frame["value_string"], missing=False)[rows] & compiled.has_state[slot]
    return beyond


def _rates(picked: pl.DataFrame, compiled: Compiled, carried: Carried) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rates of change in place of values, and the anchors of the next ones.

    Event time is cut into steps of `over_us`; a rate is the change between the first readings of successive steps,
    per the time between them, but at least one step: noise between close readings is no trend. A re-announced value
    (birth) is no change: measuring starts anew from it.
    """
    before = pl.Series(carried.last_us[picked["slot"].to_numpy()])
    previous = pl.col("event_time").shift(1).over("slot").fill_null(before)
    step = pl.col("event_time") // pl.col("over_us")
    firsts = (
        picked.with_columns(previous=previous)
        .join(compiled.rates, on="slot", maintain_order="left")
        .filter(
            (step != pl.col("previous") // pl.col("over_us")) | pl.col("birth"),
            pl.col("value").is_not_null(),
            pl.col("event_time").is_between("valid_from", "valid_to", closed="left"),
        )
        .sort("pair", "row")
        .join(carried.anchors, on="pair", how="left", maintain_order="left")
    )
    anchor_time = pl.col("event_time").shift(1).over("pair").fill_null(pl.col("anchor_time"))
    anchor_value = pl.col("value").shift(1).over("pair").fill_null(pl.col("anchor_value"))
    elapsed = pl.max_horizontal(pl.col("event_time") - anchor_time, "over_us")
    rate = (pl.col("value") - anchor_value) * pl.col("per_us") / elapsed
    anchors = firsts.unique("pair", keep="last").select("pair", anchor_time="event_time", anchor_value="value")
    rates = firsts.with_columns(value=pl.when(~pl.col("birth")).then(rate)).filter(pl.col("value").is_not_null())
    return rates, anchors


def _classify(rows: pl.DataFrame, compiled: Compiled) -> pl.DataFrame:
    """`rows` within the validity of their pair, with `holds`: null inside a deadband, or with nothing to tell."""
    value, label = pl.col("value"), pl.col("value_string")
    named = compiled.labels.with_columns(_named=pl.lit(value=True))
    by_limit = (
        pl.when((value > pl.col("high")) | (value < pl.col("low")))
        .then(statement=True)
        .when((value <= pl.col("high_clear")) & (value >= pl.col("low_clear")))
        .then(statement=False)
    )
    by_label = pl.when(label.is_not_null()).then(pl.col("_named").fill_null(value=False))
    return (
        rows.filter(pl.col("event_time").is_between("valid_from", "valid_to", closed="left"))
        .join(named, on=["rule", "value_string"], how="left", maintain_order="left")
        .with_columns(holds=pl.when(pl.col("type") == STATE).then(by_label).otherwise(by_limit))
        .drop("_named", "valid_from", "valid_to", "high_clear", "low_clear", "type", "rule")
    )


def _held(rows: pl.DataFrame, carried: Carried) -> pl.DataFrame:
    """`rows` by pair with `holds` filled in from before, and what held and whether it was past one reading earlier."""
    rows = rows.join(carried.held, on="pair", how="left").sort("pair", "row")
    before = pl.col("held").fill_null(value=False)
    holds = pl.col("holds").forward_fill().over("pair").fill_null(before)
    # After a restart it is not known whether an open condition was last seen in a backlog: the table knows.
    return rows.with_columns(holds=holds).with_columns(
        held_before=pl.col("holds").shift(1).over("pair").fill_null(before),
        behind_before=pl.col("behind").shift(1).over("pair").fill_null(pl.col("held").is_not_null()),
    ).drop("held")  # fmt: skip


class Trail:
    """Rows by (key, log order), event time rising within a key: which was the last up to some time and offset?"""

    def __init__(self, key: Integers, event_time: Integers, offset: Integers) -> None:
        self._key = key
        self._time = event_time
        self._offset = offset

    def find(self, key: int, event_time: int, until: int | None = None) -> int | None:
        """Index of the last row of `key` not after `event_time`, in a record up to offset `until`; None: none such."""
        first, end = np.searchsorted(self._key, [key, key + 1])
        count = int(np.searchsorted(self._time[first:end], event_time, side="right"))
        if until is not None:
            count = min(count, int(np.searchsorted(self._offset[first:end], until, side="right")))
        return int(first) + count - 1 if count else None


class Clocks:
    """Event time by source, record by record: how far had a source come when some record was read?

    `frame` is the whole chunk (readings of any quality tell the time); `before` maps sources to their last event time.
    A record counts once it is complete: the readings of a batch are signal by signal, not in the order of time.
    """

    def __init__(self, frame: pl.DataFrame, before: Callable[[str], int]) -> None:
        self._before = before
        records = frame.group_by("source_id", "_offset").agg(pl.col("event_time").max()).sort("_offset")
        self._offset: dict[str, Integers] = {}
        self._time: dict[str, Integers] = {}
        for (source,), part in records.cast({"source_id": pl.String}).group_by("source_id", maintain_order=True):
            name = str(source)
            self._offset[name] = part["_offset"].to_numpy()
            self._time[name] = np.maximum(np.maximum.accumulate(part["event_time"].to_numpy()), before(name))

    def sources(self) -> list[tuple[str, int]]:
        """Every source of the chunk with its last event time."""
        return [(name, int(time[-1])) for name, time in self._time.items()]

    def at(self, source: str, offset: int | None = None) -> int:
        """Last event time of `source` before the record at `offset`; None: after the whole chunk."""
        if source not in self._time:
            return self._before(source)
        end = len(self._time[source]) if offset is None else int(np.searchsorted(self._offset[source], offset))
        return int(self._time[source][end - 1]) if end else self._before(source)

    def reached(self, source: str, event_time: int) -> int | None:
        """Offset of the record with which `source` reached `event_time`; -1: before this chunk, None: not yet."""
        if self._before(source) >= event_time:
            return -1
        if source not in self._time:
            return None
        at = int(np.searchsorted(self._time[source], event_time))
        return int(self._offset[source][at]) if at < len(self._offset[source]) else None
