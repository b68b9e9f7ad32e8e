"""An alert on silence in one sentence: what, where, since, why, who, do next. Enters: the facts. Leaves: a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streams.core.alert.sentence import CLOSED, clock, duration, quantity
from streams.core.alert.silence.watch import BAD_QUALITY, FROZEN, MISSING, SEGMENT_DOWN, SOURCE_OFFLINE
from streams.core.times import SECOND_US

_CLOSED: Final = {**CLOSED, "signal_removed": "nobody watches it any longer"}


@dataclass(frozen=True)
class Facts:
    """The facts of one transition. Times in us UTC, `limit_s` in s; `name` is the signal's, the node's or the zone's.

    `cause` is the alert that explains it; `called`: it is annunciated; `nodes` are those of a segment.
    """

    state: str
    reason: str
    type: str
    name: str
    source: str | None
    value: float | None
    unit: str | None
    limit_s: float
    begin_us: int
    end_us: int | None
    told_us: int
    where: str
    nodes: tuple[str, ...]
    order: str | None
    product: str | None
    cause: str | None
    called: bool
    owner: str
    response: str


def sentence(facts: Facts) -> str:
    """One sentence about a transition, with a full stop."""
    standing = facts.state == "active"
    text = _standing(facts) if standing else _over(facts)
    if facts.order:
        text += f", while order {facts.order}{f' ({facts.product})' if facts.product else ''} ran"
    if facts.cause is not None:
        text += f"; {facts.cause.split('|')[0]} ({facts.cause}) explains it, nobody is called for this"
    elif not facts.called:
        text += "; told late, nobody was called"
    elif standing and facts.response:
        text += f"; {facts.owner}: {facts.response}" if facts.owner else f"; {facts.response}"
    return text[:1].upper() + text[1:] + "."


def _standing(facts: Facts) -> str:
    since = clock(facts.begin_us, facts.told_us)
    still = "still " if facts.reason in {"still_active", "cause_over"} else ""
    limit, source = duration(round(facts.limit_s * SECOND_US)), facts.source or "its source"
    what = {
        MISSING: f"{still}nothing of {facts.name} since {since} (limit {limit}), while {source} goes on sending",
        FROZEN: f"{facts.name} {still}stands at {quantity(facts.value, facts.unit)} since {since} (limit {limit}), "
        f"while {source} goes on sending it",
        BAD_QUALITY: f"{facts.name} {still}has no good value since {since} (limit {limit}), as {source} says itself",
        SOURCE_OFFLINE: f"{still}nothing from edge node {facts.name} since {since} (limit {limit}), whatever it reads",
        SEGMENT_DOWN: f"network segment {facts.name} {still}cut off since {since}: nothing from {_list(facts.nodes)}",
    }[facts.type]
    return f"{what}, at {facts.where}"


def _over(facts: Facts) -> str:
    lasted = duration((facts.begin_us if facts.end_us is None else facts.end_us) - facts.begin_us)
    name = {SOURCE_OFFLINE: f"edge node {facts.name}", SEGMENT_DOWN: f"network segment {facts.name}"}.get(
        facts.type, facts.name
    )
    if facts.reason in _CLOSED:
        kind = facts.type.replace("_", " ")
        return f"{name} at {facts.where}: {kind} closed after {lasted}, as {_CLOSED[facts.reason]}"
    what = {
        MISSING: "is sent again",
        FROZEN: "moves again",
        BAD_QUALITY: "has usable values again",
        SOURCE_OFFLINE: "sends again",
        SEGMENT_DOWN: "is connected again",
    }[facts.type]
    return f"{name} {what} after {lasted} at {facts.where}"


def _list(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
