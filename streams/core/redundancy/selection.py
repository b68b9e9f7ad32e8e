"""Redundant gateways: enter readings of one line and what is known of its gateways, leave the readings that count.

Where several gateways deliver one physical signal, one of them is the primary: a signal like any other. Each standby is
a signal of its own (source, address, scale) that names the primary in `redundant_of`. Standby readings are published
under their own signal id, so that one can see that a standby lives; whoever computes takes of all of them only the
readings of the one on duty, under the primary's signal id. Gateways send to different partitions of the raw topics;
they meet in `ot.reading.v1`, keyed by line. `window`, `alert` and `kpi` select there, from the same log by the same
rule, so they agree.

The rule. Preferred is the primary, then the standbys by signal id. The one on duty hands over to the most preferred of
those present when it has told nothing usable for the failover limit while others went on; to a more preferred one as
soon as that has been present for the failback time without a pause as long as the limit. Readings count from the
instant after the newest one of its predecessor, of whatever quality (stamps more than a minute ahead of their receipt
aside). Bad readings keep nobody on duty. Whether one is present is judged by event time, but never ahead of the receipt
of the reading; records count whole, in the order of the log, so the outcome does not depend on chunks. What comes late
is judged by who was on duty at its event time: nothing counts twice, and a backlog of the primary does not displace
what the standby told meanwhile.

A limit shorter than the time between two readings would hand over with each of them: of a periodic signal it is at
least 2.5 periods. Signals that send on change hand over whenever the standby is the first to tell a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from streams.core import dictionary
from streams.core.context import Context
from streams.core.redundancy.duty import DUTY, PRESENCE, Duties, Presence, Turn, turns
from streams.core.redundancy.members import Bools, Ints, Members
from streams.core.stage import Change, Tables, apply, combine
from streams.core.times import DAY_US, NEVER_US, SECOND_US

FAILOVER_US: Final = 10 * SECOND_US
FAILBACK_US: Final = 30 * SECOND_US
TABLES: Final = (PRESENCE, DUTY)


@dataclass(frozen=True)
class Selection:
    """`frame`: the readings that count, under the primary's signal id; changes of TABLES.

    `kept`: which rows of the chunk they are, None: all of them.

    Counts: ("redundancy", "standby"): readings left out; ("redundancy", "failover"|"failback"): changes of duty.
    """

    frame: pl.DataFrame
    kept: Bools | None = None
    changes: Mapping[str, Change] = field(default_factory=dict)
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)


class Redundancy:
    """Selects the readings that count. What it needs to know lies in TABLES, which the stage makes its own.

    Args:
        failover_us: silence of the one on duty after which another takes over.
        failback_us: how long a more preferred one must be present before it takes over.
        horizon_us: how far back it is known who was on duty; older readings are the primary's.
    """

    def __init__(
        self, failover_us: int = FAILOVER_US, failback_us: int = FAILBACK_US, horizon_us: int = DAY_US
    ) -> None:
        self._failback_us = failback_us
        self._horizon_us = horizon_us
        self._members = dictionary.Memo(lambda frame: Members(frame, failover_us))

    def select(self, frame: pl.DataFrame, state: Tables, context: Context) -> Selection:
        """Of a chunk of `ot.reading.v1` (READING and COORDINATES, whole records) the readings that count."""
        known = self._members.of(context)
        changes = _forgotten(state, known)
        if not known.size:
            return Selection(frame, changes=changes)
        slot = known.slots(frame["signal_id"])
        redundant = slot >= 0
        if not redundant.any():
            return Selection(frame, changes=changes)
        told = frame.select("event_time", "ingest_time", "quality", "_offset", slot=pl.Series(slot))
        told = told.filter(pl.Series(redundant))
        presence = Presence(state[PRESENCE.name], known)
        made = turns(told, known, presence, Duties(state[DUTY.name], known), self._failback_us)
        learnt = [(PRESENCE, Change(upsert=_present(slot[redundant], presence, known)))]
        learnt += [(DUTY, _taken(state[DUTY.name], made, known, self._horizon_us))] if made else []
        for table, change in learnt:
            changes[table.name] = combine(table, changes.get(table.name, Change()), change)
        kept = np.ones(frame.height, np.bool_)
        kept[redundant] = _counts(told, state[DUTY.name], made, known)
        numbers = {"standby": int((~kept).sum()), **_moves(made)}
        counts = {("redundancy", name): number for name, number in numbers.items() if number}
        return Selection(_renamed(frame, slot, kept, known), kept, changes, counts)

    def again(self, frame: pl.DataFrame, duty: pl.DataFrame, context: Context) -> pl.DataFrame:
        """Rows of the log, read once more: those that counted, as `select` left them; `duty` as it is now."""
        known = self._members.of(context)
        slot = known.slots(frame["signal_id"]) if known.size else np.zeros(0, np.int64)
        redundant = np.flatnonzero(slot >= 0)
        if not redundant.size:
            return frame
        rows = frame[redundant]
        own = slot[redundant]
        offset = rows["_offset"].to_numpy()
        on_duty = _history(duty, known.group[own], rows["event_time"].to_numpy(), known, offset)
        kept = np.ones(frame.height, np.bool_)
        kept[redundant] = np.where(on_duty < 0, known.rank[own] == 0, on_duty == own)
        return _renamed(frame, slot, kept, known)


def _forgotten(state: Tables, known: Members) -> dict[str, Change]:
    """Deletes what is known of signals that the dictionary has no longer, or that are no longer redundant."""
    changes = {}
    for table, column in ((PRESENCE, "signal_id"), (DUTY, "primary")):
        rows = state[table.name]
        gone = known.slots(rows[column]) < 0
        if gone.any():
            changes[table.name] = Change(delete=rows.filter(pl.Series(gone)).select(table.key))
    return changes


def _present(slot: Ints, presence: Presence, known: Members) -> pl.DataFrame:
    """Rows of PRESENCE, as they are now, of the members at these slots."""
    slots = np.unique(slot)
    columns = {name: getattr(presence, name)[slots] for name in ("began", "last", "newest")}
    return pl.DataFrame({"signal_id": known.ids.gather(slots), **columns}, schema=PRESENCE.schema)


def _taken(duty: pl.DataFrame, made: list[Turn], known: Members, horizon_us: int) -> Change:
    """The change of DUTY by these turns: who was relieved before the horizon is forgotten."""
    new = pl.DataFrame(
        {
            "primary": known.ids.gather([turn.group for turn in made]),
            "since": [turn.since_us for turn in made],
            "offset": [turn.offset for turn in made],
            "signal_id": known.ids.gather([turn.slot for turn in made]),
        },
        schema=DUTY.schema,
    ).unique(DUTY.key, keep="last", maintain_order=True)
    after = apply(DUTY, duty, Change(upsert=new)).join(new, on="primary", how="semi").sort("since", "offset")
    until, newest = pl.col("since").shift(-1).over("primary"), pl.col("since").max().over("primary")
    old = after.filter(until < newest - horizon_us).select(DUTY.key)
    return Change(upsert=new.join(old, on=list(DUTY.key), how="anti"), delete=old if old.height else None)


def _counts(told: pl.DataFrame, duty: pl.DataFrame, made: list[Turn], known: Members) -> Bools:
    """Whether each reading is of the member on duty at its event time, as its record found it (nobody: the primary)."""
    duties, slot, time = Duties(duty, known), told["slot"].to_numpy(), told["event_time"].to_numpy()
    group = known.group[slot]
    on_duty = duties.slot[group]
    earlier = np.flatnonzero(time < duties.since[group])
    if earlier.size:
        on_duty[earlier] = _history(duty, group[earlier], time[earlier], known)
    if made:
        order, offset = np.argsort(group, kind="stable"), told["_offset"].to_numpy()
        ends = np.searchsorted(group[order], [(turn.group, turn.group + 1) for turn in made])
        for turn, (first, end) in zip(made, ends.tolist(), strict=True):
            rows = order[first:end]
            on_duty[rows[(offset[rows] >= turn.offset) & (time[rows] >= turn.since_us)]] = turn.slot
    counts: Bools = np.where(on_duty < 0, known.rank[slot] == 0, on_duty == slot)
    return counts


def _history(duty: pl.DataFrame, group: Ints, time: Ints, known: Members, offset: Ints | None = None) -> Ints:
    """Slot of the member on duty in each group at each time; -1: nobody, as far as is known.

    With `offset`: as records at these offsets found it.
    """
    rows = duty.sort("since", "offset")
    owner = known.slots(rows["primary"])
    history = rows.select("since", pl.Series("group", owner)).with_row_index("place")
    asked = pl.DataFrame({"group": group, "time": time, "asked": np.arange(time.size)}).sort("time")
    found = asked.join_asof(history, left_on="time", right_on="since", by="group", check_sortedness=False)
    place: Ints = np.full(time.size, -1)
    place[found["asked"].to_numpy()] = found["place"].cast(pl.Int64).fill_null(-1).to_numpy()
    if offset is not None:
        # The last one is that of places that are none.
        before, decided = _before(owner), np.append(rows["offset"].to_numpy(), NEVER_US)
        while (unknown := np.flatnonzero((place >= 0) & (decided[place] > offset))).size:
            place[unknown] = before[place[unknown]]
    slots: Ints = np.append(known.slots(rows["signal_id"]), -1)[place]
    return slots


def _before(owner: Ints) -> Ints:
    """By row: the row before of the same owner; -1: there is none."""
    order = np.argsort(owner, kind="stable")
    before = np.full(owner.size, -1)
    same = owner[order][1:] == owner[order][:-1]
    before[order[1:][same]] = order[:-1][same]
    return before


def _moves(made: list[Turn]) -> dict[str, int]:
    """How often the duty went to a less and to a more preferred member; of one group, slots are in that order."""
    moved = [turn for turn in made if turn.before >= 0]
    failovers = sum(turn.slot > turn.before for turn in moved)
    return {"failover": failovers, "failback": len(moved) - failovers}


def _renamed(frame: pl.DataFrame, slot: Ints, kept: Bools, known: Members) -> pl.DataFrame:
    """The kept rows of `frame`, those of standbys under the primary's signal id."""
    standby = (slot >= 0) & (known.rank[slot] > 0)
    if (standby & kept).any():
        primary = known.ids.gather(np.where(standby, known.group[slot], 0))
        renamed = pl.when(pl.Series(standby)).then(primary).otherwise(frame["signal_id"]).alias("signal_id")
        frame = frame.with_columns(renamed)
    return frame if kept.all() else frame.filter(pl.Series(kept))
