"""Every transition of an incident's life, as the table has it."""

from __future__ import annotations

import json

import pytest

from streams.core.correlate.lifecycle import (
    ABSENT,
    ABSORBED,
    CLOSED,
    GONE,
    LIVING,
    MERGED,
    OPEN,
    OVER,
    RETRACTED,
    STANDS,
    TRANSITIONS,
    UNHEARD,
    Found,
    Told,
    proceed,
    written,
)

STATES = (ABSENT, OPEN, CLOSED, MERGED, RETRACTED)
FINDINGS = (STANDS, OVER, ABSORBED, GONE, UNHEARD)


def told(state: str, **fields: object) -> Told:
    start = Told("site-1", "i", 0 if state == ABSENT else 3, state, "j" if state == MERGED else None)
    return start._replace(payload=written({"message": "before"}), begin_us=1, **fields)  # type: ignore[arg-type]


def found(what: str) -> Found:
    living = what in {STANDS, OVER, UNHEARD}
    return Found(
        what,
        5,
        7 if what == OVER else None,
        {"message": "now"} if living else None,
        into="k" if what == ABSORBED else None,
    )


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("what", FINDINGS)
def test_each_pair_tells_what_the_table_says(state: str, what: str) -> None:
    """State, reason and revision of every pair; a pair that is not in the table tells nothing."""
    now, reason = proceed(told(state), found(what))
    if (state, what) not in TRANSITIONS:
        assert (now, reason) == (told(state), "")
        return
    assert (now.state, reason) == TRANSITIONS[state, what]
    assert now.revision == told(state).revision + 1
    assert now.merged_into == ("k" if what == ABSORBED else None)
    if now.state in LIVING:
        assert (now.begin_us, now.over_us) == (5, 7 if what == OVER else None)
        assert json.loads(now.payload) == {"message": "now"}


def test_what_is_dead_stays_so_unless_it_has_members_again() -> None:
    """Neither a merged nor a retracted incident is told once more, nor what is not open let go, nor what never was."""
    dead = {(state, what) for state in (MERGED, RETRACTED) for what in (ABSORBED, GONE)}
    assert {(state, what) for state in STATES for what in FINDINGS} - TRANSITIONS.keys() == dead | {
        *((state, UNHEARD) for state in (ABSENT, CLOSED, MERGED, RETRACTED)),
        (ABSENT, ABSORBED),
        (ABSENT, GONE),
    }


def test_nothing_is_told_twice() -> None:
    """The same state and the same words are no revision, though times beside them are taken over."""
    now, reason = proceed(told(OPEN), Found(STANDS, 2, None, {"message": "before"}))
    assert (reason, now.revision, now.begin_us) == ("", 3, 2)


def test_a_change_of_context_is_told_as_such() -> None:
    """Where words differ and nothing else; what closes for it is told as closed."""
    assert proceed(told(OPEN), found(STANDS), context=True)[1] == "context"
    assert proceed(told(OPEN), found(OVER), context=True)[1] == "closed"


def test_a_part_of_another_is_told_as_split() -> None:
    """A new incident of members that were another's names it; so does one that was merged and is on its own again."""
    part = Found(STANDS, 5, None, {"message": "now"}, of="whole")
    now, reason = proceed(told(ABSENT), part)
    assert (now.split_from, reason) == ("whole", "split")
    again, reason = proceed(told(MERGED), found(STANDS))
    assert (again.split_from, again.merged_into, reason) == ("j", None, "split")
    assert proceed(again, found(OVER))[0].split_from == "j"


def test_what_ends_says_what_became_of_it() -> None:
    """The sentence tells where it went; the rest is what was told last."""
    merged, _ = proceed(told(OPEN), found(ABSORBED))
    assert json.loads(merged.payload)["message"] == "Incident i is a part of incident k."
    retracted, _ = proceed(told(CLOSED), found(GONE))
    assert json.loads(retracted.payload)["message"] == "Incident i was none: its evidence was taken back."
    assert retracted.begin_us == 1
