"""The stage `window`. Enters: `ot.reading.v1`, `it.signal.v1`. Leaves: `ot.window.v1`, `ot.window.late.v1`.

Tumbling windows per signal, [begin, end) in UTC, begins at whole multiples of the length. A window is emitted when the
task's watermark passes its end, and again, with the next revision, when a later reading inside the correction horizon
changes what it says. What it says is a function of the set of readings alone, so the latest payload of each window does
not depend on order, chunks, duplicates or restarts. Every reading ends in exactly one place: in its windows (counted
or counted as bad), with `ot.window.late.v1` (beyond the horizon), or with a counter (exact duplicate, or conflict: the
same signal and instant with another value; the highest source sequence wins).

Holding: the value of a periodic signal stands for 2.5 periods (60 s where the period is unknown), then the signal is
unknown. The value of an on-change signal stands while its source lives, that is, until the highest event time seen of
its source, at most for the carry limit. A window in which nothing is known and nothing was read is not emitted.

While one source is silent and others go on, on-change signals of the silent one are unknown; when it returns within the
correction horizon their windows are revised, and after a longer silence the time between stays untold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from streams import topology
from streams.core.context import Context
from streams.core.frames import ID
from streams.core.stage import Change, Moment, Result, Table, Tables, apply
from streams.core.times import NEVER_US, SECOND_US
from streams.core.window.aggregate import aggregate
from streams.core.window.floor import CARRY, truncate
from streams.core.window.output import late, unknown_signals, windows
from streams.core.window.revise import (
    CLOSED_BY_WATERMARK,
    CLOSED_IDLE,
    EMITTED,
    NONE,
    REVISED,
    provisional,
    remembered,
    revise,
)
from streams.core.window.rows import BUFFERED, arrive, hold, relevant, repeats
from streams.core.window.signals import Defaults, Signals, codes, prepare
from streams.core.window.standing import gauges
from streams.core.window.watermark import SOURCE, Patience, Sources, idle, progress

READING: Final = Table("reading", BUFFERED)
SIGNAL: Final = Table(
    "signal", pl.Schema({"signal_id": ID, "site": ID, "tenant": ID, "work_center": ID}), ("signal_id",)
)
NO_READINGS: Final = READING.empty()
TASK: Final = Table("task", pl.Schema({"task": pl.Int8(), "watermark": pl.Int64(), "floor": pl.Int64()}), ("task",))
GAUGE_EVERY_US: Final = 2 * SECOND_US
GAUGE_FOR_US: Final = SECOND_US // 4  # longer than the pause between two timers: none is missed


@dataclass(frozen=True)
class WindowConfig:
    """Times in us, lengths in s. `carry_limit_us` is how long an on-change value is carried while its source lives.

    `disorder_of` and `idle_of` hold, by source id, what single sources have instead.
    """

    allowed_disorder_us: int = 2 * SECOND_US
    idle_after_us: int = 10 * SECOND_US
    correction_horizon_us: int = 300 * SECOND_US
    default_lengths_s: tuple[int, ...] = (10, 60)
    carry_limit_us: int = 86_400 * SECOND_US
    hold_periods: float = 2.5
    hold_unknown_us: int = 60 * SECOND_US
    disorder_of: Mapping[str, int] = field(default_factory=dict)
    idle_of: Mapping[str, int] = field(default_factory=dict)

    @property
    def patience(self) -> Patience:
        """The part that watermarks go by."""
        limits = (self.allowed_disorder_us, self.idle_after_us, self.correction_horizon_us)
        return Patience(*limits, self.disorder_of, self.idle_of)

    @property
    def defaults(self) -> Defaults:
        """The part that stands in for the dictionary."""
        return Defaults(self.default_lengths_s, self.hold_periods, self.hold_unknown_us, self.carry_limit_us)


@dataclass(frozen=True)
class Advance:
    """One advance of the watermark: the tables before it, new readings (BUFFERED), and what holds after it."""

    state: Tables
    signals: Signals
    lives: Sources
    rows: pl.DataFrame
    before_us: int
    watermark_us: int
    now_us: int
    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def count(self, metric: str, label: str, number: int) -> None:
        """Add to a counter of the result."""
        if number:
            self.counts[metric, label] = self.counts.get((metric, label), 0) + number


class Window:
    """The window stage; see the module. `config` is bound at construction, the prepared dictionary is cached."""

    def __init__(self, config: WindowConfig | None = None) -> None:
        self.config = config or WindowConfig()
        self._prepared: tuple[int, Signals] | None = None

    @property
    def tables(self) -> tuple[Table, ...]:
        """Readings that windows may still need, values carried beyond them, sources, revisions, watermark."""
        return (READING, CARRY, SIGNAL, SOURCE, REVISED, TASK)

    def step(self, topic: str, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Result:
        """Buffer the readings, close what the watermark has passed, revise what they correct."""
        if topic != topology.READING.name:
            raise KeyError(f"{topic}: the stage window reads {topology.READING.name} only")
        if not frame.height:
            return Result(watermark_us=_watermark(state))
        signals, patience, before_us = self._signals(context), self.config.patience, _watermark(state)
        source, time, logged = codes(frame["source_id"]), frame["event_time"].to_numpy(), frame["_time"].to_numpy()
        before = Sources.of(state["source"])
        after = before.after(source, time, logged, moment.now_us, before_us, patience)
        changes = {"source": Change(upsert=after.rows(frame["source_id"], source))}
        made = progress(before, after, source, time, logged, before_us, patience)
        out = {}
        if made.beyond is not None:
            beyond = pl.Series(made.beyond)
            out[topology.LATE.name] = late(frame.filter(beyond), pl.Series(made.at).filter(beyond))
            frame = frame.filter(~beyond)
        code = codes(frame["signal_id"])
        revision = revise(state, arrive(frame, code, signals), signals, (before, after), before_us, patience)
        advance = Advance(state, signals, after, revision.rows, before_us, made.watermark_us, moment.now_us)
        advance.count("readings", "beyond_horizon", out[topology.LATE.name].height if out else 0)
        advance.count("readings", "late", revision.late)
        advance.count("readings", "duplicate", revision.duplicates)
        advance.count("readings", "conflict", revision.conflicts)
        unknown = unknown_signals(frame, code, state["signal"], signals)
        if unknown is not None:
            changes["signal"] = Change(upsert=unknown)
        return self._result(advance, revision.windows, changes, out)

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        """Close what time alone closes: windows of silent sources, marked provisional.

        Nothing changes, and nothing is to be committed, where no value reaches a window that would close.
        """
        before_us = _watermark(state)
        sources = Sources.of(state["source"])
        watermark_us = idle(sources, before_us, moment, self.config.patience)
        signals = self._signals(context)
        told = self._gauges(state, signals, sources, moment)
        if watermark_us <= before_us:
            return Result(watermark_us=before_us, gauges=told)
        ends = int(sources.latest.max()) + signals.longest_hold_us
        due = signals.spans(before_us, watermark_us).values()
        if not any(begin <= ends for begin, _ in due):
            return Result(watermark_us=watermark_us, gauges=told)
        advance = Advance(state, signals, sources, NO_READINGS, before_us, watermark_us, moment.now_us)
        return self._result(advance, NONE, {}, {})

    def _signals(self, context: Context) -> Signals:
        """The prepared dictionary; kept while the context stays what it is."""
        if self._prepared is None or self._prepared[0] != context.version:
            self._prepared = (context.version, prepare(context.frame(topology.SIGNAL.name), self.config.defaults))
        return self._prepared[1]

    def _gauges(self, state: Tables, signals: Signals, sources: Sources, moment: Moment) -> dict[str, int]:
        """Open windows that hold a reading, and sources; counted every other second, for it looks at the buffer."""
        if moment.now_us % GAUGE_EVERY_US >= GAUGE_FOR_US:
            return {}  # nothing is remembered here: one core serves all tasks
        time, count, watermark_us = pl.col("event_time"), 0, _watermark(state)
        for length in signals.lengths:
            held = state["reading"].filter(time >= watermark_us // length * length)
            count += held.select("signal_id", time // length).n_unique() if held.height else 0
        return {"open_windows": count} | gauges(sources, watermark_us, moment, self.config.patience)

    def _close(self, advance: Advance) -> pl.DataFrame:
        """First revisions (EMITTED) of the windows that the watermark has passed."""
        spans = advance.signals.spans(advance.before_us, advance.watermark_us)
        if not spans:
            return NONE
        buffer = pl.concat([advance.state["reading"], advance.rows])
        frame = relevant(buffer, advance.state["carry"], spans, advance.signals)
        held = hold(frame, advance.signals, advance.lives)
        if held.repeated:
            code, time = codes(frame["signal_id"]), frame["event_time"].to_numpy()
            # Each repeat is counted once: when its signal's shortest window closes over it.
            settled = time >= advance.signals.settled(code, advance.before_us)
            settled &= time < advance.signals.settled(code, advance.watermark_us)
            duplicates, conflicts = repeats(frame.filter(pl.Series(settled)))
            advance.count("readings", "duplicate", duplicates)
            advance.count("readings", "conflict", conflicts)
        closed = aggregate(held, advance.signals, advance.lives, spans)
        idle_close = provisional(self.config.allowed_disorder_us)
        return closed.with_columns(
            idle_close.alias("provisional"),
            pl.lit(1, pl.Int32()).alias("revision"),
            pl.when(idle_close).then(pl.lit(CLOSED_IDLE)).otherwise(pl.lit(CLOSED_BY_WATERMARK)).alias("reason"),
        ).select(EMITTED.names())

    def _result(
        self, advance: Advance, revised: pl.DataFrame, changes: dict[str, Change], out: dict[str, pl.DataFrame]
    ) -> Result:
        """Close, forget what no correction can need any more, and put the outcome together."""
        closed = self._close(advance)
        emitted = pl.concat([revised, closed]) if revised.height else closed
        state, watermark_us, floor_us = advance.state, advance.watermark_us, _floor(advance.state)
        horizon_us = self.config.correction_horizon_us
        remember = Change(upsert=remembered(revised) if revised.height else None)
        reading = Change(upsert=advance.rows)
        # Forgetting copies the buffer: twice per horizon keeps that cheap and the buffer within 1.5 horizons.
        if watermark_us - horizon_us >= floor_us + horizon_us // 2:
            floor_us = watermark_us - horizon_us
            cut = truncate(state, advance.rows, advance.signals, advance.lives, floor_us)
            reading, changes["carry"] = cut.reading, cut.carry
            remember = Change(upsert=remember.upsert, floor=("window_end", floor_us + 1))
        if (watermark_us, floor_us) != (advance.before_us, _floor(state)):
            row = {"task": [0], "watermark": [watermark_us], "floor": [floor_us]}
            changes["task"] = Change(upsert=pl.DataFrame(row, schema=TASK.schema))
        changes |= {"reading": reading, "revised": remember}
        if emitted.height:
            unknown = apply(SIGNAL, state["signal"], changes.get("signal", Change()))
            out[topology.WINDOW.name] = windows(emitted, advance.signals, unknown, watermark_us, advance.now_us)
            for reason, number in emitted.group_by("reason").len().iter_rows():
                advance.count("windows", reason, number)
        kept = {name: change for name, change in changes.items() if not _empty(change)}
        return Result(changes=kept, out=out, counts=advance.counts, watermark_us=watermark_us)


def _watermark(state: Tables) -> int:
    """The task's watermark (us); NEVER_US before the first reading."""
    return int(state["task"]["watermark"][0]) if state["task"].height else NEVER_US


def _floor(state: Tables) -> int:
    """Up to where (us) windows can no longer be corrected and their readings are forgotten."""
    return int(state["task"]["floor"][0]) if state["task"].height else NEVER_US


def _empty(change: Change) -> bool:
    """Whether a change changes nothing."""
    rows = (frame.height for frame in (change.upsert, change.delete) if frame is not None)
    return change.floor is None and not any(rows)
