"""Runs the stage `window` as the shell does: chunks in, changes applied, outputs collected, restarts from changes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import polars as pl

from streams.core.context import Context
from streams.core.dictionary import SIGNAL
from streams.core.frames import BIRTH, COORDINATES, FORCED, HISTORICAL, OUT_OF_RANGE, READING
from streams.core.stage import Change, LookBack, Moment, Result, Span, apply, combine
from streams.core.window.stage import Window, WindowConfig
from tests.simulation.reference import SECOND, Reading, Signal
from tests.simulation.reference import Window as Key

T0 = 1_700_000_000 * SECOND - 1_700_000_000 * SECOND % (3600 * SECOND)

DICTIONARY: dict[str, pl.DataType] = dict(SIGNAL)


def version(signal: Signal, valid_from: int = 0, **fields: Any) -> dict[str, Any]:
    """A row of the signal dictionary."""
    return {
        "signal_id": signal.name,
        "site": "Hamburg",
        "valid_from": valid_from,
        "source_id": "edge-1",
        "address": signal.name,
        "work_center": "line-1",
        "work_unit": "filler",
        "role": signal.role,
        "unit": "Cel",
        "factor": 1.0,
        "offset": 0.0,
        "reporting": "on_change" if signal.on_change else "periodic",
        "period_ms": None if signal.period is None else signal.period // 1000,
        "rollover": signal.rollover,
        "window_lengths_s": list(signal.lengths),
    } | fields


def versions(signal: Signal) -> list[dict[str, Any]]:
    """All rows of a signal: one more for each change of its unit."""
    later = [version(signal, at, unit=f"unit-{number}") for number, at in enumerate(signal.changes)]
    return [version(signal), *later]


def context(rows: list[dict[str, Any]], number: int = 1) -> Context:
    """The IT context with these rows of the signal dictionary."""
    return Context({"it.signal.v1": pl.DataFrame(rows, schema=DICTIONARY)}, number)


def frame(readings: list[Reading], offset: int, logged_us: int, apart: int = 1) -> pl.DataFrame:
    """Readings as the shell hands them to the stage, with offsets so far `apart`."""
    rows = [
        {
            "site": "Hamburg",
            "work_center": "line-9",
            "signal_id": reading.signal,
            "source_id": reading.source,
            "event_time": reading.time,
            "ingest_time": logged_us,
            "value_double": reading.value,
            "value_long": reading.whole,
            "value_string": reading.label,
            "quality": reading.quality,
            "quality_scheme": 0,
            "flags": OUT_OF_RANGE + FORCED * reading.forced + HISTORICAL * reading.historical + BIRTH * reading.birth,
            "sequence": reading.sequence,
            "_partition": 3,
            "_offset": offset + number * apart,
            "_time": logged_us,
        }
        for number, reading in enumerate(readings)
    ]
    return pl.DataFrame(rows, schema={**READING, **COORDINATES})


@dataclass
class Run:
    """One task of the stage. `logged` are its changes since the beginning, as the state topic would hold them."""

    config: WindowConfig = field(default_factory=WindowConfig)
    context: Context = field(default_factory=lambda: context([]))
    windows: list[dict[str, Any]] = field(default_factory=list)
    late: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    offset: int = 0
    log: list[pl.DataFrame] = field(default_factory=list)
    log_begin: int = 0
    apart: int = 1

    def __post_init__(self) -> None:
        """An empty task."""
        self.stage = Window(self.config)
        self.tables = {table.name: table for table in self.stage.tables}
        self.state = {name: table.empty() for name, table in self.tables.items()}
        self.logged: list[dict[str, Change]] = []

    def step(self, readings: list[Reading], now_us: int = T0, caught_up_us: int | None = None) -> Result:
        """One chunk, appended to the log at `now_us` and processed then."""
        rows = frame(readings, self.offset, now_us, self.apart)
        self.offset += len(readings) * self.apart
        self.log.append(rows)
        moment = Moment(now_us, caught_up_us)
        return self._take(self.stage.step("ot.reading.v1", rows, self.state, self.context, moment))

    def timer(self, now_us: int, caught_up_us: int | None = T0) -> Result:
        """A tick of the timer."""
        return self._take(self.stage.timer(self.state, self.context, Moment(now_us, caught_up_us)))

    def look_back(self, now_us: int) -> LookBack | None:
        """Begin a correction where one is due, and give it what it wants of the log."""
        moment = Moment(now_us, T0)
        if not self.stage.due(self.state, moment):
            return None
        back = self.stage.look_back(self.state, self.context, Span(self.log_begin, self.offset), moment)
        while spans := back.wanted():
            assert all(low.end < high.begin for low, high in pairwise(spans))
            for span in spans:
                assert self.log_begin <= span.begin < span.end <= self.offset
                for rows in self.log:
                    inside = rows.filter(pl.col("_offset").is_between(span.begin, span.end, closed="left"))
                    if inside.height:
                        back.take(inside)
        return back

    def looked(self, back: LookBack, now_us: int) -> None:
        """Take in its corrections."""
        while back.left():
            self._take(self.stage.looked(back, self.state, self.context, Moment(now_us, T0)))

    def correct(self, now_us: int) -> None:
        """Correct all that waits."""
        while back := self.look_back(now_us):
            self.looked(back, now_us)

    def restart(self, *, combined: bool) -> None:
        """A new process: the tables are rebuilt from the changes, one by one or combined into one per table."""
        self.stage = Window(self.config)
        self.state = {name: table.empty() for name, table in self.tables.items()}
        for name, table in self.tables.items():
            own = [changes[name] for changes in self.logged if name in changes]
            if combined and own:
                whole = own[0]
                for change in own[1:]:
                    whole = combine(table, whole, change)
                own = [whole]
            for change in own:
                self.state[name] = apply(table, self.state[name], change)

    def latest(self) -> dict[Key, dict[str, Any]]:
        """The highest revision of every window, by (signal, length in s, begin in us); retracted ones left out."""
        last: dict[Key, dict[str, Any]] = {}
        for row in self.windows:
            key = (row["signal_id"], row["length_s"], row["window_start"])
            known = last.get(key)
            assert row["revision"] == (1 if known is None else known["revision"] + 1), "revisions follow one another"
            assert row["supersedes"] == (None if known is None else known["revision"])
            last[key] = row
        return {key: row for key, row in last.items() if row["reason"] != "retracted"}

    def _take(self, result: Result) -> Result:
        self.logged.append(dict(result.changes))
        for name, change in result.changes.items():
            self.state[name] = apply(self.tables[name], self.state[name], change)
        for topic, rows in (("ot.window.v1", self.windows), ("ot.window.late.v1", self.late)):
            if topic in result.out:
                rows.extend(result.out[topic].to_dicts())
        self.counts.update(result.counts)
        return result


def difference(found: dict[Key, dict[str, Any]], wanted: dict[Key, dict[str, Any]]) -> str:
    """Where two sets of windows differ in what they say; empty where they agree (numbers to 1e-9)."""
    for key in sorted(wanted.keys() | found.keys()):
        if key not in wanted or key not in found:
            return f"{key}: {'not emitted' if key in wanted else 'not wanted'}: {found.get(key) or wanted.get(key)}"
        for name, value in wanted[key].items():
            if not _same(found[key][name], value):
                return f"{key}: {name} is {found[key][name]}, the reference says {value}"
    return ""


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    if isinstance(wanted, float) and found is not None:
        return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-9)
    return bool(found == wanted)
