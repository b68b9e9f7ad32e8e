"""A chunk of readings, reduced to what can change a condition. Enter: readings, what is carried. Leaves: `Judged`.

Readings are taken in the order of the log. One that is older than the last of its signal is *late*: it is set aside,
so the outcome depends on the log alone, never on how it was cut into chunks. Of the others only those remain whose
signal has an open condition, a rate rule, or a value beyond a limit somewhere in this chunk; where nothing happens that
is none. Those are judged rule by rule, and only changes of the judgement go on to the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from streams.core.alert.change import ANCHORS, changed
from streams.core.alert.rule_condition import STATE
from streams.core.alert.rule_match import Compiled, Floats, Integers, Mask, look_up
from streams.core.frames import BAD, BIRTH, HISTORICAL
from streams.core.times import NEVER_US

# What a judged reading keeps of the reading.
KEPT: Final = (
    "site", "tenant", "work_center", "source_id", "event_time", "ingest_time", "value_string", "quality",
    "_partition", "_offset",
)  # fmt: skip


@dataclass(frozen=True)
class Carried:
    """What earlier chunks left. By slot: last event time and whether a condition is open; by pair: what holds.

    `held` has (pair, held: whether the condition holds, line) for every open condition, `anchors` has (pair,
    anchor_time, anchor_value), the reading that the next rate or change is measured from, and more (`ANCHORS`).
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
    time and whether anything was applied, by slot; `anchors` are rows to keep for what is measured next. `overdue` are
    the late readings (slot, KEPT and value, birth), in log order; `contested` has (pair, event_time, _offset) of those
    at the same instant as the one before them that say something else.
    """

    readings: pl.DataFrame
    changes: pl.DataFrame
    late: Integers
    last_us: Integers
    seen: Mask
    anchors: pl.DataFrame
    overdue: pl.DataFrame
    contested: pl.DataFrame


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
    value = _number(frame)
    overdue = _picked(frame, rows[late], slot[late], value, past_us)
    rows, slot = rows[~late], slot[~late]
    busy = carried.busy | compiled.has_rate | compiled.has_change
    busy[slot[_beyond(frame, compiled, value, rows, slot)]] = True
    rows, slot = rows[busy[slot]], slot[busy[slot]]
    picked = _picked(frame, rows, slot, value, past_us)
    rates, anchors = _rates(picked, compiled, carried)
    readings = _held(classified(picked, rates, compiled), carried, moves=bool(compiled.moves))
    contested = _contested(readings, carried)
    if compiled.has_change[slot].any():
        found = changed(picked, compiled, carried.anchors, carried.last_us)
        readings = pl.concat([readings, found.readings.select(readings.columns)]).sort("pair", "row")
        anchors = pl.concat([anchors, found.anchors])
        contested = pl.concat([contested, found.contested])
    other = pl.col("holds") != pl.col("held_before")
    told = pl.col("holds") & ~pl.col("behind") & pl.col("behind_before")
    changes = readings.filter(other | told).sort("row", "pair")
    return Judged(readings, changes, late_by_slot, last_us, seen, anchors, overdue, contested)


def judge_sorted(
    frame: pl.DataFrame, compiled: Compiled, past_us: int, since: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Judge known readings of watched signals, one for each instant of a signal and in order of time.

    `since` (pair, since_us, and of `ANCHORS` what `changed` needs) are the pairs of rules on changes to be judged.
    Leaves (as `Judged.readings` has them, but `holds` null where a reading decides nothing) the readings by pair and
    time, and those that rates were measured from (pair, event_time, value, birth).
    """
    slot = compiled.slot(frame["signal_id"])
    picked = _picked(frame, np.arange(frame.height), slot, _number(frame), past_us)
    nothing = pl.DataFrame(schema={"pair": pl.Int64(), **ANCHORS})
    firsts = _firsts(
        picked, compiled, Carried(np.full(compiled.slots, NEVER_US), np.zeros(0, np.bool_), nothing, nothing)
    )
    rates, _ = _measured(firsts)
    judged = classified(picked, rates, compiled)
    if since.height:
        nobody = np.full(compiled.slots, NEVER_US)
        found = changed(picked, compiled, since, nobody, since.select("pair", "since_us"))
        judged = pl.concat([judged, found.readings.select(judged.columns)])
    return judged.sort("pair", "row"), firsts.select("pair", "event_time", "value", "birth")


def classified(picked: pl.DataFrame, rates: pl.DataFrame, compiled: Compiled) -> pl.DataFrame:
    """Readings by pair with what they decide: those with limits or states, and `rates`."""
    levels = picked.drop("birth").join(compiled.levels, on="slot", maintain_order="left")
    return _classify(pl.concat([levels, rates.select(levels.columns)]), compiled)


def _picked(frame: pl.DataFrame, rows: Integers, slot: Integers, value: Floats, past_us: int) -> pl.DataFrame:
    return frame[rows].select(
        *KEPT,
        slot=pl.Series(slot),
        row=pl.Series(rows),
        value=pl.Series(value[rows]).fill_nan(None),
        behind=(pl.col("flags") & HISTORICAL != 0) | (pl.col("event_time") < past_us),
        birth=pl.col("flags") & BIRTH != 0,
    )


def _contested(readings: pl.DataFrame, carried: Carried) -> pl.DataFrame:
    pair, time = readings["pair"].to_numpy(), readings["event_time"].to_numpy()
    first = np.append(True, pair[1:] != pair[:-1])[: len(pair)]
    before = np.where(first, carried.last_us[readings["slot"].to_numpy()], np.append(NEVER_US, time[:-1])[: len(time)])
    again = np.flatnonzero(time == before)
    if not again.size:
        return readings.select("pair", "event_time", "_offset").clear()
    said = readings["decides"].gather(np.maximum(again - 1, 0))
    rows = readings[again].with_columns(said=said, first=pl.Series(first[again]))
    said_before = pl.when("first").then("held_before").otherwise("said")
    return rows.filter(pl.col("decides").ne_missing(said_before)).select("pair", "event_time", "_offset")


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
    return _measured(_firsts(picked, compiled, carried))


def _firsts(picked: pl.DataFrame, compiled: Compiled, carried: Carried) -> pl.DataFrame:
    before = pl.Series(carried.last_us[picked["slot"].to_numpy()])
    previous = pl.col("event_time").shift(1).over("slot").fill_null(before)
    step = pl.col("event_time") // pl.col("over_us")
    return (
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


def _measured(firsts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    since = pl.col("event_time").shift(1).over("pair").fill_null(pl.col("anchor_time"))
    start = pl.col("value").shift(1).over("pair").fill_null(pl.col("anchor_value"))
    firsts = firsts.with_columns(since=since, start=start)
    elapsed = pl.max_horizontal(pl.col("event_time") - pl.col("since"), "over_us")
    rate = (pl.col("value") - pl.col("start")) * pl.col("per_us") / elapsed
    anchors = firsts.select(
        "pair", anchor_time="event_time", anchor_value="value", born="birth", before_time="since", before_value="start"
    ).unique("pair", keep="last")
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


def _held(rows: pl.DataFrame, carried: Carried, *, moves: bool) -> pl.DataFrame:
    """`rows` by pair with `holds` filled in from before, and what held and whether it was past one reading earlier."""
    rows = rows.join(carried.held, on="pair", how="left").sort("pair", "row")
    before = pl.col("held").fill_null(value=False)
    said, held_before = pl.col("holds"), pl.col("holds").shift(1).over("pair").fill_null(before)
    if moves:
        # On another line it is another condition, which nothing is known of.
        line = pl.col("work_center")
        moved = line != line.shift(1).over("pair").fill_null(pl.col("line"))
        rows = rows.with_columns(moved=moved.fill_null(value=False))
        said = pl.when("moved").then(said.fill_null(value=False)).otherwise(said)
        held_before &= ~pl.col("moved")
    holds = said.forward_fill().over("pair").fill_null(before)
    # After a restart it is not known whether an open condition was last seen in a backlog: the table knows.
    return rows.with_columns(holds=holds, decides="holds").with_columns(
        held_before=held_before,
        behind_before=pl.col("behind").shift(1).over("pair").fill_null(pl.col("held").is_not_null()),
    ).drop("held", "line", "moved", strict=False)  # fmt: skip
