"""Describes incidents of a small line. Enter: evidence and context by their differences. Leaves: what is said of them.

Line-1 is fed from left to right: depalletizer, filler (with a valve and a controller), capper. Times are minutes after
T0, 2026-09-21 14:13:20 UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from streams.core.correlate.describe import describe
from streams.core.correlate.tables import EVIDENCE
from streams.core.correlate.weights import DEFAULT, Weights
from tests.core.correlate_scene import MINUTE, SITE, T0, Row, asset, context

LINE: Final = {"asset_id": "line-1", "valid_from": 0, "path": "acme/site-1/hall/line-1", "work_center": "line-1"}
ASSETS: Final = (
    LINE,
    {**asset("depalletizer", feeds=["filler"], criticality="medium"), "name": "Depalletizer"},
    {**asset("filler", feeds=["capper"], criticality="high", owner="packaging"), "name": "Filler"},
    {**asset("filler/valve", criticality="high"), "name": "Filler valve 7"},
    {**asset("filler/plc", interfaces=["10.0.0.7"]), "name": "Filler controller"},
    {**asset("capper", criticality="low"), "name": "Capper"},
)
LEAD: Final = {
    "position_id": "filling/shift-lead",
    "valid_from": 0,
    "paths": ["acme/site-1/hall/line-1"],
    "kind": "operator",
}
_CLOCKS: Final = (
    "planned_start",
    "planned_end",
    "released_at",
    "started_at",
    "arrived_at",
    "finished_at",
    "verified_at",
)


def at(minutes: float) -> int:
    """An instant."""
    return T0 + round(minutes * MINUTE)


def order(order_id: str = "WO-1", precision: str = "exact", **fields: Any) -> Row:
    """A corrective order on the filler; clocks in minutes, all of one precision, `<clock>_precision` says otherwise."""
    clocks = {name: at(fields.pop(name)) for name in _CLOCKS if fields.get(name) is not None}
    told = {f"{name}_precision": precision for name in clocks}
    row = {"order_id": order_id, "site": SITE, "valid_from": 0, "asset_id": "filler", "kind": "corrective"}
    return {
        **row,
        "status": "finished",
        **dict.fromkeys((f"{name}_precision" for name in _CLOCKS), "absent"),
        **clocks,
        **told,
        **fields,
    }


def change(change_id: str, start: float, end: float | None = None, **fields: Any) -> Row:
    """An approved change of the filler, in minutes."""
    row = {"change_id": change_id, "site": SITE, "valid_from": 0, "asset_ids": ["filler"], "status": "approved"}
    return {**row, "start": at(start), "end": None if end is None else at(end), **fields}


def production(order_id: str, start: float, end: float | None = None, **fields: Any) -> Row:
    """A production order of the line, in minutes."""
    row = {"order_id": order_id, "site": SITE, "valid_from": 0, "work_center": "line-1", "product": "cola"}
    return {
        **row,
        "actual_start": at(start),
        "actual_end": None if end is None else at(end),
        "status": "running",
        **fields,
    }


def evidence(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as the stage hands them over."""
    found = pl.DataFrame([{**dict.fromkeys(EVIDENCE), **row} for row in rows], schema=EVIDENCE, orient="row")
    return found.sort("begin_time", "evidence_id")


def say(
    *members: Row, near: Sequence[Row] = (), weights: Weights = DEFAULT, **told: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What is said of an incident of these members."""
    return describe(evidence(members), evidence(near), context(1, **{"asset": ASSETS, **told}), weights)
