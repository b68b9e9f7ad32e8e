"""Time in state of discrete signals. Enters: pieces of held values. Leaves: labels, time in each, transitions.

A label is the reading's text, or its number where it has none. Labels of a window are sorted; bad readings end a state.
A transition is a reading in the window, not bad, whose label differs from that of the signal's previous reading that is
not bad, however long ago that was and whatever the dictionary said then: no change of state is lost at a window's
border, in a gap, between two versions or at a restart, and none counts twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from streams.core.frames import BAD
from streams.core.times import SECOND_US
from streams.core.window.rows import Held
from streams.core.window.signals import Bools, Ints, Signals

STATES: Final = pl.Schema(
    {"states": pl.List(pl.String()), "state_durations_s": pl.List(pl.Float64()), "transitions": pl.Int32()}
)


@dataclass(frozen=True)
class Labels:
    """Labels of the discrete readings that are not bad; `place` finds them by position in `Held`, -1: it has none.

    `changed` tells which differ from the signal's label before.
    """

    place: Ints
    label: pl.Series
    changed: Bools


def telling(held: Held, signals: Signals) -> Bools:
    """Readings of discrete signals that a transition is told against."""
    found: Bools = signals.discrete[held.entry] & (held.quality != BAD)
    return found


def labels(held: Held, signals: Signals) -> Labels | None:
    """The labels of the readings; None: no discrete signal is there."""
    if not signals.discrete.any():
        return None
    told = np.flatnonzero(telling(held, signals))
    if not told.size:
        return None
    number = pl.Series("value", held.value[told], nan_to_null=True).cast(pl.Int64, strict=False).cast(pl.String)
    text = pl.select(pl.coalesce(held.frame["label"].gather(held.index[told]).cast(pl.String), number)).to_series()
    code = held.code[told]
    differs = text.ne_missing(text.shift(1)).to_numpy()
    place = np.full(held.code.size, -1)
    place[told] = np.arange(told.size)
    return Labels(place, text.alias("label"), differs & np.append(False, code[1:] == code[:-1]))


def moves(known: Labels, row: Ints, span: Ints, reading: Bools, group: Ints) -> pl.DataFrame | None:
    """Pieces of discrete signals that are not bad, with their labels; None: none (arguments as `aggregate.Pieces`)."""
    place = known.place[row]
    own = np.flatnonzero(place >= 0)
    if not own.size:
        return None
    place = place[own]
    return pl.DataFrame(
        [
            pl.Series("group", group[own]),
            known.label.gather(place),
            pl.Series("span", span[own]),
            pl.Series("reading", reading[own]),
            pl.Series("transitions", reading[own] & known.changed[place]),
        ]
    )


def states(pieces: list[pl.DataFrame], groups: int) -> list[pl.Series]:
    """The columns of STATES, one row per group; empty for windows of signals that are not discrete."""
    if pieces:
        return _spread(pl.concat(pieces), groups)
    return [_nothing(name).new_from_index(0, groups) for name in STATES]


def _spread(pieces: pl.DataFrame, groups: int) -> list[pl.Series]:
    """Labels, durations and transitions of every group, also of those without a piece."""
    moved = pieces.select("group", "transitions").group_by("group").sum()
    in_state = (
        pieces.filter((pl.col("reading") | (pl.col("span") > 0)) & pl.col("label").is_not_null())
        .group_by("group", "label")
        .agg(pl.col("span").sum())
        .sort("group", "label")
        .group_by("group", maintain_order=True)
        .agg(pl.col("label").alias("states"), (pl.col("span") / SECOND_US).alias("state_durations_s"))
    )
    every = pl.DataFrame({"group": np.arange(groups)})
    joined = every.join(in_state, on="group", how="left", maintain_order="left")
    joined = joined.join(moved, on="group", how="left", maintain_order="left")
    filled = (pl.col(name).cast(dtype).fill_null(_nothing(name)) for name, dtype in STATES.items())
    return joined.select(filled).get_columns()


def _nothing(name: str) -> pl.Series:
    """One row of what a signal without states has."""
    return pl.Series(name, [[] if isinstance(STATES[name], pl.List) else 0], STATES[name])
