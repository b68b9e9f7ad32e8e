"""A small plant for the tests of the alert stage: context, readings in seconds after T0, a task that can restart."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from streams.core.alert.row import ALERT
from streams.core.alert.rule import Rule, load
from streams.core.alert.stage import Alert
from streams.core.context import Context
from streams.core.dictionary import SIGNAL
from streams.core.frames import COORDINATES, READING
from streams.core.stage import Moment, Result, Span, apply

T0 = 1_767_261_600_000_000  # 2026-01-01 10:00:00 UTC
S = 1_000_000

ASSET = pl.Schema(
    {name: pl.String() for name in ("asset_id", "site", "tenant")}
    | {"valid_from": pl.Int64(), "valid_to": pl.Int64()}
    | {name: pl.String() for name in ("path", "parent_id", "name", "work_center", "work_unit", "vendor", "model")}
    | {name: pl.String() for name in ("firmware", "serial", "zone", "criticality", "owner")}
    | {"interfaces": pl.List(pl.String())}
)
ORDER = pl.Schema(
    {name: pl.String() for name in ("order_id", "site", "tenant")}
    | {"valid_from": pl.Int64(), "valid_to": pl.Int64()}
    | {name: pl.String() for name in ("work_center", "work_unit", "product")}
    | {"planned_quantity": pl.Float64(), "planned_run_time_s": pl.Float64()}
    | {name: pl.Int64() for name in ("planned_start", "planned_end", "actual_start", "actual_end")}
    | {"status": pl.String()}
)

RULE = """
id = "hot"
version = 1
status = "stable"
title = "Too hot"
owner = "maintenance"
kind = "alarm"
type = "threshold"
priority = "high"
consequence = "It burns."
response = "cool it"
false_positives = ["none known"]
[select]
role = "measurement"
unit = "Cel"
[condition]
high = 85.0
[fires]
readings = [{ at = 0, value = 90.0 }]
expect = [{ at = 0, state = "active" }]
[quiet]
readings = [{ at = 0, value = 80.0 }]
"""


def rule(rule_id: str = "hot", condition: str = "high = 85.0", **fields: str) -> Rule:
    """A rule like RULE with another id, condition (lines of TOML) and fields (TOML values by `field` or `select`)."""
    text = RULE.replace('id = "hot"', f'id = "{rule_id}"').replace("high = 85.0", condition)
    for name, value in fields.items():
        if name == "select":
            text = text.replace('role = "measurement"\nunit = "Cel"', value)
        else:
            line = next(line for line in text.splitlines() if line.startswith(f"{name} = "))
            text = text.replace(line, f"{name} = {value}")
    if fields.get("type") == '"state"':
        text = text.replace("value = 90.0", 'value = "fault"').replace("value = 80.0", 'value = "running"')
    return load({f"{rule_id}.toml": text})[0]


def signal(signal_id: str, **fields: Any) -> dict[str, Any]:
    """A row of the dictionary: a temperature in Cel from source `edge` on `line-1`, unless told otherwise."""
    return {
        "signal_id": signal_id, "site": "s", "valid_from": 0, "source_id": "edge", "address": signal_id, "aliases": [],
        "work_center": "line-1", "role": "measurement", "unit": "Cel", "factor": 1.0, "offset": 0.0,
        "enumeration": [], "reporting": "periodic", "window_lengths_s": [], **fields,
    }  # fmt: skip


def context(
    signals: Iterable[Mapping[str, Any]],
    assets: Iterable[Mapping[str, Any]] = (),
    orders: Iterable[Mapping[str, Any]] = (),
    version: int = 1,
) -> Context:
    """The context of these rows; fields that are left out are null."""
    frames = {
        "it.signal.v1": pl.DataFrame(list(signals), schema=SIGNAL),
        "it.asset.v1": pl.DataFrame(list(assets), schema=ASSET),
        "it.production_order.v1": pl.DataFrame(list(orders), schema=ORDER),
    }
    return Context(frames, version)


class R(NamedTuple):
    """A reading: seconds after T0, signal, value (number or label); quality, flags, source, record (None: its own).

    `sequence` is the source's.
    """

    at: float
    signal: str
    value: float | str | None
    quality: int = 0
    flags: int = 0
    source: str = "edge"
    record: int | None = None
    sequence: int | None = None

    @property
    def event_time(self) -> int:
        """Event time in microseconds."""
        return T0 + round(self.at * S)


def frame(readings: Sequence[R], first_offset: int = 0) -> pl.DataFrame:
    """The readings as a chunk of `ot.reading.v1`; each is a record of its own unless it names one."""
    rows = []
    for number, reading in enumerate(readings):
        offset = first_offset + number if reading.record is None else reading.record
        text = reading.value if isinstance(reading.value, str) else None
        rows.append(
            {
                "site": "s", "tenant": None, "work_center": "line-1", "signal_id": reading.signal,
                "source_id": reading.source, "event_time": reading.event_time, "ingest_time": reading.event_time,
                "value_double": None if text else reading.value, "value_string": text, "quality": reading.quality,
                "quality_scheme": 0, "flags": reading.flags,
                "sequence": reading.sequence, "_partition": 3, "_offset": offset, "_time": 0,
            }
        )  # fmt: skip
    return pl.DataFrame(rows, schema={**READING, **COORDINATES})


class Task:
    """A task of the alert stage: its state is what its changes make of nothing, also after `restart`."""

    def __init__(self, rules: Sequence[Rule], context: Context, **settings: Any) -> None:
        self.rules = list(rules)
        self.context = context
        self.settings = settings
        self.alert = Alert(self.rules, **settings)
        self.state = {table.name: table.empty() for table in self.alert.tables}
        self.counts: dict[tuple[str, str], int] = {}
        self.rows: list[dict[str, Any]] = []
        self.offset = 0
        self.log: list[pl.DataFrame] = []
        self.reread = 0

    def feed(self, *readings: R, now: float | None = None) -> list[dict[str, Any]]:
        """Give one chunk, read at `now` (s after T0; default: at its last event time); returns its transitions."""
        now_us = max(r.event_time for r in readings) if now is None else T0 + round(now * S)
        chunk = frame(readings, self.offset)
        self.offset = max(self.offset + len(readings), int(chunk["_offset"].max()) + 1)  # type: ignore[arg-type]
        self.log.append(chunk)
        return self.take(self.alert.step("ot.reading.v1", chunk, self.state, self.context, Moment(now_us)))

    def tick(self, now: float, caught_up_since: float | None) -> list[dict[str, Any]]:
        """Let time pass to `now`; returns its transitions."""
        since = None if caught_up_since is None else T0 + round(caught_up_since * S)
        return self.take(self.alert.timer(self.state, self.context, Moment(T0 + round(now * S), since)))

    def look_back(
        self, now: float, between: Sequence[R] = (), begin: int = 0, fetch: int = 10_000
    ) -> list[dict[str, Any]]:
        """Look back into the log, which begins at offset `begin`; `between` comes meanwhile. Returns transitions."""
        moment = Moment(T0 + round(now * S))
        assert self.alert.due(self.state, moment)
        back = self.alert.look_back(self.state, self.context, Span(begin, self.offset), moment)
        log = pl.concat(self.log)
        while spans := back.wanted():
            for span in spans:
                read = log.filter(pl.col("_offset").is_between(span.begin, span.end, "left"))
                self.reread += read.height
                for part in read.iter_slices(fetch):
                    back.take(part)
        rows = self.feed(*between, now=now) if between else []
        rows += self.take(self.alert.looked(back, self.state, self.context, moment))
        while back.left():
            rows += self.take(self.alert.looked(back, self.state, self.context, moment))
        return rows

    def restart(self, rules: Sequence[Rule] | None = None) -> None:
        """Another instance, which knows nothing but the state as it was written down and read again."""
        self.alert = Alert(self.rules if rules is None else rules, **self.settings)
        for name, table in self.state.items():
            written = io.BytesIO()
            table.write_ipc_stream(written)
            self.state[name] = pl.read_ipc_stream(io.BytesIO(written.getvalue()))

    def take(self, result: Result) -> list[dict[str, Any]]:
        """Apply what a step or a tick left; returns its transitions."""
        tables = {table.name: table for table in self.alert.tables}
        for name, change in result.changes.items():
            self.state[name] = apply(tables[name], self.state[name], change)
        for key, count in result.counts.items():
            self.counts[key] = self.counts.get(key, 0) + count
        found = result.out.get("ops.alert.v1")
        if found is None:
            return []
        assert found.schema == ALERT
        rows = found.rows(named=True)
        self.rows += rows
        return rows


def seconds(time_us: int | None) -> float | None:
    """Seconds after T0."""
    return None if time_us is None else (time_us - T0) / S


def told(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, float | None]]:
    """(state, event time in seconds after T0) of transitions, in their order."""
    return [(row["state"], seconds(row["event_time"])) for row in rows]


BAD, UNCERTAIN = 2, 1
SIGNALS = context([signal("a"), signal("b"), signal("far", source_id="other"), signal("m", role="state", unit=None)])
HOT = rule()
HOT_5S = rule(condition="high = 85.0\ndeadband = 5.0\non_delay_s = 5.0\noff_delay_s = 4.0")
