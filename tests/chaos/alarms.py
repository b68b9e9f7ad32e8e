"""What alerts must look like after chaos. Enters: the records of `ops.alert.v1`, what was planned. Leaves: faults."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tests.chaos.edge import SECOND_US, Excursion
from tests.chaos.expected import microseconds

RULE: Final = "chaos-high"
UNCORRECTED: Final = frozenset({"condition_active", "still_active", "condition_cleared", "withdrawn"})
CALLED_US: Final = 7 * SECOND_US  # known for so long while it stands, it is annunciated
Rows = Mapping[str, list[dict[str, Any]]]


def by_id(rows: Iterable[dict[str, Any]]) -> Rows:
    """Records by alert, in order of their revisions."""
    alerts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: int(row["revision"])):
        alerts[row["alert_id"]].append(row)
    return alerts


def rings(history: list[dict[str, Any]]) -> int:
    """How often somebody was called: active records that are annunciated where the record before was not."""
    called, number = False, 0
    for row in history:
        rung = row["state"] == "active" and row["annunciated"]
        number += rung and not called
        called = row["annunciated"]
    return number


def faults(alerts: Rows, planned: Iterable[Excursion]) -> tuple[list[str], Counter[str]]:
    """What is wrong with the alerts, and what they are by number."""
    found, counts = [], Counter(alerts=len(alerts))
    by_place: dict[tuple[str, int], list[list[dict[str, Any]]]] = defaultdict(list)
    for alert_id, history in alerts.items():
        last = history[-1]
        counts["historical_alerts"] += last["historical"]
        counts["corrected_alerts"] += last["reason"] not in UNCORRECTED
        if rings(history) > 1:
            found.append(f"{alert_id} was annunciated {rings(history)} times")
        if last["state"] in {"active", "cleared"} and last["rule_id"] == RULE:
            by_place[last["signal_id"], microseconds(last["begin_time"])].append(history)
    for one in planned:
        counts["excursions"] += 1
        told = by_place.get((one.signal, one.begin), [])
        if len(told) != 1:
            found.append(f"{one.signal}: {len(told)} alerts begin at {one.begin}")
        else:
            found += _told(one, told[0], counts)
    return found, counts


def _told(one: Excursion, history: list[dict[str, Any]], counts: Counter[str]) -> list[str]:
    """What is wrong with the alert of one excursion."""
    last, name = history[-1], f"{history[-1]['alert_id']}, from {one.begin}"
    if last["state"] != "cleared" or microseconds(last["end_time"]) != one.end:
        return [f"{name}: is {last['state']} with end {last['end_time']}, and ended at {one.end}"]
    if one.past:
        # Where its node's delivery stood still in the middle of it, nobody could know that it was over.
        counts["rung_in_standstill"] += any(row["reason"] == "still_active" for row in history)
        if any(row["annunciated"] and row["reason"] == "condition_active" for row in history):
            return [f"{name}: was over before it was known, and rang"]
    elif microseconds(history[0]["detection_time"]) < one.end - CALLED_US and not rings(history):
        return [f"{name}: was known while it stood, and nobody was called"]
    return []
