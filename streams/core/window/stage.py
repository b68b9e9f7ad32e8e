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

from typing import Final

import polars as pl

from streams import topology
from streams.core.context import Context
from streams.core.frames import ID
from streams.core.past.index import INDEX, forgotten, indexed
from streams.core.stage import Change, LookBack, Moment, Result, Span, Table, Tables, apply, combine, empty
from streams.core.times import NEVER_US, SECOND_US
from streams.core.window import excluded, past
from streams.core.window.close import Advance, close
from streams.core.window.config import WindowConfig
from streams.core.window.correct import corrected
from streams.core.window.floor import CARRY, truncate
from streams.core.window.output import late, unknown_signals, windows
from streams.core.window.recompute import Recomputation
from streams.core.window.revise import NONE, REVISED, Closed, remembered, revise
from streams.core.window.rows import BUFFERED, arrive
from streams.core.window.signals import Signals, codes, prepare
from streams.core.window.standing import gauges
from streams.core.window.watermark import SOURCE, Sources, idle, progress

READING: Final = Table("reading", BUFFERED)
SIGNAL: Final = Table(
    "signal", pl.Schema({"signal_id": ID, "site": ID, "tenant": ID, "work_center": ID}), ("signal_id",)
)
NO_READINGS: Final = READING.empty()
TASK: Final = Table("task", pl.Schema({"task": pl.Int8(), "watermark": pl.Int64(), "floor": pl.Int64()}), ("task",))
GAUGE_EVERY_US: Final = 2 * SECOND_US
GAUGE_FOR_US: Final = SECOND_US // 4  # longer than the pause between two timers: none is missed


class Window:
    """The window stage; see the module. `config` is bound at construction, the prepared dictionary is cached."""

    def __init__(self, config: WindowConfig | None = None) -> None:
        self.config = config or WindowConfig()
        self._prepared: tuple[int, Signals] | None = None

    @property
    def tables(self) -> tuple[Table, ...]:
        """Readings that windows may still need, values carried beyond them, sources, revisions, watermark."""
        return (READING, CARRY, SIGNAL, SOURCE, REVISED, TASK, INDEX, *past.TABLES, *excluded.TABLES)

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
        offsets, line_us = (int(frame["_offset"][0]), int(frame["_offset"][-1])), before_us - patience.horizon_us
        out = {}
        if made.beyond is not None:
            beyond = pl.Series(made.beyond)
            out[topology.LATE.name] = late(frame.filter(beyond), pl.Series(made.at).filter(beyond))
            if self.config.looks_back:
                changes |= excluded.excluding(state, frame.filter(beyond), offsets[0], line_us)
            frame = frame.filter(~beyond)
        code = codes(frame["signal_id"])
        if self.config.looks_back and frame.height:
            changes["index"] = indexed(frame, state["index"], self.config.carried_from(line_us))
        aged = past.Aged(_floor(state), line_us, offsets, moment.now_us)
        old = past.age(state, arrive(frame, code, signals), code, signals, (before, after), aged)
        closed = Closed(before_us, aged.floor_us, old.behind)
        revision = revise(state, old.rows, signals, (before, after), closed, patience)
        advance = Advance(state, old.carry, signals, after, revision.rows, before_us, made.watermark_us, moment.now_us)
        advance.count("readings", "beyond_horizon", out[topology.LATE.name].height if out else 0)
        advance.count("readings", "late", revision.late + old.gone)
        advance.count("readings", "duplicate", revision.duplicates)
        advance.count("readings", "conflict", revision.conflicts)
        unknown = unknown_signals(frame, code, state["signal"], signals)
        if unknown is not None:
            changes["signal"] = Change(upsert=unknown)
        return self._result(advance, revision.windows, changes | old.changes, out)

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
        carry = state["carry"]
        advance = Advance(state, carry, signals, sources, NO_READINGS, before_us, watermark_us, moment.now_us)
        return self._result(advance, NONE, {}, {})

    @property
    def topic(self) -> str:
        """Corrections are made from the readings (Corrector)."""
        return topology.READING.name

    def due(self, state: Tables, moment: Moment) -> bool:
        """Whether something waits, and has for a minute or not grown for some seconds (Corrector)."""
        return past.due(state, moment.now_us)

    def look_back(
        self,
        state: Tables,
        context: Context,
        log: Span,
        moment: Moment,  # noqa: ARG002  # the interface: what is due does not depend on when it is read
    ) -> Recomputation:
        """Begin a correction of the oldest of what waits (Corrector)."""
        return Recomputation(state, self._signals(context), log, self.config)

    def looked(self, back: LookBack, state: Tables, context: Context, moment: Moment) -> Result:
        """The next page of its corrections (Corrector)."""
        if not isinstance(back, Recomputation):
            raise TypeError(f"{type(back).__name__}: the stage window did not begin this look back")
        return corrected(back, state, self._signals(context), moment)

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

    def _result(
        self, advance: Advance, revised: pl.DataFrame, changes: dict[str, Change], out: dict[str, pl.DataFrame]
    ) -> Result:
        """Close, forget what no correction can need any more, and put the outcome together."""
        closed = close(advance, self.config.patience)
        emitted = pl.concat([revised, closed]) if revised.height else closed
        state, watermark_us, floor_us = advance.state, advance.watermark_us, _floor(advance.state)
        memory_us = self.config.remembered_us
        changes["reading"] = Change(upsert=advance.rows)
        changes["revised"] = Change(upsert=remembered(revised) if revised.height else None)
        # Forgetting copies the buffer: twice per span of memory keeps that cheap and the buffer within 1.5 spans.
        if watermark_us - memory_us >= floor_us + memory_us // 2:
            floor_us = watermark_us - memory_us
            self._forget(advance, changes, floor_us)
        if (watermark_us, floor_us) != (advance.before_us, _floor(state)):
            row = {"task": [0], "watermark": [watermark_us], "floor": [floor_us]}
            changes["task"] = Change(upsert=pl.DataFrame(row, schema=TASK.schema))
        if emitted.height:
            unknown = apply(SIGNAL, state["signal"], changes.get("signal", Change()))
            out[topology.WINDOW.name] = windows(emitted, advance.signals, unknown, watermark_us, advance.now_us)
            for reason, number in emitted.group_by("reason").len().iter_rows():
                advance.count("windows", reason, number)
        kept = {name: change for name, change in changes.items() if not empty(change)}
        return Result(changes=kept, out=out, counts=advance.counts, watermark_us=watermark_us)

    def _forget(self, advance: Advance, changes: dict[str, Change], floor_us: int) -> None:
        """Add to the changes of an advance what goes from memory, and what no look back can need any more."""
        state, oldest_us = advance.state, advance.watermark_us - self.config.correction_horizon_us
        for pending in (state["pending"], changes.get("pending", Change()).upsert):
            if pending is not None and pending.height:
                oldest_us = min(oldest_us, int(pending["low"].min()))  # type: ignore[arg-type]
        forget_us = self.config.carried_from(oldest_us)
        tables = {"reading": state["reading"], "carry": advance.carry}
        cut = truncate(tables, advance.rows, advance.signals, advance.lives, floor_us, forget_us)
        changes["reading"] = cut.reading
        changes["carry"] = combine(CARRY, changes.get("carry", Change()), cut.carry)
        changes["revised"] = Change(upsert=changes["revised"].upsert, floor=("window_end", oldest_us + 1))
        if self.config.looks_back:
            changes |= excluded.forgetting(changes, forget_us)
            gone = forgotten(state["index"], forget_us)
            if gone.floor is not None:
                changes["index"] = Change(upsert=changes.get("index", Change()).upsert, floor=gone.floor)
                changes |= past.reaching(state, changes, forget_us)


def _watermark(state: Tables) -> int:
    """The task's watermark (us); NEVER_US before the first reading."""
    return int(state["task"]["watermark"][0]) if state["task"].height else NEVER_US


def _floor(state: Tables) -> int:
    """Up to where (us) windows can no longer be corrected and their readings are forgotten."""
    return int(state["task"]["floor"][0]) if state["task"].height else NEVER_US


__all__ = ["Window", "WindowConfig"]
