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
from streams.core.alert.silence.sequence import Carried, Heard, Sequence, by_slot, firsts, shifted
from streams.core.alert.silence.signals import place, standing_by_slot
from streams.core.alert.silence.tables import Ledger, standing_of
from streams.core.alert.silence.watch import FROZEN
from streams.core.frames import BAD
from streams.core.times import FOREVER_US, NEVER_US, SECOND_US

COLUMNS = ("value_time", "worked_us", "judged", "start_0", "start_1", "begin_0", "begin_1")


@dataclass(frozen=True)
class Moves:
    """What can be judged, by slot and in order: `row` in the sequence, value, and the columns COLUMNS after each.

    `before` has the same columns by slot, as they were before the chunk.
    """

    row: Integers
    slot: Integers
    value: Floats
    columns: dict[str, Integers]
    before: dict[str, Integers]

    def worked(self) -> Integers:
        """For how long (us) the longer of the two runs has lasted."""
        return self.columns["worked_us"] - np.minimum(self.columns["start_0"], self.columns["start_1"])


def labels(found: Sequence, watched: Watched, table: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(row, signal_id, label) of the readings that tell a machine's state, and the table's new rows."""
    if not len(watched.states):
        return pl.DataFrame(), table.clear()
    told = found.rows.with_row_index("row").filter(
        pl.col("signal_id").is_in(watched.states.implode()),
        pl.col("value_string").is_not_null(),
        pl.col("quality") < BAD,
    )
    told = told.select(pl.col("row").cast(pl.Int64), "signal_id", "time", label="value_string")
    told = pl.concat([table.select(pl.lit(-1, pl.Int64).alias("row"), "signal_id", "time", "label"), told])
    # A late label tells nothing of now.
    told = told.filter(pl.col("time") >= pl.col("time").cum_max().over("signal_id"))
    last = told.filter(pl.col("row") >= 0).unique("signal_id", keep="last", maintain_order=True)
    return told.drop("time"), last.drop("row")


def moves(found: Sequence, heard: Heard, carried: Carried, watched: Watched, told: pl.DataFrame) -> Moves:
    """The readings of signals that may freeze, with their runs; `told`: the states of the machines."""
    value = found.rows["value"].fill_null(np.nan).to_numpy()[heard.row]
    good = found.rows["quality"].to_numpy()[heard.row] < BAD
    keep = (watched.frozen_us[heard.slot] < FOREVER_US) & good & np.isfinite(value)
    row, slot, value, time = heard.row[keep], heard.slot[keep], value[keep], heard.time[keep]
    judged = _judged(row, slot, watched, told)
    carried_by = {name: _before(carried, name, watched) for name in COLUMNS}
    first = firsts(slot)
    prior_time = shifted(time, slot, first, carried_by["value_time"])
    was_judged = shifted(judged, slot, first, carried_by["judged"] == 1)
    span = time - prior_time
    counts = judged & was_judged & (prior_time != NEVER_US) & (span <= watched.gap_us[slot])
    worked = _summed(np.where(counts, span, 0), first) + carried_by["worked_us"][slot]
    columns = {"value_time": time, "worked_us": worked, "judged": judged.astype(np.int64)}
    for grid in (0, 1):
        carried_cell = _cell(carried.value, watched.resolution, grid)
        cell = _cell(value, watched.resolution[slot], grid)
        entered = _entered(cell != shifted(cell, slot, first, carried_cell), first)
        for name, values in (("start", worked), ("begin", time)):
            columns[f"{name}_{grid}"] = np.where(entered >= 0, values[entered], carried_by[f"{name}_{grid}"][slot])
    return Moves(row, slot, value, columns, carried_by)


def tell(found: Sequence, seen: Moves, watched: Watched, ledger: Ledger, past_us: int) -> None:
    """Raise and clear: it holds once its run has lasted for the limit, and no longer once both cells were left."""
    holds = seen.worked() >= watched.frozen_us[seen.slot]
    stands = standing_by_slot(ledger, watched, FROZEN)
    was = shifted(holds, seen.slot, firsts(seen.slot), stands)
    for index in np.flatnonzero(holds != was):
        slot, row = int(seen.slot[index]), int(seen.row[index])
        at_us, rule = int(seen.columns["value_time"][index]), watched.rules[watched.number[FROZEN][slot]]
        if not holds[index]:
            standing = ledger.open[rule.id, watched.signals["signal_id"][slot]]
            ledger.cleared(standing, "condition_cleared", at_us, found.rows["ingest_time"][row], found.evidence(row))
            continue
        grid = int(seen.columns["start_1"][index] < seen.columns["start_0"][index])
        standing = standing_of(
            rule, watched.signals["signal_id"][slot], int(seen.columns[f"begin_{grid}"][index]), at_us,
            limit=float(watched.frozen_us[slot]) / SECOND_US, value=float(seen.value[index]),
            evidence=found.evidence(row), **place(watched, slot),
        )  # fmt: skip
        ledger.raised(standing, annunciated=at_us >= past_us)


def _judged(row: Integers, slot: Integers, watched: Watched, told: pl.DataFrame) -> Mask:
    """Whether the machine was expected to work at each reading, as far as the log had told by then."""
    asks = watched.asks[slot]
    if not asks.any():
        return ~asks
    rows = pl.DataFrame({"row": row[asks], "number": watched.number[FROZEN][slot[asks]]})
    rows = rows.with_columns(signal_id=watched.signals["state_signal"].gather(slot[asks]))
    known = rows.sort("row").join_asof(told, on="row", by="signal_id", check_sortedness=False)
    pairs = known.select("number", "label").unique()
    exempt = [label is None or label in _unless(watched, number) for number, label in pairs.rows()]
    known = known.join(pairs.with_columns(exempt=pl.Series(exempt)), on=["number", "label"], nulls_equal=True)
    return ~np.isin(row, known.filter("exempt")["row"].to_numpy())


def _unless(watched: Watched, number: int) -> tuple[str, ...]:
    watch = watched.rules[number].watch
    return () if watch is None else watch.unless


def _before(carried: Carried, name: str, watched: Watched) -> Integers:
    """A column of COLUMNS by slot; what is not there: no time (NEVER_US), nothing worked (0)."""
    missing = NEVER_US if name in {"value_time", "begin_0", "begin_1"} else 0
    return by_slot(carried.frame[name], carried.slot, watched.slots, missing)


def _cell(value: Floats, resolution: Floats, grid: int) -> Floats:
    """The cell of each value; without a resolution every value is one. No value is in a cell of its own (NaN)."""
    if not resolution.any():
        return value
    width = 2 * resolution
    with np.errstate(divide="ignore", invalid="ignore"):
        cells: Floats = np.where(width > 0, np.floor(value / width + grid / 2), value)
    return cells


def _summed(values: Integers, first: Mask) -> Integers:
    """Cumulative sums that begin anew at each `first`."""
    if not len(values):
        return values
    total = np.cumsum(values)
    start = np.maximum.accumulate(np.where(first, np.arange(len(values)), 0))
    return total - (total - values)[start]


def _entered(left: Mask, first: Mask) -> Integers:
    """By reading: the one with which its cell was entered; -1 where that was before the chunk."""
    if not len(left):
        return np.zeros(0, dtype=np.int64)
    number = np.arange(len(left))
    entered = np.maximum.accumulate(np.where(left, number, -1))
    return np.where(entered >= np.maximum.accumulate(np.where(first, number, 0)), entered, -1)
