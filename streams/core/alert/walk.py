"""The few readings that matter, walked through the transition table. In: a book, judged readings. Out: transitions.

Event time passes for a condition with the readings of its own signal at once, with those of other signals of its
source only by the allowed disorder later, so that a signal which arrives a little after its neighbours is not judged
without having been heard.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from streams import topology
from streams.core.alert import state as alert_state
from streams.core.alert.book import Book, Key
from streams.core.alert.chunk import Judged
from streams.core.alert.clocks import Clocks, Trail
from streams.core.alert.coverage import Unknown
from streams.core.alert.rule import Rule
from streams.core.alert.rule_condition import CHANGE
from streams.core.alert.rule_match import Compiled, Integers
from streams.core.alert.state import ACTIVE, CLEARING, PENDING, Condition, Reading, Transition
from streams.core.times import FOREVER_US, NEVER_US

_CHANGE: Final = (
    "pair", "holds", "held_before", "behind", "high", "low", "value", "site", "tenant", "work_center", "source_id",
    "event_time", "ingest_time", "value_string", "quality", "_partition", "_offset",
)  # fmt: skip


@dataclass
class Walk:
    """One step of the conditions in `book`; `transitions` collects what is announced, with reading and coverage.

    `contradicted` collects (pair, event time, offset) of readings that came after other signals' time had decided.
    """

    book: Book
    compiled: Compiled
    unknown: Unknown
    clocks: Clocks
    past_us: int
    disorder_us: int
    transitions: list[Transition] = field(default_factory=list)
    contradicted: list[tuple[int, int, int]] = field(default_factory=list)
    _judged: Judged | None = None
    _trail: Trail | None = None
    _set_at: dict[Key, int] = field(default_factory=dict)  # offset of the record that set a running delay

    def readings(self, judged: Judged) -> None:
        """Walk the changes of a judged chunk in log order, then let event time pass to the end of the chunk."""
        table = judged.readings
        self._judged = judged
        self._trail = Trail(table["pair"].to_numpy(), table["event_time"].to_numpy(), table["_offset"].to_numpy())
        changes = judged.changes.select(_CHANGE)
        self.book.load({self.compiled.pair_keys[pair] for pair in changes["pair"]})
        for row in changes.iter_rows(named=True):
            self._reading(row)
        self.time(judged.last_us)
        for condition in self.book.open():
            if condition.due is not None or not condition.annunciated:
                self._keep_last(condition)

    def time(self, last_us: Integers) -> None:
        """Let event time pass for every running delay, as far as sources and signals (by slot) have come."""
        for condition in self.book.open():
            pair = self._pair(condition)
            if pair is not None and (condition.due is not None or self._until(condition)[0] < FOREVER_US):
                own = int(last_us[self.compiled.pair_slot[pair]])
                self._pass(condition, max(own, self.clocks.at(condition.source_id) - self.disorder_us))

    def stand(self, conditions: Iterable[Condition]) -> None:
        """Annunciate these alerts of a backlog: nothing more is coming, so they stand."""
        for condition in conditions:
            at_us = self.clocks.at(condition.source_id)
            self._announce(condition, alert_state.known(condition, at_us, condition.last))

    def withdraw(self, rules: dict[str, Rule]) -> None:
        """Close what is judged no longer: its rule is gone, was given other limits, or does not select the signal."""
        for condition in self.book.open():
            rule = rules.get(condition.rule_id)
            if rule is None:
                reason = "rule_removed"
            elif rule.condition.fingerprint != condition.condition:
                reason = "rule_changed"
            elif self.compiled.slots and self._pair(condition) is None:
                reason = "signal_removed"
            else:
                continue
            at_us = max(self.clocks.at(condition.source_id, -1), condition.begin_time)
            self._announce(condition, alert_state.withdrawn(condition, at_us, reason))

    def _pair(self, condition: Condition) -> int | None:
        return self.compiled.pair_number.get((condition.rule_id, condition.signal_id))

    def _reading(self, row: dict[str, Any]) -> None:
        pair, event_time, offset = row["pair"], row["event_time"], row["_offset"]
        rule = self.compiled.rules[self.compiled.pair_rule[pair]]
        on_us, off_us = rule.condition.delays_us
        condition = self.book.of(rule, row, self.compiled.pair_keys[pair][1])
        reading = reading_of(row)
        key = (condition.rule_id, condition.signal_id)
        # The rest of a record that began a condition may end it: other signals' time counts from the next one on.
        others = self.clocks.at(row["source_id"], offset) - self.disorder_us
        self._pass(condition, event_time if self._set_at.get(key) == offset else max(event_time, others))
        if condition.work_center != row["work_center"]:
            # Readings of another line say so before the dictionary does.
            self._announce(condition, alert_state.withdrawn(condition, event_time, "moved"))
            condition = self.book.of(rule, row, condition.signal_id)
        until_us, why = self._until(condition, event_time)
        if (max(others, event_time) if why == "moved" else others) >= until_us:
            return  # its source is beyond the time that the rule watches it there
        if event_time < _decided(condition, off_us, holds=row["holds"]):
            self.contradicted.append((pair, event_time, offset))
        due = condition.due
        if not row["holds"]:
            alert_state.ended(condition, event_time, off_us)
        elif not row["held_before"]:
            alert_state.began(condition, event_time, on_us, _measured(rule, condition, row), reading.evidence)
            if condition.phase == PENDING:
                slot = int(self.compiled.pair_slot[pair])
                condition.begin_unknown_us = self.unknown.until(slot, event_time, offset)
        if row["behind"] or not row["holds"]:
            condition.behind = row["behind"]
        else:
            self._announce(condition, alert_state.known(condition, event_time, reading))
        if rule.type == CHANGE:
            self._pass(condition, event_time, reading)
            alert_state.ended(condition, event_time, off_us)
        if condition.due != due:
            self._set_at[key] = offset
        self._pass(condition, event_time, reading if condition.due == event_time else None)

    def _until(self, condition: Condition, now_us: int = NEVER_US) -> tuple[int, str]:
        """Event time from which on the rule watches the signal of its line no longer, and why; `now_us`: if normal."""
        pair = self._pair(condition)
        if pair is None:
            return FOREVER_US, ""
        begin_us = now_us if condition.phase == alert_state.NORMAL else condition.begin_time
        return self.compiled.until(pair, condition.work_center, begin_us)

    def _pass(self, condition: Condition, clock_us: int, reading: Reading | None = None) -> None:
        if condition.phase == alert_state.NORMAL:
            return
        end_us, why = self._until(condition)
        if condition.due is not None:
            until = self.clocks.reached(condition.source_id, condition.due + self.disorder_us)
            if until is not None:
                until = max(until, self._set_at.get((condition.rule_id, condition.signal_id), until))
            passed = alert_state.advance(condition, min(clock_us, end_us), self.past_us, until)
            self._announce(condition, (replace(transition, reading=reading) for transition in passed))
        if end_us <= clock_us:
            self._announce(condition, alert_state.withdrawn(condition, end_us, why))

    def _announce(self, condition: Condition, transitions: Iterable[Transition]) -> None:
        for transition in transitions:
            self.book.touch(condition)
            reading = transition.reading or self._last(transition)
            coverage = self._coverage(transition)
            self.transitions.append(replace(transition, reading=reading, coverage=coverage))
        if condition.phase == alert_state.NORMAL:
            condition.last = None
        self.book.touch(condition)

    def _last(self, transition: Transition) -> Reading | None:
        """The last reading before a delay had passed: the one the condition stood at then."""
        pair = self._pair(transition.condition)
        if self._judged is not None and self._trail is not None and pair is not None:
            found = self._trail.find(pair, transition.event_time - 1, transition.until)
            if found is not None:
                return reading_of(self._judged.readings.row(found, named=True))
        return transition.condition.last

    def _keep_last(self, condition: Condition) -> None:
        pair = self._pair(condition)
        if self._judged is not None and self._trail is not None and pair is not None:
            found = self._trail.find(pair, FOREVER_US)
            if found is not None:
                condition.last = reading_of(self._judged.readings.row(found, named=True))
                self.book.touch(condition)

    def _coverage(self, transition: Transition) -> float:
        condition, pair = transition.condition, self._pair(transition.condition)
        span = transition.event_time - condition.begin_time
        if pair is None or condition.begin_unknown_us is None or span <= 0:
            return 1.0
        slot = int(self.compiled.pair_slot[pair])
        unknown = self.unknown.until(slot, transition.event_time, transition.until) - condition.begin_unknown_us
        return min(max(1.0 - unknown / span, 0.0), 1.0)


def reading_of(row: dict[str, Any]) -> Reading:
    """A judged reading as what a transition rests on."""
    evidence = f"{topology.READING.name}/{row['_partition']}/{row['_offset']}"
    return Reading(row["value"], row["value_string"], row["quality"], row["ingest_time"], evidence)


def limit_of(row: dict[str, Any]) -> float | None:
    """The limit that a reading is beyond, or the value that it is a change from; None for a state."""
    value = row["value"]
    if value is None or row["high"] is None:
        return None
    if value > row["high"]:
        return float(row["high"])
    return float(row["low"]) if value < row["low"] else None


def _measured(rule: Rule, condition: Condition, row: dict[str, Any]) -> float | None:
    """What a begin is measured against: of several changes at one instant the value before that instant."""
    if rule.type == CHANGE and condition.begin_time == row["event_time"] and condition.limit is not None:
        return condition.limit
    return limit_of(row)


def _decided(condition: Condition, off_us: int, *, holds: bool) -> int:
    """Event time before which it was told already that the condition holds, or (`holds`) that it is over."""
    if condition.phase in {ACTIVE, CLEARING}:
        return condition.active_time
    return condition.end_time + off_us if holds and condition.end_time is not None else NEVER_US


def unannunciated(conditions: Iterable[Condition]) -> list[Condition]:
    """Active ones that a backlog brought and nobody was told of."""
    return [condition for condition in conditions if condition.phase == ACTIVE and not condition.annunciated]
