"""Repair times as KPIs. Enter: incidents that are closed. Leave: rows of ops.kpi.v1 that say more than those before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from streams.core.correlate import lifecycle
from streams.core.correlate.lifecycle import Told, written
from streams.core.correlate.repair import month, repair_kpis
from streams.core.correlate.tables import REPAIR_TABLE, TOLD_TABLE, Ledger
from streams.core.correlate.tell import records
from streams.core.times import NEVER_US

# What says how a record came about, and not what it says.
_OF_REVISION: Final = ("revision", "supersedes", "reason", "origin", "emitted_at")
# In a payload: its period is not over.
_RUNNING: Final = '"final":false'
# Of a repair time whose incidents are none any more.
_NOTHING: Final = {"value": None, "failure_events": 0, "excluded_events": 0, "repair_s": 0.0}


def ended(ledger: Ledger, times: dict[str, int], horizon_us: int) -> bool:
    """Whether a period is over of which that was not told yet."""
    table = ledger[REPAIR_TABLE]
    clock = table["site"].replace_strict(list(times), list(times.values()), default=NEVER_US, return_dtype=pl.Int64)
    over = (table["period_end"] <= clock) & (clock <= table["period_end"] + horizon_us)
    return bool((over & table["payload"].str.contains(_RUNNING, literal=True)).any())


def lapse(before: Mapping[str, int], times: Mapping[str, int], horizon_us: int) -> bool:
    """Whether a month gets beyond the horizon of a site between these clocks."""
    return any(month(max(us - horizon_us, 0)) != month(max(times[site] - horizon_us, 0)) for site, us in before.items())


def repairs(
    ledger: Ledger, times: Mapping[str, int], horizon_us: int, now_us: int, before_us: Mapping[str, int] | None = None
) -> pl.DataFrame:
    """Rows of ops.kpi.v1 of what changed, written to the table. Periods that are beyond the horizon stay as told.

    `before_us`: the clocks that say what is beyond it, where these have leapt since (sites without one: nothing is).
    """
    reached = times if before_us is None else before_us
    closed = ledger[TOLD_TABLE].filter(pl.col("state") == lifecycle.CLOSED)
    rows = repair_kpis(records([(Told(*row), "") for row in closed.rows()], now_us))
    before = {row["kpi_id"]: row for row in ledger[REPAIR_TABLE].to_dicts()}
    after = {row["kpi_id"]: row for row in rows.to_dicts()}
    for kpi_id in before.keys() - after.keys():
        after[kpi_id] = json.loads(before[kpi_id]["payload"]) | _NOTHING
    out, kept = [], []
    for kpi_id, row in sorted(after.items()):
        row["final"] = row["period_end"] <= times.get(row["site"], NEVER_US)
        payload = written({name: value for name, value in row.items() if name not in _OF_REVISION})
        last = before.get(kpi_id)
        late = row["period_end"] + horizon_us < reached.get(row["site"], row["period_end"])
        if late or (last is not None and last["payload"] == payload):
            continue
        revision = 1 if last is None else last["revision"] + 1
        kept.append((kpi_id, row["site"], row["period_end"], revision, payload))
        reason = "closed" if last is None else "updated"
        if last is not None and row["final"] and _RUNNING in last["payload"]:
            reason = "final"
        out.append(_record(json.loads(payload), revision, reason, now_us))
    ledger.upsert(REPAIR_TABLE, pl.DataFrame(kept, schema=REPAIR_TABLE.schema, orient="row"))
    return pl.DataFrame(out, schema=dict(rows.schema) | _HEAD, orient="row")


_HEAD: Final = {
    "revision": pl.Int32(),
    "supersedes": pl.Int32(),
    "reason": pl.String(),
    "origin": pl.String(),
    "emitted_at": pl.Int64(),
}


def _record(payload: dict[str, Any], revision: int, reason: str, now_us: int) -> dict[str, Any]:
    before = revision - 1 if revision > 1 else None
    head = {"revision": revision, "supersedes": before, "reason": reason, "origin": "computed", "emitted_at": now_us}
    return payload | head
