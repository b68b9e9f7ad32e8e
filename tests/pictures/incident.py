"""One incident from its first alarm to its verified repair: what OT told, what IT knew, and how the record evolved."""

from __future__ import annotations

from typing import Any, Final

from streams import topology
from tests.pictures.chain import MINUTE, SECOND, Chain, Row
from tests.pictures.drawing import SMALL, Picture, Scale
from tests.pictures.plant import STATE, TEMPERATURE, TEN, dictionary

HALL: Final = "acme/hall/filling"
END: Final = 21 * MINUTE
CLOCKS: Final = ("fault", "arrived", "repaired", "verified")
TITLES: Final = {
    "bearing-temperature-high": "bearing above its limit",
    "bearing-temperature-rising": "bearing rises fast",
    "machine-fault": "filler in fault",
    "machine-waiting": "capper starved",
}
ROW: Final = 30
CAPPER: Final = {**STATE, "signal_id": "capper-state", "address": "capper/state", "work_unit": "capper"}
# Minutes after ten: the stop of the filler, and that of the capper behind it.
STOP, STARVED = (3.0, 14.0), (3.5, 14.6)
HOT: Final = (2.0, 9.0)


def _asset(name: str, **known: Any) -> Row:
    where = {"work_center": "line-1", "work_unit": name, "path": f"{HALL}/line-1/{name}"}
    return {"asset_id": name, "site": "hall", "name": name, "owner": "maintenance", **where, **known}


def context() -> dict[str, list[Row]]:
    """What is known from the start: dictionary, machines, the order that runs, who answers."""
    signals = [{**TEMPERATURE, "asset_id": "filler"}, {**STATE, "asset_id": "filler"}, {**CAPPER, "asset_id": "capper"}]
    order = {"order_id": "PO-4711", "site": "hall", "work_center": "line-1", "product": "Still water 0.5 l"}
    return dictionary(*signals) | {
        topology.ASSET.name: [
            _asset("filler", criticality="high", feeds=["capper"], interfaces=["10.0.1.10"]),
            _asset("capper", criticality="medium"),
        ],
        topology.PRODUCTION_ORDER.name: [{**order, "actual_start": TEN - MINUTE, "status": "running"}],
        topology.OPERATOR_POSITION.name: [{"position_id": "line-1/operator", "site": "hall", "paths": [HALL]}],
    }


def work_order(until_us: int) -> Row:
    """The order that repairs the filler, with those of its clocks that have passed."""
    row: Row = {"order_id": "WO-815", "site": "hall", "kind": "corrective", "activity": "repair", "status": "planned"}
    row |= {"asset_id": "filler", "asset_path": f"{HALL}/line-1/filler", "failure_mode": "bearing"}
    clocks = {"released": 4.5, "started": 7.0, "arrived": 7.0, "finished": 13.5, "verified": 17.0}
    for name, minute in clocks.items():
        at_us = TEN + round(minute * MINUTE)
        if at_us <= until_us:
            row |= {f"{name}_at": at_us, f"{name}_at_precision": "exact", "status": name}
    return row


def run() -> Chain:
    """A remote logon, a bearing that gets hot, a stop, a starved machine behind it, and a repair."""
    chain = Chain(context(), ("alert", "route", "correlate"), site="hall")
    logon = {"access_id": "a-1", "site": "hall", "kind": "logon", "user": "person-abcdefgh2345ijkl", "remote": True}
    at_us = TEN + round(0.8 * MINUTE)
    chain.event(
        at_us + SECOND,
        topology.ACCESS.name,
        event_time=at_us,
        target_asset_id="filler",
        target_address="10.0.1.10",
        **logon,
    )
    for measured in range(TEN, TEN + END, 2 * SECOND):
        minute = (measured - TEN) / MINUTE
        hot = HOT[0] <= minute < HOT[1]
        chain.send(
            measured + SECOND // 5,
            address=TEMPERATURE["address"],
            source_time=measured,
            value_double=93.0 if hot else 71.0,
        )
    for where, (begin, end), label in ((STATE, STOP, "fault"), (CAPPER, STARVED, "starved")):
        for minute, value in ((0.1, "running"), (begin, label), (end, "running")):
            at_us = TEN + round(minute * MINUTE)
            chain.send(at_us + SECOND // 5, address=where["address"], source_time=at_us, value_string=value)
    told = ""
    for minute in range(END // MINUTE):
        begin = TEN + minute * MINUTE
        order = work_order(begin)
        if order["status"] not in {"planned", told}:
            chain.know({topology.WORK_ORDER.name: [order]})
            told = order["status"]
        chain.run(begin, begin + MINUTE)
    return chain


def newest(rows: list[Row], key: str) -> dict[str, Row]:
    """The highest revision of each record."""
    return {row[key]: row for row in sorted(rows, key=lambda row: row["revision"])}


def _alerts(picture: Picture, scale: Scale, y: float, alerts: list[Row]) -> float:
    """One bar per alert, as its last revision says; leaves where the next lane is."""
    for row in alerts:
        picture.lane(y, TITLES[row["rule_id"]], scale=scale)
        picture.box(scale(row["begin_time"]), y - 9, scale(row["end_time"] or scale.end_us), y + 9, "bad")
        y += ROW
    return y


def _context(picture: Picture, scale: Scale, y: float, order: Row, logon_us: int) -> float:
    """What IT told: the logon, and the work order with its clocks."""
    picture.lane(y, "remote logon", scale=scale)
    picture.dot(scale(logon_us), y, "new", radius=5)
    y += ROW
    picture.lane(y, "work order WO-815", scale=scale)
    picture.box(scale(order["released_at"]), y - 9, scale(order["verified_at"]), y + 9, "doubt")
    for name in ("released", "arrived", "finished", "verified"):
        x = scale(order[f"{name}_at"])
        picture.line(x, y - 9, x, y + 9, "doubt")
        picture.text(x, y + 24, name, "faint", "middle", SMALL)
    return y + ROW + 18


def _incident(picture: Picture, scale: Scale, y: float, revisions: list[Row]) -> float:
    """Its span, its revisions at the time when each was told, its clocks."""
    last = revisions[-1]
    picture.lane(y, "incident", "ops.incident.v1", scale)
    title = f"{last['member_count']} members"
    picture.box(scale(last["begin_time"]), y - 11, scale(last["end_time"]), y + 11, "good", title)
    for row in revisions:
        picture.dot(scale(row["detection_time"]), y + 24, "good", radius=2.5)
    picture.text(scale.right, y + 28, f"{len(revisions)} revisions", "faint", "end", SMALL)
    y += 2 * ROW
    picture.lane(y, "clocks", scale=scale)
    for name in CLOCKS:
        x = scale(last[f"{name}_at"])
        picture.line(x, y - 8, x, y + 8, "ink")
        picture.text(x, y + 22, name, "faint", "middle", SMALL)
    y += 2 * ROW - 10
    for text, begin, span_s in (
        ("down (ISO 22400-2)", last["fault_at"], last["down_s"]),
        ("repair (SMRP)", last["arrived_at"], last["repair_s"]),
    ):
        end = begin + round(span_s * SECOND)
        picture.lane(y, text)
        picture.path([(scale(begin), y), (scale(end), y)], "bad", width=3)
        picture.text(scale(end) + 8, y + 4.5, f"{span_s / 60:.1f} min", size=SMALL)
        y += ROW - 6
    return y


def draw() -> Picture:
    """Event time from left to right: OT above, IT below it, and what the two became."""
    chain = run()
    alerts = sorted(newest(chain.out[topology.ALERT.name], "alert_id").values(), key=lambda row: row["begin_time"])
    told = chain.out[topology.INCIDENT.name]
    last = next(row for row in newest(told, "incident_id").values() if row["state"] != "merged")
    revisions = [row for row in told if row["incident_id"] == last["incident_id"]]
    picture = Picture(
        "One incident: four alerts, a logon and a work order",
        "A bearing gets hot, the filler stops, the capper behind it starves; a remote logon came shortly before, and a "
        "work order repairs the machine: one incident with cause candidates and repair clocks.",
        565,
    )
    scale = Scale(TEN, TEN + END, 190)
    y = _alerts(picture, scale, 65, alerts)
    y = _context(picture, scale, y, work_order(TEN + END), TEN + round(0.8 * MINUTE))
    y = _incident(picture, scale, y, revisions)
    picture.ticks(scale, y, 3 * MINUTE, "%H:%M", top=50)
    picture.text(20, y + 48, "cause candidates", weight=600)
    for number, cause in enumerate(last["causes"]):
        picture.text(190, y + 48 + 20 * number, f"{cause['confidence']:.2f}  {cause['text']}", size=SMALL)
    return picture
