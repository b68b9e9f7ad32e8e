"""Replays a scenario through the pure stages in this process: the same numbers as through the broker, in a second."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import polars as pl

import streams
from streams import topology
from streams.core.context import Context
from streams.core.frames import COORDINATES
from streams.core.kpi.policy import parse
from streams.core.kpi.stage import Kpi, KpiConfig
from streams.core.stage import Moment, StageCore, apply
from streams.core.validate.stage import Validate
from streams.kafka.avro import codec, contracts
from tests.evaluation.scenario import SECOND_US, Row, Scenario, latest

NOW_US: Final = 1_790_000_000_000_000
CHUNK: Final = 500
POLICY: Final = Path(streams.__file__).parent / "rules" / "kpi" / "iso22400.toml"
RAW, READING, KPI = topology.RAW_READING.name, topology.READING.name, topology.KPI.name


class Task:
    """One stage, its tables, and the clock of the replay."""

    def __init__(self, stage: StageCore, context: Context) -> None:
        self._stage, self._context = stage, context
        self._tables = {table.name: table.empty() for table in stage.tables}

    def step(self, topic: str, frame: pl.DataFrame, now_us: int) -> dict[str, pl.DataFrame]:
        """Output frames by topic."""
        located = frame.with_columns(_coordinates(now_us)) if frame.height else frame
        result = self._stage.step(topic, located, self._tables, self._context, Moment(now_us))
        self._apply(result.changes)
        return dict(result.out)

    def timer(self, now_us: int) -> dict[str, pl.DataFrame]:
        """Output frames by topic."""
        result = self._stage.timer(self._tables, self._context, Moment(now_us, NOW_US))
        self._apply(result.changes)
        return dict(result.out)

    def _apply(self, changes: Any) -> None:
        for table in self._stage.tables:
            if table.name in changes:
                self._tables[table.name] = apply(table, self._tables[table.name], changes[table.name])


def replay(scenario: Scenario) -> dict[str, Row]:
    """The last revision of each KPI record."""
    context = Context(
        {topic.name: frame(topic.name, scenario.context.get(topic.name, ())) for topic in topology.CONTEXT}
    )
    validate = Task(Validate(), context)
    kpi = Task(Kpi(parse(POLICY.read_text("utf-8")), KpiConfig()), context)
    written: list[Row] = []
    now_us = NOW_US
    for begin in range(0, len(scenario.readings), CHUNK):
        now_us += 2 * SECOND_US
        valid = validate.step(RAW, frame(RAW, scenario.readings[begin : begin + CHUNK]), now_us).get(READING)
        out = {} if valid is None else kpi.step(READING, valid, now_us)
        written += out[KPI].to_dicts() if KPI in out else []
    for wait_s in (3600, 7200):
        out = kpi.timer(now_us + wait_s * SECOND_US)
        written += out[KPI].to_dicts() if KPI in out else []
    return latest(written)


def frame(topic: str, rows: Iterable[Row]) -> pl.DataFrame:
    """Rows of a contract as a frame; fields that a row lacks take the contract's default."""
    defaults = {field["name"]: field.get("default") for field in contracts.load(topic).schema["fields"]}
    return codec.frame(({name: _listed(value) for name, value in {**defaults, **row}.items()} for row in rows), topic)


def _listed(value: Any) -> Any:
    """A map as a frame holds it: a list of {key, value}."""
    return [{"key": key, "value": item} for key, item in value.items()] if isinstance(value, dict) else value


def _coordinates(now_us: int) -> list[pl.Expr]:
    located = {"_partition": pl.lit(0), "_offset": pl.int_range(pl.len()), "_time": pl.lit(now_us)}
    return [located[name].cast(dtype).alias(name) for name, dtype in COORDINATES.items()]
