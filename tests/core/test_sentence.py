"""Sentences of alerts, as people read them."""

from __future__ import annotations

import pytest

from streams.core.alert.sentence import Facts, clock, duration, quantity, sentence
from tests.core.alert_scene import T0, S

Changes = dict[str, object]
ACTIVE = Facts(
    state="active", reason="condition_active", kind="alarm", type="threshold", title="Bearing temperature high",
    name="Filler 1 bearing temperature", value=92.41, label=None, unit="Cel", limit=85.0, back=83.0, rising=True,
    uncertain=False, backlog=False, begin_us=T0 + 2527 * S, end_us=None, told_us=T0 + 2528 * S,
    where="bottling/line-1/filler-1", order="PO-1007", product="Cola 0.5 l", owner="maintenance",
    response="check the bearing lubrication",
)  # fmt: skip
CLEARED: Changes = {"state": "cleared", "reason": "condition_cleared", "end_us": ACTIVE.begin_us + 240 * S}
LOW: Changes = {"name": "Bowl pressure", "rising": False, "value": 1.2, "limit": 2.0, "back": 2.5, "unit": "bar"}
RATE: Changes = {"type": "rate_of_change", "value": 72.0, "limit": 30.0, "back": 15.0, "unit": "Cel/min"}
FALL: Changes = {
    "type": "rate_of_change",
    "rising": False,
    "value": -72.0,
    "limit": -30.0,
    "back": -15.0,
    "unit": "Cel/min",
}
SLOW: Changes = {
    "type": "rate_of_change",
    "rising": False,
    "value": 20.0,
    "limit": 40.0,
    "back": 50.0,
    "unit": "{item}/min",
}
STATE: Changes = {"type": "state", "title": "Machine in fault", "name": "filler state", "label": "fault", "value": None}
STATE |= {"limit": None, "back": None, "unit": None}
STILL: Changes = {"reason": "still_active"}
BACKLOG: Changes = {"backlog": True}
SINCE = "since 10:42:07 UTC at bottling/line-1/filler-1"
FROM = "from 10:42:07 UTC on at bottling/line-1/filler-1"
AFTER = "after 4 min at bottling/line-1/filler-1"
# What each kind of rule says of each transition, up to the order that ran: type, transition, sentence.
SENTENCES: tuple[tuple[Changes, Changes, str], ...] = (
    ({}, {}, f"Filler 1 bearing temperature is 92.41 °C (limit 85 °C) {SINCE}"),
    ({}, STILL, f"Filler 1 bearing temperature is still 92.41 °C (limit 85 °C) {SINCE}"),
    ({}, BACKLOG, f"Filler 1 bearing temperature was 92.41 °C (limit 85 °C) {FROM}"),
    ({}, {"value": 84.0}, f"Filler 1 bearing temperature is 84 °C (limit 85 °C, ends below 83 °C) {SINCE}"),
    ({}, {"value": None}, f"Filler 1 bearing temperature is beyond its limit (limit 85 °C) {SINCE}"),
    ({}, {"uncertain": True}, f"Filler 1 bearing temperature is 92.41 °C, of uncertain quality (limit 85 °C) {SINCE}"),
    ({}, CLEARED, f"Filler 1 bearing temperature is back below 83 °C (limit 85 °C) {AFTER}"),
    ({}, CLEARED | {"back": 85.0}, f"Filler 1 bearing temperature is back below 85 °C {AFTER}"),
    ({}, CLEARED | {"value": 84.0}, f"Filler 1 bearing temperature is back below 83 °C (limit 85 °C) {AFTER}"),
    (LOW, {}, f"Bowl pressure is 1.2 bar (lower limit 2 bar) {SINCE}"),
    (LOW, {"value": 2.2}, f"Bowl pressure is 2.2 bar (lower limit 2 bar, ends above 2.5 bar) {SINCE}"),
    (LOW, CLEARED, f"Bowl pressure is back above 2.5 bar (lower limit 2 bar) {AFTER}"),
    (RATE, {}, f"Filler 1 bearing temperature rises by 72 °C/min (limit 30 °C/min) {SINCE}"),
    (RATE, STILL, f"Filler 1 bearing temperature still rises by 72 °C/min (limit 30 °C/min) {SINCE}"),
    (RATE, BACKLOG, f"Filler 1 bearing temperature rose by 72 °C/min (limit 30 °C/min) {FROM}"),
    (RATE, {"value": None}, f"Filler 1 bearing temperature changes beyond its limit (limit 30 °C/min) {SINCE}"),
    (RATE, BACKLOG | {"value": None},
     f"Filler 1 bearing temperature changed beyond its limit (limit 30 °C/min) {FROM}"),
    (RATE, CLEARED, f"The rise of Filler 1 bearing temperature is back below 15 °C/min (limit 30 °C/min) {AFTER}"),
    (FALL, {}, f"Filler 1 bearing temperature falls by 72 °C/min (limit 30 °C/min) {SINCE}"),
    (FALL, BACKLOG, f"Filler 1 bearing temperature fell by 72 °C/min (limit 30 °C/min) {FROM}"),
    (FALL, CLEARED, f"The fall of Filler 1 bearing temperature is back below 15 °C/min (limit 30 °C/min) {AFTER}"),
    (SLOW, {}, f"Filler 1 bearing temperature rises by 20 items/min (lower limit 40 items/min) {SINCE}"),
    (SLOW, CLEARED,
     f"The rate of Filler 1 bearing temperature is back above 50 items/min (lower limit 40 items/min) {AFTER}"),
    (STATE, {}, f"Filler state is fault {SINCE}"),
    (STATE, STILL, f"Filler state is still fault {SINCE}"),
    (STATE, BACKLOG, f"Filler state was fault {FROM}"),
    (STATE, {"label": None}, f"Filler state is in a state of its rule {SINCE}"),
    (STATE, CLEARED | {"label": "setup"}, f"Filler state is setup now, 'Machine in fault' is over {AFTER}"),
    (STATE, CLEARED | {"label": None}, f"Filler state: 'Machine in fault' is over {AFTER}"),
)  # fmt: skip


def _with(**changes: object) -> str:
    return sentence(Facts(**(vars(ACTIVE) | changes)))


@pytest.mark.parametrize(("rule", "transition", "said"), SENTENCES)
def test_each_transition_of_each_kind_of_rule_has_its_sentence(rule: Changes, transition: Changes, said: str) -> None:
    """What, where, since when or for how long, why, and who is to do what: only where there is something to do."""
    changes = {**rule, **transition}
    if changes.get("backlog"):
        rest = ", while order PO-1007 (Cola 0.5 l) ran; told late, nobody was called."
    elif changes.get("state") == "cleared":
        rest = ", while order PO-1007 (Cola 0.5 l) ran."
    else:
        rest = ", while order PO-1007 (Cola 0.5 l) runs; maintenance: check the bearing lubrication."
    assert _with(**changes) == said + rest


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("rule_removed", "its rule was removed"),
        ("rule_changed", "its rule has other limits now"),
        ("signal_removed", "its rule does not watch this signal any longer"),
    ],
)
@pytest.mark.parametrize("rule", [{}, RATE, STATE | {"name": "Filler state"}, {"type": None, "limit": None}])
def test_an_alert_that_ends_with_its_rule_says_so(rule: Changes, reason: str, why: str) -> None:
    """Whatever the rule was: which alarm of which signal, for how long it stood, and why it is closed."""
    changes = CLEARED | {"reason": reason} | rule
    facts = vars(ACTIVE) | changes
    assert _with(**changes) == (
        f"{facts['name']} at bottling/line-1/filler-1: alarm {facts['title']!r} closed after 4 min, as {why}, "
        "while order PO-1007 (Cola 0.5 l) ran."
    )


def test_what_ended_in_a_backlog_calls_nobody() -> None:
    """Over before it was known: said in so many words."""
    assert _with(**(CLEARED | BACKLOG)) == (
        f"Filler 1 bearing temperature is back below 83 °C (limit 85 °C) {AFTER}, "
        "while order PO-1007 (Cola 0.5 l) ran; told late, nobody was called."
    )


def test_what_is_not_known_is_not_said() -> None:
    """Without order, product, place and owner the sentence is shorter, not wrong."""
    known = _with(order=None, product=None, where=None, name="line-1-filler-x", owner="")
    assert known == "Line-1-filler-x is 92.41 °C (limit 85 °C) since 10:42:07 UTC; check the bearing lubrication."
    assert "while order PO-1007 runs; " in _with(product=None)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (92.4, "Cel", "92.4 °C"), (0.1 + 0.2, "bar", "0.3 bar"), (7400.4, "/h", "7400 per h"), (2.0, "N.m", "2 N·m"),
        (12345678.0, None, "12345678"), (3.0, "1", "3"), (110.0, "{item}/min", "110 items/min"), (None, "A", "-"),
        (12.0, "1/min", "12 per min"), (-0.0, "A", "0 A"), (1e-7, "m", "1e-07 m"),
        (50.0, "%", "50 %"), (-3.0, "m/s2", "-3 m/s2"),
    ],
)  # fmt: skip
def test_quantities_are_short_and_carry_their_sign(value: float | None, unit: str | None, text: str) -> None:
    """Four significant digits, the usual sign of the UCUM unit, no exponent for large numbers."""
    assert quantity(value, unit) == text


@pytest.mark.parametrize(
    ("span_s", "text"),
    [(0, "0 s"), (2.5, "2.5 s"), (59.9, "59.9 s"), (60, "1 min"), (245, "4 min 5 s"), (3660, "1 h 1 min"),
     (3_600, "1 h"), (90_000, "1 d 1 h")],
)  # fmt: skip
def test_durations_have_two_units_at_most(span_s: float, text: str) -> None:
    """As people say them."""
    assert duration(round(span_s * S)) == text


def test_a_time_of_another_day_has_its_date() -> None:
    """Told the next day, or from a backlog, a time of day alone would mislead."""
    assert clock(T0, T0 + 3600 * S) == "10:00:00 UTC"
    assert clock(T0, T0 + 86_400 * S) == "2026-01-01 10:00:00 UTC"
