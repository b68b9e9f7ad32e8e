"""Readings as windows need them: arrival, order, repeats, how long each value stands.

Enters: frames of readings (core.frames.READING + COORDINATES). Leaves: rows of the `reading` table, and `Held`: the
readings sorted by signal and event time, one per signal and instant, each with the instant until which it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import polars as pl

from streams.core.frames import BAD, HISTORICAL, ID
from streams.core.times import NEVER_US
from streams.core.window.signals import Bools, Floats, Ints, Signals, Spans, codes

# A buffered reading. No number is NaN, not null: arithmetic on it needs no validity bitmap.
BUFFERED: Final = pl.Schema(
    {
        "signal_id": ID,
        "source_id": ID,
        "event_time": pl.Int64(),
        "expires": pl.Int64(),
        "value": pl.Float64(),
        "label": ID,
        "quality": pl.Int8(),
        "sequence": pl.Int64(),
        "historical": pl.Boolean(),
    }
)
IDENTITY: Final = ("signal_id", "event_time", "value", "label", "quality")


class Lives(Protocol):
    """What is known of the sources' lives."""

    def at(self, code: Ints) -> Ints:
        """Highest event time (us) seen of each source, by source code."""
        ...


@dataclass(frozen=True)
class Held:
    """Readings sorted by (signal, event time), one per signal and instant; `until` (us) is when the value ends.

    `index` is the row in `frame`; `entry` the dictionary version as of event time; `live` marks the readings that were
    not sent as historical (None: all of them); `repeated` whether any reading was left out because another one of the
    same signal and instant won.
    """

    frame: pl.DataFrame
    index: Ints
    code: Ints
    time: Ints
    until: Ints
    value: Floats
    quality: Ints
    entry: Ints
    live: Bools | None
    repeated: bool


def arrive(frame: pl.DataFrame, code: Ints, signals: Signals) -> pl.DataFrame:
    """Rows of the `reading` table (`code`: of their signals); a number that is not finite tells nothing, as if bad."""
    value = frame["value_double"]
    if value.null_count():
        value = frame.select(pl.coalesce("value_double", pl.col("value_long").cast(pl.Float64))).to_series()
    quality = frame["quality"].cast(pl.Int8)
    number = value.fill_null(np.nan)
    finite = number.is_finite()
    if not finite.all():
        sent = value.is_not_null()
        quality = frame.select(pl.when(sent & ~finite).then(pl.lit(BAD, pl.Int8())).otherwise(quality)).to_series()
        number = frame.select(pl.when(finite).then(number).otherwise(np.nan)).to_series()
    expires = signals.expires(code, frame["event_time"].to_numpy())
    return pl.DataFrame(
        [
            frame["signal_id"],
            frame["source_id"],
            frame["event_time"],
            pl.Series("expires", expires),
            number.alias("value"),
            frame["value_string"].alias("label"),
            quality.alias("quality"),
            frame["sequence"],
            ((frame["flags"].fill_null(0) & HISTORICAL) != 0).alias("historical"),
        ]
    )


def last_before(frame: pl.DataFrame, instant: int) -> Bools:
    """Mask of the readings that are, before `instant` (us), the latest of their signal (several where they repeat)."""
    code, time = codes(frame["signal_id"]), frame["event_time"].to_numpy()
    latest = np.full(int(code.max(initial=-1)) + 1, NEVER_US)
    np.maximum.at(latest, code, np.where(time < instant, time, NEVER_US))
    found: Bools = time == latest[code]
    return found


def relevant(state: pl.DataFrame, carry: pl.DataFrame, spans: Spans) -> pl.DataFrame:
    """Readings inside `spans`, and the latest of each signal before them, from the buffer or else from `carry`."""
    begin, end = min(low for low, _ in spans.values()), max(high for _, high in spans.values())
    time = state["event_time"].to_numpy()
    rows = state.filter(pl.Series(((time >= begin) & (time < end)) | last_before(state, begin)))
    if not carry.height:
        return rows
    held = codes(rows["signal_id"].filter(rows["event_time"] < begin))
    carried = carry.filter(pl.Series(~np.isin(codes(carry["signal_id"]), held)))
    carried = carried.with_columns(pl.lit(0, pl.Int64()).alias("expires")).select(BUFFERED.names())
    return pl.concat([rows, carried])


def hold(frame: pl.DataFrame, signals: Signals, lives: Lives) -> Held:
    """Sort, keep one reading per signal and instant, and tell until when each stands.

    A value stands until the next reading of its signal, but no longer than its holding time. The value of an on-change
    signal is also bound by its source's life: it stands no longer than the highest event time seen of that source.
    """
    code, time = codes(frame["signal_id"]), frame["event_time"].to_numpy()
    index = _order(code, time)
    code, time = code[index], time[index]
    same = (code[1:] == code[:-1]) & (time[1:] == time[:-1])
    repeated = bool(same.any())
    if repeated:
        kept = _winners(frame, index, same)
        index, code, time = index[kept], code[kept], time[kept]
    entry = signals.entry(code, time)
    until = time + signals.hold_us[entry]
    follows = code[1:] == code[:-1]
    until[:-1] = np.where(follows, np.minimum(until[:-1], time[1:]), until[:-1])
    bound = signals.on_change[entry]
    if bound.any():
        life = np.maximum(lives.at(codes(frame["source_id"])[index]), time)
        until = np.where(bound, np.minimum(until, life), until)
    historical = frame["historical"]
    return Held(
        frame=frame,
        index=index,
        code=code,
        time=time,
        until=until,
        value=frame["value"].to_numpy()[index],
        quality=frame["quality"].to_numpy()[index].astype(np.int64),
        entry=entry,
        live=~historical.to_numpy()[index] if historical.any() else None,
        repeated=repeated,
    )


def _order(code: Ints, time: Ints) -> Ints:
    """Positions in order of (code, time). One integer key sorts several times faster than two columns."""
    if not code.size:
        return np.zeros(0, np.int64)
    low = int(time.min())
    bits = (int(time.max()) - low).bit_length()
    if bits + int(code.max()).bit_length() > 62:
        return np.lexsort((time, code))
    return np.argsort((code << bits) | (time - low), kind="stable")


def _winners(frame: pl.DataFrame, index: Ints, same: Bools) -> Ints:
    """Positions in `index` to keep: of repeats the highest source sequence, then the highest in a fixed total order.

    The order is over texts and numbers, never codes, which differ between processes. What came live was not historical.
    """
    involved = np.flatnonzero(np.append(same, False) | np.append(False, same))
    rows = frame[index[involved]].select(
        pl.col("signal_id").to_physical(),
        "event_time",
        "sequence",
        pl.col("value").fill_nan(None),
        pl.col("label").cast(pl.String),
        "quality",
        pl.col("source_id").cast(pl.String),
        ~pl.col("historical"),
        pl.Series("place", involved),
    )
    best = rows.sort(rows.columns, nulls_last=False).unique(["signal_id", "event_time"], keep="last")
    keep = np.ones(index.size, np.bool_)
    keep[involved] = False
    keep[best["place"].to_numpy()] = True
    return np.flatnonzero(keep)


def repeats(rows: pl.DataFrame) -> tuple[int, int]:
    """How many of these readings repeat another exactly (duplicates), and how many contradict one (conflicts)."""
    distinct = rows.select(IDENTITY).unique()
    instants = distinct.select("signal_id", "event_time").unique()
    return rows.height - distinct.height, distinct.height - instants.height
