"""What is remembered of silence, and what stands. Enter: tables of one task. Leave: `Standing`, `Told`, and changes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import polars as pl

from streams.core.alert.rule import Rule
from streams.core.frames import ID
from streams.core.stage import Change, Table

# How far a source's stamps have come (`clock_time`), how much of that it was there (`active_us`, leaps left out), and
# when it was last processed.
SOURCE: Final = Table(
    "silence_source",
    pl.Schema({"source_id": ID, "clock_time": pl.Int64(), "active_us": pl.Int64(), "seen_time": pl.Int64()}),
    key=("source_id",),
)
# When the broker last had something of a node for a line.
NODE: Final = Table(
    "silence_node",
    pl.Schema({"source_id": ID, "work_center": ID, "heard_time": pl.Int64(), "evidence": pl.String()}),
    key=("source_id", "work_center"),
)
# The last reading of a signal: of which source and line, and how long that had been there by then (`active_us`). The
# same of the reading that began a run of bad ones (`bad_time` null: it is not bad). Of the last value that could be
# judged: the time worked until then, and where its two runs began (`frozen.py`).
SIGNAL: Final = Table(
    "silence_signal",
    pl.Schema(
        {
            "signal_id": ID,
            "source_id": ID,
            "work_center": ID,
            "last_time": pl.Int64(),
            "active_us": pl.Int64(),
            "partition": pl.Int32(),
            "offset": pl.Int64(),
            "bad_time": pl.Int64(),
            "bad_active_us": pl.Int64(),
            "bad_offset": pl.Int64(),
            "value": pl.Float64(),
            "value_time": pl.Int64(),
            "worked_us": pl.Int64(),
            "judged": pl.Boolean(),
            "start_0": pl.Int64(),
            "start_1": pl.Int64(),
            "begin_0": pl.Int64(),
            "begin_1": pl.Int64(),
        }
    ),
    key=("signal_id",),
)
# The last label of the signals that tell a machine's state.
STATE: Final = Table("silence_state", pl.Schema({"signal_id": ID, "time": pl.Int64(), "label": ID}), key=("signal_id",))
STANDING: Final = Table(
    "silence",
    pl.Schema(
        {
            "rule_id": pl.String(),
            "subject": pl.String(),
            "rule_version": pl.Int32(),
            "watch": pl.String(),
            "type": pl.String(),
            "kind": pl.String(),
            "priority": pl.String(),
            "site": pl.String(),
            "tenant": pl.String(),
            "work_center": pl.String(),
            "signal_id": pl.String(),
            "source_id": pl.String(),
            "zone": pl.String(),
            "begin_time": pl.Int64(),
            "active_time": pl.Int64(),
            "limit": pl.Float64(),
            "value": pl.Float64(),
            "revision": pl.Int32(),
            "annunciated": pl.Boolean(),
            "cause": pl.String(),
            "released_time": pl.Int64(),
            "evidence": pl.String(),
            "members": pl.List(pl.String()),
        }
    ),
    key=("rule_id", "subject"),
)
TABLES: Final = (SOURCE, NODE, SIGNAL, STATE, STANDING)


@dataclass
class Standing:
    """An alert on silence that stands. Times in us, `limit` in s.

    `subject` is what it is about: the signal, node@line or zone@line. `cause` is the id of the alert that explains it;
    `released_time`, when that one was over. `members` are the nodes of a segment.
    """

    rule_id: str
    subject: str
    rule_version: int
    watch: str
    type: str
    kind: str
    priority: str
    site: str
    tenant: str | None
    work_center: str
    signal_id: str | None
    source_id: str | None
    zone: str | None
    begin_time: int
    active_time: int
    limit: float
    value: float | None = None
    revision: int = 0
    annunciated: bool = False
    cause: str | None = None
    released_time: int | None = None
    evidence: str = ""
    members: list[str] = field(default_factory=list)

    @property
    def alert_id(self) -> str:
        """Identity of the alert over all its revisions."""
        return f"{self.rule_id}|{self.subject}|{self.begin_time}"

    @property
    def key(self) -> tuple[str, str]:
        """Key of its row."""
        return self.rule_id, self.subject


@dataclass(frozen=True)
class Told:
    """An announced transition: the alert as it was then, when (event time) and why, and the record that showed it."""

    standing: Standing
    state: str
    reason: str
    event_time: int
    ingest_time: int = 0
    evidence: str = ""


def standing_of(rule: Rule, subject: str, begin_time: int, active_time: int, **facts: Any) -> Standing:
    """A new alert of `rule`; `facts` are the fields that say what and where."""
    assert rule.watch is not None
    return Standing(
        rule.id, subject, rule.version, rule.watch.fingerprint, rule.type, rule.kind, rule.priority,
        begin_time=begin_time, active_time=active_time, **facts,
    )  # fmt: skip


class Ledger:
    """The alerts that stand, and what is told of them."""

    def __init__(self, table: pl.DataFrame) -> None:
        self.open = {found.key: found for found in (Standing(**row) for row in table.iter_rows(named=True))}
        self.told: list[Told] = []
        self._touched: dict[tuple[str, str], Standing] = {}
        self._closed: set[tuple[str, str]] = set()

    def raised(self, standing: Standing, *, annunciated: bool) -> Standing:
        """It stands from now on; with a cause it is not annunciated."""
        standing.annunciated = annunciated and standing.cause is None
        self.open[standing.key] = standing
        self._tell(standing, "active", "condition_active", standing.active_time, evidence=standing.evidence)
        return standing

    def still(self, standing: Standing, event_time: int) -> None:
        """What had not been annunciated stands: now it is."""
        standing.annunciated = True
        self._tell(standing, "active", "still_active", max(event_time, standing.active_time))

    def explained(self, standing: Standing, cause: str, event_time: int) -> None:
        """Another alert explains it: it is no longer one that demands anything."""
        standing.cause, standing.released_time, standing.annunciated = cause, None, False
        self._tell(standing, "active", "consequence", max(event_time, standing.active_time))

    def released(self, standing: Standing, event_time: int) -> None:
        """What explained it is over, and it stands on its own."""
        standing.cause, standing.released_time, standing.annunciated = None, None, True
        self._tell(standing, "active", "cause_over", max(event_time, standing.active_time))

    def touch(self, standing: Standing) -> None:
        """Write it back without telling anyone."""
        self._touched[standing.key] = standing

    def cleared(self, standing: Standing, reason: str, event_time: int, ingest_time: int = 0,
                evidence: str = "") -> None:  # fmt: skip
        """It is over since `event_time`; what it explained may have to stand on its own from then on."""
        for other in self.open.values():
            if other.cause == standing.alert_id:
                other.released_time = event_time
                self.touch(other)
        self._tell(standing, "cleared", reason, max(event_time, standing.active_time), ingest_time, evidence)
        del self.open[standing.key]
        self._touched.pop(standing.key, None)
        self._closed.add(standing.key)

    def passed(self, standing: Standing, event_time: int, ingest_time: int, evidence: str) -> None:
        """It began and ended before it was known: recorded, not annunciated."""
        self.raised(standing, annunciated=False)
        self.cleared(standing, "condition_cleared", event_time, ingest_time, evidence)

    def change(self) -> Change:
        """What became of the table."""
        if not self._touched and not self._closed:
            return Change()
        gone = [key for key in self._closed if key not in self.open]
        delete = pl.DataFrame(gone, schema={name: pl.String() for name in STANDING.key}, orient="row")
        rows = [{f.name: getattr(s, f.name) for f in fields(Standing)} for s in self._touched.values()]
        return Change(upsert=pl.DataFrame(rows, schema=STANDING.schema), delete=delete)

    def _tell(self, standing: Standing, state: str, reason: str, event_time: int, ingest_time: int = 0,
              evidence: str = "") -> None:  # fmt: skip
        standing.revision += 1
        self.touch(standing)
        self.told.append(Told(replace(standing), state, reason, event_time, ingest_time, evidence))
