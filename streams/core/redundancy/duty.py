"""Who is on duty: enter the readings of redundant signals, leaves every change of duty, in the order of the log.

What a record tells of a member is the latest time of its usable readings. Records are looked at in blocks, as matrices
of members and records; only groups in which somebody's duty may change, which is rare, are walked through. A duty
begins after every event time of the predecessor, so that no instant counts from two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from streams.core.frames import BAD, ID
from streams.core.redundancy.members import Bools, Ints, Members
from streams.core.stage import Table
from streams.core.times import NEVER_US, SECOND_US

# Most records, and about the most matrix cells, of a block: a few arrays of 8 MiB.
RECORDS: Final = 64
CELLS: Final = 1 << 20
# A stamp that is further ahead of its receipt does not keep a successor waiting: the clock is wrong.
AHEAD_US: Final = 60 * SECOND_US
# When each member last told something usable (NEVER_US: not yet), and since when it has done so without a pause; its
# newest event time, of whatever quality.
PRESENCE: Final = Table(
    "presence",
    pl.Schema({"signal_id": ID, "began": pl.Int64(), "last": pl.Int64(), "newest": pl.Int64()}),
    ("signal_id",),
)
# Who is on duty from when on (event time), by primary, as the record at `offset` decided.
DUTY: Final = Table(
    "duty",
    pl.Schema({"primary": ID, "since": pl.Int64(), "offset": pl.Int64(), "signal_id": ID}),
    ("primary", "since", "offset"),
)


class Turn(NamedTuple):
    """From the record at `offset` on, `slot` is on duty in `group` since `since_us`, after `before` (-1: nobody)."""

    group: int
    since_us: int
    slot: int
    before: int
    offset: int


class Presence:
    """What PRESENCE tells, by slot: NEVER_US where it tells nothing."""

    def __init__(self, table: pl.DataFrame, known: Members) -> None:
        self.began: Ints = np.full(known.size, NEVER_US)
        self.last: Ints = np.full(known.size, NEVER_US)
        self.newest: Ints = np.full(known.size, NEVER_US)
        slot = known.slots(table["signal_id"])
        for name in ("began", "last", "newest"):
            getattr(self, name)[slot[slot >= 0]] = table[name].to_numpy()[slot >= 0]


class Duties:
    """Who was last given the duty, by group (the primary's slot): `slot` (-1: nobody), `since` (us)."""

    def __init__(self, table: pl.DataFrame, known: Members) -> None:
        self.slot: Ints = np.full(known.size, -1)
        self.since: Ints = np.full(known.size, NEVER_US)
        rows = table.sort("since", "offset")
        group, slot = known.slots(rows["primary"]), known.slots(rows["signal_id"])
        rows, slot, group = rows.filter(pl.Series(group >= 0)), slot[group >= 0], group[group >= 0]
        # Of several values for one place numpy keeps the last.
        self.since[group] = rows["since"].to_numpy()
        self.slot[group] = np.where((slot >= 0) & (known.group[slot] == group), slot, -1)


class _Newest:
    """How far in event time the members' readings go (`told`), after what `presence` tells from before."""

    def __init__(self, told: pl.DataFrame, presence: Presence) -> None:
        self._before = presence.newest
        self.slot = told["slot"].to_numpy()
        self.time = np.minimum(told["event_time"].to_numpy(), told["ingest_time"].to_numpy() + AHEAD_US)
        self._offset = told["_offset"].to_numpy()
        self._order: Ints | None = None

    def until(self, slot: int, offset: int) -> int:
        """Newest event time of a member, the record at `offset` included; NEVER_US: it told nothing."""
        if self._order is None:  # hardly any chunk asks
            self._order = np.argsort(self.slot, kind="stable")
        own = self._order[slice(*np.searchsorted(self.slot, [slot, slot + 1], sorter=self._order))]
        return int(self.time[own[self._offset[own] <= offset]].max(initial=self._before[slot]))

    def leave(self, presence: Presence) -> None:
        """Write down how far they go at the end."""
        np.maximum.at(presence.newest, self.slot, self.time)


def turns(told: pl.DataFrame, known: Members, presence: Presence, duties: Duties, failback_us: int) -> list[Turn]:
    """Every change of duty that readings (slot, event_time, ingest_time, quality, _offset) bring about.

    In each group they are in the order of the log. `presence` and `duties` are brought up to date.
    """
    usable = told.filter(pl.col("quality") < BAD)
    slot, offset = usable["slot"].to_numpy(), usable["_offset"].to_numpy()
    time = np.minimum(usable["event_time"].to_numpy(), usable["ingest_time"].to_numpy())
    offsets, record = np.unique(offset, return_inverse=True)
    size, newest = max(1, min(RECORDS, CELLS // known.size)), _Newest(told, presence)
    made: list[Turn] = []
    for first in range(0, len(offsets), size):
        inside = slice(*np.searchsorted(record, [first, first + size]))
        latest = _Block(known, presence, slot[inside], record[inside] - first, time[inside])
        made += latest.turns(duties, offsets[first : first + size], failback_us, newest)
        latest.leave(presence)
    newest.leave(presence)
    return made


class _Block:
    """Some records as matrices. Rows: members of the groups told of, groups one after another; columns: records.

    `told`: what the record tells of the member; `last`, `began`: as in PRESENCE, after the record; `now`: the latest
    `last` of the group (rows: groups). NEVER_US: nothing so far.
    """

    def __init__(self, known: Members, presence: Presence, slot: Ints, record: Ints, time: Ints) -> None:
        self.heads: Ints = np.unique(known.group[slot])
        member = np.zeros(known.size, np.bool_)
        member[self.heads] = True
        self.slots = np.flatnonzero(member[known.group])
        self.row: Ints = np.full(known.size, -1)
        self.row[self.slots] = np.arange(len(self.slots))
        self.group = np.searchsorted(self.heads, known.group[self.slots])
        self.first = self.row[self.heads]
        self.limit_us = known.limit_us[self.slots][:, None]
        self.told: Ints = np.full((len(self.slots), int(record.max()) + 1), NEVER_US)
        np.maximum.at(self.told, (self.row[slot], record), time)
        carried = presence.last[self.slots][:, None]
        self.last = np.maximum.accumulate(np.maximum(self.told, carried), axis=1)
        before = np.hstack([carried, self.last[:, :-1]])
        starts = np.where(self.told > before + self.limit_us, self.told, presence.began[self.slots][:, None])
        self.began = np.maximum.accumulate(starts, axis=1)
        self.now = np.maximum.reduceat(self.last, self.first, axis=0)

    def leave(self, presence: Presence) -> None:
        """Write down how the block ends."""
        presence.last[self.slots], presence.began[self.slots] = self.last[:, -1], self.began[:, -1]

    def turns(self, duties: Duties, offsets: Ints, failback_us: int, newest: _Newest) -> list[Turn]:
        """The changes of duty; `offsets` of the records."""
        begins = np.flatnonzero(duties.slot[self.heads] < 0).tolist()
        made = [self._begin(group, duties, offsets, newest) for group in begins]
        for group in np.flatnonzero(self._turning(duties.slot[self.heads], failback_us)).tolist():
            made += self._walk(group, duties, offsets, failback_us, newest)
        return made

    def _begin(self, group: int, duties: Duties, offsets: Ints, newest: _Newest) -> Turn:
        """The most preferred member of the first record that tells anything goes on duty."""
        head = int(self.heads[group])
        told = self.told[self.group == group] > NEVER_US
        column = int(told.any(axis=0).argmax())
        row = int(self.first[group]) + int(told[:, column].argmax())
        # The first ever answers for all that was before; where the dictionary took the last one away, from now on.
        since = int(duties.since[head])
        since = NEVER_US if since == NEVER_US else max(since + 1, int(self.told[row, column]))
        until = newest.until(head, int(offsets[column]))
        if self.slots[row] != head and until > NEVER_US:  # as long as nobody was on duty the primary counted
            since = max(since, until + 1)
        duties.slot[head], duties.since[head] = self.slots[row], since
        return Turn(head, since, int(self.slots[row]), -1, int(offsets[column]))

    def _turning(self, active: Ints, failback_us: int) -> Bools:
        """Groups in which somebody may take over from who was on duty at the begin of the block."""
        lost = self.last[self.row[active]] + self.limit_us[self.first] < self.now
        present = (self.last >= self.now[self.group] - self.limit_us) & (self.last > NEVER_US)
        preferred = (self.slots < active[self.group])[:, None]
        back = preferred & present & (self.last - self.began >= failback_us)
        changing: Bools = lost.any(axis=1) | np.logical_or.reduceat(back.any(axis=1), self.first)
        return changing

    def _walk(self, group: int, duties: Duties, offsets: Ints, failback_us: int, newest: _Newest) -> Iterator[Turn]:
        """The changes of duty in one group, record by record."""
        head, rows = int(self.heads[group]), np.flatnonzero(self.group == group)
        limit_us, first = int(self.limit_us[rows[0], 0]), int(self.slots[rows[0]])
        matrix = zip(self.last[rows].T.tolist(), self.began[rows].T.tolist(), self.now[group].tolist(), strict=True)
        for column, (last, began, now_us) in enumerate(matrix):
            active = int(duties.slot[head]) - first
            present = [place for place, time in enumerate(last) if time >= now_us - limit_us and time > NEVER_US]
            back = [place for place in present if place < active and last[place] - began[place] >= failback_us]
            chosen = back[0] if back else active
            if last[active] + limit_us < now_us:
                chosen = present[0]
            if chosen != active:
                offset = int(offsets[column])
                since_us = max(int(duties.since[head]), newest.until(first + active, offset) + 1)
                duties.slot[head], duties.since[head] = first + chosen, since_us
                yield Turn(head, since_us, first + chosen, first + active, offset)
