"""A correction in one sentence: what had been told, what late readings show. Enters: the facts. Leaves: a text."""

from __future__ import annotations

from typing import Final

from streams.core.alert.rule import EVENT
from streams.core.alert.rule_condition import CHANGE
from streams.core.alert.sentence import NOBODY, Facts, clock, sentence
from streams.core.alert.state import Was

LATE: Final = "late"
STANDS: Final = "stands"
RETRACTED: Final = "retracted"
MERGED: Final = "merged"
CORRECTIONS: Final = (LATE, STANDS, RETRACTED, MERGED)


def corrected(facts: Facts, was: Was | None, cause: str | None) -> str:
    """One sentence about a revision that late readings brought about, with a full stop.

    `was` is what had been told before, `cause` the alert that this one is a part of.
    """
    if facts.reason in {RETRACTED, MERGED}:
        return _withdrawn(facts, cause)
    text = sentence(facts)[:-1]
    if cause is not None:
        return f"{text.removesuffix(NOBODY)}; a part of {cause}, which late readings split."
    if facts.reason == STANDS:
        return f"{text}; late readings of that time confirm it."
    if was is None or was.state == RETRACTED:
        again = " after all" if was is not None else ""
        return f"{text}; late readings show it{again}."
    return f"{text}; corrected by late readings: {_changes(facts, was)}."


def _changes(facts: Facts, was: Was) -> str:
    changed = []
    if facts.begin_us != was.begin_time:
        changed.append(
            f"it began at {clock(facts.begin_us, facts.told_us)}, not {clock(was.begin_time, facts.told_us)}"
        )
    if facts.end_us != was.end_time:
        end = None if facts.end_us is None else clock(facts.end_us, facts.told_us)
        before = None if was.end_time is None else clock(was.end_time, facts.told_us)
        if end is None:
            changed.append(f"it stands, and had not ended at {before}")
        elif before is None:
            changed.append(f"it ended at {end}, and does not stand any longer")
        else:
            changed.append(f"it ended at {end}, not {before}")
    other = "it was changed from another value" if facts.type == CHANGE else "it is told anew"
    return " and ".join(changed) or other


def _withdrawn(facts: Facts, cause: str | None) -> str:
    begin = clock(facts.begin_us, facts.told_us)
    told = f"from {begin} on" if facts.end_us is None else f"from {begin} to {clock(facts.end_us, facts.told_us)}"
    told = f"at {begin}" if facts.end_us == facts.begin_us else told
    where = f" at {facts.where}" if facts.where else ""
    text = f"{facts.name}{where}: {facts.kind} {facts.title!r}, told {told}, "
    if facts.reason == MERGED:
        text += f"is part of {cause}: late readings show that it had not ended in between"
    else:
        text += "is retracted: late readings show that its condition did not hold, or not for its delay"
    text = text[:1].upper() + text[1:]
    if facts.kind == EVENT:
        return f"{text}."
    if facts.backlog:
        return f"{text}; nobody was called."
    called = f"{facts.owner}, who was called for it" if facts.owner else "who was called for it"
    return f"{text}; {called}, need not respond to it." if facts.reason == RETRACTED else f"{text}."
