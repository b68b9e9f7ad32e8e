"""IT context of the plant. In: its lines and an instant. Out: rows of dictionary, assets, orders and calendar then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from streams.plant.edge import Pace
from streams.plant.line import Line
from streams.plant.model import (
    AREA,
    ENTERPRISE,
    FILLER,
    HOUR_US,
    SECOND_US,
    SITE,
    STATES,
    UNITS,
    Signal,
    address,
    edges,
    line_id,
    signal_id,
    unit_id,
)
from streams.plant.script import PLANNED_EVERY_US, Order, planned_downtime

Row = dict[str, Any]

# The shift that begins in the first, second or third eight hours of a day; the first one begins with the plant.
SHIFTS: Final = ("night", "early", "late")
SHIFT_US: Final = 8 * HOUR_US
_DAY_US: Final = 24 * HOUR_US
# A week of shifts, two days of planned downtime.
_SHIFTS_AHEAD: Final = 21
_PLANNED_AHEAD: Final = 12
_ENUMERATION: Final = {
    "state": {str(raw): label for raw, label in enumerate(STATES)},
    "alarm": {"true": "open", "false": "closed"},
}
# Vendor, model, criticality and owner of each kind of unit.
_MAKERS: Final = (
    ("Krones", "Modulfill VFS", "high", "maintenance-mechanical"),
    ("Arol", "Euro PK", "high", "maintenance-mechanical"),
    ("Sidel", "EvoDECO", "medium", "maintenance-electrical"),
    ("KHS", "Innopack TLM", "medium", "packaging-team"),
)


def signal_rows(lines: Iterable[Line], pace: Pace) -> list[Row]:
    """Rows of `it.signal.v1`: the dictionary, without the signals that nobody entered."""
    return [
        _signal(line.number, signal, edge.source_id, address(line.number, signal, edge.scheme), pace)
        for line in lines
        for edge in edges(line.number)
        for signal in line.signals
        if signal.unit in edge.units and signal.known
    ]


def _signal(line: int, signal: Signal, source_id: str, where: str, pace: Pace) -> Row:
    unit = unit_id(line, signal.unit)
    low, high = signal.instrument or (None, None)
    return {
        "signal_id": signal_id(line, signal),
        "site": SITE,
        "tenant": None,
        "valid_from": 0,
        "valid_to": None,
        "source_id": source_id,
        "address": where,
        "aliases": [],
        "work_center": line_id(line),
        "work_unit": unit,
        "asset_id": unit,
        "name": f"{UNITS[signal.unit]} {signal.name.replace('-', ' ')}",
        "role": signal.role,
        "unit_raw": signal.ucum_raw or signal.ucum,
        "unit": signal.ucum,
        "factor": signal.factor,
        "offset": signal.offset,
        "instrument_low": low,
        "instrument_high": high,
        "engineering_low": signal.engineering[0] if signal.engineering else None,
        "engineering_high": signal.engineering[1] if signal.engineering else None,
        "enumeration": _ENUMERATION.get(signal.role, {}),
        "reporting": signal.reporting,
        "period_ms": pace.period_ms(signal) if signal.reporting == "periodic" else None,
        "rollover": signal.rollover,
        "expected_dwell_s": None,
        "time_zone": None,
        "redundant_of": None,
        "setpoint_of": f"{unit}-{signal.setpoint_of}" if signal.setpoint_of else None,
        "window_lengths_s": [],
    }


def asset_rows(lines: Sequence[Line]) -> list[Row]:
    """Rows of `it.asset.v1`: the site, the hall, the lines and their machines."""
    site = f"{ENTERPRISE}/{SITE}"
    hall = f"{site}/{AREA}"
    rows = [
        _asset(SITE, site, None, name="Bottling plant"),
        _asset(AREA, hall, SITE, name="Filling hall", owner="production-management"),
    ]
    for line in (line.number for line in lines):
        name = line_id(line)
        rows.append(_asset(name, f"{hall}/{name}", AREA, name=f"Line {line + 1}", criticality="high", work_center=name))
        for unit, (vendor, model, criticality, owner) in enumerate(_MAKERS):
            rows.append(
                _asset(
                    unit_id(line, unit),
                    f"{hall}/{name}/{UNITS[unit]}",
                    name,
                    name=f"{UNITS[unit].title()} of line {line + 1}",
                    work_center=name,
                    work_unit=unit_id(line, unit),
                    vendor=vendor,
                    model=model,
                    firmware="4.2.1" if unit == FILLER else "2.8.0",
                    serial=f"SN-{line + 1:02d}{unit + 1:02d}",
                    zone=f"{name}-control",
                    criticality=criticality,
                    owner=owner,
                    interfaces=[f"10.{20 + line // 200}.{line % 200 + 1}.{10 + unit}"],
                    feeds=[unit_id(line, unit + 1)] if unit + 1 < len(_MAKERS) else [],
                )
            )
    return rows


def _asset(asset_id: str, path: str, parent_id: str | None, **known: Any) -> Row:
    unset = dict.fromkeys(("name", "work_center", "work_unit", "vendor", "model", "firmware", "serial", "zone"))
    row: Row = {"asset_id": asset_id, "site": SITE, "tenant": None, "valid_from": 0, "valid_to": None, "path": path}
    row |= {"parent_id": parent_id, "criticality": None, "owner": None, **unset, "interfaces": [], "feeds": []}
    return row | known


def order_rows(line: Line, now_us: int) -> list[Row]:
    """Rows of `it.production_order.v1` as they stand at `now_us`: completed, running, and the next one, released."""
    rows = []
    for order in line.orders:
        begun = order.begin_us is not None and order.begin_us <= now_us
        rows.append(_order(line, order, now_us, begun=begun))
        if not begun:
            break
    return rows


def _order(line: Line, order: Order, now_us: int, *, begun: bool) -> Row:
    ended = order.end_us is not None and order.end_us <= now_us
    planned_s = (order.planned_end_us - order.planned_begin_us) / SECOND_US
    return {
        "order_id": order.order_id,
        "site": SITE,
        "tenant": None,
        # What changes is what is known of the order, not what it was: one version, completed as it goes on.
        "valid_from": 0,
        "valid_to": None,
        "work_center": line_id(line.number),
        "work_unit": None,
        "product": order.product.name,
        "planned_quantity": float(round(planned_s * order.product.speed_per_s)),
        "planned_run_time_s": order.product.planned_run_time_s,
        "planned_start": order.planned_begin_us,
        "planned_end": order.planned_end_us,
        "actual_start": order.begin_us if begun else None,
        "actual_end": order.end_us if ended else None,
        "status": "completed" if ended else "running" if begun else "released",
    }


def calendar_rows(lines: Iterable[Line], start_us: int, now_us: int) -> list[Row]:
    """Rows of `it.calendar.v1`: shift after shift from the start until a week after now; cleaning of each line.

    Entries are numbered from the start: a plant that is started anew replaces the calendar of the last one.
    """
    rows = []
    for number in range((now_us - start_us) // SHIFT_US + _SHIFTS_AHEAD):
        begin = start_us + number * SHIFT_US
        name = SHIFTS[begin % _DAY_US // SHIFT_US]
        rows.append(_entry(f"{SITE}-shift-{number}", None, "shift", name, begin, begin + SHIFT_US))
    for line in lines:
        name = line_id(line.number)
        for number in range((now_us - start_us) // PLANNED_EVERY_US + _PLANNED_AHEAD):
            down, up = planned_downtime(line.number, start_us, number)
            rows.append(_entry(f"{name}-cleaning-{number}", name, "planned_downtime", "cleaning", down, up))
    return rows


def _entry(entry_id: str, work_center: str | None, kind: str, name: str, start_us: int, end_us: int) -> Row:
    return {
        "entry_id": entry_id,
        "site": SITE,
        "tenant": None,
        "work_center": work_center,
        "work_unit": None,
        "kind": kind,
        "name": name,
        "start": start_us,
        "end": end_us,
        "time_zone": "UTC",
    }
