"""Aggregates of tumbling windows. Enters: `Held` readings and spans of closed windows. Leaves: one row per window.

Readings are cut into `pieces` at window borders; a window's times are sums of whole microseconds over its pieces, so
good, uncertain, bad and unknown time sum exactly to its length. The time-weighted mean is the integral over known
numeric time divided by that time. A value carried in from before the window enters times and integral, never count,
sum, extremes or deviation. Bad readings enter no statistic: they are counted, and end the time before them.
Every pass is over sorted arrays; no reading is touched in Python, and sums do not depend on the order of arrival.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from streams.core.frames import BAD, FORCED, GOOD, HISTORICAL, ID, UNCERTAIN
from streams.core.times import SECOND_US
from streams.core.window.counters import COUNTS, counted, totals
from streams.core.window.pieces import Pieces, cut
from streams.core.window.rows import Held, Lives
from streams.core.window.signals import Bools, Floats, Ints, Signals, Spans, codes
from streams.core.window.states import STATES, labels, moves, states

# What a window says about its readings: equal payloads mean that a revision would tell nothing new.
PAYLOAD: Final = pl.Schema(
    {
        "count": pl.Int64(),
        "count_uncertain": pl.Int64(),
        "count_bad": pl.Int64(),
        "count_forced": pl.Int64(),
        "sum": pl.Float64(),
        "min": pl.Float64(),
        "max": pl.Float64(),
        "first": pl.Float64(),
        "last": pl.Float64(),
        "stddev": pl.Float64(),
        "m2": pl.Float64(),
        "first_time": pl.Int64(),
        "last_time": pl.Int64(),
        "mean_time_weighted": pl.Float64(),
        "integral": pl.Float64(),
        "duration_good_s": pl.Float64(),
        "duration_uncertain_s": pl.Float64(),
        "duration_bad_s": pl.Float64(),
        "duration_unknown_s": pl.Float64(),
        "coverage": pl.Float64(),
        "share_good": pl.Float64(),
        "share_uncertain": pl.Float64(),
        "share_bad": pl.Float64(),
        **STATES,
        **COUNTS,
        "historical": pl.Boolean(),
    }
)
KEY: Final = ("signal_id", "length_s", "window_start")
# `entry` is the dictionary version as of the window's begin, `source_id` who told its last value, `reach` the highest
# event time seen of that source (us).
AGGREGATED: Final = pl.Schema(
    {"signal_id": ID, "length_s": pl.Int32(), "window_start": pl.Int64(), "window_end": pl.Int64(), **PAYLOAD}
    | {"entry": pl.Int64(), "source_id": ID, "reach": pl.Int64()}
)
NOTHING: Final = pl.DataFrame(schema=AGGREGATED)


def aggregate(held: Held, signals: Signals, lives: Lives, spans: Spans) -> pl.DataFrame:
    """One row (AGGREGATED) per signal and window inside `spans`, by length, signal and time.

    A window of which nothing is known and that holds no reading is left out.
    """
    parts, discrete, groups = [], [], 0
    known, increments = labels(held, signals), counted(held, signals)
    # A sum that leaves the range of a double is infinite: data, not a fault of the program.
    with np.errstate(over="ignore", invalid="ignore"):
        for length, span in spans.items():
            pieces = cut(held, signals, length, span)
            if pieces.row.size:
                parts.append(_windows(held, pieces, signals, length))
                if increments is not None:
                    parts[-1] |= totals(increments, pieces.row, pieces.reading, pieces.group, pieces.starts.size)
                if known is not None:
                    discrete.append(moves(known, pieces.row, pieces.span, pieces.reading, pieces.group + groups))
                groups += pieces.starts.size
    if not parts:
        return NOTHING
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    told, last = columns.pop("told"), columns.pop("origin")
    source = held.frame["source_id"].gather(last)
    columns["reach"] = lives.at(codes(source))
    frame = pl.DataFrame(columns).with_columns(
        held.frame["signal_id"].gather(last),
        source,
        pl.col(pl.Float64).fill_nan(None),
        pl.col("length_s").cast(pl.Int32),
        pl.when(pl.col("count") > 0).then(pl.col("first_time", "last_time")),
        *states([part for part in discrete if part is not None], groups),
    )
    counter = None if increments is None else pl.Series(signals.counter[frame["entry"].to_numpy()])
    frame = frame.with_columns(
        pl.lit(None, dtype).alias(name) if counter is None else pl.when(counter).then(pl.col(name)).cast(dtype)
        for name, dtype in COUNTS.items()
    ).select(AGGREGATED.names())
    return frame if told.all() else frame.filter(pl.Series(told))


def _windows(held: Held, pieces: Pieces, signals: Signals, length: int) -> dict[str, Ints | Floats | Bools]:
    """All windows of one length; `told`: whether to tell of it, `origin`: the frame's row of its last value."""
    quality = held.quality[pieces.row]
    columns = _times(held, pieces, quality) | _readings(held, pieces, quality)
    ends = pieces.row[np.append(pieces.starts[1:], pieces.row.size) - 1]
    columns["window_start"], columns["window_end"] = pieces.begin, pieces.end
    columns["entry"] = signals.entry(held.code[ends], pieces.begin)
    columns["length_s"] = np.full(ends.size, length // SECOND_US)
    columns["origin"] = held.index[ends]
    known = columns["duration_good_s"] + columns["duration_uncertain_s"] + columns["duration_bad_s"]
    told = (columns["count"] + columns["count_bad"] > 0) | (known > 0)
    columns["told"] = told & signals.has[length][columns["entry"]]
    return columns


def _times(held: Held, pieces: Pieces, quality: Ints) -> dict[str, Ints | Floats | Bools]:
    """Durations in s from sums in whole us, shares of them, integral (value times s) and time-weighted mean."""
    starts, span, length = pieces.starts, pieces.span, pieces.end - pieces.begin
    good, uncertain, bad = (
        np.add.reduceat(np.where(quality == code, span, 0), starts) for code in (GOOD, UNCERTAIN, BAD)
    )
    value = held.value[pieces.row]
    numeric = (quality != BAD) & ~np.isnan(value)
    known = np.add.reduceat(np.where(numeric, span, 0), starts)
    area = np.add.reduceat(np.where(numeric, value * span, 0.0), starts)
    mean = np.divide(area, known, out=np.full(starts.size, np.nan), where=known > 0)
    return {
        "mean_time_weighted": mean,
        "integral": np.where(known > 0, area / SECOND_US, np.nan),
        "duration_good_s": good / SECOND_US,
        "duration_uncertain_s": uncertain / SECOND_US,
        "duration_bad_s": bad / SECOND_US,
        "duration_unknown_s": (length - good - uncertain - bad) / SECOND_US,
        "coverage": (good + uncertain) / length,
        "share_good": good / length,
        "share_uncertain": uncertain / length,
        "share_bad": bad / length,
    }


def _flagged(held: Held, pieces: Pieces, usable: Bools) -> dict[str, Ints | Bools]:
    """Forced readings that are not bad; windows all of whose readings were sent as historical (at least one)."""
    groups = pieces.starts.size
    if held.flags is None:
        return {"count_forced": np.zeros(groups, np.int64), "historical": np.zeros(groups, np.bool_)}
    flags, starts = held.flags[pieces.row], pieces.starts
    forced = usable & ((flags & FORCED) != 0)
    live = pieces.reading & ((flags & HISTORICAL) == 0)
    read = np.logical_or.reduceat(pieces.reading, starts)
    return {
        "count_forced": np.add.reduceat(forced.astype(np.int64), starts),
        "historical": read & ~np.logical_or.reduceat(live, starts),
    }


def _readings(held: Held, pieces: Pieces, quality: Ints) -> dict[str, Ints | Floats | Bools]:
    """Statistics of the readings of each window that are not bad; NaN where there is no number."""
    starts, row = pieces.starts, pieces.row
    usable = pieces.reading & (quality != BAD)
    value = held.value[row]
    numeric = usable & ~np.isnan(value)
    numbers = np.add.reduceat(numeric.astype(np.int64), starts)
    any_number = numbers > 0
    total = np.add.reduceat(np.where(numeric, value, 0.0), starts)
    mean = np.divide(total, numbers, out=np.zeros(starts.size), where=any_number)
    deviation = np.where(numeric, value - mean[pieces.group], 0.0)
    m2 = np.add.reduceat(deviation * deviation, starts)
    place = np.arange(row.size)
    first = np.minimum.reduceat(np.where(numeric, place, row.size - 1), starts)
    last = np.maximum.reduceat(np.where(numeric, place, 0), starts)
    time = held.time[row]
    none = np.full(starts.size, np.nan)
    return {
        "count": np.add.reduceat(usable.astype(np.int64), starts),
        "count_uncertain": np.add.reduceat((usable & (quality == UNCERTAIN)).astype(np.int64), starts),
        "count_bad": np.add.reduceat((pieces.reading & (quality == BAD)).astype(np.int64), starts),
        "sum": np.where(any_number, total, none),
        "min": np.where(any_number, np.minimum.reduceat(np.where(numeric, value, np.inf), starts), none),
        "max": np.where(any_number, np.maximum.reduceat(np.where(numeric, value, -np.inf), starts), none),
        "first": np.where(any_number, value[first], none),
        "last": np.where(any_number, value[last], none),
        "stddev": np.where(any_number, np.sqrt(m2 / np.maximum(numbers, 1)), none),
        "m2": np.where(any_number, m2, none),
        "first_time": np.minimum.reduceat(np.where(usable, time, np.iinfo(np.int64).max), starts),
        "last_time": np.maximum.reduceat(np.where(usable, time, 0), starts),
        **_flagged(held, pieces, usable),
    }
