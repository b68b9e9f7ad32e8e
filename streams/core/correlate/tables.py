"""Tables and columns of incidents. Enter: the state of a task. Leaves: a `Ledger`: tables, what changed, counts."""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core import ledger
from streams.core.stage import Table, Tables

_TEXT: Final = pl.String()
_TIME: Final = pl.Int64()
_TEXTS: Final = pl.List(pl.String())

# A row of ops.evidence.v1.
EVIDENCE: Final = pl.Schema(
    {
        "evidence_id": _TEXT,
        "kind": _TEXT,
        "revision": pl.Int32(),
        "site": _TEXT,
        "tenant": _TEXT,
        "domain": _TEXT,
        "event_time": _TIME,
        "begin_time": _TIME,
        "end_time": _TIME,
        "time_precision": _TEXT,
        "detection_time": _TIME,
        "ingest_time": _TIME,
        "state": _TEXT,
        "reason": _TEXT,
        "historical": pl.Boolean(),
        "annunciated": pl.Boolean(),
        "type": _TEXT,
        "rule_version": pl.Int32(),
        **dict.fromkeys(("alert_kind", "priority", "work_center", "work_unit", "asset_id", "asset_path"), _TEXT),
        **dict.fromkeys(("asset_name", "zone", "criticality", "owner", "position", "signal_id", "source_id"), _TEXT),
        **dict.fromkeys(("source_address", "target_address", "source_asset_id"), _TEXT),
        "actors": _TEXTS,
        "remote": pl.Boolean(),
        "value": pl.Float64(),
        "value_string": _TEXT,
        **dict.fromkeys(("order_id", "product"), _TEXT),
        **dict.fromkeys(("verdict", "verdict_by", "verdict_reference", "verdict_text"), _TEXT),
        "verdict_until": _TIME,
        "cause_alert_id": _TEXT,
        "members": _TEXTS,
        "message": _TEXT,
        "response": _TEXT,
        "evidence": _TEXTS,
        "context_missing": _TEXTS,
    }
)
CAUSE: Final = pl.Struct(
    {
        "rank": pl.Int32(),
        "kind": _TEXT,
        "reference": _TEXT,
        "asset_id": _TEXT,
        "time": _TIME,
        "confidence": pl.Float64(),
        "text": _TEXT,
        "evidence": _TEXTS,
    }
)
# What an order repaired within an incident besides the order whose clocks the incident has.
REPAIR: Final = pl.Struct(
    {
        **dict.fromkeys(("work_order", "work_center", "work_unit", "asset_id", "failure_mode"), _TEXT),
        **dict.fromkeys(("fault_at", "arrived_at", "repaired_at"), _TIME),
        **dict.fromkeys(("down_s", "repair_s"), pl.Float64()),
        "excluded": _TEXT,
    }
)
CLOCKS: Final = ("fault", "detected", "acknowledged", "arrived", "repaired", "verified")
# A row of ops.incident.v1.
INCIDENT: Final = pl.Schema(
    {
        "incident_id": _TEXT,
        "revision": pl.Int32(),
        "supersedes": pl.Int32(),
        "reason": _TEXT,
        "site": _TEXT,
        "tenant": _TEXT,
        "origin": _TEXT,
        "historical": pl.Boolean(),
        "state": _TEXT,
        "priority": _TEXT,
        **dict.fromkeys(("verdict", "verdict_by", "verdict_reference", "verdict_text"), _TEXT),
        **dict.fromkeys(("verdict_until", "event_time", "begin_time", "end_time", "detection_time"), _TIME),
        "work_centers": _TEXTS,
        "assets": _TEXTS,
        **dict.fromkeys(("asset_path", "owner", "position", "failure_mode"), _TEXT),
        **dict.fromkeys(("failed_work_center", "failed_work_unit", "failed_asset_id"), _TEXT),
        "members": _TEXTS,
        "member_count": pl.Int32(),
        "annunciated_members": _TEXTS,
        **dict.fromkeys(("orders", "products", "work_orders", "changes", "kpis"), _TEXTS),
        "causes": pl.List(CAUSE),
        **{
            f"{clock}_{part}": kind
            for clock in CLOCKS
            for part, kind in {"at": _TIME, "source": _TEXT, "precision": _TEXT}.items()
        },
        "down_s": pl.Float64(),
        "repair_s": pl.Float64(),
        "repairs": pl.List(REPAIR),
        "merged_into": _TEXT,
        "split_from": _TEXT,
        "message": _TEXT,
        "evidence": _TEXTS,
        "context_missing": _TEXTS,
    }
)

KEY: Final = ("site", "evidence_id")
EVIDENCE_TABLE: Final = Table("evidence", EVIDENCE, KEY)
# Evidence that incidents are made of. `stop_us`: null while it stands; `component`: evidence_id of the first of all
# that hangs together; `incident_id`: the part of it that it belongs to.
MEMBER: Final = pl.Schema(
    {"site": _TEXT, "evidence_id": _TEXT, "begin_us": _TIME, "stop_us": _TIME, "component": _TEXT, "incident_id": _TEXT}
)
MEMBER_TABLE: Final = Table("member", MEMBER, KEY)
# What was told last of each incident. `over_us`: end of its last member, null while one stands; `payload`: JSON of the
# fields that do not say how it came about.
TOLD: Final = pl.Schema(
    {
        **dict.fromkeys(("site", "incident_id"), _TEXT),
        "revision": pl.Int32(),
        "state": _TEXT,
        "merged_into": _TEXT,
        "split_from": _TEXT,
        "begin_us": _TIME,
        "over_us": _TIME,
        "payload": _TEXT,
    }
)
TOLD_TABLE: Final = Table("incident", TOLD, ("incident_id",))
# The context that each incident was last seen with, and when that was (processing time).
SEEN_TABLE: Final = Table(
    "seen", pl.Schema({"incident_id": _TEXT, "context_key": _TIME, "seen_us": _TIME}), ("incident_id",)
)
# Highest event time of a site, how far its clock went without evidence, and when it was last heard (processing time).
SITE_TABLE: Final = Table(
    "site", pl.Schema({"site": _TEXT, "latest_us": _TIME, "clock_us": _TIME, "heard_us": _TIME}), ("site",)
)
# One row: the process flow that members were last linked with; since when (processing time) repair times are to be told
# anew, null where they are not.
TASK_TABLE: Final = Table("task", pl.Schema({"one": pl.Int8(), "flow_key": _TIME, "repairs_since_us": _TIME}), ("one",))
# What was told last of each repair time.
REPAIR_TABLE: Final = Table(
    "repair",
    pl.Schema({"kpi_id": _TEXT, "site": _TEXT, "period_end": _TIME, "revision": pl.Int32(), "payload": _TEXT}),
    ("kpi_id",),
)
TABLES: Final = (
    EVIDENCE_TABLE,
    MEMBER_TABLE,
    TOLD_TABLE,
    SEEN_TABLE,
    SITE_TABLE,
    TASK_TABLE,
    REPAIR_TABLE,
)


def under(frame: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """Rows of `frame` under these keys (KEY). By ids first: keys are few, and a join passes over all the columns."""
    some = frame.filter(pl.col("evidence_id").is_in(keys["evidence_id"].unique().implode()))
    return some.join(keys.select(KEY).unique(), on=list(KEY), how="semi", maintain_order="left")


def without(frame: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """`frame` but for the rows under these keys (KEY); itself where there are none."""
    if not under(frame.select(KEY), keys).height:
        return frame
    return frame.join(keys, on=list(KEY), how="anti", maintain_order="left")


class Ledger(ledger.Ledger):
    """The tables of this stage within one step."""

    def __init__(self, state: Tables) -> None:
        super().__init__(TABLES, state)

    def task(self) -> tuple[int | None, int | None]:
        """(flow_key, repairs_since_us) of the task's row."""
        rows = self[TASK_TABLE].select("flow_key", "repairs_since_us").rows()
        return rows[0] if rows else (None, None)

    def remember(self, flow_key: int | None, repairs_since_us: int | None) -> None:
        """Change the task's row where it says something else."""
        if self.task() != (flow_key, repairs_since_us):
            row = {"one": 1, "flow_key": flow_key, "repairs_since_us": repairs_since_us}
            self.upsert(TASK_TABLE, pl.DataFrame([row], schema=TASK_TABLE.schema))
