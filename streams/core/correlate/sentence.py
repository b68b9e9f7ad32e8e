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
from streams.core.correlate.orders import Order
from streams.core.times import DAY_US, microseconds

PRIORITIES: Final = ("low", "medium", "high", "critical")
# How an order's status is said, where "is ..." does not say it.
_STATUS: Final = {"started": "is being worked on", "arrived": "has somebody there"}
# From which confidence on a candidate is called so.
WORDS: Final = ((0.6, "likely"), (0.35, "possible"), (0.0, "weak"))
_BY: Final = {"work_order": "work order", "change": "change"}


@dataclass(frozen=True)
class Facts:
    """What the sentence says. `headline`: the member that it begins with; `others`: how many more there are.

    `end_us` None: it stands. `causes`: candidates by rank; `order`: number and status of the repairing work order;
    `down_s`: fault to repaired, where that is known; `back_us`: since when something stands that began after that;
    `again`: number and status of another order that repairs, and began later.
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
    back_us: int | None = None
    again: tuple[str, str] | None = None


def facts(rows: Sequence[Row], payload: Mapping[str, Any], order: Order | None, newest: Order | None) -> Facts:
    """What the sentence of an incident is made of (`rows`: its members, with `_stop`).

    It begins with the member of the highest priority that people are called for, of an incident that stands with one
    that stands. What to do is the response of the member that the first candidate points to, else of that one.
    """
    called = [row for row in rows if row["annunciated"]] or list(rows)
    now = [row for row in called if row["_stop"] is None] or called
    headline = min(now, key=lambda row: (-rank(row["priority"])[0], row["begin_time"], row["evidence_id"]))
    top = payload["causes"][0] if payload["causes"] else None
    first = [row for row in rows if top and row["evidence_id"] == top["reference"]]
    response = next((row["response"] for row in (*first, headline, *rows) if row["response"]), "")
    return Facts(
        headline=headline,
        others=len(rows) - 1,
        lines=payload["work_centers"],
        begin_us=payload["begin_time"],
        end_us=payload["end_time"],
        called=bool(payload["annunciated_members"]),
        verdict=payload,
        causes=payload["causes"],
        position=payload["position"],
        owner=payload["owner"],
        response=response,
        order=_told(order),
        down_s=payload["down_s"],
        back_us=_back(rows, payload),
        again=None if newest is order else _told(newest),
    )


def _back(rows: Sequence[Row], payload: Mapping[str, Any]) -> int | None:
    """Since when something stands on the machine that was repaired, as it had before, and began after the repair."""
    repaired_us = payload["repaired_at"]
    if repaired_us is None:
        return None
    where = [(name, payload[f"failed_{name}"]) for name in ("work_unit", "asset_id")]
    there = [row for row in rows if any(said and row[name] == said for name, said in where)]
    known = {row["type"] for row in there if row["begin_time"] < repaired_us}
    stands = [row for row in there if row["_stop"] is None and row["type"] in known]
    return min((row["begin_time"] for row in stands if row["begin_time"] >= repaired_us), default=None)


def rank(priority: str) -> tuple[int, str]:
    """How high a priority is."""
    return (PRIORITIES.index(priority) if priority in PRIORITIES else -1, priority)


def _told(order: Order | None) -> tuple[str, str] | None:
    return (order.row["order_id"], order.row["status"]) if order else None


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
            said = cause["text"][:1].lower() + cause["text"][1:]
            if cause["asset_id"] and cause["asset_id"] == facts.headline["asset_id"]:
                said = said.removeprefix("upstream: ")  # of the others, not of what the sentence begins with
            return f"{sure(cause['confidence'])} cause: {said}"
    return ""


def _order(facts: Facts) -> str:
    """How far the repair is; of what came back, since when, and what is done about it."""
    if facts.order is None:
        return ""
    text = _status(facts.order)
    if facts.down_s is not None:
        text += f", repaired after {duration(microseconds(facts.down_s))}"
    if facts.back_us is not None:
        text += f", but it is back since {clock(facts.back_us, facts.begin_us)}"
    return text if facts.again is None else f"{text}; {_status(facts.again)}"


def _status(order: tuple[str, str]) -> str:
    number, status = order
    return f"work order {number} {_STATUS.get(status, f'is {status}')}"


def _next(facts: Facts) -> str:
    """Who is to do what; of what is over, if it comes back."""
    who = facts.position or facts.owner or ""
    if not facts.response:
        return who
    text = f"{who}: {facts.response}" if who else facts.response
    return text.rstrip(".") if facts.end_us is None else f"if it comes back, {text.rstrip('.')}"
