"""The clocks of a repair. Enter: members, what is near, the repairing order. Leave: six clocks, two durations, doubts.

A clock has a time, a source (`kind:id`) and a precision: exact, day (only the day is told: the time is its beginning),
typed_later, absent. Clocks that contradict each other are told as they are, named, and not calculated with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from streams.core.correlate.around import Row
from streams.core.correlate.orders import EXACT, Order, latest, time
from streams.core.correlate.tables import CLOCKS
from streams.core.times import SECOND_US

ABSENT: Final = "absent"
ACKNOWLEDGED: Final = "acknowledged"
# The clocks of a work order, in the order in which they must be.
_OF_ORDER: Final = {"arrived": "arrived_at", "repaired": "finished_at", "verified": "verified_at"}


class Clock(NamedTuple):
    """One clock. `counts`: it may be calculated with, if it is exact."""

    at_us: int | None = None
    source: str | None = None
    precision: str = ABSENT
    counts: bool = True

    def before(self, other: Clock) -> bool:
        """Whether it is surely before the other; of what is told by the day only, the day counts."""
        if self.at_us is None or other.at_us is None:
            return False
        if self.at_us == other.at_us:
            return False
        return latest(self.at_us, self.precision) <= other.at_us


class Repair(NamedTuple):
    """`fields`: those of the incident's record; `doubts`: words for its `context_missing`."""

    fields: dict[str, Any]
    doubts: tuple[str, ...]


def repair(members: Sequence[Row], nearby: Sequence[Row], order: Order | None) -> Repair:
    """The clocks of an incident (`members` by begin, at least one), with durations where both their clocks are exact.

    `down_s` is ISO 22400-2's time to repair, the whole time down due to failure: fault to repaired. `repair_s` is
    SMRP's, which begins when the technician arrives (STANDARDS: MTTR twice, after secondary sources).
    """
    clocks = {
        "fault": _fault(members),
        "detected": _detected(members),
        ACKNOWLEDGED: _acknowledged(members, nearby),
        **_worked(order),
    }
    wrong = _contradictions(clocks)
    doubts = {f"{clocks[name].source} clocks contradict" for name in wrong}
    clocks = {name: clock._replace(counts=clock.counts and name not in wrong) for name, clock in clocks.items()}
    if order is not None and clocks["arrived"].at_us is not None and time(order.row, "arrived_at") is None:
        doubts.add(f"{clocks['arrived'].source} arrived_at")
    fields: dict[str, Any] = {}
    for name in CLOCKS:
        clock = clocks[name]
        fields |= {f"{name}_at": clock.at_us, f"{name}_source": clock.source, f"{name}_precision": clock.precision}
    fields["down_s"] = _between(clocks["fault"], clocks["repaired"])
    fields["repair_s"] = _between(clocks["arrived"], clocks["repaired"])
    return Repair(fields, tuple(sorted(doubts)))


def _fault(members: Sequence[Row]) -> Clock:
    first = members[0]
    return Clock(first["begin_time"], first["evidence_id"], first["time_precision"])


def _detected(members: Sequence[Row]) -> Clock:
    """When the first of them was known; 0 is what records say that do not know."""
    known = [(row["detection_time"], row["evidence_id"]) for row in members if row["detection_time"]]
    return Clock(*min(known), EXACT) if known else Clock()


def _acknowledged(members: Sequence[Row], nearby: Sequence[Row]) -> Clock:
    """The first acknowledgement since the fault of one of its alarms, or of any alarm of one of its assets."""
    alarms = {(row["source_id"], row["type"]) for row in members if row["kind"] == "alarm"}
    assets = {row["asset_id"] for row in members if row["asset_id"]}
    found = [
        (row["event_time"], row["evidence_id"], row["time_precision"])
        for row in (*members, *nearby)
        if row["kind"] == "alarm"
        and row["state"] == ACKNOWLEDGED
        and row["event_time"] >= members[0]["begin_time"]
        and (row["asset_id"] in assets or (row["source_id"], row["type"]) in alarms)
    ]
    return Clock(*min(found)) if found else Clock()


def _worked(order: Order | None) -> dict[str, Clock]:
    """Clocks of the repairing order. Where no arrival is told, the begin of the work is shown in its place.

    It is later than the arrival by what people do first, so that it is not calculated with: whoever means the same by
    both says so in the mapping that loads the orders.
    """
    if order is None:
        return dict.fromkeys(_OF_ORDER, Clock())
    source = f"work_order:{order.row['order_id']}"
    clocks = {}
    for name, field in _OF_ORDER.items():
        told = time(order.row, field)
        clocks[name] = Clock() if told is None else Clock(told[0], source, told[1])
    started = time(order.row, "started_at")
    if clocks["arrived"].at_us is None and started is not None:
        clocks["arrived"] = Clock(started[0], source, started[1], counts=False)
    return clocks


def _contradictions(clocks: dict[str, Clock]) -> set[str]:
    """Clocks that are before the fault, and those of the order that are not in their order."""
    wrong = {name for name, clock in clocks.items() if name != "fault" and clock.before(clocks["fault"])}
    names = list(_OF_ORDER)
    for at, name in enumerate(names):
        for later in names[at + 1 :]:
            if clocks[later].before(clocks[name]):
                wrong |= {name, later}
    return wrong


def _between(first: Clock, last: Clock) -> float | None:
    """Seconds between two exact clocks that count; None where one does not."""
    exact = all(clock.precision == EXACT and clock.counts for clock in (first, last))
    if not exact or first.at_us is None or last.at_us is None:
        return None
    return (last.at_us - first.at_us) / SECOND_US
