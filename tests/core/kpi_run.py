"""Drives the KPI stage as the shell does. Enter: readings, context rows, moments. Leave: the records it wrote."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

import streams
from streams.core.context import Context
from streams.core.frames import COORDINATES, ID, READING
from streams.core.kpi.policy import KpiPolicy, parse
from streams.core.kpi.progress import KpiConfig
from streams.core.kpi.stage import Kpi
from streams.core.stage import Moment, Result, apply
from tests.core.reference_kpi import HOUR, MINUTE, Plant

ROOT = Path(__file__).parents[2]
POLICY = Path(streams.__file__).parent / "rules" / "kpi" / "iso22400.toml"
NOW = 1_790_000_000_000_000
T0 = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
SECOND = 1_000_000
EIGHT = T0 + 8 * HOUR
ORDER: dict[str, Any] = {"order_id": "o1", "actual_start": EIGHT, "planned_run_time_s": 1.0}
SHIFT: dict[str, Any] = {"entry_id": "s1", "start": EIGHT, "end": EIGHT + 8 * HOUR}
HOUR_EIGHT = "filler|hour|2026-01-01T08:00:00Z"
TYPES = {"string": pl.String(), "long": pl.Int64(), "int": pl.Int32(), "double": pl.Float64(), "boolean": pl.Boolean()}
LABELS = pl.List(pl.Struct({"key": pl.String(), "value": pl.String()}))


def schema(path: str) -> pl.Schema:
    """Columns of a contract (path below schemas/), as frames of it have them."""
    fields = json.loads((ROOT / "schemas" / path).read_text())["fields"]
    return pl.Schema({field["name"]: _dtype(field["type"]) for field in fields})


def _dtype(kind: Any) -> Any:
    if isinstance(kind, list):
        return next(_dtype(branch) for branch in kind if branch != "null")
    if isinstance(kind, dict):
        if kind["type"] == "array":
            return pl.List(_dtype(kind["items"]))
        return LABELS if kind["type"] == "map" else _dtype(kind["type"])
    return TYPES[kind]


SIGNAL_COLUMNS = schema("00-context/it.signal.v1.avsc")
ORDER_COLUMNS = schema("00-context/it.production_order.v1.avsc")
CALENDAR_COLUMNS = schema("00-context/it.calendar.v1.avsc")
KPI_COLUMNS = schema("50-kpi/ops.kpi.v1.avsc")


def policy(*replaced: tuple[str, str]) -> KpiPolicy:
    """The shipped policy, with texts replaced."""
    text = POLICY.read_text("utf-8")
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    return parse(text)


def rows(columns: pl.Schema, items: Iterable[dict[str, Any]], **defaults: Any) -> pl.DataFrame:
    """A frame of a contract; what is not given is null or the default."""
    return pl.DataFrame([{**dict.fromkeys(columns), **defaults, **item} for item in items], schema=columns)


def signals(*items: dict[str, Any]) -> pl.DataFrame:
    """A signal dictionary of one line."""
    defaults = {
        "site": "hall",
        "valid_from": 0,
        "source_id": "edge-1",
        "work_center": "line-1",
        "reporting": "on_change",
    }
    items = tuple({"address": item["signal_id"], **item} for item in items)
    return rows(SIGNAL_COLUMNS, items, **defaults, work_unit="filler", factor=1.0, offset=0.0)


STANDARD = (
    {"signal_id": "filler.state", "role": "state"},
    {"signal_id": "filler.good", "role": "good_counter"},
    {"signal_id": "filler.reject", "role": "reject_counter"},
    {"signal_id": "filler.temperature", "role": "measurement"},
)


def context(
    dictionary: pl.DataFrame | None = None,
    orders: Sequence[dict[str, Any]] = (),
    calendar: Sequence[dict[str, Any]] = (),
    version: int = 1,
) -> Context:
    """IT context as the shell hands it over."""
    order = {"valid_from": 0, "work_center": "line-1", "product": "cola", "status": "running", "site": "hall"}
    entry = {"site": "hall", "work_center": "line-1", "kind": "shift", "name": "early"}
    frames = {
        "it.signal.v1": signals(*STANDARD) if dictionary is None else dictionary,
        "it.production_order.v1": rows(ORDER_COLUMNS, orders, **order),
        "it.calendar.v1": rows(CALENDAR_COLUMNS, calendar, **entry),
    }
    return Context(frames, version)


def frame(items: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """A chunk of ot.reading.v1."""
    columns = pl.Schema({**READING, **COORDINATES})
    plain = pl.Schema({name: pl.String() if dtype == ID else dtype for name, dtype in columns.items()})
    defaults = {
        "site": "hall",
        "work_center": "line-1",
        "source_id": "edge-1",
        "quality": 0,
        "flags": 0,
        "_partition": 0,
    }
    chunk = rows(plain, items, **defaults)
    chunk = chunk.with_columns(
        pl.col("ingest_time").fill_null(pl.col("event_time")),
        pl.col("_time").fill_null(pl.col("event_time")),
        pl.int_range(pl.len(), dtype=pl.Int64()).alias("_offset"),
    )
    return chunk.cast(columns)


def state(at: int, label: str, **fields: Any) -> dict[str, Any]:
    """A reading of the filler's state."""
    return {"signal_id": "filler.state", "event_time": at, "value_string": label, **fields}


def good(at: int, count: int, **fields: Any) -> dict[str, Any]:
    """A reading of the filler's counter of good items."""
    return {"signal_id": "filler.good", "event_time": at, "value_long": count, **fields}


def reject(at: int, count: int, **fields: Any) -> dict[str, Any]:
    """A reading of the filler's counter of rejected items."""
    return {"signal_id": "filler.reject", "event_time": at, "value_long": count, **fields}


def beat(at: int, **fields: Any) -> dict[str, Any]:
    """A measurement: the source lives."""
    return {"signal_id": "filler.temperature", "event_time": at, "value_double": 20.0, **fields}


def beats(start: int, end: int, step: int = MINUTE) -> list[dict[str, Any]]:
    """Measurements from start to end, both included."""
    return [beat(at) for at in range(start, end + 1, step)]


def morning() -> list[dict[str, Any]]:
    """Eight to half past nine: ten minutes of fault, 1,800 good and 200 rejected items."""
    return [
        *(state(EIGHT, "Running"), good(EIGHT, 0), reject(EIGHT, 0), *beats(EIGHT, EIGHT + 90 * MINUTE)),
        *(state(EIGHT + 30 * MINUTE, "fault"), state(EIGHT + 40 * MINUTE, "running")),
        *(good(EIGHT + 50 * MINUTE, 1800), reject(EIGHT + 50 * MINUTE, 200)),
    ]


class Run:
    """One task: its tables, its context, what it wrote (the latest record per id in `latest`)."""

    def __init__(self, context: Context, config: KpiConfig | None = None, policy: KpiPolicy | None = None) -> None:
        self.context = context
        self.config = config
        self.policy = policy or parse(POLICY.read_text("utf-8"))
        self.stage = Kpi(self.policy, config)
        self.tables = {table.name: table.empty() for table in self.stage.tables}
        self.records: list[dict[str, Any]] = []
        self.counts: Counter[tuple[str, str]] = Counter()

    def step(self, *items: dict[str, Any], now_us: int = NOW, caught_up: int | None = NOW) -> list[dict[str, Any]]:
        """A chunk; leaves the records that this wrote."""
        moment = Moment(now_us, caught_up)
        return self._take(self.stage.step("ot.reading.v1", frame(items), self.tables, self.context, moment))

    def timer(self, now_us: int, caught_up: int | None = NOW) -> list[dict[str, Any]]:
        """A second passes."""
        return self._take(self.stage.timer(self.tables, self.context, Moment(now_us, caught_up)))

    def restart(self) -> None:
        """Another worker takes the task over: only the tables are left."""
        self.stage = Kpi(self.policy, self.config)

    def _take(self, result: Result) -> list[dict[str, Any]]:
        for table in self.stage.tables:
            if table.name in result.changes:
                self.tables[table.name] = apply(table, self.tables[table.name], result.changes[table.name])
        self.counts.update(result.counts)
        written: list[dict[str, Any]] = []
        for topic, out in result.out.items():
            assert topic == "ops.kpi.v1"
            assert out.schema == KPI_COLUMNS, "the record has exactly the contract's fields"
            written += out.to_dicts()
        self.records += written
        return written

    @property
    def latest(self) -> dict[str, dict[str, Any]]:
        """The last record per id; revisions must rise by one and supersede each other."""
        last: dict[str, dict[str, Any]] = {}
        for record in self.records:
            before = last.get(record["kpi_id"])
            assert record["revision"] == (before["revision"] + 1 if before else 1)
            assert record["supersedes"] == (before["revision"] if before else None)
            last[record["kpi_id"]] = record
        return last


def plant_readings(plant: Plant) -> list[dict[str, Any]]:
    """Readings of a reference plant, in event-time order."""
    counters = {"good_counter": good, "reject_counter": reject}
    items = [state(at, label, quality=quality) for at, label, quality in plant.states]
    items += [counters[role](at, count) for role, readings in plant.counters.items() for at, count in readings]
    return sorted(items + [beat(at) for at in plant.heartbeats], key=lambda item: int(item["event_time"]))


def plant_context(plant: Plant) -> Context:
    """Context of a reference plant."""
    orders = [
        {"order_id": name, "actual_start": start, "actual_end": end, "planned_run_time_s": pri}
        for name, start, end, pri in plant.orders
    ]
    entries = [("shift", *entry) for entry in plant.shifts or []]
    entries += [("planned_downtime", *entry) for entry in plant.planned_down]
    calendar = [
        {"entry_id": name, "kind": kind, "name": name, "start": start, "end": end} for kind, name, start, end in entries
    ]
    dictionary = signals(*({**item, "rollover": plant.rollover} for item in STANDARD))
    return context(dictionary, orders, calendar)


def plant_policy(plant: Plant) -> KpiPolicy:
    """The policy that a reference plant goes by."""
    if plant.minor_stop_us is None:
        return policy()
    below_s = str(plant.minor_stop_us // 1_000_000)
    return policy(('handling = "availability"', 'handling = "performance"'), ("below_s = 300", f"below_s = {below_s}"))
