"""Examples in files of sequences. Enter: tables [fires] and [quiet]. Leave: evidence, tickets, what they bring about.

Times are seconds from the example's begin. What an example does not say of its evidence is left open: an asset is its
own path, in the zone `zone-1` of one site.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from streams.core.sequence.reader import Reader

# Columns of evidence that an example may name, besides `at` and `asset`.
_TEXTS: Final = (
    *("id", "kind", "type", "state", "domain", "priority", "alert_kind", "asset", "asset_path", "asset_model", "zone"),
    *("work_center", "work_unit", "actor", "source_address", "target_address", "source_id", "signal_id", "criticality"),
    "value_string",
)
_NEEDED: Final = ("at", "kind", "type")
_LONGEST_S: Final = 60 * 86_400.0
EXPECTED: Final = ("active", "retracted")


@dataclass(frozen=True)
class Piece:
    """One piece of evidence of an example: what it says by column."""

    at_s: float
    says: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Ticket:
    """A change or work order of an example; `from_s` and `to_s` are its interval, `known_s` is when it was written."""

    what: str
    asset: str
    from_s: float
    to_s: float
    known_s: float
    status: str
    activity: str
    actor: str
    text: str


@dataclass(frozen=True)
class Timeline:
    """An example: what happens up to `end_s`, and the alerts it leaves as (s of the last step, state)."""

    evidence: tuple[Piece, ...]
    tickets: tuple[Ticket, ...]
    end_s: float
    expect: tuple[tuple[float, str], ...]


def timeline(table: Reader, *, fires: bool) -> Timeline:
    """The example of a table; one that fires expects something, a quiet one expects nothing."""
    pieces = [_piece(row) for row in table.tables("evidence", at_least=1)]
    tickets = [_ticket(row) for row in table.tables("tickets", at_least=0)]
    last_s = max((piece.at_s for piece in pieces), default=0.0)
    end_s = table.number("end", last_s, low=0.0, high=_LONGEST_S)
    expect = [(float(at), str(state)) for at, state in table.points("expect", "state", str, required=fires)]
    if any(first.at_s > second.at_s for first, second in pairwise(pieces)):
        table.fault("evidence", "is not in order; sort the rows by `at`")
    for _, state in expect:
        if state not in EXPECTED:
            table.fault("expect", f"names state {state!r}; the states are {' and '.join(EXPECTED)}")
    if fires and expect and all(state != "active" for _, state in expect):
        table.fault("expect", "lists no active alert; a timeline that fires has one")
    if expect and not fires:
        table.fault("expect", "lists alerts; a quiet timeline has none")
    table.finish()
    return Timeline(tuple(pieces), tuple(tickets), end_s, tuple(expect))


def _piece(row: Reader) -> Piece:
    at_s = row.number("at", None, low=0.0, high=_LONGEST_S)
    says: list[tuple[str, Any]] = [
        (name, text) for name in _TEXTS if (text := row.text(name, required=name in _NEEDED))
    ]
    given = (("remote", row.flag("remote")), ("value", row.maybe("value")))
    says += [(name, value) for name, value in given if value is not None]
    row.finish()
    return Piece(at_s, tuple(says))


def _ticket(row: Reader) -> Ticket:
    what = row.choice("what", ("change", "work_order"))
    ticket = Ticket(
        what=what,
        asset=row.text("asset"),
        from_s=row.number("from", None, low=-_LONGEST_S, high=_LONGEST_S),
        to_s=row.number("to", None, low=-_LONGEST_S, high=_LONGEST_S),
        known_s=row.number("known", 0.0, low=0.0, high=_LONGEST_S),
        status=row.text("status", required=False) or ("approved" if what == "change" else "started"),
        activity=row.text("activity", required=False),
        actor=row.text("actor", required=False),
        text=row.text("text", required=False),
    )
    row.finish()
    return ticket
