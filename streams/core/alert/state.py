"""The life of one rule's condition on one signal, as a transition table. Enter: events. Leave: announced transitions.

Phases carry the ISA-18.2 on-delay and off-delay: a condition is *pending* until it has held for the on-delay, and
*clearing* until it has been gone for the off-delay. What other services see is `active` and `cleared`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

NORMAL: Final = "normal"
PENDING: Final = "pending"
ACTIVE: Final = "active"
CLEARING: Final = "clearing"
PHASES: Final = (NORMAL, PENDING, ACTIVE, CLEARING)

BEGAN: Final = "condition_began"
ENDED: Final = "condition_ended"
DELAYED: Final = "delay_passed"
KNOWN: Final = "known_to_stand"  # a reading of the present, after a backlog, says that it still holds
WITHDRAWN: Final = "withdrawn"  # the rule, its limits or the signal are gone
EVENTS: Final = (BEGAN, ENDED, DELAYED, KNOWN, WITHDRAWN)

# Pairs that are not here leave the phase as it is.
TRANSITIONS: Final = {
    (NORMAL, BEGAN): PENDING,
    (PENDING, ENDED): NORMAL,
    (PENDING, DELAYED): ACTIVE,
    (PENDING, WITHDRAWN): NORMAL,
    (ACTIVE, ENDED): CLEARING,
    (ACTIVE, KNOWN): ACTIVE,
    (ACTIVE, WITHDRAWN): NORMAL,
    (CLEARING, BEGAN): ACTIVE,
    (CLEARING, DELAYED): NORMAL,
    (CLEARING, WITHDRAWN): NORMAL,
}
# What is announced when a phase changes so; every other change is silent.
ANNOUNCED: Final = {
    (PENDING, DELAYED): ("active", "condition_active"),
    (ACTIVE, KNOWN): ("active", "still_active"),
    (ACTIVE, WITHDRAWN): ("cleared", "withdrawn"),
    (CLEARING, DELAYED): ("cleared", "condition_cleared"),
    (CLEARING, WITHDRAWN): ("cleared", "withdrawn"),
}


@dataclass(frozen=True)
class Reading:
    """The reading behind a transition: value (or rate, or label), quality, broker time, coordinates of its record."""

    value: float | None
    value_string: str | None
    quality: int
    ingest_time: int
    evidence: str


@dataclass
class Condition:
    """One rule on one signal. Times are event times in microseconds; `due` is when the running delay has passed.

    `condition` is the fingerprint of the rule it is judged by, `limit` what it is beyond, or a change from. `alert_id`
    names the alert that begins at `begin_time`, also where a late reading corrects its begin; `revision` counts its
    transitions. `behind` tells that the last reading was one of the past (a backlog), and `annunciated` that the alert
    has been announced as one that stands.
    `begin_unknown_us` is how long the signal had been unknown in all when the condition began; `last` is the latest
    reading, kept while a transition may still need it.
    """

    rule_id: str
    signal_id: str
    rule_version: int
    condition: str
    kind: str
    priority: str
    site: str
    tenant: str | None
    work_center: str
    source_id: str
    phase: str = NORMAL
    begin_time: int = 0
    active_time: int = 0
    end_time: int | None = None
    due: int | None = None
    revision: int = 0
    annunciated: bool = False
    behind: bool = False
    limit: float | None = None
    begin_evidence: str = ""
    begin_unknown_us: int | None = None
    alert_id: str = ""
    last: Reading | None = None


@dataclass(frozen=True)
class Was:
    """What had been told of an alert. Times in us; `end_time` None: that it stands."""

    state: str
    begin_time: int
    end_time: int | None


@dataclass(frozen=True)
class Transition:
    """An announced transition: the condition as it was then, and when (event time) and why.

    `reading` is the one that caused it; None: the last one before `event_time`, in a record up to offset `until`.
    `coverage` is the known share (0..1) of the time from `begin_time` to `event_time`. `was` is what had been told
    before, where late readings correct it; `cause` the alert that explains this one.
    """

    condition: Condition
    state: str
    reason: str
    event_time: int
    reading: Reading | None = None
    until: int | None = None
    coverage: float = 1.0
    was: Was | None = None
    cause: str | None = None


def advance(condition: Condition, clock_us: int, past_us: int, until: int | None) -> Iterator[Transition]:
    """Let event time pass to `clock_us`. What became active before `past_us` is past: recorded, not yet annunciated."""
    if condition.due is None or condition.due > clock_us:
        return
    phase, due = condition.phase, condition.due
    state, reason = ANNOUNCED[phase, DELAYED]
    condition.phase, condition.due = TRANSITIONS[phase, DELAYED], None
    if phase == PENDING:
        condition.active_time = due
        condition.behind = condition.behind or due < past_us
        condition.annunciated = not condition.behind
    else:
        # An off-delay of 0 that ends before the on-delay was over: source clocks may disagree within one source.
        due = max(due, condition.active_time)
    condition.revision += 1
    yield Transition(replace(condition), state, reason, due, until=until)


def began(condition: Condition, event_time: int, on_us: int, limit: float | None, evidence: str) -> None:
    """The condition holds from `event_time` on; back within the off-delay it is the same alert as before."""
    phase, condition.phase = condition.phase, TRANSITIONS.get((condition.phase, BEGAN), condition.phase)
    if phase == CLEARING:
        condition.end_time = condition.due = None
    elif phase == NORMAL:
        # Began, ended and began again within one instant of the source's clock: the alert goes on, its id is taken.
        alert_id = f"{condition.rule_id}|{condition.signal_id}|{event_time}"
        if condition.alert_id != alert_id:
            condition.alert_id, condition.revision = alert_id, 0
        condition.begin_time, condition.end_time, condition.due = event_time, None, event_time + on_us
        condition.limit, condition.begin_evidence, condition.begin_unknown_us = limit, evidence, None
        condition.annunciated = False


def ended(condition: Condition, event_time: int, off_us: int) -> None:
    """The condition holds no longer from `event_time` on."""
    phase, condition.phase = condition.phase, TRANSITIONS.get((condition.phase, ENDED), condition.phase)
    if phase == PENDING:
        condition.due = None
    elif phase == ACTIVE:
        condition.end_time, condition.due = event_time, event_time + off_us


def known(condition: Condition, event_time: int, reading: Reading | None) -> Iterator[Transition]:
    """A reading of the present says that it holds: an alert from a backlog is annunciated, once."""
    condition.behind = False
    if (condition.phase, KNOWN) in TRANSITIONS and not condition.annunciated:
        state, reason = ANNOUNCED[condition.phase, KNOWN]
        condition.annunciated = True
        condition.revision += 1
        yield Transition(replace(condition), state, reason, max(event_time, condition.active_time), reading)


def withdrawn(condition: Condition, event_time: int, reason: str) -> Iterator[Transition]:
    """The condition is judged no longer, for `reason`; what had been announced is cleared."""
    announced = ANNOUNCED.get((condition.phase, WITHDRAWN))
    condition.phase, condition.due = TRANSITIONS.get((condition.phase, WITHDRAWN), condition.phase), None
    if announced is not None:
        condition.revision += 1
        condition.end_time = event_time if condition.end_time is None else condition.end_time
        yield Transition(replace(condition), announced[0], reason, max(event_time, condition.active_time))
