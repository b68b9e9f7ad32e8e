"""Drives the correlate stage as the shell does. Enter: evidence, context rows, moments. Leave: the records it wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

import streams
from streams import topology
from streams.core.context import Context
from streams.core.correlate.links import Links, parse
from streams.core.correlate.stage import Correlate
from streams.core.correlate.tables import EVIDENCE
from streams.core.frames import COORDINATES
from streams.core.sequence.rule import Sequence as Sequence_
from streams.core.stage import Moment, Result, apply
from tests.core.kpi_run import schema

LINKS: Final = Path(streams.__file__).parent / "rules" / "incidents" / "links.toml"
T0: Final = 1_790_000_000_000_000
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
SITE: Final = "site-1"
Row = dict[str, Any]
COLUMNS: Final = {topic.name: schema(topic.schema_path) for topic in topology.CORRELATE_STAGE.context}
# How a record came about, and not what it says.
OF_REVISION: Final = ("revision", "supersedes", "reason", "detection_time", "split_from")
_DEFAULTS: Final[Row] = {
    "revision": 1,
    "site": SITE,
    "domain": "process",
    "time_precision": "exact",
    "detection_time": T0,
    "ingest_time": T0,
    "state": "event",
    "historical": False,
    "annunciated": True,
    "rule_version": 1,
    "alert_kind": "",
    "priority": "medium",
    "actors": [],
    "verdict": "none",
    "members": [],
    "message": "It happened.",
    "response": "Look.",
    "evidence": [],
    "context_missing": [],
}


def links(**numbers: int) -> Links:
    """The shipped links, with other numbers of the file's head."""
    text = LINKS.read_text("utf-8")
    for name, number in numbers.items():
        old = next(line for line in text.splitlines() if line.startswith(f"{name} = "))
        text = text.replace(old, f"{name} = {number}")
    return parse(text)


def alert(name: str, begin: float, end: float | None = None, **fields: Any) -> Row:
    """Evidence of an alert; times in minutes after T0."""
    begin_us, end_us = T0 + round(begin * MINUTE), None if end is None else T0 + round(end * MINUTE)
    asset = fields.pop("asset", "pump")
    return {
        **_DEFAULTS,
        "evidence_id": f"alert:{name}",
        "kind": "alert",
        "type": fields.pop("rule", f"rule-{name}"),
        "event_time": begin_us if end_us is None else end_us,
        "begin_time": begin_us,
        "end_time": end_us,
        "state": "active" if end is None else "cleared",
        "alert_kind": "alarm",
        "work_center": "line-1",
        "asset_id": asset,
        "asset_path": asset and f"acme/site-1/hall/line-1/{asset}",
        "detection_time": begin_us,
        "ingest_time": begin_us,
        "evidence": [f"ops.alert.v1/0/{name}"],
        **fields,
    }


def event(name: str, at: float, kind: str = "access", **fields: Any) -> Row:
    """Evidence of a logon, a flow or an alarm's transition; time in minutes after T0."""
    at_us = T0 + round(at * MINUTE)
    domain = "process" if kind == "alarm" else "it"
    ends = at_us if kind == "alarm" and fields.get("state", "event") == "event" else None
    return {
        **_DEFAULTS,
        "evidence_id": f"{kind}:{name}",
        "kind": kind,
        "type": {"access": "logon", "flow": "ssh"}.get(kind, "e1"),
        "event_time": at_us,
        "begin_time": at_us,
        "end_time": ends,
        "domain": domain,
        "ingest_time": at_us,
        "detection_time": at_us,
        "evidence": [f"it/0/{name}"],
        **fields,
    }


def asset(name: str, **fields: Any) -> Row:
    """A version of an asset of line-1, valid from ever."""
    path = f"acme/site-1/hall/line-1/{name}"
    place = {"work_center": "line-1", "work_unit": name.split("/", maxsplit=1)[0]}
    return {
        "asset_id": name,
        "site": SITE,
        "valid_from": 0,
        "path": path,
        **place,
        "interfaces": [],
        "feeds": [],
        **fields,
    }


def context(version: int = 1, **topics: Sequence[Mapping[str, Any]]) -> Context:
    """Context of rows by `asset`, `work_order`, ..."""
    rows = {f"it.{name}.v1": list(given) for name, given in topics.items()}
    frames = {
        name: pl.DataFrame([{**_blank(columns), **row} for row in rows.get(name, [])], schema=columns, orient="row")
        for name, columns in COLUMNS.items()
    }
    return Context(frames, version, offsets={"it/0": version})


def _blank(columns: pl.Schema) -> Row:
    filled: dict[type[pl.DataType], Any] = {pl.List: []}
    return {name: filled.get(type(dtype)) for name, dtype in columns.items()}


def frame(rows: Iterable[Mapping[str, Any]], logged_us: int | None = None) -> pl.DataFrame:
    """Rows as the stage gets them; each is written when it is ingested, or at `logged_us`."""
    rows = list(rows)
    times = [row["ingest_time"] if logged_us is None else logged_us for row in rows]
    return pl.DataFrame(
        [{**dict.fromkeys(EVIDENCE), **row} for row in rows], schema=EVIDENCE, orient="row"
    ).with_columns(
        _partition=pl.lit(0, COORDINATES["_partition"]),
        _offset=pl.int_range(pl.len(), dtype=pl.Int64),
        _time=pl.Series(times, dtype=pl.Int64),
    )


class Run:
    """One task of the stage: its state, its records by topic."""

    def __init__(
        self, made: Links | None = None, sequences: Iterable[Sequence_] = (), horizon_us: int = 35 * DAY
    ) -> None:
        self._made, self._sequences, self._horizon_us = made or links(), list(sequences), horizon_us
        self.stage = self.new()
        self.context = context()
        self.state = {table.name: table.empty() for table in self.stage.tables}
        self.records: dict[str, list[Row]] = {}
        self.counts: dict[tuple[str, str], int] = {}
        self.now_us = T0

    def new(self) -> Correlate:
        """A stage that remembers nothing."""
        return Correlate(self._made, self._sequences, horizon_us=self._horizon_us)

    def give(self, *rows: Row, lost: bool = False) -> list[Row]:
        """One chunk; the incidents it told. `lost`: the worker dies before it is committed."""
        self.now_us += SECOND
        result = self.stage.step(
            topology.EVIDENCE.name, frame(rows), self.state, self.context, Moment(self.now_us, None)
        )
        return self._absorb(result, lost)

    def tick(self, minutes: float = 0.0, *, lost: bool = False) -> list[Row]:
        """Let processing time pass in a task that has read all there is."""
        since_us = self.now_us
        self.now_us += round(minutes * MINUTE) + SECOND
        result = self.stage.timer(self.state, self.context, Moment(self.now_us, since_us))
        return self._absorb(result, lost)

    def rest(self) -> list[Row]:
        """Let time pass until everything is said."""
        told = self.tick(DAY / MINUTE)
        while more := self.tick(DAY / MINUTE):
            told += more
        return told

    def restart(self) -> None:
        """A new worker on the state that was committed."""
        self.stage = self.new()

    def _absorb(self, result: Result, lost: bool) -> list[Row]:
        if lost:
            self.restart()
            return []
        for table in self.stage.tables:
            if table.name in result.changes:
                self.state[table.name] = apply(table, self.state[table.name], result.changes[table.name])
        for topic, rows in result.out.items():
            self.records.setdefault(topic, []).extend(rows.to_dicts())
        for key, count in result.counts.items():
            self.counts[key] = self.counts.get(key, 0) + count
        return result.out[topology.INCIDENT.name].to_dicts() if topology.INCIDENT.name in result.out else []

    def told(self) -> list[Row]:
        """Every revision of every incident, in order."""
        return self.records.get(topology.INCIDENT.name, [])

    def latest(self) -> dict[str, Row]:
        """The last revision of each incident; fails where revisions are not counted one by one."""
        last: dict[str, Row] = {}
        for row in self.told():
            before = last.get(row["incident_id"])
            assert row["revision"] == (1 if before is None else before["revision"] + 1)
            assert row["supersedes"] == (None if before is None else before["revision"])
            last[row["incident_id"]] = row
        return last

    def living(self) -> dict[str, Row]:
        """What the incidents that are open or closed say, without how it came about."""
        return {
            name: {field: value for field, value in row.items() if field not in OF_REVISION}
            for name, row in self.latest().items()
            if row["state"] in {"open", "closed"}
        }
