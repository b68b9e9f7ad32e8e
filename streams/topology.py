"""READ FIRST: the data's way. Every topic and every service, in the order in which data passes them.

The application, topic creation, metrics, the diagram in docs and the deployment files derive from this table or are
tested against it; nothing else in the code base says which topic goes where.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

Cleanup = Literal["delete", "compact"]
Layout = Literal["row", "columnar"]


@dataclass(frozen=True)
class Topic:
    """One topic: its name without prefix, what its records are keyed by, and how long they stay.

    `schema` is the file `schemas/<folder>/<name>.avsc`; `layout` tells whether a record holds one row or arrays of
    many; `bulk` topics are decoded block by block (all their consumers see chunks, never single records): all that
    services read besides context. `ends`: states (column `state`) with which a record of a compacted topic ends: what
    is written then is a tombstone, which deletes its key.
    """

    name: str
    folder: str
    key: str
    text: str
    layout: Layout = "row"
    bulk: bool = False
    cleanup: Cleanup = "delete"
    retention_ms: int = 7 * DAY_MS
    ends: tuple[str, ...] = ()

    @property
    def schema_path(self) -> str:
        """Path of the contract below `schemas/`."""
        return f"{self.folder}/{self.name}.avsc"


@dataclass(frozen=True)
class Stage:
    """One service: a consumer group that reads co-partitioned topics, looks things up in context, writes topics.

    Every service writes REJECTED: what it cannot decode is told there. `texts`: context topics whose free texts it
    reads; those of all others, which may name persons, stay outside of it.
    """

    name: str
    reads: tuple[Topic, ...]
    writes: tuple[Topic, ...]
    context: tuple[Topic, ...] = ()
    text: str = ""
    texts: tuple[Topic, ...] = ()


# IT context: compacted, all versions of an entity under its id.
SIGNAL: Final = Topic("it.signal.v1", "00-context", "signal_id", "signal dictionary", cleanup="compact")
ASSET: Final = Topic("it.asset.v1", "00-context", "asset_id", "assets", cleanup="compact")
PRODUCTION_ORDER: Final = Topic("it.production_order.v1", "00-context", "order_id", "orders", cleanup="compact")
CALENDAR: Final = Topic("it.calendar.v1", "00-context", "entry_id", "shift calendar", cleanup="compact")
WORK_ORDER: Final = Topic("it.work_order.v1", "00-context", "order_id", "work orders with clocks", cleanup="compact")
CHANGE: Final = Topic("it.change.v1", "00-context", "change_id", "change tickets", cleanup="compact")
OPERATOR_POSITION: Final = Topic(
    "it.operator_position.v1", "00-context", "position_id", "who answers for what", cleanup="compact"
)
# IT events: what happened, not what holds.
ACCESS: Final = Topic(
    "it.access.v1", "00-context", "access_id", "logons and failed logons", bulk=True, retention_ms=35 * DAY_MS
)
FLOW: Final = Topic(
    "it.flow.v1", "00-context", "flow_id", "network flows and leases", bulk=True, retention_ms=35 * DAY_MS
)

# Raw OT data, as edge nodes send it.
RAW_READING: Final = Topic("ot.raw.reading.v1", "10-raw", "source_id", "one raw reading per message", bulk=True)
RAW_BATCH: Final = Topic("ot.raw.batch.v1", "10-raw", "source_id", "columnar raw batches", bulk=True)
RAW_ALARM: Final = Topic("ot.raw.alarm.v1", "10-raw", "source_id", "alarms that sources raise themselves", bulk=True)

# Validated readings, by line.
READING: Final = Topic("ot.reading.v1", "20-reading", "work_center", "validated readings", layout="columnar", bulk=True)
REJECTED: Final = Topic("ot.reading.rejected.v1", "20-reading", "source_id", "what cannot be interpreted")
UNKNOWN: Final = Topic(
    "ot.signal.unknown.v1", "20-reading", "source_id/address", "inventory of unknown signals", cleanup="compact"
)

# Derived.
WINDOW: Final = Topic("ot.window.v1", "30-window", "work_center", "closed windows and their revisions")
LATE: Final = Topic("ot.window.late.v1", "30-window", "work_center", "readings beyond the correction horizon")
ALERT: Final = Topic(
    "ops.alert.v1", "40-alert", "work_center", "alert and alarm transitions", bulk=True, retention_ms=90 * DAY_MS
)
KPI: Final = Topic("ops.kpi.v1", "50-kpi", "work_center", "KPIs with their elements", retention_ms=365 * DAY_MS)
EVIDENCE: Final = Topic(
    "ops.evidence.v1", "60-route", "site", "what incidents are made of", bulk=True, retention_ms=35 * DAY_MS
)
INCIDENT: Final = Topic(
    "ops.incident.v1", "70-correlate", "site", "incidents, revision by revision", retention_ms=365 * DAY_MS
)
INCIDENT_CURRENT: Final = Topic(
    "ops.incident.current.v1",
    "70-correlate",
    "incident_id",
    "incidents that are open",
    cleanup="compact",
    ends=("closed", "merged", "retracted"),
)

# What alerts are labelled with, whoever tells them.
LABELS: Final = (SIGNAL, ASSET, PRODUCTION_ORDER, WORK_ORDER, CHANGE, OPERATOR_POSITION)

VALIDATE: Final = Stage(
    "validate",
    reads=(RAW_READING, RAW_BATCH),
    context=LABELS,
    writes=(READING, REJECTED, UNKNOWN, ALERT),
    text="time, resolve, scale, normalise quality, reject what cannot be interpreted, alert on clocks and dictionary",
)
WINDOW_STAGE: Final = Stage(
    "window",
    reads=(READING,),
    context=(SIGNAL,),
    writes=(WINDOW, LATE, REJECTED),
    text="tumbling windows with time-weighted means, coverage and revisions",
)
ALERT_STAGE: Final = Stage(
    "alert",
    reads=(READING,),
    context=LABELS,
    writes=(ALERT, REJECTED),
    text="threshold, rate-of-change, state and change rules, enriched as of event time",
)
KPI_STAGE: Final = Stage(
    "kpi",
    reads=(READING,),
    context=(SIGNAL, PRODUCTION_ORDER, CALENDAR),
    writes=(KPI, REJECTED),
    text="ISO 22400-2 elements and KPIs per work unit and hour, order and shift",
)

ROUTE: Final = Stage(
    "route",
    reads=(ALERT, ACCESS, FLOW, RAW_ALARM),
    writes=(EVIDENCE, REJECTED),
    text="alerts, logons, flows and the alarms of sources in one form, by site",
)
CORRELATE_STAGE: Final = Stage(
    "correlate",
    reads=(EVIDENCE,),
    context=(ASSET, PRODUCTION_ORDER, WORK_ORDER, CHANGE, OPERATOR_POSITION),
    writes=(INCIDENT, INCIDENT_CURRENT, ALERT, KPI, REJECTED),
    texts=(WORK_ORDER,),
    text="incidents out of evidence that belongs together, with causes, clocks and repair times",
)

STAGES: Final[tuple[Stage, ...]] = (VALIDATE, WINDOW_STAGE, ALERT_STAGE, KPI_STAGE, ROUTE, CORRELATE_STAGE)
CONTEXT: Final[tuple[Topic, ...]] = (
    SIGNAL,
    ASSET,
    PRODUCTION_ORDER,
    CALENDAR,
    WORK_ORDER,
    CHANGE,
    OPERATOR_POSITION,
)


def topics() -> tuple[Topic, ...]:
    """Every public topic once, in the data's order."""
    seen: dict[str, Topic] = {}
    for stage in STAGES:
        for topic in (*stage.context, *stage.reads, *stage.writes):
            seen.setdefault(topic.name, topic)
    return tuple(sorted(seen.values(), key=lambda topic: (topic.folder, topic.name)))


def topic(name: str) -> Topic:
    """The topic called `name` (without prefix); KeyError names the known ones."""
    for candidate in topics():
        if candidate.name == name:
            return candidate
    raise KeyError(f"{name}: no such topic; known are {', '.join(t.name for t in topics())}")


def stage(name: str) -> Stage:
    """The service called `name`; KeyError names the known ones."""
    for candidate in STAGES:
        if candidate.name == name:
            return candidate
    raise KeyError(f"{name}: no such service; known are {', '.join(s.name for s in STAGES)}")


def state_topic(service: str) -> str:
    """Name (without prefix) of the topic that holds the state of a service's tasks."""
    return f"plantweave.{service}.state.v1"


def group(service: str) -> str:
    """Consumer group (without prefix) of a service."""
    return f"plantweave.{service}"
