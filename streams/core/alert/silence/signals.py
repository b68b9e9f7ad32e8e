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
from streams.core.alert.silence.sequence import Carried, Heard, Sequence, coordinates, shifted
from streams.core.alert.silence.tables import Ledger, Standing, standing_of
from streams.core.alert.silence.watch import BAD_QUALITY, MISSING
from streams.core.frames import BAD, ID
from streams.core.times import NEVER_US, SECOND_US

_RUN: Final = ("bad_time", "bad_active_us", "bad_offset")


@dataclass(frozen=True)
class Runs:
    """Runs of bad readings: where they end, and of the run before and after each reading its begin (NEVER_US: none),
    how long the source had been there by then, and the offset of its first record.
    """

    end: Mask
    before: dict[str, Integers]
    after: dict[str, Integers]


def runs_of(found: Sequence, heard: Heard, carried: Carried) -> Runs:
    """The runs among the readings that tell of now; another source begins another run."""
    bad, standing = found.rows["quality"].to_numpy()[heard.row] >= BAD, carried.times["bad_time"] != NEVER_US
    if not bad.any() and not standing.any():
        never = dict.fromkeys(_RUN, np.full(len(bad), NEVER_US))
        return Runs(bad, never, never)
    was = shifted(bad, heard.slot, heard.first, standing)
    moved = heard.source != heard.prior_source
    place = np.arange(len(bad))
    start = np.maximum.accumulate(np.where(bad & (~was | moved), place, -1)) if len(bad) else place
    own = start >= (np.maximum.accumulate(np.where(heard.first, place, 0)) if len(bad) else place)
    values = {
        "bad_time": heard.time, "bad_active_us": heard.active, "bad_offset": found.rows["_offset"].to_numpy()[heard.row]
    }  # fmt: skip
    after = {
        name: np.where(bad, np.where(own, values[name][start], carried.times[name][heard.slot]), NEVER_US)
        for name in _RUN
    }
    before = {name: shifted(after[name], heard.slot, heard.first, carried.times[name]) for name in _RUN}
    return Runs(was & (~bad | moved), before, after)


def over(
    found: Sequence, heard: Heard, runs: Runs, watched: Watched, ledger: Ledger, partition: int, disorder_us: int
) -> None:
    """What the readings end: alerts that stand, and silences and bad runs that nobody had been told of."""
    stays = (heard.source == heard.prior_source) & (heard.prior_time != NEVER_US)
    silent = stays & (heard.before - heard.prior_active > watched.missing_us[heard.slot] + disorder_us)
    bad = stays & (heard.before - runs.before["bad_active_us"] > watched.bad_us[heard.slot] + disorder_us)
    ends = {
        BAD_QUALITY: runs.end & (bad | standing_by_slot(ledger, watched, BAD_QUALITY)[heard.slot]),
        MISSING: silent | (heard.first & standing_by_slot(ledger, watched, MISSING)[heard.slot]),
    }
    for index in np.flatnonzero(ends[BAD_QUALITY] | ends[MISSING]):
        slot, row = int(heard.slot[index]), int(heard.row[index])
        for kind, begin_us, offset in (
            (BAD_QUALITY, runs.before["bad_time"][index], runs.before["bad_offset"][index]),
            (MISSING, heard.prior_time[index], heard.prior_offset[index]),
        ):
            if not ends[kind][index]:
                continue
            shown = found.rows["ingest_time"][row], found.evidence(row)
            at_us = int(heard.time[index])
            standing = ledger.open.get(_key(watched, kind, slot))
            if standing is not None:
                ledger.cleared(standing, "condition_cleared", at_us, *shown)
            elif silent[index] if kind == MISSING else bad[index]:
                cause = _cause(watched, slot, int(runs.before["bad_time"][index])) if kind == MISSING else None
                evidence = coordinates(partition, int(offset))
                ledger.passed(alert(watched, kind, slot, int(begin_us), evidence, cause), at_us, *shown)


def alert(watched: Watched, kind: str, slot: int, begin_us: int, evidence: str, cause: str | None) -> Standing:
    """A new alert of type `kind` on the signal in `slot`, active since the limit has passed."""
    rule = watched.rules[watched.number[kind][slot]]
    limit_us = int((watched.missing_us if kind == MISSING else watched.bad_us)[slot])
    return standing_of(
        rule, watched.signals["signal_id"][slot], begin_us, begin_us + limit_us,
        limit=limit_us / SECOND_US, evidence=evidence, cause=cause, **place(watched, slot),
    )  # fmt: skip


def place(watched: Watched, slot: int) -> dict[str, str | None]:
    """Where a signal belongs: site, tenant, line, source, and the signal itself."""
    row = watched.signals.row(slot, named=True)
    return {name: row[name] for name in ("tenant", "work_center", "source_id", "signal_id")} | {
        "site": row["site"] or "", "zone": None
    }  # fmt: skip


def stand(
    signals: pl.DataFrame, sources: pl.DataFrame, watched: Watched, ledger: Ledger, past_us: int, disorder_us: int,
    *, settled: bool,
) -> None:  # fmt: skip
    """Raise what stands by now. `settled`: all that there was has been read, so whatever stands is of the present."""
    slot = watched.slot(signals["signal_id"])
    now = signals.join(sources, on="source_id", how="left", maintain_order="left", suffix="_now")
    clock, active = now["clock_time"].fill_null(NEVER_US).to_numpy(), now["active_us_now"].fill_null(0).to_numpy()
    watched_now = (slot >= 0) & (watched.signals["valid_to"].to_numpy()[slot] > clock if watched.slots else slot >= 0)
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
            standing = alert(watched, kind, own, int(begin[index]), evidence, cause)
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
