"""The alert stage said plainly: one reading after the other, one rule after the other, without chunks or frames.

It knows no backlog and no context: every reading is of the present, every signal is in the dictionary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from streams.core.alert.rule import Rule
from tests.core.alert_scene import R, S

BAD, BIRTH = 2, 4
PER = {"s": 1, "min": 60, "h": 3600}


@dataclass
class Life:
    """One rule on one signal: what it says now, and all readings it has judged."""

    holds: bool = False
    alert: bool = False
    begin: int = 0
    end: int | None = None
    due: int | None = None
    revision: int = 0
    limit: float | None = None
    begin_offset: int = 0
    active: int = 0
    anchor: tuple[int, float] | None = None
    told: float | None = None  # of a rule on changes
    judged: list[tuple[int, float | None, str | None, int, int]] = field(default_factory=list)


class Reference:
    """Judges records in the order of the log; `out` collects what is announced, as tuples (see `_announce`)."""

    def __init__(self, rules: Sequence[Rule], watched: dict[str, list[str]], disorder_us: int) -> None:
        self.rules = rules
        self.watched = watched  # rule id -> signals
        self.disorder_us = disorder_us
        self.lives = {(rule.id, signal): Life() for rule in rules for signal in watched[rule.id]}
        self.last: dict[str, int] = {}
        self.clock: dict[str, int] = {}
        self.spells: dict[str, list[tuple[int, bool]]] = {}
        self.source: dict[str, str] = {}
        self.late: dict[str, int] = {}
        self.out: list[tuple[Any, ...]] = []

    def run(self, readings: Sequence[R]) -> None:
        """Take all readings; each is a record of its own unless it names one."""
        numbered = [(n if r.record is None else r.record, r) for n, r in enumerate(readings)]
        for offset, record in groupby(numbered, key=lambda pair: pair[0]):
            rows = [reading for _, reading in record]
            for reading in rows:
                self._reading(offset, reading)
            for reading in rows:
                self.clock[reading.source] = max(self.clock.get(reading.source, reading.event_time), reading.event_time)
            for (rule_id, signal), life in self.lives.items():
                if self.source.get(signal) in self.clock:
                    self._pass(rule_id, signal, life, self.clock[self.source[signal]] - self.disorder_us)

    def _reading(self, offset: int, reading: R) -> None:
        signal, time = reading.signal, reading.event_time
        self.source[signal] = reading.source
        rules = [rule for rule in self.rules if signal in self.watched[rule.id]]
        if not rules:
            return
        if reading.quality == BAD:
            self._spell(signal, max(time, self.last.get(signal, time)), bad=True)
            return
        before = self.last.get(signal)
        if before is not None and time < before:
            for rule in rules:
                self.late[rule.id] = self.late.get(rule.id, 0) + 1
            return
        self._spell(signal, time, bad=False)
        self.last[signal] = time
        for rule in rules:
            life = self.lives[rule.id, signal]
            self._pass(rule.id, signal, life, time)
            if rule.type == "change":
                self._change(rule, signal, life, offset, reading)
            elif (value := self._value(rule, life, reading, before)) is not None:
                self._judge(rule, signal, life, offset, reading, value)

    def _value(self, rule: Rule, life: Life, reading: R, before: int | None) -> float | str | None:
        if rule.type == "state":
            return reading.value if isinstance(reading.value, str) else None
        if reading.value is None or isinstance(reading.value, str) or rule.type == "threshold":
            return None if isinstance(reading.value, str) else reading.value
        over = round(rule.condition.over_s * S)
        birth = bool(reading.flags & BIRTH)
        if not birth and before is not None and before // over == reading.event_time // over:
            return None
        anchor, life.anchor = life.anchor, (reading.event_time, reading.value)
        if birth or anchor is None:
            return None
        return (reading.value - anchor[1]) * (PER[rule.condition.per] * S) / max(reading.event_time - anchor[0], over)

    def _judge(self, rule: Rule, signal: str, life: Life, offset: int, reading: R, value: float | str) -> None:
        time, condition = reading.event_time, rule.condition
        now_holds = life.holds
        limit = None
        if isinstance(value, str):
            now_holds = value in condition.states
        elif condition.high is not None and value > condition.high:
            now_holds, limit = True, condition.high
        elif condition.low is not None and value < condition.low:
            now_holds, limit = True, condition.low
        elif (condition.high is None or value <= condition.high - condition.deadband) and (
            condition.low is None or value >= condition.low + condition.deadband
        ):
            now_holds = False
        number, text = (None, value) if isinstance(value, str) else (value, None)
        life.judged.append((time, number, text, reading.quality, offset))
        if now_holds and not life.holds:
            if life.alert:  # within the off-delay: the same alert
                life.end = life.due = None
            else:
                if life.begin != time:
                    life.revision = 0
                life.begin, life.end, life.limit, life.begin_offset = time, None, limit, offset
                life.due = time + round(condition.on_delay_s * S)
        elif life.holds and not now_holds:
            if life.alert:
                life.end, life.due = time, time + round(condition.off_delay_s * S)
            else:
                life.due = None
        life.holds = now_holds
        self._pass(rule.id, signal, life, time, at_once=True)

    def _change(self, rule: Rule, signal: str, life: Life, offset: int, reading: R) -> None:
        """A rule on changes: what is other than what was told last is told, and over."""
        time, value = reading.event_time, reading.value
        if value is None or isinstance(value, str):
            return
        life.judged.append((time, value, None, reading.quality, offset))
        before, life.told = life.told, value if life.told is None else life.told
        if before is None or abs(value - before) <= rule.condition.by:
            return
        life.told = value
        if not life.alert:
            if life.begin != time:  # what else is said of one instant is a change from before that instant
                life.revision, life.limit = 0, before
            life.begin, life.end, life.begin_offset, life.due = time, None, offset, time
            self._pass(rule.id, signal, life, time, at_once=True)
        life.end, life.due = time, time + round(rule.condition.off_delay_s * S)
        self._pass(rule.id, signal, life, time, at_once=True)

    def _pass(self, rule_id: str, signal: str, life: Life, clock: int, *, at_once: bool = False) -> None:
        if life.due is None or life.due > clock:
            return
        due, life.due = life.due, None
        if not life.alert:
            life.alert, life.active = True, due
            self._announce(rule_id, signal, life, "active", due, at_once=at_once and life.judged[-1][0] == due)
        else:
            life.alert = False
            when = max(due, life.active)
            self._announce(rule_id, signal, life, "cleared", when, at_once=at_once and life.judged[-1][0] == due)

    def _announce(self, rule_id: str, signal: str, life: Life, state: str, when: int, *, at_once: bool) -> None:
        life.revision += 1
        before = [row for row in life.judged if row[0] < when]
        reading = life.judged[-1] if at_once else before[-1]
        evidence = [f"ot.reading.v1/3/{offset}" for offset in dict.fromkeys((life.begin_offset, reading[4]))]
        span = when - life.begin
        unknown = self._unknown(signal, when) - self._unknown(signal, life.begin)
        coverage = min(max(1.0 - unknown / span, 0.0), 1.0) if span > 0 else 1.0
        quality = "uncertain" if reading[3] == 1 else "good"
        self.out.append(
            (
                f"{rule_id}|{signal}|{life.begin}", life.revision, state, when, life.begin, life.end, reading[1],
                reading[2], life.limit, quality, round(coverage, 9), evidence,
            )
        )  # fmt: skip

    def _spell(self, signal: str, time: int, *, bad: bool) -> None:
        spells = self.spells.setdefault(signal, [])
        if bad != (spells[-1][1] if spells else False):
            spells.append((max(time, spells[-1][0]) if spells else time, bad))

    def _unknown(self, signal: str, until: int) -> int:
        """Microseconds before `until` in which the last reading of the signal was bad."""
        total = 0
        spells = self.spells.get(signal, [])
        for number, (begin, bad) in enumerate(spells):
            end = spells[number + 1][0] if number + 1 < len(spells) else until
            if bad:
                total += max(min(end, until) - begin, 0)
        return total


def payload(row: dict[str, Any]) -> tuple[Any, ...]:
    """A record of `ops.alert.v1` as `Reference.out` has it."""
    return (
        row["alert_id"], row["revision"], row["state"], row["event_time"], row["begin_time"], row["end_time"],
        row["value"], row["value_string"], row["limit"], row["quality"], round(row["coverage"], 9), row["evidence"],
    )  # fmt: skip
