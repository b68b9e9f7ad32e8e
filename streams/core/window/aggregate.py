"""Aggregates of tumbling windows. Enters: `Held` readings and spans of closed windows. Leaves: one row per window.

A value stands from its reading until the next one of its signal (`window_rows.hold`). Cut at window borders this
gives pieces; a window's times are sums of whole microseconds over its pieces, so good, uncertain, bad and unknown time
sum exactly to its length. The time-weighted mean is the integral over known numeric time divided by that time. A value
carried in from before the window enters times and integral, never count, sum, extremes or deviation.
Every pass is over sorted arrays; no reading is touched in Python, and sums do not depend on the order of arrival.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from streams.core.frames import BAD, GOOD, ID, UNCERTAIN
from streams.core.times import SECOND_US
from streams.core.window.rows import Held, Lives
from streams.core.window.signals import Bools, Floats, Ints, Signals, Spans, codes
from streams.core.window.states import STATES, moves, states

# What a window says about its readings: equal payloads mean that a revision would tell nothing new.
PAYLOAD: Final = pl.Schema(
    {
        "count": pl.Int64(),
        "count_uncertain": pl.Int64(),
        "count_bad": pl.Int64(),
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
        **STATES,
        "historical": pl.Boolean(),
    }
)
KEY: Final = ("signal_id", "length_s", "window_start")
# `entry` is the dictionary version as of the window's begin, `reach` the highest event time seen of its source (us).
AGGREGATED: Final = pl.Schema(
    {"signal_id": ID, "length_s": pl.Int32(), "window_start": pl.Int64(), **PAYLOAD, "entry": pl.Int64()}
    | {"reach": pl.Int64()}
)
NOTHING: Final = pl.DataFrame(schema=AGGREGATED)


@dataclass(frozen=True)
class Pieces:
    """Parts of held values inside one window each, sorted by (signal, time); groups are windows of one signal.

    `row` is the position in `Held`, `reading` whether the value was read in this window (not carried in), `span` us.
    """

    row: Ints
    window: Ints
    span: Ints
    reading: Bools
    starts: Ints
    group: Ints


def aggregate(held: Held, signals: Signals, lives: Lives, spans: Spans) -> pl.DataFrame:
    """One row (AGGREGATED) per signal and window inside `spans`, by length, signal and time.

    A window of which nothing is known and that holds no reading is left out.
    """
    parts, discrete, groups = [], [], 0
    # A sum that leaves the range of a double is infinite: data, not a fault of the program.
    with np.errstate(over="ignore", invalid="ignore"):
        for length, span in spans.items():
            pieces = cut(held, signals, length, span)
            if pieces.row.size:
                parts.append(_windows(held, pieces, signals, length))
                discrete.append(moves(held, signals, pieces.row, pieces.span, pieces.reading, pieces.group + groups))
                groups += pieces.starts.size
    if not parts:
        return NOTHING
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    told, last = columns.pop("told"), columns.pop("origin")
    columns["reach"] = lives.at(codes(held.frame["source_id"].gather(last)))
    frame = pl.DataFrame(columns).with_columns(
        held.frame["signal_id"].gather(last),
        pl.col(pl.Float64).fill_nan(None),
        pl.col("length_s").cast(pl.Int32),
        pl.when(pl.col("count") > 0).then(pl.col("first_time", "last_time")),
        *states([part for part in discrete if part is not None], groups),
    )
    frame = frame.select(AGGREGATED.names())
    return frame if told.all() else frame.filter(pl.Series(told))


def cut(held: Held, signals: Signals, length: int, span: tuple[int, int]) -> Pieces:
    """Pieces of held values in the windows of `span`.

    A value that ends exactly where a window begins leaves a piece without duration there: it tells `states` what the
    state was before.
    """
    low, high = span
    begin, end = np.maximum(held.time, low), np.minimum(held.until, high)
    inside = (begin < high) & (end >= begin)
    having = signals.having(held.code, length)
    row = np.flatnonzero(inside if having is None else inside & having)
    begin, end = begin[row], end[row]
    window = begin // length
    # The last border of the span opens no window of it.
    more = np.minimum(end, high - 1) // length - window
    if more.any():
        source, place = _spread(more)
        row, begin, end, window = row[source], begin[source], end[source], window[source] + place
    opens = window * length
    code = held.code[row]
    new = (code[1:] != code[:-1]) | (window[1:] != window[:-1])
    return Pieces(
        row=row,
        window=window,
        span=np.minimum(end, opens + length) - np.maximum(begin, opens),
        reading=held.time[row] >= opens,
        starts=np.flatnonzero(np.append(True, new)) if row.size else row,
        group=np.append(0, np.cumsum(new)) if row.size else row,
    )


def _spread(more: Ints) -> tuple[Ints, Ints]:
    """Repeat each position 1 + `more` times: the positions, and the number of the repetition.

    Few are repeated at all, so marking and summing is several times faster than `numpy.repeat` with counts.
    """
    first = np.arange(more.size) + np.cumsum(more) - more
    marks = np.zeros(more.size + int(more.sum()), np.int64)
    marks[first[1:]] = 1
    source = np.cumsum(marks)
    return source, np.arange(marks.size) - first[source]


def _windows(held: Held, pieces: Pieces, signals: Signals, length: int) -> dict[str, Ints | Floats | Bools]:
    """All windows of one length; `told`: whether to tell of it, `origin`: the frame's row of its last value."""
    quality = held.quality[pieces.row]
    columns = _times(held, pieces, quality, length) | _readings(held, pieces, quality)
    ends = pieces.row[np.append(pieces.starts[1:], pieces.row.size) - 1]
    columns["window_start"] = pieces.window[pieces.starts] * length
    columns["entry"] = signals.entry(held.code[ends], columns["window_start"].astype(np.int64))
    columns["length_s"] = np.full(ends.size, length // SECOND_US)
    columns["origin"] = held.index[ends]
    known = columns["duration_good_s"] + columns["duration_uncertain_s"] + columns["duration_bad_s"]
    told = (columns["count"] + columns["count_bad"] > 0) | (known > 0)
    columns["told"] = told & signals.has[length][columns["entry"]]
    return columns


def _times(held: Held, pieces: Pieces, quality: Ints, length: int) -> dict[str, Ints | Floats | Bools]:
    """Durations in s from sums in whole us, integral (value times s) and time-weighted mean."""
    starts, span = pieces.starts, pieces.span
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
    }


def _historical(held: Held, pieces: Pieces) -> Bools:
    """Windows whose readings were all sent as historical; one without a reading of its own is not."""
    if held.live is None:
        return np.zeros(pieces.starts.size, np.bool_)
    read = np.logical_or.reduceat(pieces.reading, pieces.starts)
    historical: Bools = read & ~np.logical_or.reduceat(pieces.reading & held.live[pieces.row], pieces.starts)
    return historical


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
        "historical": _historical(held, pieces),
    }
