"""An incident in one sentence: what, where, since, why, who, do next. Enters: its facts. Leaves: a text.

Times are UTC. Causes are told as what they are, candidates, with how sure they are in a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streams.core.alert.sentence import NOBODY, clock, duration
from streams.core.correlate.around import Row
from streams.core.correlate.causes import name, what
from streams.core.times import DAY_US, microseconds

# From which confidence on a candidate is called so.
WORDS: Final = ((0.6, "likely"), (0.35, "possible"), (0.0, "weak"))
_BY: Final = {"work_order": "work order", "change": "change"}


@dataclass(frozen=True)
class Facts:
    """What the sentence says. `headline`: the member that it begins with; `others`: how many more there are.

    `end_us` None: it stands. `causes`: candidates by rank; `order`: number and status of the repairing work order;
    `down_s`: fault to repaired, where that is known.
    """

    headline: Row
    others: int
    lines: Sequence[str]
    begin_us: int
    end_us: int | None
    called: bool
    verdict: Mapping[str, Any]
    causes: Sequence[Mapping[str, Any]]
    position: str | None
    owner: str | None
    response: str
    order: tuple[str, str] | None
    down_s: float | None


def sentence(facts: Facts) -> str:
    """One sentence with a full stop."""
    parts = [_what(facts), _explained(facts.verdict), _why(facts), _order(facts), _next(facts)]
    text = "; ".join(part for part in parts if part)
    return text[:1].upper() + text[1:] + ("" if facts.called else NOBODY) + "."


def sure(confidence: float) -> str:
    """A confidence in a word."""
    return next(word for least, word in WORDS if confidence >= least)


def _what(facts: Facts) -> str:
    """E.g. "bearing temperature high and 2 more on Filler (line-1), since 2026-09-21 14:13:20 UTC"."""
    more = f" and {facts.others} more" if facts.others else ""
    where = name(facts.headline)
    lines = [line for line in facts.lines if line != where]
    at = f" ({', '.join(lines)})" if where and lines else ", ".join(lines)
    place = f" on {where}{at}" if where else f" on {at}" if at else ""
    begin = clock(facts.begin_us, facts.begin_us + DAY_US)  # with its date: incidents are read for long
    since = f"since {begin}" if facts.end_us is None else f"from {begin} for {duration(facts.end_us - facts.begin_us)}"
    return f"{what(facts.headline)}{more}{place}, {since}"


def _explained(verdict: Mapping[str, Any]) -> str:
    """What explains it: "expected: work order WO-7"."""
    said, reference = verdict["verdict"], verdict["verdict_reference"]
    if said == "none" or not reference:
        return ""
    what_for = f"{_BY.get(verdict['verdict_by'], 'order')} {reference}"
    if said == "expired":
        return f"{what_for} explained it, and is over"
    return f"{'expected:' if said == 'expected' else 'possibly'} {what_for}"


def _why(facts: Facts) -> str:
    """The first candidate that says more than the sentence's beginning does."""
    own = facts.headline["evidence_id"]
    for cause in facts.causes:
        if cause["kind"] != "first_out" or cause["reference"] != own or facts.others:
            said = cause["text"]
            return f"{sure(cause['confidence'])} cause: {said[:1].lower()}{said[1:]}"
    return ""


def _order(facts: Facts) -> str:
    """How far the repair is."""
    if facts.order is None:
        return ""
    repaired = "" if facts.down_s is None else f", repaired after {duration(microseconds(facts.down_s))}"
    return f"work order {facts.order[0]} is {facts.order[1]}{repaired}"


def _next(facts: Facts) -> str:
    """Who is to do what; of what is over, if it comes back."""
    who = facts.position or facts.owner or ""
    if not facts.response:
        return who
    text = f"{who}: {facts.response}" if who else facts.response
    return text.rstrip(".") if facts.end_us is None else f"if it comes back, {text.rstrip('.')}"
