"""A service that is asked to read parts of its log again: what the shell gives it is what it writes.

Run as a process: `python again.py GATE`, settings from the environment. It stands in the place of `window`. A reading
of the signal "ask" holds {"rounds": [[[begin, end], ...], ...], "gated": bool} as text; gated, the last round is read
again and again until the file GATE is there.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from streams import logs, topology
from streams.core.context import Context
from streams.core.stage import Change, LookBack, Moment, Result, Span, Table, Tables
from streams.kafka.serde import AvroSerde
from streams.kafka.service import Record, Service
from streams.kafka.worker import main
from streams.settings import Settings
from streams.topology import Topic

OUT: Final = Topic("again.out.v1", "test", "kind", "what came live, and what was read again")
ASKED: Final = Table("asked", pl.Schema({"ask": pl.Int64(), "what": pl.String()}), ("ask",))
ROWS: Final = ("_offset", "value_long")
PART: Final = 20_000  # readings per answer


class Serde(AvroSerde):
    """Readings as `window` reads them; one JSON object per record of OUT."""

    def encode(self, topic: topology.Topic, frame: pl.DataFrame) -> Sequence[Record]:
        if topic is OUT:
            return [Record(kind.encode(), text.encode()) for kind, text in frame.rows()]
        return super().encode(topic, frame)


class Back:
    """One look-back: the rounds that were asked for, within the log."""

    def __init__(self, ask: int, what: dict[str, Any], log: Span, gate: Path) -> None:
        self.ask, self.log = ask, log
        self.rows: list[list[int]] = []
        self._rounds = [_within(spans, log) for spans in what["rounds"]]
        self._gated, self._gate = bool(what.get("gated")), gate
        self._next = 0

    def wanted(self) -> tuple[Span, ...]:
        while self._next < len(self._rounds):
            spans = self._rounds[self._next]
            self._next += 1
            if spans:
                return spans
        if self._gated and not self._gate.exists():
            self.rows = []
            return self._rounds[-1]
        return ()

    def take(self, frame: pl.DataFrame) -> None:
        self.rows += [list(row) for row in frame.select(ROWS).rows()]

    def left(self) -> bool:
        return bool(self.rows)


def _within(spans: Sequence[Sequence[int]], log: Span) -> tuple[Span, ...]:
    clipped = (Span(max(begin, log.begin), min(end, log.end)) for begin, end in spans)
    return tuple(span for span in clipped if span.begin < span.end)


class Again:
    """Writes what comes live, and answers what it is asked, the oldest first."""

    topic = topology.READING.name
    tables = (ASKED,)

    def __init__(self, gate: Path) -> None:
        self._gate = gate

    def step(self, topic: str, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Result:
        asks = frame.filter(pl.col("signal_id").cast(pl.String()) == "ask")
        asked = asks.select(pl.col("_offset").alias("ask"), pl.col("value_string").cast(pl.String()).alias("what"))
        live = {"readings": [list(row) for row in frame.select(ROWS).rows()]}
        return Result(changes={"asked": Change(upsert=asked)} if asked.height else {}, out=_told("live", live))

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        return Result()

    def due(self, state: Tables, moment: Moment) -> bool:
        return bool(state["asked"].height)

    def look_back(self, state: Tables, context: Context, log: Span, moment: Moment) -> LookBack:
        ask, what = state["asked"].sort("ask").row(0)
        return Back(ask, json.loads(what), log, self._gate)

    def looked(self, back: LookBack, state: Tables, context: Context, moment: Moment) -> Result:
        assert isinstance(back, Back)
        part, back.rows = back.rows[:PART], back.rows[PART:]
        gone = pl.DataFrame({"ask": [] if back.rows else [back.ask]}, schema={"ask": pl.Int64()})
        told = {"ask": back.ask, "log": list(back.log), "readings": part, "left": back.left()}
        return Result(changes={"asked": Change(delete=gone)}, out=_told("looked", told))


def _told(kind: str, what: dict[str, Any]) -> dict[str, pl.DataFrame]:
    return {OUT.name: pl.DataFrame({"kind": [kind], "text": [json.dumps({"kind": kind, **what})]})}


if __name__ == "__main__":
    settings = Settings.load(os.environ)
    logs.setup("window", settings.log_level, settings.log_format)
    stage, core = topology.WINDOW_STAGE, Again(Path(sys.argv[1]))
    writes = (OUT, topology.REJECTED)
    main(settings, lambda own: Service("window", stage.reads, writes, core, Serde(own, stage)))
