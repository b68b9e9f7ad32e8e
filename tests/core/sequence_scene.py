"""Drives sequences as the correlate stage does. Enter: evidence, context, moments. Leave: the alerts that were told."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any, Final

import polars as pl

import streams
from streams import topology
from streams.core.context import Context
from streams.core.correlate.tables import EVIDENCE
from streams.core.sequence.part import HORIZON_US, LATENESS_US, Outcome, Sequences
from streams.core.sequence.rule import Sequence, load
from streams.core.sequence.timeline import Piece, Ticket, Timeline
from streams.core.stage import Moment, apply
from tests.core.kpi_run import schema

Row = dict[str, Any]
T0: Final = 1_790_000_000_000_000
SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND
SITE: Final = "site-1"
CONTEXT: Final = (topology.ASSET, topology.WORK_ORDER, topology.CHANGE)
COLUMNS: Final = {topic.name: schema(topic.schema_path) for topic in CONTEXT}
BUNDLED: Final = Path(streams.__file__).parent / "rules" / "sequences"
# How a record came about, and not what it says.
OF_REVISION: Final = ("revision", "supersedes", "reason", "detection_time", "previous_state")
A_THEN_B: Final = 'relation = "asset"\nwithin_s = 60'
BODY: Final = """
version = 1
status = "stable"
title = "A then B"
owner = "team"
kind = "alert"
priority = "high"
domain = "{domain}"
consequence = "Bad."
response = "look"
false_positives = ["None."]
{top}
[sequence]
{sequence}
{steps}
[fires]
evidence = [{{ at = 0, kind = "alarm", type = "a" }}]
expect = [{{ at = 0, state = "active" }}]
[quiet]
evidence = [{{ at = 0, kind = "alarm", type = "a" }}]
"""


def bundled() -> list[Sequence]:
    """The sequences that are shipped."""
    return load({path.name: path.read_text("utf-8") for path in BUNDLED.glob("*.toml")})


def sequence(body: str = A_THEN_B, *steps: str, top: str = "", domain: str = "process", name: str = "rule") -> Sequence:
    """A sequence of these tables; without steps alarm `a`, then alarm `b`."""
    tables = "\n".join(steps or (step("a"), step("b")))
    text = BODY.format(domain=domain, top=top, sequence=body, steps=tables)
    return load({f"{name}.toml": f'id = "{name}"\n{text}'})[0]


def step(code: str, more: str = "", kind: str = "alarm") -> str:
    """A table [[step]] of evidence of this type."""
    return f'[[step]]\nname = "{code}"\nkind = "{kind}"\ntype = "{code}"\n{more}'


def absent(code: str, more: str) -> str:
    """A table [[absent]] of alarms."""
    return f'[[absent]]\nname = "{code}"\nkind = "alarm"\ntype = "{code}"\n{more}'


def event(name: str, at: float, kind: str, **fields: Any) -> Row:
    """Evidence without a duration, at so many seconds after T0."""
    at_us = T0 + round(at * SECOND)
    return {
        "evidence_id": f"{kind}:{name}",
        "kind": kind,
        "revision": 1,
        "site": SITE,
        "domain": "process",
        "event_time": at_us,
        "begin_time": at_us,
        "end_time": at_us,
        "detection_time": at_us,
        "ingest_time": at_us,
        "time_precision": "exact",
        "state": "event",
        "historical": False,
        "annunciated": True,
        "rule_version": 1,
        "alert_kind": "",
        "priority": "medium",
        "actors": [],
        "verdict": "none",
        "members": [],
        "message": "",
        "response": "",
        "evidence": [f"it/0/{name}"],
        "context_missing": [],
        **fields,
    }


def asset(name: str, **fields: Any) -> Row:
    """A version of an asset of line-1, valid from ever."""
    place = {"path": f"acme/site-1/hall/line-1/{name}", "work_center": "line-1", "work_unit": name}
    return {"asset_id": name, "site": SITE, "valid_from": 0, "interfaces": [], "feeds": [], **place, **fields}


def context(version: int = 1, **topics: Many[Row]) -> Context:
    """Context of rows by `asset`, `work_order`, `change`."""
    rows = {f"it.{name}.v1": list(given) for name, given in topics.items()}
    frames = {
        name: pl.DataFrame([{**dict.fromkeys(columns), **row} for row in rows.get(name, [])], schema=columns)
        for name, columns in COLUMNS.items()
    }
    return Context(frames, version, offsets={"it/0": version})


def frame(rows: Iterable[Row]) -> pl.DataFrame:
    """Rows as the part gets them."""
    return pl.DataFrame([{**dict.fromkeys(EVIDENCE), **row} for row in rows], schema=EVIDENCE)


def alarm(code: str, at: float, name: str = "", **fields: Any) -> Row:
    """An alarm of a source at so many seconds after T0."""
    asset = fields.pop("asset", "pump")
    place = {"asset_id": asset, "asset_path": asset and f"acme/site-1/hall/line-1/{asset}", "type": code}
    return event(name or f"{code}@{at:g}@{asset}", at, **{"kind": "alarm", **place, **fields})


def logon(who: str, at: float, **fields: Any) -> Row:
    """A logon at so many seconds after T0."""
    given = {"actors": [who], "type": "logon", "remote": True, "asset_id": "hmi", "source_address": "10.0.0.1"} | fields
    return event(f"{who}@{at:g}@{given['type']}", at, "access", **given)


def change(asset: str, since: float, until: float, **fields: Any) -> Row:
    """A change ticket of an asset, in seconds after T0."""
    return {
        "change_id": "CHG-1",
        "site": SITE,
        "valid_from": 0,
        "asset_ids": [asset],
        "asset_paths": [],
        "kind": "normal",
        "status": "approved",
        "start": T0 + round(since * SECOND),
        "end": T0 + round(until * SECOND),
        "actors": [],
        **fields,
    }


def order(asset: str, begin: float, end: float, **fields: Any) -> Row:
    """A work order of an asset, in seconds after T0."""
    return {
        "order_id": "WO-1",
        "site": SITE,
        "valid_from": 0,
        "asset_id": asset,
        "kind": "corrective",
        "actors": [],
        "status": "started",
        "started_at": T0 + round(begin * SECOND),
        "finished_at": T0 + round(end * SECOND),
        "started_at_precision": "exact",
        "finished_at_precision": "exact",
        **fields,
    }


class Run:
    """The part with its state; remembers every revision."""

    def __init__(self, *rules: Sequence, lateness_us: int = LATENESS_US, horizon_us: int = HORIZON_US) -> None:
        self._rules, self._spans = rules, {"lateness_us": lateness_us, "horizon_us": horizon_us}
        self.context = context()
        self.restart()
        self.state = {table.name: table.empty() for table in self.part.tables}
        self.told: list[Row] = []
        self.counts: dict[tuple[str, str], int] = {}
        self.now_us = T0 + 100 * DAY
        self._read_us: int | None = None

    def restart(self) -> None:
        """A new worker on the state that was committed."""
        self.part = Sequences(self._rules, **self._spans)

    def give(self, *rows: Row, lost: bool = False) -> list[Row]:
        """One chunk; the revisions it brought about. `lost`: the worker dies before it is committed."""
        self.now_us += SECOND
        self._read_us = None
        return self._absorb(self.part.step(frame(rows), self.state, self.context, Moment(self.now_us)), lost)

    def tick(self, seconds: float = 0.0) -> list[Row]:
        """Let processing time pass in a task that has read all there is."""
        self._read_us = self._read_us or self.now_us
        self.now_us += round(seconds * SECOND) + SECOND
        return self._absorb(self.part.timer(self.state, self.context, Moment(self.now_us, self._read_us)), lost=False)

    def know(self, now: Context) -> list[Row]:
        """Another context, and what follows from it."""
        self.context = now
        return self.tick()

    def _absorb(self, outcome: Outcome, lost: bool) -> list[Row]:
        if lost:
            self.restart()
            return []
        for table in self.part.tables:
            if table.name in outcome.changes:
                self.state[table.name] = apply(table, self.state[table.name], outcome.changes[table.name])
        for name, count in outcome.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        rows = outcome.alerts.to_dicts()
        assert outcome.evidence.schema == EVIDENCE
        assert outcome.evidence["evidence_id"].to_list() == [f"alert:{row['alert_id']}" for row in rows]
        self.told += rows
        return rows

    def latest(self) -> dict[str, Row]:
        """The last revision of each alert; fails where revisions are not counted one by one."""
        last: dict[str, Row] = {}
        for row in self.told:
            before = last.get(row["alert_id"])
            assert row["revision"] == (1 if before is None else before["revision"] + 1)
            assert row["supersedes"] == (None if before is None else before["revision"])
            assert row["previous_state"] == (None if before is None else before["state"])
            last[row["alert_id"]] = row
        return last

    def standing(self) -> dict[str, Row]:
        """What the alerts that stand say, without how it came about."""
        return {
            name: {field: value for field, value in row.items() if field not in OF_REVISION}
            for name, row in self.latest().items()
            if row["state"] == "active"
        }


def seconds(rows: Iterable[Row]) -> list[tuple[float, str]]:
    """(s of the last step, state) of revisions."""
    return [((row["event_time"] - T0) / SECOND, row["state"]) for row in rows]


def play(rule: Sequence, shown: Timeline) -> list[tuple[float, str]]:
    """What an example of a rule leaves, as it says it itself; tickets come when they are known."""
    run = Run(rule)
    run.now_us = T0
    happens: list[tuple[float, int, Any]] = [(piece.at_s, 1, piece) for piece in shown.evidence]
    happens += [(ticket.known_s, 0, ticket) for ticket in shown.tickets]
    known: list[Ticket] = []
    models = [_model(piece) for piece in shown.evidence if "asset_model" in dict(piece.says)]
    run.context = context(0, asset=models)
    for number, (at_s, _, what) in enumerate(sorted(happens, key=lambda one: one[:2])):
        run.now_us = T0 + round(at_s * SECOND)
        if isinstance(what, Ticket):
            known.append(what)
            run.know(_tickets(known, models))
        else:
            run.give(_evidence(what, number))
    run.tick(shown.end_s - shown.evidence[-1].at_s)
    return sorted(seconds(run.latest().values()))


def _evidence(piece: Piece, number: int) -> Row:
    says = dict(piece.says)
    asset, actor = says.pop("asset", None), says.pop("actor", None)
    says.pop("asset_model", None)
    kind, name = says.pop("kind"), says.pop("id", str(number))
    place = {"asset_id": asset, "asset_path": asset, "zone": "zone-1", "actors": [actor] if actor else []}
    state = {"state": "active"} if kind == "alert" else {}
    return event(name, piece.at_s, kind, **{"alert_kind": "alert" if kind == "alert" else "", **place, **state, **says})


def _model(piece: Piece) -> Row:
    says = dict(piece.says)
    return {**asset(says["asset"]), "path": None, "work_center": None, "work_unit": None, "model": says["asset_model"]}


def _tickets(tickets: list[Ticket], assets: list[Row]) -> Context:
    made: dict[str, list[Row]] = {"change": [], "work_order": [], "asset": assets}
    for number, ticket in enumerate(tickets):
        build = change if ticket.what == "change" else order
        name = f"{'change' if ticket.what == 'change' else 'order'}_id"
        says: Row = {"activity": ticket.activity or None, "status": ticket.status, name: f"T-{number}"}
        says |= {"text": ticket.text or None}
        says |= {"actors": [ticket.actor] if ticket.actor else []}
        made[ticket.what].append(build(ticket.asset, ticket.from_s, ticket.to_s, **says))
    return context(len(tickets) + 1, **made)
