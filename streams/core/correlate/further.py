"""Repairs of an incident besides the first. Enter: members, corrective orders, assets. Leave: one row for each order.

An incident has the clocks of one order. What failed again, or on another machine, within it was repaired by others:
each of these is a failure of its own, or it is said why it is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from streams.core.correlate import clocks, orders
from streams.core.correlate.around import ABOVE, Assets, Row, places
from streams.core.correlate.orders import DONE, Order, failed, time

# Why an order is no failure that is counted.
NO_FAILURE: Final = "no failure of its own"
NO_CLOCKS: Final = "a clock is absent or not exact"
_DONE_AT: Final = ("finished_at", "verified_at")


def further(
    members: Sequence[Row], work: Sequence[Order], first: Order | None, until_us: int, assets: Assets
) -> list[dict[str, Any]]:
    """What orders other than `first` repaired, by their begin: rows of `repairs` of the incident's record.

    A member's failure is repaired by the order on its place that is done first after its begin; what was worked on
    while `first` was is the failure of `first`, as the incident's first member always is.
    """
    if first is None:
        return []
    done = [one for one in orders.repairs(work, members[0]["begin_time"], until_us) if one is first or _done(one)]
    if len(done) < 2:
        return []
    done.sort(key=lambda one: (one.span.end_us, one.row["order_id"]))
    own: dict[str, list[Row]] = {}
    for row in members[1:]:
        here = _here(row, assets)
        after = [one for one in done if one.span.end_us > row["begin_time"] and here & set(one.row["_keys"])]
        if after and not (first in after and first.span.begin_us < after[0].span.end_us):
            own.setdefault(after[0].row["order_id"], []).append(row)
    done.sort(key=lambda one: (one.span.begin_us, one.row["order_id"]))
    return [_said(one, own.get(one.row["order_id"], []), members) for one in done if one is not first]


def _done(order: Order) -> bool:
    return order.row["status"] in DONE or any(time(order.row, name) for name in _DONE_AT)


def _here(row: Row, assets: Assets) -> set[str]:
    """Keys of the member's asset and machine."""
    return {key for key, found in places([row], assets).items() if found[0].near != ABOVE}


def _said(order: Order, own: Sequence[Row], members: Sequence[Row]) -> dict[str, Any]:
    """One row of `repairs`. Without a failure of its own: the place of the member that the order is nearest to."""
    where = failed(members, order)
    if own:
        where |= {f"failed_{name}": own[0][name] for name in ("work_center", "work_unit", "asset_id")}
    told = clocks.repair(own or members[:1], (), order).fields
    told = told if own else told | {"fault_at": None, "down_s": None, "repair_s": None}
    counted = told["down_s"] is not None and told["repair_s"] is not None
    return {
        "work_order": order.row["order_id"],
        **{name.removeprefix("failed_"): value for name, value in where.items()},
        **{name: told[name] for name in ("fault_at", "arrived_at", "repaired_at", "down_s", "repair_s")},
        "excluded": NO_FAILURE if not own else None if counted else NO_CLOCKS,
    }
