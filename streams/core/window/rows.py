"""Readings as windows need them: arrival, order, repeats, how long each value stands.

Enters: frames of readings (core.frames.READING + COORDINATES). Leaves: rows of the `reading` table, and `Held`: the
readings sorted by signal and event time, one per signal and instant, each with the instant until which it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import polars as pl

from streams.core.counters import EXACT, split
from streams.core.frames import BAD, BIRTH, ID
from streams.core.times import NEVER_US, SECOND_US
from streams.core.window.signals import Bools, Floats, Ints, Signals, Spans, codes
from streams.core.winners import KEPT, order

LATELY_US: Final = 10 * SECOND_US
# A buffered reading. No number is NaN, not null: arithmetic on it needs no validity bitmap. `residual` is what the
# double loses of a 64-bit integer (at most 512): two bytes keep a counter exact, where eight more would double it.
BUFFERED: Final = pl.Schema(
    {
        "signal_id": ID,
        "source_id": ID,
        "event_time": pl.Int64(),
        "expires": pl.Int64(),
        "value": pl.Float64(),
        "residual": pl.Int16(),
        "label": ID,
        "quality": pl.Int8(),
        "sequence": pl.Int64(),
        "flags": pl.Int8(),
    }
)
IDENTITY: Final = ("signal_id", "event_time", "value", "residual", "label", "quality")


class Lives(Protocol):
    """What is known of the sources' lives."""

    def at(self, code: Ints) -> Ints:
        """Highest event time (us) seen of each source, by source code."""
        ...


@dataclass(frozen=True)
class Held:
    """Readings sorted by (signal, event time), one per signal and instant; `until` (us) is when the value ends.

    `index` is the row in `frame`; `entry` the dictionary version as of event time; `flags` are KEPT ones of frames.py
    (None: nothing is flagged); `repeated` whether any reading was left out because another one of the same signal and
    instant won.
    """

    frame: pl.DataFrame
    index: Ints
    code: Ints
    time: Ints
    until: Ints
    value: Floats
    quality: Ints
    entry: Ints
    flags: Ints | None
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
            _residual(frame["value_long"]),
            frame["value_string"].alias("label"),
            quality.alias("quality"),
            frame["sequence"],
            (frame["flags"].fill_null(0) & KEPT).cast(pl.Int8),
        ]
    )


def _residual(sent: pl.Series) -> pl.Series:
    """`residual` of integers as sent (null where there is none)."""
    if sent.null_count() == len(sent) or not ((sent > EXACT) | (sent < -EXACT)).any():
        return pl.Series("residual", np.zeros(len(sent), np.int16))
    return pl.Series("residual", split(sent.fill_null(0).to_numpy()).residual.astype(np.int16))


def last_before(frame: pl.DataFrame, instant: int) -> Bools:
    """Mask of the readings that are, before `instant` (us), the latest of their signal (several where they repeat)."""
    code, time = codes(frame["signal_id"]), frame["event_time"].to_numpy()
    latest = np.full(int(code.max(initial=-1)) + 1, NEVER_US)
    before = time < instant
    # Most signals have spoken lately: finding the latest of few readings spares a pass over the whole buffer.
    lately = np.flatnonzero(before & (time >= instant - LATELY_US))
    np.maximum.at(latest, code[lately], time[lately])
    earlier = np.flatnonzero(before & (latest == NEVER_US)[code])
    np.maximum.at(latest, code[earlier], time[earlier])
    found: Bools = time == latest[code]
    return found


def relevant(state: pl.DataFrame, carry: pl.DataFrame, spans: Spans, signals: Signals) -> pl.DataFrame:
    """Readings inside `spans`, and the latest of each signal before them, from the buffer or else from `carry`.

    Of a signal whose readings say something only against the one before (`Signals.tracked`), also the latest that
    counts, however long ago it was.
    """
    begin, end = min(low for low, _ in spans.values()), max(high for _, high in spans.values())
    time = state["event_time"].to_numpy()
    latest = last_before(state, begin)
    chosen, doubtful = ((time >= begin) & (time < end)) | latest, np.zeros(0, np.int64)
    if signals.any_tracked.any():
        doubtful = _doubtful(state.filter(pl.Series(latest)), signals)
        if doubtful.size:
            chosen |= (time < begin) & np.isin(codes(state["signal_id"]), doubtful)
    rows = state.filter(pl.Series(chosen))
    if not carry.height:
        return rows
    held = np.unique(codes(rows["signal_id"].filter(rows["event_time"] < begin)))
    own, earlier = codes(carry["signal_id"]), carry["earlier"].to_numpy()
    wanted = np.where(earlier, ~np.isin(own, np.setdiff1d(held, doubtful)), ~np.isin(own, held))
    carried = carry.filter(pl.Series(wanted))
    if (wanted & earlier).any():  # which may be the latest as well
        carried = carried.unique(["signal_id", "event_time"])
    carried = carried.with_columns(pl.lit(0, pl.Int64()).alias("expires")).select(BUFFERED.names())
    return pl.concat([rows, carried])


def _doubtful(latest: pl.DataFrame, signals: Signals) -> Ints:
    """Codes of the tracked signals whose latest readings may not count: the reading before may lie further back."""
    suspect = (latest["quality"] == BAD) | ((latest["flags"] & BIRTH) != 0)
    code = np.unique(codes(latest["signal_id"].filter(suspect)))
    return code[signals.tracked(code)]


def hold(frame: pl.DataFrame, signals: Signals, lives: Lives) -> Held:
    """Sort, keep one reading per signal and instant, and tell until when each stands.

    A value stands until the next reading of its signal, but no longer than its holding time. The value of an on-change
    signal is also bound by its source's life: it stands no longer than the highest event time seen of that source. No
    value outlasts a change of its unit or scaling.
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
    if signals.scaling.changes:
        until = np.minimum(until, signals.scaling.until[entry])
    bound = signals.on_change[entry]
    if bound.any():
        life = np.maximum(lives.at(codes(frame["source_id"])[index]), time)
        until = np.where(bound, np.minimum(until, life), until)
    flags = frame["flags"].to_numpy()
    return Held(
        frame=frame,
        index=index,
        code=code,
        time=time,
        until=until,
        value=frame["value"].to_numpy()[index],
        quality=frame["quality"].to_numpy()[index].astype(np.int64),
        entry=entry,
        flags=flags[index].astype(np.int64) if flags.any() else None,
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
    """Positions in `index` to keep: of repeats the one that wins (core.winners)."""
    involved = np.flatnonzero(np.append(same, False) | np.append(False, same))
    rows = (
        frame[index[involved]]
        .with_columns(pl.col("value").fill_nan(None))
        .select(
            pl.col("signal_id").to_physical(),
            "event_time",
            *order(),
            pl.Series("place", involved),
        )
    )
    best = rows.sort(rows.columns, nulls_last=False).unique(["signal_id", "event_time"], keep="last")
    keep = np.ones(index.size, np.bool_)
    keep[involved] = False
    keep[best["place"].to_numpy()] = True
    return np.flatnonzero(keep)


def settled(rows: pl.DataFrame, signals: Signals, before_us: int, watermark_us: int) -> pl.DataFrame:
    """The readings over which their signals' shortest windows close between these watermarks."""
    code, time = codes(rows["signal_id"]), rows["event_time"].to_numpy()
    closed = (time >= signals.settled(code, before_us)) & (time < signals.settled(code, watermark_us))
    return rows.filter(pl.Series(closed))


def repeats(rows: pl.DataFrame) -> tuple[int, int]:
    """How many of these readings repeat another exactly (duplicates), and how many contradict one (conflicts)."""
    distinct = rows.select(IDENTITY).unique()
    instants = distinct.select("signal_id", "event_time").unique()
    return rows.height - distinct.height, distinct.height - instants.height
