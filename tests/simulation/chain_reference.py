"""What the chain must say, from the plan alone: plain Python over all readings at once, in no order of arrival.

Which of two gateways counts is decided in the order of the log (decision 17): so for the redundant signal, and only
there, the log itself is asked which records came one after another.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tests.core.reference_kpi import Plant, element_at, kpis, order_at
from tests.core.reference_kpi import increments as counted
from tests.core.reference_redundancy import Group, Told
from tests.simulation.chain_dictionary import CLEANING, ORDERS, SHIFT
from tests.simulation.chain_plan import (
    BY_NAME,
    FORCED,
    GOOD,
    LINES,
    REDUNDANT,
    STATES,
    T0,
    UNCERTAIN,
    UNIT_CHANGE,
    UNKNOWN,
    Message,
    Raw,
    Source,
)
from tests.simulation.reference import BAD, SECOND, Payload, Reading, Window, rank, text, windows
from tests.simulation.reference import UNCERTAIN as DOUBTFUL

HOUR = 3600 * SECOND
SILENCE = 30 * SECOND
Alert = tuple[str, str, int, int | None]


def judged(raw: Raw, message: Message) -> Reading | str:
    """The validated reading, or why there is none."""
    source, odd = BY_NAME[raw.name], raw.odd
    if odd in {"far ahead", "ancient"}:
        return "impossible_time"
    if odd == UNKNOWN:
        return "unknown"
    time = raw.time
    if odd == "no time":
        assert message.gateway_time is not None
        time = message.gateway_time
    quality = {GOOD: 0, FORCED: 0, UNCERTAIN: DOUBTFUL, None: DOUBTFUL}.get(raw.code, BAD)
    sent = {"value": raw.number, "whole": raw.whole, "label": raw.label}
    if odd == "nothing":
        if quality != BAD:
            return "no_value"
        sent = dict.fromkeys(sent)
    elif odd == "a word":
        if not source.signal.discrete():
            return "type_mismatch"
        sent = {"value": None, "whole": None, "label": "a word"}
    elif odd == "not a number":
        # What is sent as a double counts before what is sent otherwise.
        sent, quality = dict.fromkeys(sent), BAD
    told, quality = _published(sent, source, time, quality)
    return Reading(
        signal=raw.name,
        source=message.node,
        time=time,
        quality=quality,
        sequence=message.sequence,
        historical=raw.historical,
        forced=raw.code == FORCED,
        birth=raw.birth,
        **told,
    )


def _published(sent: dict[str, Any], source: Source, time: int, quality: int) -> tuple[dict[str, Any], int]:
    """Labels and units as published, and the quality that comes of it."""
    whole, value, label = sent["whole"], sent["value"], sent["label"]
    if source.signal.discrete():
        code = label if whole is None else str(whole)
        if source.signal.role == "state" and code is not None:
            label = STATES.get(code, code)
            quality = quality if code in STATES else max(quality, DOUBTFUL)
        return {"value": None, "whole": None, "label": label}, quality
    if value is not None and source.changes_to is not None and time >= UNIT_CHANGE:
        value *= source.changes_to
    if value is not None and source.high is not None and value > source.high:
        quality = max(quality, DOUBTFUL)
    return {"value": value, "whole": whole, "label": None}, quality


def delivered(messages: Sequence[Message]) -> tuple[dict[str, list[Reading]], Counter[str]]:
    """By line what all messages, with their copies, come to; and how many readings ended otherwise, by reason."""
    found: dict[str, list[Reading]] = {line: [] for line in LINES}
    lost: Counter[str] = Counter()
    seen = set()
    for message in messages:
        number = (message.node, message.boot, message.sequence)
        if message.numbered and number in seen:
            lost["copy"] += len(message.readings)
            continue
        if message.numbered:
            seen.add(number)
        for raw in message.readings:
            told = judged(raw, message)
            if isinstance(told, str):
                lost[told] += 1
            else:
                found[BY_NAME[raw.name].line].append(told)
    return found, lost


def reading_of(row: Mapping[str, Any]) -> Reading:
    """A row of `ot.reading.v1`."""
    return Reading(
        signal=row["signal_id"],
        source=row["source_id"],
        time=row["event_time"],
        value=row["value_double"],
        whole=row["value_long"],
        label=row["value_string"],
        quality=row["quality"],
        sequence=row["sequence"],
        historical=bool(row["flags"] & 2),
        forced=bool(row["flags"] & 1),
        birth=bool(row["flags"] & 4),
    )


def selected(records: Iterable[Sequence[Mapping[str, Any]]]) -> tuple[list[Reading], int]:
    """Of a line's log, record by record, the readings that count, under the primary's name; how many do not."""
    group = Group(list(REDUNDANT), limit=10 * SECOND, failback=30 * SECOND)
    found, standby = [], 0
    for offset, rows in enumerate(records):
        doubled = [row for row in rows if row["signal_id"] in REDUNDANT]
        found += [reading_of(row) for row in rows if row["signal_id"] not in REDUNDANT]
        told = [
            Told(offset, row["signal_id"], row["event_time"], row["ingest_time"], float(place), row["quality"])
            for place, row in enumerate(doubled)
        ]
        counting = group.record(told) if told else []
        for one in counting:
            found.append(reading_of({**doubled[int(one.value)], "signal_id": REDUNDANT[0]}))
        standby += len(told) - len(counting)
    return found, standby


def expected_windows(readings: list[Reading], watermark: int) -> dict[Window, Payload]:
    """The windows of one line."""
    return windows(readings, {name: source.signal for name, source in BY_NAME.items()}, watermark)


def alerts(readings: Sequence[Reading]) -> set[Alert]:
    """(rule, signal, begin, end) of the rules of the chain, of which all is known that will ever be."""
    found = {("set", "pressure", begin, end) for begin, end in _changes(readings)}
    for rule, name, on_s, off_s in (("hot", "temperature", 2, 3), ("fault", "state", 1, 0)):
        told = [(one.time, _holds(one)) for one in held([one for one in readings if one.signal == name])]
        spans: list[list[int | None]] = []
        holds = False
        for time, now in told:
            if now and not holds:
                last = spans[-1] if spans else None
                # Back within the off-delay it is the same alert, if it had become one.
                if last and last[1] is not None and time < last[1] + off_s * SECOND and _rang(last, on_s):
                    last[1] = None
                else:
                    spans.append([time, None])
            elif holds and now is False:
                spans[-1][1] = time
            holds = holds if now is None else now
        found |= {(rule, name, int(span[0] or 0), span[1]) for span in spans if _rang(span, on_s)}
    return found


def _changes(readings: Sequence[Reading]) -> list[tuple[int, int | None]]:
    """Begin and end of what the rule `set` tells: each other pressure; one within 2 s of it is the same alert."""
    found: list[tuple[int, int | None]] = []
    told = [(one.time, one.number) for one in held([one for one in readings if one.signal == "pressure"])]
    told = [(time, number) for time, number in told if number is not None]
    for (_, before), (time, number) in pairwise(told):
        if number != before:
            last = found[-1] if found else None
            if last and last[1] is not None and time < last[1] + 2 * SECOND:
                found[-1] = (last[0], time)
            else:
                found.append((time, time))
    return found


def _rang(span: list[int | None], on_s: int) -> bool:
    begin, end = span
    return end is None or end - (begin or 0) >= on_s * SECOND


def _holds(reading: Reading) -> bool | None:
    """Whether the rule's condition holds by this reading; None: it says nothing."""
    if reading.signal == "state":
        return None if text(reading) is None else text(reading) == "fault"
    number = reading.number
    if number is None:
        return None
    return True if number > 85 else False if number <= 82 else None


def held(readings: Sequence[Reading]) -> list[Reading]:
    """Usable readings in order of time, of several at one instant the one that counts."""
    best: dict[int, Reading] = {}
    for one in readings:
        if one.quality != BAD:
            best[one.time] = max((one, best.get(one.time, one)), key=rank)
    return [best[time] for time in sorted(best)]


def plant(readings: Sequence[Reading]) -> Plant:
    """The readings of `edge-1` on the line, as the reference of the KPIs has them."""
    own = [one for one in readings if one.source == "edge-1"]
    by_instant: dict[int, list[Reading]] = defaultdict(list)
    for one in own:
        if one.signal == "state":
            by_instant[one.time].append(one)
    states = [max(same, key=rank) for same in by_instant.values()]
    return Plant(
        states=[(one.time, one.label or "", one.quality) for one in states],
        counters={role: _counter(own, name)
                  for role, name in (("good_counter", "good"), ("reject_counter", "reject"))},
        heartbeats=[one.time for one in own],
        orders=list(ORDERS),
        shifts=[SHIFT],
        planned_down=[CLEANING],
        silence_us=SILENCE,
        rollover=99,
    )  # fmt: skip


def _counter(readings: Sequence[Reading], name: str) -> list[tuple[int, int]]:
    """What increments are told against: what wins its instant, unless it is bad or a birth, which tells nothing new."""
    best: dict[int, Reading] = {}
    for one in readings:
        if one.signal == name:
            best[one.time] = max((one, best.get(one.time, one)), key=rank)
    counts = ((one.time, one.whole) for one in best.values() if one.quality != BAD and not one.birth)
    return [(time, whole) for time, whole in sorted(counts) if whole is not None]


def elements(told: Plant, start: int, end: int) -> dict[str, Any]:
    """Elements of [start, end), to the microsecond: what a period is made of changes only where something is told."""
    edges = {start, end, *told.times(), *(at for _, *span in [SHIFT, CLEANING] for at in span)}
    edges |= {at for _, begin, until, _ in ORDERS for at in (begin, until)}
    inside = sorted(at for at in edges if start <= at <= end)
    names = ("apt", "aust", "adet", "adot", "planned_down", "no_shift", "unknown", "uncertain")
    sums: dict[str, Any] = dict.fromkeys((f"{name}_s" for name in names), 0)
    for low, high in pairwise(inside):
        name, uncertain = element_at(told, low)
        sums[f"{name}_s"] += high - low
        sums["uncertain_s"] += (high - low) * (uncertain and name in {"apt", "aust", "adet", "adot"})
    sums = {name: total / SECOND for name, total in sums.items()}
    sums["pbt_s"] = (end - start) / SECOND - sums["no_shift_s"] - sums["planned_down_s"]
    made = {role: [(at, n) for at, n in counted(told, role) if start <= at < end] for role in told.counters}
    sums["gq"], sums["rq"] = (sum(n for _, n in made[role]) for role in ("good_counter", "reject_counter"))
    sums["pq"] = sums["gq"] + sums["rq"]
    priced = any(order_at(told, at) for at in inside[:-1])
    for name, items in (("gq", made["good_counter"]), ("pq", made["good_counter"] + made["reject_counter"])):
        sums[f"pri_{name}_s"] = math.fsum(n * _price(told, at) for at, n in items) if priced else None
    return sums


def _price(told: Plant, at: int) -> float:
    order = order_at(told, at)
    return 0.0 if order is None else order[1]


def periods(told: Plant) -> dict[tuple[str, str], dict[str, Any]]:
    """Elements and KPIs of every ended period by (period, start): each hour, shift and order of which anything is."""
    times = told.times()
    if not times:
        return {}
    spans = [("hour", start, start + HOUR) for start in range(times[0] // HOUR * HOUR, times[-1] + 1, HOUR)]
    spans += [("shift", *SHIFT[1:]), *(("order", begin, end) for _, begin, end, _ in ORDERS)]
    found = {}
    for name, start, end in spans:
        sums = elements(told, start, end)
        if start <= times[-1] and end > times[0] and (sums["pbt_s"] > 0 or sums["pq"] or sums["gq"]):
            found[name, str(start - T0)] = {**sums, **kpis(sums), "start": start, "end": end}
    return found
