"""Who repairs what, and when. In: a line and an instant. Out: rows of work orders and operator positions as they stand.

A tripped bearing leads to a corrective order: told, released, a technician arrives, it is repaired when the machine
starts again, and verified a little later; each clock is told when it is due, never before. Planned downtime has a
preventive order, released when the plant starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from streams import topology
from streams.kafka.avro import contracts
from streams.plant.line import Line
from streams.plant.model import AREA, ENTERPRISE, SECOND_US, SITE, UNITS, line_id, unit_id
from streams.plant.script import PLANNED_EVERY_US, Episode, planned_downtime

Row = dict[str, Any]

HALL: Final = f"{ENTERPRISE}/{SITE}/{AREA}"
# From the trip of a bearing to the release of its order, and from its repair to the trial that verifies it.
RELEASED_AFTER_US: Final = 4 * SECOND_US
VERIFIED_AFTER_US: Final = 10 * SECOND_US
# The technician arrives after this share of the stop.
ARRIVAL: Final = 0.4
_PLANNED_AHEAD: Final = 12
_CLOCKS: Final = ("released_at", "started_at", "arrived_at", "finished_at", "verified_at")
_REACHED: Final = {
    "released_at": "released",
    "started_at": "started",
    "arrived_at": "arrived",
    "finished_at": "finished",
    "verified_at": "verified",
}


def work_order_rows(line: Line, now_us: int) -> list[Row]:
    """Rows of `it.work_order.v1`: an order for each bearing that has tripped, and one for each planned downtime."""
    bearings = [episode for episode in line.episodes if episode.kind == "bearing" and episode.begin_us <= now_us]
    orders = [_corrective(line.number, number, episode, now_us) for number, episode in enumerate(bearings)]
    orders = [order for order in orders if order["status"] != "planned"]
    ahead = range((now_us - line.start_us) // PLANNED_EVERY_US + _PLANNED_AHEAD)
    return orders + [_preventive(line, number, now_us) for number in ahead]


def position_rows(lines: Iterable[Line]) -> list[Row]:
    """Rows of `it.operator_position.v1`: an operator for each line, one mechanic and one shift lead for the hall."""
    rows = [
        _position("hall/shift-lead", "Shift lead of the filling hall", "management", [HALL]),
        _position("hall/mechanic", "Mechanic on duty", "maintenance", [HALL]),
    ]
    for line in lines:
        name = line_id(line.number)
        told = f"Operator of line {line.number + 1}"
        rows.append(_position(f"{name}/operator", told, "operator", [f"{HALL}/{name}"], [name]))
    return rows


def _corrective(line: int, number: int, episode: Episode, now_us: int) -> Row:
    unit = unit_id(line, episode.unit)
    stop_us = episode.end_us - episode.begin_us
    released = episode.begin_us + RELEASED_AFTER_US
    arrived = episode.begin_us + int(stop_us * ARRIVAL)
    clocks = (released, arrived, arrived, episode.end_us, episode.end_us + VERIFIED_AFTER_US)
    facts = {
        "order_id": f"WO-{unit}-{number + 1:04d}",
        "asset_id": unit,
        "asset_path": f"{HALL}/{line_id(line)}/{UNITS[episode.unit]}",
        "work_center": line_id(line),
        "work_unit": unit,
        "kind": "corrective",
        "priority": "high",
        "activity": "repair",
        "text": "Bearing hot, machine tripped",
        "failure_mode": "bearing",
        "position": "hall/mechanic",
    }
    return _order(facts, clocks, now_us)


def _preventive(line: Line, number: int, now_us: int) -> Row:
    name = line_id(line.number)
    begin, end = planned_downtime(line.number, line.start_us, number)
    facts = {
        "order_id": f"PM-{name}-{number + 1:04d}",
        "asset_id": name,
        "asset_path": f"{HALL}/{name}",
        "work_center": name,
        "kind": "preventive",
        "plan_id": f"{name}-cleaning",
        "priority": "low",
        "activity": "clean",
        "text": "Cleaning in place",
        "position": f"{name}/operator",
        "planned_start": begin,
        "planned_start_precision": "exact",
        "planned_end": end,
        "planned_end_precision": "exact",
    }
    return _order(facts, (line.start_us, begin, begin, end, end + VERIFIED_AFTER_US), now_us)


def _order(facts: Row, clocks: tuple[int, ...], now_us: int) -> Row:
    """The order with those clocks that have passed; its status is the last of them."""
    row = _defaults(topology.WORK_ORDER.name) | {"site": SITE, "valid_from": 0, "status": "planned"} | facts
    for name, at in zip(_CLOCKS, clocks, strict=True):
        if at <= now_us:
            row |= {name: at, f"{name}_precision": "exact", "status": _REACHED[name]}
    return row


def _position(position_id: str, name: str, kind: str, paths: list[str], lines: list[str] | None = None) -> Row:
    own = {"position_id": position_id, "site": SITE, "valid_from": 0, "name": name, "kind": kind, "paths": paths}
    return _defaults(topology.OPERATOR_POSITION.name) | own | {"work_centers": lines or []}


def _defaults(topic: str) -> Row:
    """The fields of a contract that have a default, with it."""
    fields = contracts.load(topic).schema["fields"]
    return {field["name"]: field["default"] for field in fields if "default" in field}
