"""A line of two edge nodes for the tests of the bundled rules on silence, and those rules on it."""

from __future__ import annotations

from typing import Any

from tests.core.alert_scene import Task, context, signal
from tests.rules.bottling import rules

PLACE = {"work_unit": "line-1-filler", "asset_id": "line-1-filler"}


def silent_line(*rule_ids: str) -> Task:
    """The alert stage with these bundled rules on a filler that is read by node edge-1 (and a capper by edge-2)."""
    signals = [
        signal("temperature", name="filler bearing temperature", period_ms=1000, source_id="edge-1", **PLACE),
        signal("pressure", name="filler bowl pressure", unit="kPa", period_ms=1000, source_id="edge-1", **PLACE),
        signal("state", role="state", unit=None, reporting="on_change", source_id="edge-1", **PLACE),
        signal("torque", unit="N.m", period_ms=500, source_id="edge-2", work_unit="line-1-capper"),
    ]
    assets: list[dict[str, Any]] = [
        {"asset_id": "line-1-filler", "valid_from": 0, "path": "plantweave/line-1/filler", "work_center": "line-1",
         "work_unit": "line-1-filler", "owner": "maintenance", "zone": "line-1-control"},
        {"asset_id": "edge-1", "valid_from": 0, "path": "plantweave/line-1/cabinet-1", "name": "edge 1",
         "work_center": "line-1", "owner": "it-ot", "zone": "line-1-control"},
        {"asset_id": "edge-2", "valid_from": 0, "path": "plantweave/line-1/cabinet-2", "work_center": "line-1",
         "zone": "line-1-control"},
    ]  # fmt: skip
    order = {"order_id": "PO-1007", "valid_from": 0, "work_center": "line-1", "product": "Cola 0.5 l",
             "actual_start": 0, "status": "running"}  # fmt: skip
    return Task([rule for rule in rules() if rule.id in rule_ids], context(signals, assets, [order]))
