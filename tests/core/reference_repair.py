"""Repair times, computed plainly: sums of fractions, one by one. Enters: incidents. Leaves: sums by place and month."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

Row = dict[str, Any]
# KPI, site, line, machine, asset, failure mode, month.
Key = tuple[str, str, str, str, str | None, str | None, str]
# Sum of the times in s, failures in it, failures left out.
Sums = tuple[Fraction, int, int]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def repairs(rows: Sequence[Row]) -> dict[Key, Sums]:
    """What MTTR is the quotient of."""
    newest: dict[str, Row] = {}
    for row in rows:
        known = newest.get(row["incident_id"])
        if known is None or known["revision"] < row["revision"]:
            newest[row["incident_id"]] = row
    sums: dict[Key, Sums] = {}
    orders = set()
    counted = [row for row in newest.values() if row["state"] == "closed" and row["verdict"] != "expected"]
    for row in sorted((one for row in counted for one in failures(row)), key=lambda row: row["at"]):
        by = row["by"]
        if by and (row["site"], by) in orders:
            continue
        orders.add((row["site"], by))
        month = f"{EPOCH + timedelta(microseconds=row['fault_at']):%Y-%m}"
        where = (row["failed_work_center"] or "", row["failed_work_unit"] or "", row["failed_asset_id"])
        for kpi, field in (("mttr_iso", "down_s"), ("mttr_smrp", "repair_s")):
            key = (kpi, row["site"], *where, row["failure_mode"], month)
            total, events, excluded = sums.get(key, (Fraction(0), 0, 0))
            if row[field] is None:
                sums[key] = (total, events, excluded + 1)
            else:
                sums[key] = (total + Fraction(round(row[field] * 1_000_000), 1_000_000), events + 1, excluded)
    return sums


def failures(row: Row) -> list[Row]:
    """The failure of an incident, and what other orders repaired in it; what repaired nothing comes last."""
    by = row["repaired_source"] or row["arrived_source"] or row["verified_source"]
    found = [{**row, "by": by, "at": (False, row["fault_at"], row["incident_id"], by or "")}]
    for one in row["repairs"] or []:
        fault = one["fault_at"] if one["fault_at"] is not None else row["begin_time"]
        by = f"work_order:{one['work_order']}"
        where = {f"failed_{name}": one[name] for name in ("work_center", "work_unit", "asset_id")}
        said = {name: one[name] for name in ("failure_mode", "down_s", "repair_s")}
        at = (one["fault_at"] is None, fault, row["incident_id"], by)
        found.append({**row, **where, **said, "fault_at": fault, "by": by, "at": at})
    return found
