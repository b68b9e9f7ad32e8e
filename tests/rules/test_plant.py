"""The bundled rules on the simulated plant: raw readings through validate and alert, as the services run them."""

from __future__ import annotations

from typing import Any

import polars as pl

from streams import topology
from streams.core.alert.stage import Alert
from streams.core.context import Context
from streams.core.dictionary import SIGNAL
from streams.core.frames import COORDINATES, READING
from streams.core.stage import Moment, apply
from streams.core.validate.stage import Validate
from streams.plant.plant import Plant
from tests.core.alert_scene import ASSET, ORDER, T0, S
from tests.rules.bottling import rules

STEP_US = S // 2


def _context(plant: Plant, now_us: int, version: int) -> Context:
    rows = plant.context(now_us)
    schemas = {topology.SIGNAL.name: SIGNAL, topology.ASSET.name: ASSET, topology.PRODUCTION_ORDER.name: ORDER}
    return Context({name: _frame(rows[name], schema) for name, schema in schemas.items()}, version)


def _frame(rows: list[dict[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    shaped = [
        {k: [{"key": a, "value": b} for a, b in v.items()] if k == "enumeration" else v for k, v in row.items()}
        for row in rows
    ]
    return pl.DataFrame(shaped, schema=schema)


def _validated(validate: Validate, plant: Plant, context: Context, from_us: int) -> list[pl.DataFrame]:
    empty = {table.name: table.empty() for table in validate.tables}
    frames = []
    for topic, raw in plant.readings(from_us, from_us + STEP_US).items():
        coordinates = {"_partition": pl.lit(0), "_offset": pl.int_range(pl.len()), "_time": pl.lit(from_us + STEP_US)}
        chunk = raw.with_columns(expr.cast(COORDINATES[name]).alias(name) for name, expr in coordinates.items())
        out = validate.step(topic, chunk, empty, context, Moment(from_us + STEP_US)).out
        frames += [out[topology.READING.name]] if topology.READING.name in out else []
    return frames


def test_the_first_minute_of_the_demo_has_its_alerts() -> None:
    """The warm bearing of line 1 is told within 20 s, with its order, owner and what to do; nothing is missing."""
    plant = Plant(T0)
    validate, alert = Validate(), Alert(rules())
    state = {table.name: table.empty() for table in alert.tables}
    rows: list[dict[str, Any]] = []
    context = _context(plant, T0, 1)
    for number in range(60):
        begin = T0 + number * STEP_US
        for offset, readings in enumerate(_validated(validate, plant, context, begin)):
            packed = readings.select(READING.names()).with_columns(
                _partition=pl.lit(0, pl.Int32), _offset=pl.lit(number * 10 + offset, pl.Int64), _time=pl.lit(begin)
            )
            moment = Moment(begin + STEP_US)
            result = alert.step(topology.READING.name, packed, state, context, moment)
            for table in alert.tables:
                if table.name in result.changes:
                    state[table.name] = apply(table, state[table.name], result.changes[table.name])
            rows += result.out[topology.ALERT.name].rows(named=True) if result.out else []
    bearing = next(row for row in rows if row["rule_id"] == "bearing-temperature-high")
    assert bearing["event_time"] < T0 + 20 * S
    assert bearing["signal_id"] == "line-1-filler-bearing-temperature"
    assert bearing["context_missing"] == []
    assert bearing["message"].startswith("Filler bearing temperature is 8")
    assert f"while order {bearing['order_id']} (" in bearing["message"]
    assert f"{bearing['owner']}: check the bearing" in bearing["message"]
    assert {row["rule_id"] for row in rows} >= {"bearing-temperature-rising", "machine-fault"}
    assert all(row["annunciated"] for row in rows)
