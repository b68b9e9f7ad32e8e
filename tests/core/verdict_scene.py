"""A small plant for the tests of verdicts: alerts, assets, orders and changes by their differences from a plain one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from streams import topology
from streams.core.context import Context
from streams.core.verdict import verdicts
from streams.core.verdict.match import ASKED
from tests.core.alert_scene import ASSET

H = 3_600_000_000
T0 = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC
CLOCKS = ("planned_start", "planned_end", "released_at", "started_at", "finished_at")

WORK_ORDER = pl.Schema(
    {name: pl.String() for name in ("order_id", "site", "tenant")}
    | {"valid_from": pl.Int64(), "valid_to": pl.Int64()}
    | {name: pl.String() for name in ("asset_id", "asset_path", "work_center", "work_unit", "kind", "status")}
    | {"activity": pl.String(), "actors": pl.List(pl.String())}
    | {name: pl.Int64() for name in CLOCKS}
    | {f"{name}_precision": pl.String() for name in CLOCKS}
)
CHANGE = pl.Schema(
    {name: pl.String() for name in ("change_id", "site", "tenant")}
    | {"valid_from": pl.Int64(), "valid_to": pl.Int64()}
    | {"asset_ids": pl.List(pl.String()), "asset_paths": pl.List(pl.String())}
    | {name: pl.String() for name in ("kind", "status", "activity")}
    | {"start": pl.Int64(), "end": pl.Int64(), "actors": pl.List(pl.String())}
)

Row = dict[str, Any]
# The plant e/s has line-1 with the filler, which has a motor.
LINE = {"asset_id": "L1", "valid_from": 0, "path": "e/s/line-1"}
FILLER = {"asset_id": "F", "valid_from": 0, "path": "e/s/line-1/filler"}
MOTOR = {"asset_id": "M", "valid_from": 0, "path": "e/s/line-1/filler/motor"}
ASSETS = (LINE, FILLER, MOTOR)


def at(hours: float) -> int:
    """An instant, hours after T0."""
    return T0 + round(hours * H)


def alert(**fields: Any) -> Row:
    """An alert of the filler from 10 h to 11 h that `repair` explains."""
    row = {
        "asset_id": "F", "asset_path": "e/s/line-1/filler", "work_center": "line-1", "work_unit": "filler",
        "begin_time": at(10), "end_time": at(11), "domain": "process", "activities": ["repair", "clean"],
        "actors": [], "known_until": None,
    }  # fmt: skip
    return row | fields


def order(order_id: str = "WO-1", **fields: Any) -> Row:
    """A repair of the filler that was released at 8 h, started at 9 h and finished at 12 h."""
    row = {
        "order_id": order_id, "valid_from": at(0), "asset_id": "F", "kind": "corrective", "status": "finished",
        "activity": "repair", "actors": [], "released_at": at(8), "started_at": at(9), "finished_at": at(12),
    }  # fmt: skip
    exact = {f"{name}_precision": "exact" for name in CLOCKS}
    return exact | row | fields


def change(change_id: str = "CH-1", **fields: Any) -> Row:
    """A change of the filler's setpoints by `anna`, approved from 9 h to 12 h."""
    row = {
        "change_id": change_id, "valid_from": at(0), "asset_ids": ["F"], "asset_paths": [], "kind": "normal",
        "status": "approved", "activity": "setpoint", "start": at(9), "end": at(12), "actors": ["anna"],
    }  # fmt: skip
    return row | fields


def context(
    orders: Sequence[Mapping[str, Any]] = (),
    changes: Sequence[Mapping[str, Any]] = (),
    assets: Sequence[Mapping[str, Any]] = ASSETS,
) -> Context:
    """The context of these rows; fields that are left out are null."""
    return Context(
        {
            topology.ASSET.name: pl.DataFrame(list(assets), schema=ASSET),
            topology.WORK_ORDER.name: pl.DataFrame(list(orders), schema=WORK_ORDER),
            topology.CHANGE.name: pl.DataFrame(list(changes), schema=CHANGE),
        }
    )


def frame(*alerts: Mapping[str, Any]) -> pl.DataFrame:
    """Alerts as `verdicts` takes them."""
    return pl.DataFrame(list(alerts), schema=ASKED)


def said(of: Mapping[str, Any], orders: Sequence[Row] = (), changes: Sequence[Row] = (), **other: Any) -> Row:
    """The verdict of one alert."""
    (row,) = verdicts(frame(of), context(orders, changes, **other)).rows(named=True)
    return row
