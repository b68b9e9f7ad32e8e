"""An alert in one sentence: what, where, since, why, who, do next. Enters: the facts of a transition. Leaves: a text.

Times are UTC; units are shown as people write them, the contract keeps the UCUM code.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

# UCUM code to the usual sign; what is not here is shown as it is.
SIGNS: Final = {
    "1": "", "Cel": "°C", "[degF]": "°F", "N.m": "N·m", "m3/h": "m³/h", "mL": "ml", "L": "l", "um": "µm", "Ohm": "Ω",
    "{item}": "items", "/h": "per h", "/min": "per min",
}  # fmt: skip
_CLOSED: Final = {
    "rule_removed": "its rule was removed",
    "rule_changed": "its rule has other limits now",
    "signal_removed": "its rule does not watch this signal any longer",
}


@dataclass(frozen=True)
class Facts:
    """The facts of one transition. Times in microseconds UTC; `unit` is UCUM; `type` is the rule's (None: rule gone).

    `back` is the value that ends the condition (limit and deadband); `order` and `product` what ran at the time.
    """

    state: str
    reason: str
    type: str | None
    title: str
    name: str
    value: float | None
    label: str | None
    unit: str | None
    limit: float | None
    back: float | None
    rising: bool
    uncertain: bool
    begin_us: int
    end_us: int | None
    told_us: int
    where: str | None
    order: str | None
    product: str | None
    owner: str
    response: str


def sentence(facts: Facts) -> str:
    """One sentence about a transition, with a full stop."""
    parts = [f"{_what(facts)} at {facts.where}" if facts.where else _what(facts)]
    if facts.order:
        product = f" ({facts.product})" if facts.product else ""
        parts.append(f"while order {facts.order}{product} {'runs' if facts.state == 'active' else 'ran'}")
    text = ", ".join(parts)
    if facts.state == "active" and facts.response:
        text += f"; {facts.owner}: {facts.response}"
    return text[:1].upper() + text[1:] + "."


def quantity(value: float | None, unit: str | None) -> str:
    """A number with its unit: at most four significant digits before and after the point together, "-" for none."""
    if value is None:
        return "-"
    number = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    amount, _, per = (unit or "").partition("/")
    sign = SIGNS.get(unit or "", f"{SIGNS.get(amount, amount)}/{per}" if per else amount)
    return f"{number} {sign}".rstrip() if sign != "%" else f"{number} %"


def duration(span_us: int) -> str:
    """A span of time in its largest two units: "4 min", "1 h 5 min", "2.5 s"."""
    seconds = span_us / 1e6
    if seconds < 60:
        return f"{seconds:.3g} s"
    for size, unit, smaller, small in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            most, rest = divmod(int(seconds), size)
            return f"{most} {unit} {rest // smaller} {small}" if rest // smaller else f"{most} {unit}"
    raise AssertionError("every span is shorter or longer than a minute")


def clock(time_us: int, told_us: int) -> str:
    """A time of day, with the date where it is not the day on which it is told."""
    time, told = (datetime.fromtimestamp(us // 1_000_000, tz=UTC) for us in (time_us, told_us))
    return f"{time:%H:%M:%S} UTC" if time.date() == told.date() else f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _what(facts: Facts) -> str:
    if facts.reason in _CLOSED:
        return f"{facts.name}: alert of rule {facts.title!r} closed, {_CLOSED[facts.reason]}"
    if facts.state == "active":
        return f"{_standing(facts)} since {clock(facts.begin_us, facts.told_us)}"
    end_us = facts.begin_us if facts.end_us is None else facts.end_us
    return f"{_back(facts)} after {duration(end_us - facts.begin_us)}"


def _standing(facts: Facts) -> str:
    doubt = ", of uncertain quality" if facts.uncertain else ""
    limit = f"({'limit' if facts.rising else 'lower limit'} {quantity(facts.limit, facts.unit)})"
    if facts.type == "state":
        return f"{facts.name} is {facts.label}{doubt}"
    if facts.type == "rate_of_change":
        return f"{facts.name} changes by {quantity(facts.value, facts.unit)}{doubt} {limit}"
    return f"{facts.name} is {quantity(facts.value, facts.unit)}{doubt} {limit}"


def _back(facts: Facts) -> str:
    if facts.type == "state":
        return f"{facts.name} is {facts.label} again"
    side = "below" if facts.rising else "above"
    what = "changes by less than" if facts.type == "rate_of_change" and facts.rising else f"is back {side}"
    return f"{facts.name} {what} {quantity(facts.back, facts.unit)}"
