"""The life of an incident. Enter: what was told of it, what is there now. Leaves: its next revision, if it says more.

The table below is the whole of it; a pair that is not in it tells nothing. A revision is told only where its state, its
place (merged_into) or its content differs from what was told last.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

ABSENT: Final = "absent"
OPEN: Final = "open"
CLOSED: Final = "closed"
MERGED: Final = "merged"
RETRACTED: Final = "retracted"
LIVING: Final = (OPEN, CLOSED)

# What there is now: members of which one stands or which are not over for long, members that are over, none any more
# but in another incident, none any more, members that stand and were not heard of for longer than the horizon.
STANDS: Final = "stands"
OVER: Final = "over"
ABSORBED: Final = "absorbed"
GONE: Final = "gone"
UNHEARD: Final = "unheard"

# (what was told, what there is): (what is told, why).
TRANSITIONS: Final = {
    (ABSENT, STANDS): (OPEN, "opened"),
    (ABSENT, OVER): (CLOSED, "closed"),
    (OPEN, STANDS): (OPEN, "updated"),
    (OPEN, OVER): (CLOSED, "closed"),
    (OPEN, ABSORBED): (MERGED, "merged"),
    (OPEN, GONE): (RETRACTED, "retracted"),
    (OPEN, UNHEARD): (CLOSED, "unheard"),
    (CLOSED, STANDS): (OPEN, "reopened"),
    (CLOSED, OVER): (CLOSED, "updated"),
    (CLOSED, ABSORBED): (MERGED, "merged"),
    (CLOSED, GONE): (RETRACTED, "retracted"),
    # Its evidence was in another incident, or there was none: it is on its own (again).
    (MERGED, STANDS): (OPEN, "split"),
    (MERGED, OVER): (CLOSED, "split"),
    (RETRACTED, STANDS): (OPEN, "reopened"),
    (RETRACTED, OVER): (CLOSED, "reopened"),
}


class Told(NamedTuple):
    """What was told last of an incident (a row of TOLD); revision 0: nothing."""

    site: str
    incident_id: str
    revision: int = 0
    state: str = ABSENT
    merged_into: str | None = None
    split_from: str | None = None
    begin_us: int = 0
    over_us: int | None = None
    payload: str = "{}"


@dataclass(frozen=True)
class Found:
    """What there is now of an incident. `payload`: None where nothing of it can have changed since it was told.

    `of`: the living incident that its members were told as a part of, where it is new; `into`: where they went.
    """

    what: str
    begin_us: int
    over_us: int | None
    payload: dict[str, Any] | None = None
    of: str | None = None
    into: str | None = None


def written(payload: dict[str, Any]) -> str:
    """A payload as it is compared and kept."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def proceed(told: Told, found: Found, *, context: bool = False) -> tuple[Told, str]:
    """What is told then, and why; no reason: nothing is to be told. `context`: looked at as the context changed."""
    step = TRANSITIONS.get((told.state, found.what))
    if step is None:
        return told, ""
    state, reason = step
    if told.state == ABSENT and found.of is not None:
        reason = "split"
    split_from = found.of if told.state == ABSENT else told.merged_into if told.state == MERGED else told.split_from
    payload = told.payload if found.payload is None else written(found.payload)
    begin_us, over_us = found.begin_us, found.over_us
    if state not in LIVING:
        payload, begin_us, over_us = _ended(told, state, found.into), told.begin_us, told.over_us
    now = told._replace(state=state, merged_into=found.into, payload=payload, begin_us=begin_us, over_us=over_us)
    if (state, found.into, payload) == (told.state, told.merged_into, told.payload):
        return now, ""
    if context and reason == "updated":
        reason = "context"
    return now._replace(revision=told.revision + 1, split_from=split_from), reason


def _ended(told: Told, state: str, into: str | None) -> str:
    """What was told of an incident that is none any more, with what became of it in place of its sentence."""
    why = f"is a part of incident {into}" if state == MERGED else "was none: its evidence was taken back"
    return written({**json.loads(told.payload), "message": f"Incident {told.incident_id} {why}."})
