"""What was done or permitted on an incident's assets then. Enter: orders, places, a span. Leave: which of them count.

An order has its own clocks inside, each with a precision: a day is told by its first instant and lasts 24 h.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from streams.core.context import Context
from streams.core.correlate.around import (
    CHANGES,
    NEARNESS,
    PRODUCTION,
    STANDING_US,
    UNIT,
    WORK_ORDERS,
    Place,
    Row,
    nearest,
)
from streams.core.times import DAY_US, FOREVER_US
from streams.core.verdict.explanations import ACTIVE_CHANGE, DAY, STANDING, TOLD

EXACT: Final = "exact"
CANCELLED: Final = "cancelled"
CORRECTIVE: Final = "corrective"
DONE: Final = ("finished", "verified")
_WORK: Final = ("started_at", "arrived_at")
_BEGINS: Final = ("released_at", *_WORK)
_ENDS: Final = ("finished_at", "verified_at")


class Span(NamedTuple):
    """From when to when. `precision`: of its end, or of its begin where no end is told. `planned`: it has not begun."""

    begin_us: int
    end_us: int
    precision: str
    planned: bool = False

    def touches(self, begin_us: int, until_us: int) -> bool:
        """Whether it has a part of [begin_us, until_us]; what ended at its begin has none."""
        return self.begin_us <= until_us and (self.end_us > begin_us or self.begin_us >= begin_us)


class Order(NamedTuple):
    """A work order or change with its span, and the places that it is on or near, the nearest first."""

    row: Row
    span: Span
    places: tuple[Place, ...]

    @property
    def near(self) -> int:
        """How near the nearest of its places is: 0 is the asset itself."""
        return NEARNESS.index(self.places[0].near)


def time(row: Row, name: str) -> tuple[int, str] | None:
    """A clock of a work order and its precision; None where that is absent, whatever stands in the field."""
    at_us, precision = row[name], row[f"{name}_precision"]
    return (int(at_us), str(precision)) if at_us is not None and precision in TOLD else None


def latest(at_us: int, precision: str) -> int:
    """The last instant that a time of this precision may stand for (exclusive where it is a day)."""
    return at_us + DAY_US if precision == DAY else at_us


def work_span(row: Row) -> Span | None:
    """From the first to the last of an order's clocks, planned ones where no real one is told; None: no clock.

    Work on a failure begins with its release; what was planned is released days ahead, and begins when it is planned.
    """
    begins = [told for name in _BEGINS if (told := time(row, name))]
    ends = [told for name in _ENDS if (told := time(row, name))]
    planned = [time(row, "planned_start"), time(row, "planned_end")]
    begun = bool(ends) or any(time(row, name) for name in _WORK)
    if planned[0] and row["kind"] not in {CORRECTIVE, None}:
        begins = [told for name in _WORK if (told := time(row, name))]
    if not begins:
        begins = [told for told in (planned[0], *ends) if told][:1]
    if not begins:
        return None
    begin_us = min(begins)[0]
    ahead = not begun and planned[0] is not None and begin_us == planned[0][0]
    if not ends and row["status"] in DONE:
        ends = begins
    if not ends and planned[1] and planned[1][0] > begin_us:
        ends = [planned[1]]
    if not ends:
        return Span(begin_us, begin_us + STANDING_US, min(begins)[1], ahead)
    last = max(ends, key=lambda told: latest(*told))
    return Span(min(begin_us, *(told[0] for told in ends)), latest(*last), last[1], ahead)


def work_orders(context: Context, site: str, around: dict[str, list[Place]], low_us: int, high_us: int) -> list[Order]:
    """Work orders on or near these places about that time: neither cancelled nor standing, with a clock."""
    return [
        Order(row, span, tuple(nearest(row["_keys"], around)))
        for row in _of_site(WORK_ORDERS.of(context).of(around, low_us, high_us), site)
        if row["status"] != CANCELLED and row["kind"] != STANDING and (span := work_span(row)) is not None
    ]


def changes(context: Context, site: str, around: dict[str, list[Place]], low_us: int, high_us: int) -> list[Order]:
    """Changes on or near these places that were in force about that time, none of them standing."""
    found = []
    for row in _of_site(CHANGES.of(context).of(around, low_us, high_us), site):
        start = row["start"]
        if start is None or row["status"] not in ACTIVE_CHANGE:
            continue
        end = start + STANDING_US if row["end"] is None else row["end"]
        if 0 < end - start <= STANDING_US:
            found.append(Order(row, Span(start, end, EXACT), tuple(nearest(row["_keys"], around))))
    return found


def production(context: Context, members: list[Row], begin_us: int, until_us: int) -> list[Row]:
    """Production orders that ran on the members' lines then, the first first. A line's order runs on all its machines;
    a member that names no machine concerns them all.
    """
    units: dict[str, set[str | None]] = {}
    for member in members:
        if member["work_center"]:
            units.setdefault(member["work_center"], set()).add(member["work_unit"])
    rows = _of_site(PRODUCTION.of(context).of(units, begin_us, until_us), members[0]["site"])
    ran = [
        row
        for row in rows
        if row["status"] != CANCELLED
        and (FOREVER_US if row["actual_end"] is None else row["actual_end"]) > begin_us
        and (not row["work_unit"] or {row["work_unit"], None} & units[row["work_center"]])
    ]
    return sorted(ran, key=lambda row: (row["actual_start"], row["order_id"]))


def repairing(orders: list[Order], fault_us: int, until_us: int) -> Order | None:
    """The corrective order that repairs a fault: on the asset or its machine, at work from the fault to `until_us`.

    Of several the nearest place, one that began after the fault, the one that began next to it, the smallest number.
    """

    def rank(order: Order) -> tuple[Any, ...]:
        begin_us = order.span.begin_us
        return order.near, begin_us < fault_us, abs(begin_us - fault_us), order.row["order_id"]

    return min(repairs(orders, fault_us, until_us), key=rank, default=None)


def newest_repair(orders: list[Order], fault_us: int, until_us: int) -> Order | None:
    """Of the orders that `repairing` chooses from the one that began last: what failed again is repaired again."""
    found = repairs(orders, fault_us, until_us)
    return max(found, key=lambda order: (order.span.begin_us, order.row["order_id"]), default=None)


def repairs(orders: Sequence[Order], fault_us: int, until_us: int) -> list[Order]:
    """Corrective orders on the asset or its machine with a clock, at work from the fault to `until_us`."""
    return [
        order
        for order in orders
        if order.row["kind"] == CORRECTIVE
        and any(time(order.row, name) for name in (*_BEGINS, *_ENDS))
        and order.near <= NEARNESS.index(UNIT)
        and order.span.touches(fault_us, until_us)
    ]


def begun(work: Sequence[Order], members: Sequence[Row]) -> list[Order]:
    """Work orders but for those that are planned for later than anything that is known of the incident."""
    last_us = max(row["event_time"] for row in members)
    return [one for one in work if not one.span.planned or one.span.begin_us <= last_us]


def failed(members: Sequence[Row], order: Order | None) -> dict[str, str | None]:
    """Whose failure it is, and which: of the member that the repairing order is nearest to, else of the first."""
    first = next((row for row in members if row["asset_id"]), members[0])
    if order is not None:
        first = next(row for row in members if row["evidence_id"] == order.places[0].evidence_id)
    where = {f"failed_{name}": first[name] for name in ("work_center", "work_unit", "asset_id")}
    return where | {"failure_mode": order.row["failure_mode"] if order else None}


def _of_site(rows: list[Row], site: str) -> list[Row]:
    """Rows of the site, and those that name none."""
    return [row for row in rows if row["site"] in {site, "", None}]
