"""Sentences of alerts, as people read them."""

from __future__ import annotations

import pytest

from streams.core.alert.sentence import Facts, clock, duration, quantity, sentence
from tests.core.alert_scene import T0, S

ACTIVE = Facts(
    state="active", reason="condition_active", type="threshold", title="Bearing temperature high",
    name="Filler 1 bearing temperature", value=92.41, label=None, unit="Cel", limit=85.0, back=83.0, rising=True,
    uncertain=False, begin_us=T0 + 2527 * S, end_us=None, told_us=T0 + 2528 * S, where="bottling/line-1/filler-1",
    order="PO-1007", product="Cola 0.5 l", owner="maintenance", response="check the bearing lubrication",
)  # fmt: skip


def _with(**changes: object) -> str:
    return sentence(Facts(**(vars(ACTIVE) | changes)))


def test_an_active_alert_says_what_where_since_why_who_and_what_to_do() -> None:
    """The whole sentence, word by word."""
    assert sentence(ACTIVE) == (
        "Filler 1 bearing temperature is 92.41 °C (limit 85 °C) since 10:42:07 UTC at bottling/line-1/filler-1, "
        "while order PO-1007 (Cola 0.5 l) runs; maintenance: check the bearing lubrication."
    )


def test_a_cleared_alert_says_how_long_it_took() -> None:
    """Back below the limit less the deadband, after so long, and nothing is left to do."""
    text = _with(state="cleared", reason="condition_cleared", end_us=ACTIVE.begin_us + 240 * S)
    assert text == (
        "Filler 1 bearing temperature is back below 83 °C after 4 min at bottling/line-1/filler-1, "
        "while order PO-1007 (Cola 0.5 l) ran."
    )


def test_what_is_not_known_is_not_said() -> None:
    """Without order and place the sentence is shorter, not wrong."""
    text = _with(order=None, product=None, where=None, name="line-1-filler-x")
    assert (
        text
        == "Line-1-filler-x is 92.41 °C (limit 85 °C) since 10:42:07 UTC; maintenance: check the bearing lubrication."
    )


@pytest.mark.parametrize(
    ("changes", "beginning"),
    [
        ({"rising": False, "value": 1.2, "limit": 2.0, "unit": "bar"},
         "Filler 1 bearing temperature is 1.2 bar (lower limit 2 bar) since"),
        ({"type": "state", "name": "filler state", "label": "fault"}, "Filler state is fault since"),
        ({"type": "rate_of_change", "value": 72.0, "limit": 30.0, "unit": "Cel/min"},
         "Filler 1 bearing temperature changes by 72 °C/min (limit 30 °C/min) since"),
        ({"uncertain": True}, "Filler 1 bearing temperature is 92.41 °C, of uncertain quality (limit 85 °C) since"),
        ({"state": "cleared", "type": "state", "name": "filler state", "label": "running"},
         "Filler state is running again after 0 s"),
        ({"state": "cleared", "rising": False}, "Filler 1 bearing temperature is back above 83 °C after 0 s"),
        ({"state": "cleared", "type": "rate_of_change", "back": 15.0, "unit": "Cel/min"},
         "Filler 1 bearing temperature changes by less than 15 °C/min after 0 s"),
        ({"state": "cleared", "reason": "rule_removed", "type": None},
         "Filler 1 bearing temperature: alert of rule 'Bearing temperature high' closed, its rule was removed at"),
    ],
)  # fmt: skip
def test_each_kind_of_rule_has_its_words(changes: dict[str, object], beginning: str) -> None:
    """Limits on either side, states, rates, doubt, and alerts that end with their rule."""
    assert _with(**changes).startswith(beginning)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (92.4, "Cel", "92.4 °C"), (0.1 + 0.2, "bar", "0.3 bar"), (7400.4, "/h", "7400 per h"), (2.0, "N.m", "2 N·m"),
        (12345678.0, None, "12345678"), (3.0, "1", "3"), (110.0, "{item}/min", "110 items/min"), (None, "A", "-"),
        (1e-7, "m", "1e-07 m"), (50.0, "%", "50 %"), (-3.0, "m/s2", "-3 m/s2"),
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
