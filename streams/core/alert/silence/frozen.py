"""Frozen signals: sent on, but never moving. Enter: readings that tell of now, what was carried. Leaves: transitions.

The values of a signal are put into the cells of two grids, each cell twice as wide as the resolution, the second grid
moved by half a cell: values that differ by no more than the resolution share a cell of at least one grid, wherever they
lie; values that differ by two resolutions share none. A *run* is as long as one cell is not left. What counts is the
time between its readings while the machine was expected to work: not in a state that the rule exempts, nor in one that
is unknown, nor between readings that are too far apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from streams.core.alert.rule_match import Floats, Integers, Mask
from streams.core.alert.silence.match import Watched
from streams.core.alert.silence.sequence import Carried, Heard, Sequence
from streams.core.alert.silence.signals import place, standing_by_slot
from streams.core.alert.silence.slots import begins, firsts, lasts, shifted, summed
from streams.core.alert.silence.tables import Ledger, standing_of
from streams.core.alert.silence.watch import FROZEN
from streams.core.frames import BAD
from streams.core.times import FOREVER_US, NEVER_US, SECOND_US

COLUMNS = ("value_time", "worked_us", "judged", "start_0", "start_1", "begin_0", "begin_1")


@dataclass(frozen=True)
class Moves:
    """What can be judged, by slot and in order: `row` in the sequence, value, time, for how long it had worked.

    Slots are places in `slots` (of `Watched`), they begin at `starts`. `left`: whether the cell of each grid is another
    than before. `before` and `after` have the columns COLUMNS by slot, before and after the chunk.
    """

    slots: Integers
    row: Integers
    slot: Integers
    starts: Integers
    value: Floats
    time: Integers
    worked: Integers
    left: tuple[Mask, Mask]
    before: dict[str, Integers]
    after: dict[str, Integers]


def labels(found: Sequence, watched: Watched, table: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(row, signal_id, label) of the readings that tell a machine's state, and the table's new rows."""
    text = found.frame["value_string"]
    if not len(watched.states) or text.null_count() == len(text):
        known = {"row": np.full(table.height, -1), "signal_id": table["signal_id"], "label": table["label"]}
        return pl.DataFrame(known), table.clear()
    row = np.flatnonzero(text.is_not_null().to_numpy()[... if found.order is None else found.order])
    place = found.places(row)
    told = found.frame.select("signal_id", "quality", label="value_string")[place]
    told = told.with_columns(row=pl.Series(row), time=pl.Series(found.time[row]))
    told = told.filter(pl.col("signal_id").is_in(watched.states.implode()), pl.col("quality") < BAD)
    told = told.select("row", "signal_id", "time", "label")
    told = pl.concat([table.select(pl.lit(-1, pl.Int64).alias("row"), "signal_id", "time", "label"), told])
    # A late label tells nothing of now.
    told = told.filter(pl.col("time") >= pl.col("time").cum_max().over("signal_id"))
    last = told.filter(pl.col("row") >= 0).unique("signal_id", keep="last", maintain_order=True)
    return told.drop("time"), last.drop("row")


def moves(found: Sequence, heard: Heard, bad: Mask, carried: Carried, watched: Watched, told: pl.DataFrame) -> Moves:
    """The readings of signals that may freeze, but for `bad` ones; `told`: the states of the machines."""
    row, slot, time, value = heard.row, heard.slot, heard.time, _numbers(found.frame)[heard.place]
    keep = np.isfinite(value) & ~bad
    if not (may_freeze := watched.frozen_us[carried.slots] < FOREVER_US).all():
        keep &= may_freeze[slot]
    starts = heard.starts
    if not keep.all():
        row, slot, value, time = row[keep], slot[keep], value[keep], time[keep]
        starts = firsts(slot)
    judged = _judged(row, slot, starts, carried.slots, watched, told)
    before = {name: _before(carried, name) for name in COLUMNS}
    # Where there was nothing before, the span is longer than any gap.
    span = time - shifted(time, slot, starts, before["value_time"])
    gap = watched.gap_us[carried.slots]
    counts = span <= gap.min(initial=FOREVER_US)
    if not counts.all():
        counts = span <= gap[slot]
    if judged is not None:
        counts &= judged
    if judged is not None or (before["judged"][slot[starts]] == 0).any():
        ones = np.ones(len(slot), dtype=np.bool_)
        counts &= shifted(ones if judged is None else judged, slot, starts, before["judged"] == 1)
    worked = summed(np.where(counts, span, 0), starts, before["worked_us"][slot[starts]])
    left = _left(value, slot, starts, carried, watched.resolution[carried.slots])
    after = {name: values.copy() for name, values in before.items()}
    own, last = slot[starts], lasts(starts, len(slot))
    after["value_time"][own], after["worked_us"][own] = time[last], worked[last]
    after["judged"][own] = 1 if judged is None else judged[last]
    for grid in (0, 1):
        entered = np.maximum.reduceat(np.where(left[grid], np.arange(len(slot)), -1), starts) if len(slot) else own
        own, entered = slot[starts][entered >= 0], entered[entered >= 0]
        after[f"start_{grid}"][own], after[f"begin_{grid}"][own] = worked[entered], time[entered]
    return Moves(carried.slots, row, slot, starts, value, time, worked, left, before, after)


def tell(found: Sequence, seen: Moves, watched: Watched, ledger: Ledger, past_us: int) -> None:
    """Raise and clear: it holds once its run has lasted for the limit, and no longer once both cells were left."""
    limit, stands = watched.frozen_us[seen.slots], standing_by_slot(ledger, watched, FROZEN)[seen.slots]
    # No run is longer than one that was left by no reading.
    longest = seen.after["worked_us"] - np.minimum(seen.before["start_0"], seen.before["start_1"])
    may_hold = stands | (longest >= limit)
    if not may_hold.any():
        return
    at = np.flatnonzero(may_hold[seen.slot])
    slot, starts = seen.slot[at], firsts(seen.slot[at])
    (start_0, begin_0), (start_1, begin_1) = (_run(seen, at, starts, grid) for grid in (0, 1))
    holds = seen.worked[at] - np.minimum(start_0, start_1) >= limit[slot]
    for index in np.flatnonzero(holds != shifted(holds, slot, starts, stands)):
        own, at_us = int(seen.slots[slot[index]]), int(seen.time[at[index]])
        rule, (received, evidence) = watched.rules[watched.number[FROZEN][own]], found.told(int(seen.row[at[index]]))
        if not holds[index]:
            standing = ledger.open[rule.id, watched.signals["signal_id"][own]]
            ledger.cleared(standing, "condition_cleared", at_us, received, evidence)
            continue
        begin = begin_1 if start_1[index] < start_0[index] else begin_0
        standing = standing_of(
            rule, watched.signals["signal_id"][own], int(begin[index]), at_us,
            limit=float(watched.frozen_us[own]) / SECOND_US, value=float(seen.value[at[index]]),
            evidence=evidence, **place(watched, own, found.line(int(seen.row[at[index]]))),
        )  # fmt: skip
        ledger.raised(standing, annunciated=at_us >= past_us)


def _numbers(frame: pl.DataFrame) -> Floats:
    """The readings as numbers; NaN where they are texts."""
    value = frame["value_double"]
    if value.null_count():
        value = frame.select(pl.coalesce("value_double", pl.col("value_long").cast(pl.Float64))).to_series()
    return value.to_numpy()


def _judged(
    row: Integers, slot: Integers, starts: Integers, slots: Integers, watched: Watched, told: pl.DataFrame
) -> Mask | None:
    """Whether the machine was expected to work at each reading, as far as the log had told by then; None: always."""
    asks = watched.asks[slots]
    if not asks.any():
        return None
    of_state = watched.signals["state_signal"].gather(slots)
    new = told.filter(pl.col("row") >= 0)["signal_id"].unique()
    changes = asks & of_state.is_in(new.implode()).fill_null(value=False).to_numpy()
    # Where the state stays the same, the first reading of a slot tells it for all.
    asked = changes[slot]
    asked[starts] |= asks[slot[starts]]
    at = np.flatnonzero(asked)
    rows = pl.DataFrame({"row": row[at], "at": at, "number": watched.number[FROZEN][slots[slot[at]]]})
    rows = rows.with_columns(signal_id=of_state.gather(slot[at]))
    known = rows.sort("row").join_asof(told, on="row", by="signal_id", check_sortedness=False)
    pairs = known.select("number", "label").unique()
    exempt = [label is None or label in _unless(watched, number) for number, label in pairs.rows()]
    known = known.join(pairs.with_columns(exempt=pl.Series(exempt)), on=["number", "label"], nulls_equal=True)
    away = np.zeros(len(slot), dtype=np.bool_)
    away[known["at"].to_numpy()] = known["exempt"].to_numpy()
    judged: Mask = ~np.where(changes[slot], away, away[begins(starts, len(slot))])
    return judged


def _unless(watched: Watched, number: int) -> tuple[str, ...]:
    watch = watched.rules[number].watch
    return () if watch is None else watch.unless


def _before(carried: Carried, name: str) -> Integers:
    """A column of COLUMNS by slot; what is not there: no time (NEVER_US), nothing worked (0)."""
    values = carried.columns[name]
    return values if name in {"value_time", "begin_0", "begin_1"} else np.where(values != NEVER_US, values, 0)


def _cell(value: Floats, resolution: Floats, grid: int) -> Floats:
    """The cell of each value; without a resolution every value is one. No value is in a cell of its own (NaN)."""
    if not resolution.any():
        return value
    width = 2 * resolution
    with np.errstate(divide="ignore", invalid="ignore"):
        cells: Floats = np.where(width > 0, np.floor(value / width + grid / 2), value)
    return cells


def _left(value: Floats, slot: Integers, starts: Integers, carried: Carried, resolution: Floats) -> tuple[Mask, Mask]:
    """For both grids, by reading: whether its cell is another than that before."""

    def left(grid: int) -> Mask:
        cell = _cell(value, resolution[slot], grid) if resolves else value
        found: Mask = cell != shifted(cell, slot, starts, _cell(carried.value, resolution, grid))
        return found

    resolves = resolution.any()
    first = left(0)
    # Without a resolution both grids are one.
    return first, left(1) if resolves else first


def _run(seen: Moves, at: Integers, starts: Integers, grid: int) -> tuple[Integers, Integers]:
    """At these readings (all of some slots): how long it had worked when the cell was entered, and when that was."""
    slot, last = seen.slot[at], np.maximum.accumulate(np.where(seen.left[grid][at], np.arange(len(at)), -1))
    own = last >= begins(starts, len(at))
    start = np.where(own, seen.worked[at][last], seen.before[f"start_{grid}"][slot])
    return start, np.where(own, seen.time[at][last], seen.before[f"begin_{grid}"][slot])
