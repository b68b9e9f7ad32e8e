"""Drives the validate stage as the shell does; enter records as dicts, leave rows as dicts, rejects and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl

from streams.core.context import Context
from streams.core.dictionary import SIGNAL
from streams.core.stage import Moment, Result, apply
from streams.core.validate.stage import Validate, ValidateConfig
from streams.core.validate.unpack import ARRAYS, RAW
from tests.core.label_scene import SCHEMAS as SCHEMAS_OF_LABELS

RAW_READING, RAW_BATCH = "ot.raw.reading.v1", "ot.raw.batch.v1"
NOW = 1_790_000_000_000_000
S = 1_000_000
DAY = 86_400 * S
MOMENT = Moment(NOW, NOW)

READING_SCHEMA = pl.Schema({name: RAW[name] for name in RAW.names() if name not in ("_position", "_source")})
BATCH_SCHEMA = pl.Schema(
    {
        name: pl.List(dtype) if name in ARRAYS else dtype
        for name, dtype in READING_SCHEMA.items()
        if name != "value_bytes"
    }
    | {"boot_id": pl.String()}
)
SCHEMAS = {RAW_READING: READING_SCHEMA, RAW_BATCH: BATCH_SCHEMA}


def signal(signal_id: str, address: str, **fields: Any) -> dict[str, Any]:
    """A dictionary row with the contract's defaults."""
    row: dict[str, Any] = dict.fromkeys(SIGNAL.names())
    row.update(site="hall", valid_from=0, source_id="edge-1", aliases=[], work_center="line-1", role="measurement")
    row.update(factor=1.0, offset=0.0, enumeration=[], reporting="periodic", window_lengths_s=[])
    return {**row, "signal_id": signal_id, "address": address, **fields}


def record(topic: str, offset: int, **fields: Any) -> tuple[str, dict[str, Any]]:
    """A raw record with the contract's defaults."""
    row: dict[str, Any] = dict.fromkeys(SCHEMAS[topic].names())
    row.update(source_id="edge-1", site="hall", _partition=3, _offset=offset, _time=NOW)
    if topic == RAW_READING:
        row.update(historical=False, birth=False, source_time=NOW - S)
    return topic, {**row, **fields}


def context(rows: Sequence[dict[str, Any]]) -> Context:
    """The signal dictionary as the shell hands it over; nothing else is known."""
    others = {name: pl.DataFrame(schema=schema) for name, schema in SCHEMAS_OF_LABELS.items()}
    return Context({**others, "it.signal.v1": pl.DataFrame(list(rows), schema=SIGNAL)}, 1)


class Run:
    """Drives a stage as the shell does: applies its changes, collects what comes out."""

    def __init__(self, rows: Sequence[dict[str, Any]], config: ValidateConfig | None = None) -> None:
        self.stage = Validate(config)
        self.context = context(rows)
        self.state = {table.name: table.empty() for table in self.stage.tables}
        self.out: dict[str, list[pl.DataFrame]] = {}
        self.counts: Counter[tuple[str, str]] = Counter()

    def _take(self, result: Result) -> None:
        for table in self.stage.tables:
            if table.name in result.changes:
                self.state[table.name] = apply(table, self.state[table.name], result.changes[table.name])
        for topic, frame in result.out.items():
            assert frame.height, f"{topic}: an empty frame is no output"
            self.out.setdefault(topic, []).append(frame)
        self.counts.update(result.counts)

    def step(self, *records: tuple[str, dict[str, Any]]) -> Run:
        """One chunk of records of one topic."""
        topic = records[0][0]
        frame = pl.DataFrame([row for _, row in records], schema=SCHEMAS[topic], orient="row")
        self._take(self.stage.step(topic, frame, self.state, self.context, MOMENT))
        return self

    def timer(self, now_us: int, partition: int = 0) -> Run:
        """The second that ends at `now_us`, in the task of `partition`."""
        self._take(self.stage.timer(self.state, self.context, Moment(now_us, now_us, partition)))
        return self

    def rows(self, topic: str) -> list[dict[str, Any]]:
        """All that came out to `topic`."""
        return [row for frame in self.out.get(topic, []) for row in frame.to_dicts()]

    @property
    def readings(self) -> list[dict[str, Any]]:
        """All validated readings."""
        return self.rows("ot.reading.v1")

    @property
    def rejects(self) -> list[tuple[Any, ...]]:
        """All rejects, in the form of the reference."""
        names = ("reason", "topic", "partition", "offset", "position", "source_id", "address")
        return [tuple(row[name] for name in names) for row in self.rows("ot.reading.rejected.v1")]


def feed(run: Run, records: list[tuple[str, dict[str, Any]]], cuts: set[int]) -> Run:
    """Hand over the records, cut where the topic changes and before each of `cuts`."""
    chunk: list[tuple[str, dict[str, Any]]] = []
    for number, one in enumerate(records):
        if chunk and (number in cuts or chunk[0][0] != one[0]):
            run.step(*chunk)
            chunk = []
        chunk.append(one)
    return run.step(*chunk) if chunk else run
