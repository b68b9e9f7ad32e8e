"""Missing and bad signals. Enter: the readings that tell of now, the tables. Leaves: what a ledger is told.

A signal is *missing* once its source has been there for longer than the limit without it, and *bad* once its source has
been there for longer than the limit since the first of a run of bad readings. What is over within a chunk is found in
the chunk; what stands is found by the timer, as it needs no reading of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from streams.core.alert.rule_match import Integers, Mask
from streams.core.alert.silence.match import Watched
from streams.core.alert.silence.sequence import Carried, Heard, Sequence, coordinates
from streams.core.alert.silence.slots import before, begins, first_of, firsts, lasts, shifted
from streams.core.alert.silence.tables import Ledger, Standing, standing_of
from streams.core.alert.silence.watch import BAD_QUALITY, MISSING
from streams.core.frames import BAD, ID
from streams.core.times import FOREVER_US, NEVER_US, SECOND_US

RUN: Final = ("bad_time", "bad_active_us", "bad_offset")


@dataclass(frozen=True)
class Runs:
    """Which readings are `bad`, and the runs of them.

    Arrays lie by the readings `at` (places in `Heard`) of slots that have bad ones or had one before: where runs `end`,
    and of the run before and after each reading its begin (NEVER_US: none), how long the source had been there by then,
    and the offset of its first record. `last`: which of them are the last of their slot.
    """

    bad: Mask
    at: Integers
    end: Mask
    before: dict[str, Integers]
    after: dict[str, Integers]
    last: Integers

    def prior(self, name: str, at: Integers) -> Integers:
        """`before` at any readings; NEVER_US where there are no runs."""
        place = np.searchsorted(self.at, at)
        known = np.flatnonzero(np.append(self.at, NEVER_US)[place] == at)
        found = np.full(len(at), NEVER_US)
        found[known] = self.before[name][place[known]]
        return found


def runs_of(found: Sequence, heard: Heard, carried: Carried) -> Runs:
    """The runs among the readings that tell of now; another source begins another run."""
    bad, standing = found.frame["quality"].to_numpy()[heard.place] >= BAD, carried.columns["bad_time"] != NEVER_US
    shaky = standing.copy()
    shaky[heard.slot[np.flatnonzero(bad)]] = True
    at = np.flatnonzero(shaky[heard.slot]) if shaky.any() else np.zeros(0, dtype=np.int64)
    own_bad, slot, row = bad[at], heard.slot[at], heard.row[at]
    starts, source = firsts(slot), found.source[row]
    was = shifted(own_bad, slot, starts, standing)
    moved = source != shifted(source, slot, starts, carried.source)
    start = np.maximum.accumulate(np.where(own_bad & (~was | moved), np.arange(len(at)), -1))
    own = start >= begins(starts, len(at))
    values = {"bad_time": heard.time[at], "bad_active_us": heard.active[at], "bad_offset": found.offset[row]}
    after = {
        name: np.where(own_bad, np.where(own, values[name][start], carried.columns[name][slot]), NEVER_US)
        for name in RUN
    }
    earlier = {name: shifted(after[name], slot, starts, carried.columns[name]) for name in RUN}
    return Runs(bad, at, was & (~own_bad | moved), earlier, after, lasts(starts, len(at)))


def over(
    found: Sequence, heard: Heard, carried: Carried, runs: Runs, watched: Watched, ledger: Ledger, disorder_us: int
) -> None:
    """What the readings end: alerts that stand, and silences and bad runs that nobody had been told of."""
    at = _suspect(heard, carried, runs, watched, ledger, disorder_us)
    if not len(at):
        return
    slot, row, slots = heard.slot[at], heard.row[at], carried.slots

    def prior(values: Integers, name: str) -> Integers:
        return before(values, at, heard.slot, carried.columns[name])

    begun = {BAD_QUALITY: runs.prior("bad_time", at), MISSING: prior(heard.time, "last_time")}
    offset = {BAD_QUALITY: runs.prior("bad_offset", at), MISSING: prior(found.offset[heard.row], "offset")}
    since = {BAD_QUALITY: runs.prior("bad_active_us", at), MISSING: prior(heard.active, "active_us")}
    limit = {BAD_QUALITY: watched.bad_us, MISSING: watched.missing_us}
    can_end = {BAD_QUALITY: np.isin(at, runs.at[runs.end]), MISSING: first_of(at, heard.slot)}
    stays = found.source[row] == before(found.source[heard.row], at, heard.slot, carried.source)
    stays &= begun[MISSING] != NEVER_US
    long = {kind: stays & (heard.before[at] - since[kind] > limit[kind][slots[slot]] + disorder_us) for kind in begun}
    stood = {kind: standing_by_slot(ledger, watched, kind)[slots[slot]] & can_end[kind] for kind in begun}
    long[BAD_QUALITY] &= can_end[BAD_QUALITY]
    for index in range(len(at)):
        for kind in begun:
            if not (long[kind][index] or stood[kind][index]):
                continue
            own, shown, at_us = int(slots[slot[index]]), found.told(int(row[index])), int(heard.time[at[index]])
            standing = ledger.open.get(_key(watched, kind, own))
            if standing is not None:
                ledger.cleared(standing, "condition_cleared", at_us, *shown)
            elif long[kind][index]:
                cause = _cause(watched, own, int(begun[BAD_QUALITY][index])) if kind == MISSING else None
                evidence = coordinates(found.frame["_partition"][0], int(offset[kind][index]))
                line = found.line(int(row[index]))
                ledger.passed(alert(watched, kind, own, int(begun[kind][index]), evidence, cause, line), at_us, *shown)


def _suspect(
    heard: Heard, carried: Carried, runs: Runs, watched: Watched, ledger: Ledger, disorder_us: int
) -> Integers:
    """Places of the few readings that may end something: in most chunks none."""
    slots = carried.slots
    gap = heard.before - shifted(heard.active, heard.slot, heard.starts, carried.columns["active_us"])
    suspect = gap > int(watched.missing_us[slots].min(initial=FOREVER_US)) + disorder_us
    stood = standing_by_slot(ledger, watched, MISSING)
    suspect[heard.starts] |= stood[slots[heard.slot[heard.starts]]]
    suspect[runs.at[runs.end]] = True
    return np.flatnonzero(suspect)


def alert(
    watched: Watched, kind: str, slot: int, begin_us: int, evidence: str, cause: str | None, line: str
) -> Standing:
    """A new alert of type `kind` on the signal in `slot`, last sent for `line`; active since the limit has passed."""
    rule = watched.rules[watched.number[kind][slot]]
    limit_us = int((watched.missing_us if kind == MISSING else watched.bad_us)[slot])
    return standing_of(
        rule, watched.signals["signal_id"][slot], begin_us, begin_us + limit_us,
        limit=limit_us / SECOND_US, evidence=evidence, cause=cause, **place(watched, slot, line),
    )  # fmt: skip


def place(watched: Watched, slot: int, line: str) -> dict[str, str | None]:
    """Where a signal that was sent for `line` belongs: site, tenant, line, source, and the signal itself."""
    row = watched.signals.row(slot, named=True)
    return {name: row[name] for name in ("tenant", "source_id", "signal_id")} | {
        "site": row["site"] or "", "work_center": line, "zone": None
    }  # fmt: skip


def stand(
    signals: pl.DataFrame, sources: pl.DataFrame, watched: Watched, ledger: Ledger, past_us: int, disorder_us: int,
    *, settled: bool,
) -> None:  # fmt: skip
    """Raise what stands by now. `settled`: all that there was has been read, so whatever stands is of the present."""
    slot = watched.slot(signals["signal_id"])
    now = signals.join(sources, on="source_id", how="left", maintain_order="left", suffix="_now")
    clock, active = now["clock_time"].fill_null(NEVER_US).to_numpy(), now["active_us_now"].fill_null(0).to_numpy()
    watched_now = slot >= 0
    if watched.slots:
        entries = watched.signals[slot]
        # What was sent on another line is the task's there.
        moved = (entries["work_center"] != now["work_center"]).fill_null(value=False).to_numpy()
        watched_now &= (entries["valid_to"].to_numpy() > clock) & ~(moved & (entries["valid_from"].to_numpy() <= clock))
    bad = now["bad_time"].fill_null(NEVER_US).to_numpy()
    begun = {BAD_QUALITY: (bad, "bad_active_us", "bad_offset", watched.bad_us),
             MISSING: (now["last_time"].to_numpy(), "active_us", "offset", watched.missing_us)}  # fmt: skip
    for kind, (begin, since, offset, limit) in begun.items():
        there = active - now[since].fill_null(0).to_numpy()
        long = there > limit[slot] + disorder_us if watched.slots else slot >= 0
        for index in np.flatnonzero(watched_now & (begin != NEVER_US) & long):
            own = int(slot[index])
            if _key(watched, kind, own) in ledger.open:
                continue
            cause = _cause(watched, own, int(bad[index])) if kind == MISSING else None
            evidence = coordinates(now["partition"][int(index)], now[offset][int(index)])
            line = now["work_center"][int(index)]
            standing = alert(watched, kind, own, int(begin[index]), evidence, cause, line)
            ledger.raised(standing, annunciated=settled or int(clock[index]) >= past_us)


def _key(watched: Watched, kind: str, slot: int) -> tuple[str, str]:
    number = watched.number[kind][slot]
    return watched.rules[number].id if number >= 0 else "", watched.signals["signal_id"][slot]


def _cause(watched: Watched, slot: int, bad_us: int) -> str | None:
    """The alert on a bad sensor explains why nothing more comes of it."""
    number = watched.number[BAD_QUALITY][slot]
    if bad_us == NEVER_US or number < 0:
        return None
    return f"{watched.rules[number].id}|{watched.signals['signal_id'][slot]}|{bad_us}"


def standing_by_slot(ledger: Ledger, watched: Watched, kind: str) -> Mask:
    """By slot: whether an alert of this type stands."""
    found = np.zeros(watched.slots, dtype=np.bool_)
    if ids := [s.signal_id for s in ledger.open.values() if s.type == kind]:
        slot = watched.slot(pl.Series(ids, dtype=ID))
        found[slot[slot >= 0]] = True
    return found
