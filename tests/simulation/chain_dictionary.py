"""The IT context of the plan's plant, as the stages get it: signal dictionary, orders, calendar, assets."""

from __future__ import annotations

from typing import Any

import polars as pl

from streams.core.context import Context
from streams.core.dictionary import SIGNAL
from tests.core.alert_scene import ASSET
from tests.core.kpi_run import CALENDAR_COLUMNS, ORDER_COLUMNS, rows
from tests.simulation.chain_plan import SOURCES, STATES, T0, Source
from tests.simulation.reference import SECOND

SHIFT = ("early", T0 + 20 * SECOND, T0 + 200 * SECOND)
CLEANING = ("cleaning", T0 + 120 * SECOND, T0 + 135 * SECOND)
ORDERS = (("o1", T0 + 30 * SECOND, T0 + 150 * SECOND, 1.5), ("o2", T0 + 110 * SECOND, T0 + 230 * SECOND, 2.0))


def _versions(source: Source) -> list[dict[str, Any]]:
    signal = source.signal
    first = {
        "signal_id": signal.name,
        "site": "Hamburg",
        "valid_from": 0,
        "source_id": source.node,
        "address": source.address,
        "aliases": [],
        "work_center": source.line,
        "work_unit": source.unit,
        "role": signal.role,
        "unit": "Cel" if signal.role == "measurement" else None,
        "factor": 1.0,
        "offset": 0.0,
        "instrument_high": source.high,
        "enumeration": [{"key": key, "value": label} for key, label in STATES.items() if signal.role == "state"],
        "reporting": "on_change" if signal.on_change else "periodic",
        "period_ms": None if signal.period is None else signal.period // 1000,
        "rollover": signal.rollover,
        "redundant_of": source.standby_of,
        "window_lengths_s": list(signal.lengths),
    }
    later = [{**first, "valid_from": at, "unit": "K", "factor": source.changes_to} for at in signal.changes]
    return [first, *later]


def context(version: int = 1) -> Context:
    """All of it, as of one version."""
    orders = [
        {"order_id": name, "actual_start": start, "actual_end": end, "planned_run_time_s": pri}
        for name, start, end, pri in ORDERS
    ]
    order = {"valid_from": 0, "work_center": "line-1", "product": "cola", "status": "running", "site": "Hamburg"}
    entries = [
        {"entry_id": name, "name": name, "kind": kind, "start": start, "end": end}
        for kind, (name, start, end) in (("shift", SHIFT), ("planned_downtime", CLEANING))
    ]
    frames = {
        "it.signal.v1": pl.DataFrame([row for source in SOURCES for row in _versions(source)], schema=SIGNAL),
        "it.asset.v1": pl.DataFrame(schema=ASSET),
        "it.production_order.v1": rows(ORDER_COLUMNS, orders, **order),
        "it.calendar.v1": rows(CALENDAR_COLUMNS, entries, site="Hamburg", work_center="line-1"),
    }
    return Context(frames, version)
