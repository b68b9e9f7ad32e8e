"""An alert in one sentence: what, where, since, why, who, do next. Enters: the facts of a transition. Leaves: a text.

Times are UTC; units are shown as people write them, the contract keeps the UCUM code.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from streams.core.alert.rule import EVENT
from streams.core.alert.rule_condition import CHANGE, RATE_OF_CHANGE, STATE
from streams.core.times import SECOND_US

# UCUM code to the usual sign; what is not here is shown as it is.
SIGNS: Final = {
    "1": "", "Cel": "°C", "[degF]": "°F", "N.m": "N·m", "m3/h": "m³/h", "mL": "ml", "L": "l", "um": "µm", "Ohm": "Ω",
    "{item}": "items", "/h": "per h", "/min": "per min",
}  # fmt: skip
# What ended an alert, where its condition did not.
CLOSED: Final = {
    "rule_removed": "its rule was removed",
    "rule_changed": "its rule has other limits now",
    "signal_removed": "its rule does not watch this signal any longer",
    "moved": "its signal belongs to another line now",
}


# How the sentence ends about what was over before it was known.
NOBODY: Final = "; told late, nobody was called"


@dataclass(frozen=True)
class Facts:
    """The facts of one transition. Times in microseconds UTC; `unit` is UCUM; `type` is the rule's (None: rule gone).

    `limit` is that of the rule, of a change the value before; `back` is the value that ends the condition (limit and
    deadband); `order` and `product` what ran at the time;
    `backlog`: it was read long after it happened, and was not annunciated.
    """

    state: str
    reason: str
    kind: str
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
    backlog: bool
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
    standing = facts.state == "active"
    if facts.reason in CLOSED:
        text = _withdrawn(facts)
    else:
        text = _standing(facts) if standing else _over(facts)
    if facts.order:
        product = f" ({facts.product})" if facts.product else ""
        text += f", while order {facts.order}{product} {'runs' if standing and not facts.backlog else 'ran'}"
    if facts.kind == EVENT:
        pass  # it asks nobody for anything
    elif facts.backlog:
        text += NOBODY
    elif standing and facts.response:
        text += f"; {facts.owner}: {facts.response}" if facts.owner else f"; {facts.response}"
    return text[:1].upper() + text[1:] + "."


def quantity(value: float | None, unit: str | None) -> str:
    """A number with its unit: at most four significant digits before and after the point together, "-" for none."""
    if value is None:
        return "-"
    number = f"{value:.0f}" if abs(value) >= 1000 else f"{value + 0.0:.4g}"  # no minus before nothing
    amount, _, per = (unit or "").partition("/")
    of = SIGNS.get(amount, amount)
    sign = SIGNS.get(unit or "", (f"{of}/{per}" if of else f"per {per}") if per else amount)
    return f"{number} {sign}".rstrip() if sign != "%" else f"{number} %"


def duration(span_us: int) -> str:
    """A span of time in its largest two units: "4 min", "1 h 5 min", "2.5 s"."""
    seconds = span_us / SECOND_US
    if seconds < 60:
        return f"{seconds:.3g} s"
    for size, unit, smaller, small in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            most, rest = divmod(int(seconds), size)
            return f"{most} {unit} {rest // smaller} {small}" if rest // smaller else f"{most} {unit}"
    raise AssertionError("every span is shorter or longer than a minute")


def clock(time_us: int, told_us: int) -> str:
    """A time of day, with the date where it is not the day on which it is told."""
    time, told = (datetime.fromtimestamp(us // SECOND_US, tz=UTC) for us in (time_us, told_us))
    return f"{time:%H:%M:%S} UTC" if time.date() == told.date() else f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _withdrawn(facts: Facts) -> str:
    why = f"closed after {_lasted(facts)}, as {CLOSED[facts.reason]}"
    return f"{facts.name}{_at(facts)}: {facts.kind} {facts.title!r} {why}"


def _standing(facts: Facts) -> str:
    # What nobody was called for is told as what was: whether it still stands is not known yet.
    verb = "was" if facts.backlog else "is still" if facts.reason == "still_active" else "is"
    doubt = ", of uncertain quality" if facts.uncertain else ""
    if facts.type == CHANGE:
        return _changed(facts)
    if facts.type == STATE:
        what = f"{facts.name} {verb} {facts.label or 'in a state of its rule'}{doubt}"
    elif facts.type == RATE_OF_CHANGE:
        what = f"{facts.name} {_moving(facts)}{doubt}{_limit(facts)}"
    else:
        value = "beyond its limit" if facts.value is None else quantity(facts.value, facts.unit)
        what = f"{facts.name} {verb} {value}{doubt}{_limit(facts)}"
    begin = clock(facts.begin_us, facts.told_us)
    return f"{what} {f'from {begin} on' if facts.backlog else f'since {begin}'}{_at(facts)}"


def _changed(facts: Facts) -> str:
    """A change of a value, or several: from what to what, and when."""
    begin = clock(facts.begin_us, facts.told_us)
    when = f"at {begin}"
    if facts.reason == "still_active":
        when = f"since {begin}, once more"
    elif facts.end_us is not None and facts.end_us > facts.begin_us:
        when = f"from {begin} to {clock(facts.end_us, facts.told_us)}"
    before = "" if facts.limit is None else f" from {quantity(facts.limit, facts.unit)}"
    after = "" if facts.value is None else f" to {quantity(facts.value, facts.unit)}"
    if facts.state == "active" or not after:
        doubt = ", of uncertain quality," if facts.uncertain else ""
        return f"{facts.name} was changed{before}{after}{doubt} {when}{_at(facts)}"
    verb = "was" if facts.backlog else "is"
    return f"{facts.name} {verb} {quantity(facts.value, facts.unit)} after its change{before} {when}{_at(facts)}"


def _moving(facts: Facts) -> str:
    """A rate as a movement: rises or falls by so much, the sign in the word."""
    still = "still " if facts.reason == "still_active" else ""
    if facts.value is None:
        return "changed beyond its limit" if facts.backlog else f"{still}changes beyond its limit"
    words = ("rose", "fell") if facts.backlog else (f"{still}rises", f"{still}falls")
    return f"{words[facts.value < 0]} by {quantity(abs(facts.value), facts.unit)}"


def _limit(facts: Facts) -> str:
    """The limit in brackets; where the value is inside the deadband, with what ends the alert."""
    limit, back = facts.limit, facts.back
    if limit is None or back is None:
        return ""
    text = f"{'limit' if facts.rising or _falls(facts) else 'lower limit'} {_bound(facts, limit)}"
    low, high = sorted((limit, back))
    if facts.state == "active" and facts.value is not None and back not in {limit, facts.value}:
        text += f", ends {_side(facts)} {_bound(facts, back)}" if low <= facts.value <= high else ""
    return f" ({text})"


def _over(facts: Facts) -> str:
    if facts.type == CHANGE:
        return _changed(facts)
    if facts.type == STATE:
        now = f"{facts.name} is {facts.label} now," if facts.label else f"{facts.name}:"
        return f"{now} {facts.title!r} is over after {_lasted(facts)}{_at(facts)}"
    what = facts.name
    if facts.type == RATE_OF_CHANGE:
        what = f"the {'rise' if facts.rising else 'fall' if _falls(facts) else 'rate'} of {facts.name}"
    back = "within its limit" if facts.back is None else f"{_side(facts)} {_bound(facts, facts.back)}"
    limit = "" if facts.limit == facts.back else _limit(facts)
    return f"{what} is back {back}{limit} after {_lasted(facts)}{_at(facts)}"


def _falls(facts: Facts) -> bool:
    """A lower limit of a rate that is below nothing: a fall that is too fast, told without a sign."""
    return facts.type == RATE_OF_CHANGE and not facts.rising and facts.limit is not None and facts.limit < 0


def _bound(facts: Facts, bound: float) -> str:
    return quantity(-bound if _falls(facts) else bound, facts.unit)


def _side(facts: Facts) -> str:
    return "below" if facts.rising or _falls(facts) else "above"


def _at(facts: Facts) -> str:
    return f" at {facts.where}" if facts.where else ""


def _lasted(facts: Facts) -> str:
    return duration((facts.begin_us if facts.end_us is None else facts.end_us) - facts.begin_us)
