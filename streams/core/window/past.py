"""What waits for a look back into the log. Enters: readings older than memory. Leaves: tables of what to look for.

A window that ended by the floor, where memory ends, can only be told again from the log. What waits is kept by signal
and bucket of event time, never by reading: the readings are in the log. What a window was told from follows from
offsets. A reading counts in a window that ended after the floor of its chunk at once, in others from the next look back
on; so a re-read reading is known to have been told of or not by `since` (the last look back of its signal), by the
floor that held at its offset, and by the window's end.

When a signal begins to wait, what `carry` holds of it goes to `base`: between that reading and memory the log holds
nothing of the signal below that offset, which spares reading hours of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from streams.core.frames import ID
from streams.core.past.index import BUCKET_US
from streams.core.stage import Change, Table, Tables, apply
from streams.core.times import FOREVER_US, NEVER_US, SECOND_US
from streams.core.window.floor import CARRY, behind
from streams.core.window.signals import Bools, Ints, Signals, codes
from streams.core.window.watermark import Sources

# `offset`: where the signal began to wait; `since`: rows below it have been told of; `floor` (us) at that time.
AWAITED: Final = Table(
    "awaited",
    pl.Schema({"signal_id": ID, "offset": pl.Int64(), "since": pl.Int64(), "floor": pl.Int64()}),
    ("signal_id",),
)
# Event times (us) that changed, from `low` to `high`, by how many readings, and the last offset that changed them.
PENDING: Final = Table(
    "pending",
    pl.Schema(
        {"signal_id": ID, "bucket": pl.Int64(), "low": pl.Int64(), "high": pl.Int64()}
        | {"readings": pl.Int64(), "last": pl.Int64()}
    ),
    ("signal_id", "bucket"),
)
BASE: Final = Table("base", CARRY.schema, CARRY.key)
# From which offset on a floor held (only floors under which something began to wait).
FLOORS: Final = Table("floors", pl.Schema({"floor": pl.Int64(), "offset": pl.Int64()}), ("floor",))
# Windows that ended by `floor` were told of a signal while its source had lived until `life` (us).
TOLD: Final = Table(
    "told",
    pl.Schema({"signal_id": ID, "source_id": ID, "floor": pl.Int64(), "life": pl.Int64()}),
    ("signal_id", "source_id", "floor"),
)
# Processing times (us): when what waits began to (NEVER_US: nothing waits) and when it last grew. `reach`: the event
# time (us) from which on the index is whole.
WAITING: Final = Table(
    "waiting",
    pl.Schema({"task": pl.Int8(), "begun": pl.Int64(), "grown": pl.Int64(), "reach": pl.Int64()}),
    ("task",),
)
TABLES: Final = (AWAITED, PENDING, BASE, FLOORS, TOLD, WAITING)

# What waits is looked for once it has stopped to grow, or has waited for so long.
QUIET_US: Final = 5 * SECOND_US
LONGEST_US: Final = 60 * SECOND_US


class Aged(NamedTuple):
    """Where a chunk finds the task: where memory ends, where the horizon does, now (us); its first and last offset."""

    floor_us: int
    horizon_us: int
    offsets: tuple[int, int]
    now_us: int


class Old(NamedTuple):
    """A chunk's readings by age: `rows` (BUFFERED) are for memory, `gone` are not. `carry` after them, `behind` as in
    `revise.Closed`, and changes of the tables.
    """

    rows: pl.DataFrame
    gone: int
    carry: pl.DataFrame
    behind: tuple[Ints, pl.DataFrame] | None
    changes: dict[str, Change]


def age(
    state: Tables, rows: pl.DataFrame, code: Ints, signals: Signals, lives: tuple[Sources, Sources], aged: Aged
) -> Old:
    """What readings (BUFFERED; `code` of their signals) older than memory bring about, and sources that return."""
    back, time = returned(state, signals, lives, aged.floor_us), rows["event_time"].to_numpy()
    young = time.min(initial=FOREVER_US) >= aged.floor_us
    if young and not back.height:
        return Old(rows, 0, state["carry"], None, {})
    ended = np.zeros(0, np.bool_) if young else signals.first_end(code, time) <= aged.floor_us
    late = rows.filter(pl.Series(ended)) if ended.any() else rows.clear()
    changes = waiting(state, late.select("signal_id", "event_time"), back, aged)
    gone = rows.filter(rows["expires"] <= aged.floor_us)
    if not gone.height:
        return Old(rows, 0, state["carry"], None, changes)
    change = behind(state["carry"], gone, signals, lives[1])
    carry = apply(CARRY, state["carry"], change)
    touched = [frame["signal_id"] for frame in (change.upsert, change.delete) if frame is not None]
    moved = (np.unique(np.concatenate([codes(one) for one in touched])), carry) if touched else None
    rows = rows.filter(rows["expires"] > aged.floor_us)
    return Old(rows, gone.height, carry, moved, changes | {CARRY.name: change})


def returned(state: Tables, signals: Signals, lives: tuple[Sources, Sources], floor_us: int) -> pl.DataFrame:
    """On-change signals whose values stand longer, in windows that ended by the floor, now that their source went on.

    `lives` before and after a chunk; leaves signal_id, source_id and `life` before (us).
    """
    before, after = lives
    known = before.latest
    went_on: Bools = (known != NEVER_US) & (known < floor_us) & (after.latest[: known.size] > known)
    found = []
    if went_on.any() and signals.on_change.any():
        for name in ("reading", "carry"):
            source = codes(state[name]["source_id"])
            rows = state[name].filter(pl.Series(went_on[np.minimum(source, went_on.size - 1)]))
            entry = signals.entry(codes(rows["signal_id"]), rows["event_time"].to_numpy())
            own = pl.Series(signals.on_change[entry]) & (rows["event_time"] < floor_us)
            found.append(rows.filter(own).select("signal_id", "source_id"))
    pairs = pl.concat(found).unique(maintain_order=True) if found else CARRY.empty().select("signal_id", "source_id")
    return pairs.with_columns(pl.Series("life", before.at(codes(pairs["source_id"])), pl.Int64))


def waiting(state: Tables, late: pl.DataFrame, back: pl.DataFrame, aged: Aged) -> dict[str, Change]:
    """Changes of TABLES: what a chunk adds to what waits.

    `late` are its readings with a window that ended by the floor, `back` the signals that `returned` finds.
    """
    first, last = aged.offsets
    floor = _lit(aged.floor_us)
    back = back.with_columns(low=pl.max_horizontal("life", _lit(aged.horizon_us)))
    back = back.filter(pl.col("low") < floor)
    read = late.select("signal_id", low="event_time", high="event_time", readings=_lit(1))
    stood = back.select("signal_id", "low", high=floor, readings=_lit(0))
    grown = pl.concat([read, stood]).with_columns(bucket=pl.col("low") // BUCKET_US, last=_lit(last))
    if not grown.height:
        return {}
    here = state[PENDING.name].join(grown.select(PENDING.key).unique(), on=PENDING.key, how="semi")
    pending = (
        pl.concat([here, grown.select(PENDING.schema.names())])
        .group_by(PENDING.key, maintain_order=True)
        .agg(pl.col("low").min(), pl.col("high").max(), pl.col("readings").sum(), pl.col("last").max())
    )
    new = grown.select("signal_id").unique(maintain_order=True)
    new = new.join(state[AWAITED.name], on="signal_id", how="anti", maintain_order="left")
    base = state["carry"].join(new, on="signal_id", how="semi")
    told = back.with_columns(floor=floor).select(TOLD.schema.names())
    told = told.join(state[TOLD.name], on=list(TOLD.key), how="anti")
    floors = pl.DataFrame({"floor": [aged.floor_us], "offset": [first]}, FLOORS.schema)
    return {
        AWAITED.name: Change(upsert=new.with_columns(offset=_lit(first), since=_lit(first), floor=floor)),
        PENDING.name: Change(upsert=pending),
        BASE.name: Change(upsert=base),
        FLOORS.name: Change(upsert=floors.join(state[FLOORS.name], on="floor", how="anti")),
        TOLD.name: Change(upsert=told),
        WAITING.name: Change(upsert=_row(state[WAITING.name], grown=aged.now_us)),
    }


def due(state: Tables, now_us: int) -> bool:
    """Whether a look back should begin: something waits and has not grown for QUIET_US, or has waited LONGEST_US."""
    table = state[WAITING.name]
    if not table.height:
        return False
    _, begun_us, grown_us, _ = table.row(0)
    return bool(begun_us != NEVER_US and (now_us >= grown_us + QUIET_US or now_us >= begun_us + LONGEST_US))


def reaching(state: Tables, changes: Mapping[str, Change], oldest_us: int) -> dict[str, Change]:
    """The change of WAITING, on top of `changes`, where the index has forgotten what is before `oldest_us`."""
    table = apply(WAITING, state[WAITING.name], changes.get(WAITING.name, Change()))
    return {WAITING.name: Change(upsert=_row(table, reach=(oldest_us // BUCKET_US) * BUCKET_US))}


def done(state: Tables, before: Tables, page: pl.DataFrame, position: int, now_us: int) -> dict[str, Change]:
    """Changes of TABLES once the signals of a page (signal_id) are told of with all rows below an offset, `position`.

    `before` are the tables as they were then.
    """
    pending, awaited = (state[name].join(page, on="signal_id", how="semi") for name in (PENDING.name, AWAITED.name))
    finished = pending["last"] < position
    rest = pending.filter(~finished).select("signal_id").unique()
    gone = awaited.join(rest, on="signal_id", how="anti").select("signal_id")
    still = awaited.join(rest, on="signal_id", how="semi").with_columns(since=_lit(position))
    told = state[TOLD.name].join(before[TOLD.name].join(page, on="signal_id", how="semi"), on=TOLD.key, how="semi")
    source = codes(told["source_id"])
    then, now = (Sources.of(tables["source"]).at(source) for tables in (before, state))
    # Whose source has gone on meanwhile was told of as it was then.
    went_on = pl.Series((now > then) & (then < told["floor"].to_numpy()))
    kept = told.with_columns(pl.Series("life", then)).filter(went_on).join(rest, on="signal_id", how="semi")
    base = state[BASE.name].join(gone, on="signal_id", how="semi")
    changes = {
        PENDING.name: Change(delete=pending.filter(finished).select(PENDING.key)),
        AWAITED.name: Change(upsert=still, delete=gone),
        BASE.name: Change(delete=base.select(BASE.key)),
        TOLD.name: Change(upsert=kept, delete=told.join(kept, on=TOLD.key, how="anti").select(TOLD.key)),
    }
    begun_us = NEVER_US
    if gone.height < state[AWAITED.name].height:
        new = apply(PENDING, state[PENDING.name], changes[PENDING.name])["last"].min()
        begun_us = now_us if int(new) >= position else int(state[WAITING.name]["begun"][0])  # type: ignore[arg-type]
    else:
        changes[FLOORS.name] = Change(delete=state[FLOORS.name].select(FLOORS.key))
    return changes | {WAITING.name: Change(upsert=_row(state[WAITING.name], begun=begun_us))}


def _row(table: pl.DataFrame, **changed: int) -> pl.DataFrame:
    """The row of WAITING with these columns changed; `begun` begins where nothing had waited."""
    row = {"task": 0, "begun": NEVER_US, "grown": NEVER_US, "reach": NEVER_US}
    row |= table.to_dicts()[0] if table.height else {}
    row |= changed
    if row["begun"] == NEVER_US and "grown" in changed:
        row["begun"] = row["grown"]
    return pl.DataFrame([row], WAITING.schema)


def _lit(value: int) -> pl.Expr:
    return pl.lit(value, pl.Int64())
