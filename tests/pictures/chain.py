"""All services on one simulated clock, without Kafka: what the pictures in docs draw is what these write.

Enter: context rows, raw records with the time at which the broker took them. Leave: every record of every output topic.
Each service is the one that a worker runs, made from the settings; its state passes through its tables only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import polars as pl

from streams import topology
from streams.agents import service_factory
from streams.core.context import Context
from streams.core.frames import COORDINATES
from streams.core.stage import Corrector, Moment, Result, Span, apply
from streams.core.times import NEVER_US
from streams.kafka.avro import contracts
from streams.kafka.avro.writer import columns
from streams.settings import Settings

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
SINGLE, BATCH = topology.RAW_READING.name, topology.RAW_BATCH.name
# Identity of records that may come in any order within a step.
ORDER: Final = {topology.WINDOW.name: ["window_id", "revision"], topology.KPI.name: ["kpi_id", "revision"]}
Row = dict[str, Any]
# What is context to some service.
KNOWN: Final = tuple({topic.name: topic for stage in topology.STAGES for topic in stage.context}.values())
_COORDINATES: Final = tuple(pl.col(name).cast(kind) for name, kind in COORDINATES.items())


def at(text: str) -> int:
    """An instant of the day that the pictures play on (UTC), or of another where it says so, in us."""
    day = text if "T" in text else f"2026-03-02T{text}"
    return round(datetime.fromisoformat(f"{day}+00:00").timestamp() * 1000) * 1000


def _filled(topic: str, row: Mapping[str, Any]) -> Row:
    """A row with the contract's defaults; maps as lists of pairs, as frames hold them."""
    given = {field["name"]: field.get("default") for field in contracts.load(topic).schema["fields"]} | dict(row)
    return {
        name: [{"key": key, "value": text} for key, text in value.items()] if isinstance(value, dict) else value
        for name, value in given.items()
    }


def _frame(topic: str, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Context rows as a worker holds them."""
    return pl.DataFrame([_filled(topic, row) for row in rows], schema=columns(contracts.load(topic).schema))


class _Task:
    """One service with its tables."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.core = service_factory(name)(settings).core
        self.tables = {table.name: table for table in self.core.tables}
        self.state = {name: table.empty() for name, table in self.tables.items()}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.watermark_us: int | None = None

    def take(self, result: Result) -> Mapping[str, pl.DataFrame]:
        for name, change in result.changes.items():
            self.state[name] = apply(self.tables[name], self.state[name], change)
        self.counts.update(result.counts)
        if result.watermark_us is not None and result.watermark_us > NEVER_US:
            self.watermark_us = result.watermark_us
        return result.out


class Chain:
    """`validate`, and what reads from it. `out` has the records of each topic, in the order in which they came."""

    def __init__(
        self, context: Mapping[str, Iterable[Mapping[str, Any]]], services: Iterable[str], **settings: Any
    ) -> None:
        self.settings = Settings(**settings)
        self.context = Context({topic.name: _frame(topic.name, ()) for topic in KNOWN})
        self.know(context)
        self.tasks = {name: _Task(name, self.settings) for name in ("validate", *services)}
        self.out: dict[str, list[Row]] = defaultdict(list)
        self.now_us = NEVER_US
        self._caught_up_us = NEVER_US
        self._waiting: list[tuple[int, str, Row]] = []
        self._raw: Counter[str] = Counter()
        self.log: list[pl.DataFrame] = []

    def know(self, context: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        """From now on these rows of context topics are known, too."""
        added = {topic: _frame(topic, rows) for topic, rows in context.items()}
        frames = {
            topic: pl.concat([frame, added.get(topic, frame.clear())]) for topic, frame in self.context.frames.items()
        }
        self.context = Context(frames, self.context.version + 1)

    def event(self, taken_us: int, topic: str, **fields: Any) -> None:
        """A record of another topic than those of raw readings, that the broker takes at `taken_us`."""
        self._waiting.append((taken_us, topic, fields))

    def send(self, taken_us: int, **fields: Any) -> None:
        """A raw record that the broker takes at `taken_us`: a batch where `address` is a list, else one reading."""
        topic = BATCH if isinstance(fields["address"], list) else SINGLE
        self._waiting.append((taken_us, topic, {"source_id": "edge-1", **fields}))

    def run(self, begin_us: int, end_us: int, step_us: int = SECOND) -> None:
        """The workers look every `step_us` for what has come, and their timers tick."""
        for now_us in range(begin_us + step_us, end_us + 1, step_us):
            self.tick(now_us)

    def tick(self, now_us: int) -> None:
        """What came by `now_us` goes through all services, then time does its part."""
        if self._caught_up_us == NEVER_US:
            self._caught_up_us = now_us
        self.now_us, moment = now_us, Moment(now_us, self._caught_up_us)
        due = sorted((one for one in self._waiting if one[0] <= now_us), key=lambda one: one[0])
        self._waiting = [one for one in self._waiting if one[0] > now_us]
        for topic in (SINGLE, BATCH, *sorted({own for _, own, _ in due} - {SINGLE, BATCH})):
            rows = [(taken_us, row) for taken_us, own, row in due if own == topic]
            if rows:
                self._hand_on(topic, self._records(topic, rows), moment)
        for name, task in self.tasks.items():
            self._publish(name, task.take(task.core.timer(task.state, self.context, moment)), moment)
            self._look_back(name, task, moment)

    def _records(self, topic: str, rows: list[tuple[int, Row]]) -> pl.DataFrame:
        filled = []
        for taken_us, row in rows:
            filled.append({**_filled(topic, row), "_partition": 0, "_offset": self._raw[topic], "_time": taken_us})
            self._raw[topic] += 1
        return pl.DataFrame(filled, schema={**columns(contracts.load(topic).schema), **COORDINATES})

    def _step(self, name: str, topic: str, frame: pl.DataFrame, moment: Moment) -> None:
        task = self.tasks[name]
        self._publish(name, task.take(task.core.step(topic, frame, task.state, self.context, moment)), moment)

    def _publish(self, name: str, out: Mapping[str, pl.DataFrame], moment: Moment) -> None:
        for topic, frame in out.items():
            # Rows of one step may come in any order: which one depends on what the process has seen before.
            ordered = frame.sort(ORDER[topic], maintain_order=True) if topic in ORDER else frame
            offset = len(self.out[topic])
            self.out[topic] += ordered.to_dicts()
            if topic == topology.READING.name:
                self._pass_on(frame, moment)
            else:
                numbered = ordered.with_row_index("_offset", offset).with_columns(_partition=0, _time=moment.now_us)
                self._hand_on(topic, numbered.select(*ordered.columns, *_COORDINATES), moment)

    def _hand_on(self, topic: str, frame: pl.DataFrame, moment: Moment) -> None:
        """Records of a topic for every service that reads it."""
        for name in self.tasks:
            if topic in {read.name for read in topology.stage(name).reads}:
                self._step(name, topic, frame, moment)

    def _pass_on(self, frame: pl.DataFrame, moment: Moment) -> None:
        """Validated readings: one record of the log, which every other service reads."""
        coordinates = {"_partition": 0, "_offset": len(self.log), "_time": moment.now_us}
        chunk = frame.with_columns(
            pl.col("ingest_time").min(),
            *(pl.lit(coordinates[key], kind).alias(key) for key, kind in COORDINATES.items()),
        )
        self.log.append(chunk)
        self._hand_on(topology.READING.name, chunk, moment)

    def _look_back(self, name: str, task: _Task, moment: Moment) -> None:
        """Corrections beyond memory, from the log: as the shell does it."""
        if not isinstance(task.core, Corrector) or not task.core.due(task.state, moment):
            return
        back = task.core.look_back(task.state, self.context, Span(0, len(self.log)), moment)
        while wanted := back.wanted():
            for begin, end in wanted:
                back.take(pl.concat(self.log[begin:end]))
        more = True
        while more:
            self._publish(name, task.take(task.core.looked(back, task.state, self.context, moment)), moment)
            more = back.left()
