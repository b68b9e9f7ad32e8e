"""The end of a look-back. Enter: what was read, what waits, what was told. Leave: corrections that can be decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from streams.core.alert.book import Book, Key
from streams.core.alert.late.back import Back
from streams.core.alert.late.changes import anchors_after, kept_by_pair
from streams.core.alert.late.correct import Correction, in_line
from streams.core.alert.late.reach import Kept, Reach, agrees, cleared
from streams.core.alert.late.replay import Past, Replay
from streams.core.alert.late.sentence import RETRACTED
from streams.core.alert.late.tables import HEARD, TOLD, WAITING, Told, told_of
from streams.core.alert.rule_match import Compiled
from streams.core.alert.state import NORMAL, PENDING, Transition
from streams.core.alert.walk import Walk
from streams.core.frames import ID
from streams.core.stage import Change, Moment, Tables
from streams.core.times import FOREVER_US, NEVER_US, SECOND_US

QUIET_US: Final = 2 * SECOND_US
PATIENCE_US: Final = 15 * SECOND_US
_KEY: Final = ("rule_id", "signal_id")


@dataclass
class Corrected:
    """What a look-back leaves: conditions to write back, transitions, changes by table, counts."""

    book: Book
    transitions: list[Transition] = field(default_factory=list)
    changes: dict[str, Change] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)


def looked(back: Back, state: Tables, walk: Walk, moment: Moment) -> Corrected:
    """Correct what can be decided now; the rest waits on. `walk`: the conditions at present."""
    compiled = walk.compiled
    waiting = {(row["rule_id"], row["signal_id"]): row for row in state[WAITING.name].iter_rows(named=True)}
    # Where the dictionary is another by now, all begins again.
    keys = [key for key in back.following() if key in waiting and back.compiled is compiled]
    done = Corrected(walk.book)
    gone = [key for key in back.lost if key in waiting]
    done.counts["corrections", "unavailable"] += len(gone)
    later: list[dict[str, Any]] = []
    for key in waiting.keys() - compiled.pair_number.keys():
        if compiled.slots:
            gone.append(key)
        else:
            later.append({**waiting[key], "after": moment.now_us + PATIENCE_US})
    kept = kept_by_pair(state["anchor"], state[WAITING.name])
    pasts = _read(done, back, keys, kept, state, walk) if keys else {}
    told = told_by_pair(state)
    for key in keys:
        reach, row = back.reaches[key], waiting[key]
        pair_told = told.get(key, [])
        clock_us = max(_clock_us(walk, reach, pasts[key], state), _told_until(reach, pair_told))
        replay = reach.replay(pasts[key], clock_us)
        correction = Correction(reach, pasts[key], row["first_offset"], walk.past_us)
        own = [one for one in pair_told if one.state != PENDING]
        if not agrees(reach, pasts[key], replay, pair_told, kept.get(key)) or not correction.tell(replay, own):
            wait_us = 0 if replay.condition.due is None else replay.condition.due - clock_us
            later.append({**row, "after": moment.now_us + min(max(wait_us, QUIET_US), PATIENCE_US)})
            continue
        done.transitions += correction.transitions
        _in_line(walk, correction, replay, own, clock_us)
        if row["first_time"] >= reach.from_us and row["last_time"] < reach.to_us:
            gone.append(key)
    _changed(done, state, gone, later)
    if back.left():
        done.changes.pop(HEARD.name)
    return done


def _read(
    done: Corrected, back: Back, keys: Sequence[Key], kept: Mapping[Key, Kept], state: Tables, walk: Walk
) -> dict[Key, Past]:
    """The pasts of these pairs; their conditions are loaded, what is measured next is measured from what was read."""
    pasts, firsts = back.pasts(state[HEARD.name], walk.past_us, keys)
    reaches = [back.reaches[key] for key in keys]
    anchors = pl.concat([_anchors(firsts, reaches, walk.compiled), anchors_after(reaches, pasts, kept)])
    done.changes["anchor"] = Change(upsert=anchors)
    done.book.load(keys)
    return pasts


def _changed(done: Corrected, state: Tables, gone: Sequence[Key], later: list[dict[str, Any]]) -> None:
    heard = state[HEARD.name]
    # Every look-back from now on reads what was heard so far from the log.
    floor = int(heard["_offset"].max()) + 1 if heard.height else None  # type: ignore[arg-type]
    deleted = pl.DataFrame(gone, schema=dict.fromkeys(_KEY, ID), orient="row")
    done.changes[WAITING.name] = Change(upsert=pl.DataFrame(later, schema=WAITING.schema), delete=deleted)
    done.changes[HEARD.name] = Change(floor=None if floor is None else ("_offset", floor))
    for transition in done.transitions:
        done.counts["corrections", transition.reason] += 1


def told_by_pair(state: Tables) -> dict[Key, list[Told]]:
    """Alerts told by pair, of those that wait; a condition that waits for its on-delay is one in state PENDING."""
    waiting = state[WAITING.name].select(_KEY)
    found = told_of(state[TOLD.name].join(waiting, on=_KEY, how="semi"))
    pending = state["condition"].filter(pl.col("phase") == PENDING).join(waiting, on=_KEY, how="semi")
    for row in pending.iter_rows(named=True):
        one = Told(
            row["alert_id"], row["rule_id"], row["signal_id"], row["condition"], row["site"], row["tenant"],
            row["work_center"], row["source_id"], PENDING, row["begin_time"], FOREVER_US, FOREVER_US, None, 0,
            annunciated=False,
        )  # fmt: skip
        found.setdefault((row["rule_id"], row["signal_id"]), []).append(one)
    return found


def _clock_us(walk: Walk, reach: Reach, past: Past, state: Tables) -> int:
    """How far event time has passed for a pair at present."""
    row = past.row(FOREVER_US, inclusive=True)
    if row is None:
        return NEVER_US
    heard = state["signal"].filter(pl.col("signal_id") == reach.key[1])["last_time"]
    own = int(heard[0]) if len(heard) else NEVER_US
    return max(own, walk.clocks.at(row["source_id"]) - walk.disorder_us)


def _in_line(walk: Walk, correction: Correction, replay: Replay, told: Sequence[Told], clock_us: int) -> None:
    """Bring the live condition of a corrected pair in line."""
    reach, past = correction.reach, correction.past
    live = walk.book.known(reach.key)
    before = None if live is None or live.phase == NORMAL else (live.begin_time, live.begin_unknown_us)
    condition = in_line(correction, replay, live, told)
    if condition is None:
        return
    if condition.phase != NORMAL:
        begin = condition.begin_time
        if reach.to_us == FOREVER_US and begin >= reach.from_us:
            unknown = walk.unknown.until(int(walk.compiled.pair_slot[reach.pair]), clock_us)
            condition.begin_unknown_us = unknown - past.unknown_us(begin, clock_us)
        elif before is not None and before[1] is not None:
            moved = past.unknown_us(begin, before[0]) - past.unknown_us(before[0], begin)
            condition.begin_unknown_us = before[1] - moved
    walk.book.put(condition)


def _told_until(reach: Reach, told: Sequence[Told]) -> int:
    """The latest event time that something was told of: by then delays had passed."""
    off_us = reach.rule.condition.delays_us[1]
    times = [one.active_time for one in told if one.state not in {PENDING, RETRACTED}]
    times += [cleared(one, off_us) for one in told if one.state == "cleared"]
    return max(times, default=NEVER_US)


def _anchors(firsts: pl.DataFrame, reaches: Sequence[Reach], compiled: Compiled) -> pl.DataFrame:
    """Rows of the table of anchors, of rates whose past was read up to the present."""
    pairs = [reach.pair for reach in reaches if reach.over_us and reach.to_us == FOREVER_US]
    own = firsts.filter(pl.col("pair").is_in(pairs))
    before = [pl.col(name).shift(1).over("pair").alias(f"before_{name}") for name in ("event_time", "value")]
    last = own.with_columns(before).unique("pair", keep="last").join(compiled.known, on="pair")
    return last.select(
        *_KEY, anchor_time="event_time", anchor_value="value", born="birth",
        before_time="before_event_time", before_value="before_value",
    )  # fmt: skip
