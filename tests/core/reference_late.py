"""What should have been told in the end, said plainly: all readings at once, by time, one rule on one signal."""

from __future__ import annotations

from collections.abc import Iterable

from streams.core.alert.rule import Rule
from tests.core.alert_scene import R, S

BAD, BIRTH = 2, 4
PER = {"s": 1, "min": 60, "h": 3600}
Told = tuple[int, int, int | None]


def excursions(rule: Rule, signal: str, readings: Iterable[R], disorder_us: int) -> list[Told]:
    """(begin, active, end: None while it stands) of all that is told once all these readings are there."""
    everything = list(readings)
    own = [reading for reading in everything if reading.signal == signal and reading.quality != BAD]
    if not own:
        return []
    best: dict[int, tuple[int, R]] = {}
    for reading in own:
        sequence = -1 if reading.sequence is None else reading.sequence
        if reading.event_time not in best or sequence >= best[reading.event_time][0]:
            best[reading.event_time] = (sequence, reading)
    at_source = max(r.event_time for r in everything if r.source == own[0].source)
    clock = max([*best, at_source - disorder_us])
    readings = [best[time][1] for time in sorted(best)]
    if rule.type == "change":
        return _told(rule, [[time, time] for time, _, _ in changes(rule, readings)], clock)
    return _told(rule, _spells(_judged(rule, readings)), clock)


def origins(rule: Rule, signal: str, readings: Iterable[R]) -> dict[int, float]:
    """What each change was a change from, by its time."""
    own = [reading for reading in readings if reading.signal == signal and reading.quality != BAD]
    best: dict[int, R] = {}
    for reading in sorted(own, key=lambda one: -1 if one.sequence is None else one.sequence):
        best[reading.event_time] = reading
    return {time: before for time, before, _ in changes(rule, [best[time] for time in sorted(best)])}


def changes(rule: Rule, readings: list[R]) -> list[tuple[int, float, float]]:
    """(event time, from, to) of readings, one for each instant and by time."""
    found: list[tuple[int, float, float]] = []
    told: float | None = None
    for reading in readings:
        if not isinstance(reading.value, float):
            continue
        if told is None:
            told = reading.value
        elif abs(reading.value - told) > rule.condition.by:
            found.append((reading.event_time, told, reading.value))
            told = reading.value
    return found


def _judged(rule: Rule, readings: list[R]) -> list[tuple[int, bool]]:
    """(event time, whether the condition holds) of readings that decide."""
    condition = rule.condition
    found = []
    for time, value in _values(rule, readings):
        if isinstance(value, str):
            found.append((time, value in condition.states))
            continue
        high, low = condition.high, condition.low
        if (high is not None and value > high) or (low is not None and value < low):
            found.append((time, True))
        elif (high is None or value <= high - condition.deadband) and (
            low is None or value >= low + condition.deadband
        ):
            found.append((time, False))
    return found


def _values(rule: Rule, readings: list[R]) -> list[tuple[int, float | str]]:
    if rule.type != "rate_of_change":
        wanted = str if rule.type == "state" else float
        return [(r.event_time, r.value) for r in readings if isinstance(r.value, wanted)]
    over = round(rule.condition.over_s * S)
    found: list[tuple[int, float | str]] = []
    anchor: R | None = None
    last_step = None
    for reading in readings:
        step, birth = reading.event_time // over, bool(reading.flags & BIRTH)
        if step != last_step or birth:
            if anchor is not None and not birth:
                span = max(reading.event_time - anchor.event_time, over)
                change = float(reading.value or 0.0) - float(anchor.value or 0.0)
                found.append((reading.event_time, change * (PER[rule.condition.per] * S) / span))
            anchor = reading
        last_step = step
    return found


def _spells(decided: list[tuple[int, bool]]) -> list[list[int | None]]:
    """Times for which the condition held."""
    spells: list[list[int | None]] = []
    for time, holds in decided:
        standing = bool(spells) and spells[-1][1] is None
        if holds and not standing:
            spells.append([time, None])
        elif standing and not holds:
            spells[-1][1] = time
    return spells


def _told(rule: Rule, spells: list[list[int | None]], clock: int) -> list[Told]:
    on, off = rule.condition.delays_us
    told: list[Told] = []
    for begin, end in spells:
        assert begin is not None
        if told and told[-1][2] is not None and begin < told[-1][2] + off:
            told[-1] = (told[-1][0], told[-1][1], end)  # back within the off-delay
        elif (clock if end is None else end) >= begin + on:
            told.append((begin, begin + on, end))
    return [
        (begin, active, None if end is None or max(end + off, active) > clock else end) for begin, active, end in told
    ]
