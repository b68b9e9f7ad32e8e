"""Replays a scenario through the pure stages in this process: the same numbers as through the broker, in a second."""

from __future__ import annotations

from collections import Counter
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
from streams.core.stage import Corrector, Moment, Result, Span, StageCore, apply
from streams.core.validate.stage import Validate
from streams.core.window.stage import Window, WindowConfig
from streams.kafka.avro import codec, contracts
from tests.evaluation.scenario import SECOND_US, WINDOW_HORIZON_S, Outcome, Row, Scenario, latest

NOW_US: Final = 1_790_000_000_000_000
CHUNK: Final = 500
POLICY: Final = Path(streams.__file__).parent / "rules" / "kpi" / "iso22400.toml"
RAW, READING = topology.RAW_READING.name, topology.READING.name
OUTPUT: Final = {"kpi": topology.KPI.name, "window": topology.WINDOW.name}


class Task:
    """One stage, its tables, what it has written and counted."""

    def __init__(self, stage: StageCore, context: Context) -> None:
        self._stage, self._context = stage, context
        self._tables = {table.name: table.empty() for table in stage.tables}
        self._offset = 0
        self._log: list[pl.DataFrame] = []
        self.written: dict[str, list[Row]] = {}
        self.counts: Counter[str] = Counter()

    def step(self, topic: str, frame: pl.DataFrame, now_us: int) -> dict[str, pl.DataFrame]:
        """Output frames by topic."""
        located = frame.with_columns(_coordinates(self._offset, now_us))
        self._offset += frame.height
        self._log.append(located)
        return self._take(self._stage.step(topic, located, self._tables, self._context, Moment(now_us)))

    def timer(self, now_us: int) -> dict[str, pl.DataFrame]:
        """Output frames by topic."""
        return self._take(self._stage.timer(self._tables, self._context, Moment(now_us, NOW_US)))

    def correct(self, now_us: int) -> None:
        """Let the stage look back in its log for as long as something waits for that."""
        stage, moment = self._stage, Moment(now_us, NOW_US)
        while isinstance(stage, Corrector) and stage.due(self._tables, moment):
            back = stage.look_back(self._tables, self._context, Span(0, self._offset), moment)
            while spans := back.wanted():
                for rows in self._log:
                    inside = (pl.col("_offset").is_between(*span, closed="left") for span in spans)
                    back.take(rows.filter(pl.any_horizontal(*inside)))
            while back.left():
                self._take(stage.looked(back, self._tables, self._context, moment))

    def _take(self, result: Result) -> dict[str, pl.DataFrame]:
        for table in self._stage.tables:
            if table.name in result.changes:
                self._tables[table.name] = apply(table, self._tables[table.name], result.changes[table.name])
        self.counts.update({f"{kind}/{label}": number for (kind, label), number in result.counts.items()})
        for topic, rows in result.out.items():
            if topic != READING:
                self.written.setdefault(topic, []).extend(rows.to_dicts())
        return dict(result.out)


def replay(scenario: Scenario, chunk: int = CHUNK) -> Outcome:
    """The last revision of each record, and what became of the readings; `chunk` of them are processed at once."""
    context = Context(
        {topic.name: frame(topic.name, scenario.context.get(topic.name, ())) for topic in topology.CONTEXT}
    )
    validate, last = Task(Validate(), context), Task(_stage(scenario.stage), context)
    accepted, now_us = 0, NOW_US
    for begin in range(0, len(scenario.readings), chunk):
        now_us += 2 * SECOND_US
        valid = validate.step(RAW, frame(RAW, scenario.readings[begin : begin + chunk]), now_us).get(READING)
        if valid is not None:
            accepted += valid.height
            last.step(READING, valid, now_us)
    last.correct(now_us + 3600 * SECOND_US)
    for wait_s in (3600, 7200) if scenario.stage == "kpi" else ():
        last.timer(now_us + wait_s * SECOND_US)
    return Outcome(
        records=latest(last.written.get(OUTPUT[scenario.stage], []), scenario.stage),
        accepted=accepted,
        rejected=Counter(row["reason"] for row in validate.written.get(topology.REJECTED.name, [])),
        late=last.written.get(topology.LATE.name, []),
        counts=validate.counts + last.counts,
    )


def _stage(name: str) -> StageCore:
    if name == "window":
        return Window(WindowConfig(correction_horizon_us=WINDOW_HORIZON_S * SECOND_US))
    return Kpi(parse(POLICY.read_text("utf-8")), KpiConfig())


def frame(topic: str, rows: Iterable[Row]) -> pl.DataFrame:
    """Rows of a contract as a frame; fields that a row lacks take the contract's default."""
    defaults = {field["name"]: field.get("default") for field in contracts.load(topic).schema["fields"]}
    return codec.frame(({name: _listed(value) for name, value in {**defaults, **row}.items()} for row in rows), topic)


def _listed(value: Any) -> Any:
    """A map as a frame holds it: a list of {key, value}."""
    return [{"key": key, "value": item} for key, item in value.items()] if isinstance(value, dict) else value


def _coordinates(offset: int, now_us: int) -> list[pl.Expr]:
    located = {"_partition": pl.lit(0), "_offset": pl.int_range(pl.len()) + offset, "_time": pl.lit(now_us)}
    return [located[name].cast(dtype).alias(name) for name, dtype in COORDINATES.items()]
