"""The KPI stage once more: minute by minute, plain Python, written from the standard and the contracts.

Everything happens on full minutes, so a minute is in one state throughout. Enter: a `Plant` (one work unit). Leave:
elements per period, which the stage must give however its input was cut, ordered or repeated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
CATEGORY = {"running": "apt", "setup": "aust", "blocked": "adet", "fault": "adot", "cleaning": "planned_down"}
STOPS = {"adet", "adot"}


@dataclass(frozen=True)
class Plant:
    """States (event time, label, quality), counters by role (event time, count), heartbeats of the one source, context.

    `orders`: (order id, start, end or None, PRI in s). `shifts`, `planned_down`: (name, start, end); None: no calendar.
    """

    states: list[tuple[int, str, int]]
    counters: dict[str, list[tuple[int, int]]]
    heartbeats: list[int]
    orders: list[tuple[str, int, int | None, float]] = field(default_factory=list)
    shifts: list[tuple[str, int, int]] | None = None
    planned_down: list[tuple[str, int, int]] = field(default_factory=list)
    silence_us: int = 10 * MINUTE
    rollover: int | None = None
    minor_stop_us: int | None = None

    def times(self) -> list[int]:
        """Every instant at which the source said something, in order."""
        counted = [at for readings in self.counters.values() for at, _ in readings]
        return sorted({*(at for at, _, _ in self.states), *counted, *self.heartbeats})


def state_at(plant: Plant, at: int) -> tuple[str, bool]:
    """Element that the minute from `at` on belongs to, by state alone, and whether it is uncertain."""
    states = sorted(plant.states)
    before = [reading for reading in states if reading[0] <= at]
    earlier = [time for time in plant.times() if time <= at]
    later = [time for time in plant.times() if time > at]
    if not before or not later or later[0] - earlier[-1] > plant.silence_us:
        return "unknown", False
    name, quality = category(before[-1]), before[-1][2]
    if (
        plant.minor_stop_us is not None
        and name in STOPS
        and stop_length(plant, states, len(before) - 1) < plant.minor_stop_us
    ):
        name = "apt"
    return name, quality == 1


def category(reading: tuple[int, str, int]) -> str:
    """Element that a state reading stands for."""
    return "unknown" if reading[2] == 2 else CATEGORY.get(reading[1], "unknown")


def stop_length(plant: Plant, states: list[tuple[int, str, int]], index: int) -> int:
    """How long the stop lasts that the state reading at `index` belongs to: until another state, or the last word."""
    first = last = index
    while first > 0 and category(states[first - 1]) in STOPS:
        first -= 1
    while last + 1 < len(states) and category(states[last + 1]) in STOPS:
        last += 1
    end = states[last + 1][0] if last + 1 < len(states) else plant.times()[-1]
    return end - states[first][0]


def element_at(plant: Plant, at: int) -> tuple[str, bool]:
    """Element that the minute from `at` on belongs to, calendar first."""
    if plant.shifts is not None and not any(start <= at < end for _, start, end in plant.shifts):
        return "no_shift", False
    if any(start <= at < end for _, start, end in plant.planned_down):
        return "planned_down", False
    return state_at(plant, at)


def order_at(plant: Plant, at: int) -> tuple[str, float] | None:
    """The order that started last, unless it has ended."""
    started = [order for order in plant.orders if order[1] <= at]
    if not started:
        return None
    name, _, end, pri = max(started, key=lambda order: (order[1], order[0]))
    return None if end is not None and at >= end else (name, pri)


def increments(plant: Plant, role: str) -> list[tuple[int, int]]:
    """(event time, items) of a counter."""
    readings = sorted(plant.counters[role])
    found = []
    for (_, before), (at, count) in pairwise(readings):
        step = count - before
        if step < 0:
            around = step + plant.rollover + 1 if plant.rollover is not None else -1
            step = around if plant.rollover is not None and 0 <= around < (plant.rollover + 1) / 2 else count
        found.append((at, step))
    return found


def elements(plant: Plant, start: int, end: int) -> dict[str, Any]:
    """Elements of [start, end): seconds by name, quantities, earned times."""
    names = ("apt", "aust", "adet", "adot", "planned_down", "no_shift", "unknown", "uncertain")
    sums: dict[str, Any] = {f"{name}_s": 0.0 for name in names}
    for at in range(start, end, MINUTE):
        name, uncertain = element_at(plant, at)
        sums[f"{name}_s"] += 60.0
        sums["uncertain_s"] += 60.0 * (uncertain and name in {"apt", "aust", "adet", "adot"})
    sums["pbt_s"] = (end - start) / 1e6 - sums["no_shift_s"] - sums["planned_down_s"]
    made = {role: [(at, n) for at, n in increments(plant, role) if start <= at < end] for role in plant.counters}
    sums["gq"] = sum(n for _, n in made["good_counter"])
    sums["rq"] = sum(n for _, n in made["reject_counter"])
    sums["pq"] = sums["gq"] + sums["rq"]
    priced = any(order_at(plant, at) for at in range(start, end, MINUTE))
    sums["pri_gq_s"] = _earned(plant, made["good_counter"]) if priced else None
    sums["pri_pq_s"] = _earned(plant, made["good_counter"] + made["reject_counter"]) if priced else None
    return sums


def _earned(plant: Plant, made: list[tuple[int, int]]) -> float:
    prices = [(n, order_at(plant, at)) for at, n in made]
    return sum(n * order[1] for n, order in prices if order is not None)


def kpis(sums: dict[str, Any]) -> dict[str, float | None]:
    """ISO 22400-2 KPIs from elements."""
    known = sums["apt_s"] + sums["aust_s"] + sums["adet_s"] + sums["adot_s"]
    ratio = {
        "availability": (sums["apt_s"], sums["pbt_s"] if known else 0),
        "effectiveness": (sums["pri_pq_s"], sums["apt_s"]),
        "quality_ratio": (sums["pri_gq_s"], sums["pri_pq_s"]) if sums["pri_pq_s"] else (sums["gq"], sums["pq"]),
        "oee": (sums["pri_gq_s"], sums["pbt_s"] if known else 0),
    }
    return {name: None if over is None or not under else over / under for name, (over, under) in ratio.items()}


def periods(plant: Plant) -> dict[tuple[str, str], tuple[int, int]]:
    """(period, period key) to (start, end) of everything that ended and has planned time or items."""
    times = plant.times()
    if not times:
        return {}
    found = {}
    for name, length in (("hour", HOUR), ("day", DAY)):
        for start in range(times[0] // length * length, times[-1] + 1, length):
            found[name, iso(start)] = (start, start + length)
    for name, start, end in plant.shifts or []:
        found["shift", name] = (start, end)
    for name, start, end, _ in ((n, s, e, p) for n, s, e, p in plant.orders if e is not None):
        found["order", name] = (start, int(end or 0))
    heard = {key: span for key, span in found.items() if span[0] <= times[-1] and span[1] > times[0]}
    return {key: span for key, span in heard.items() if tells(elements(plant, *span))}


def tells(sums: dict[str, Any]) -> bool:
    """Something was planned or made."""
    return bool(sums["pbt_s"] > 0 or sums["pq"] or sums["gq"])


def iso(at: int) -> str:
    """`at` (us) as period ids have it."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
