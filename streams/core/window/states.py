"""Time in state of discrete signals. Enters: pieces of held values. Leaves: labels, time in each, transitions.

A label is the reading's text, or its number where it has none. Labels of a window are sorted; bad readings end a state.
A transition is a reading in the window, not bad, whose label differs from that of the value before it in the window:
the previous reading that is not bad, or the value carried in. A carried value still counts where the first reading
falls exactly on the window's begin, so no change of state is lost between two windows, and none counts twice.
"""

from __future__ import annotations

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


def moves(held: Held, signals: Signals, row: Ints, span: Ints, reading: Bools, group: Ints) -> pl.DataFrame | None:
    """Pieces of discrete signals that are not bad, with their labels; None: none (arguments as `aggregate.Pieces`)."""
    if not signals.discrete.any():
        return None
    discrete = signals.discrete[held.entry[row]] & (held.quality[row] != BAD)
    if not discrete.any():
        return None
    index = held.index[row[discrete]]
    pieces = pl.DataFrame(
        [
            pl.Series("group", group[discrete]),
            held.frame["label"].gather(index).cast(pl.String).alias("label"),
            pl.Series("value", held.value[row[discrete]], nan_to_null=True),
            pl.Series("span", span[discrete]),
            pl.Series("reading", reading[discrete]),
        ]
    )
    return pieces.with_columns(pl.coalesce("label", pl.col("value").cast(pl.Int64, strict=False).cast(pl.String)))


def states(pieces: list[pl.DataFrame], groups: int) -> list[pl.Series]:
    """The columns of STATES, one row per group; empty for windows of signals that are not discrete."""
    if pieces:
        return _spread(pl.concat(pieces), groups)
    return [_nothing(name).new_from_index(0, groups) for name in STATES]


def _spread(pieces: pl.DataFrame, groups: int) -> list[pl.Series]:
    """Labels, durations and transitions of every group, also of those without a piece."""
    same = pl.col("group") == pl.col("group").shift(1)
    # A carried value is the first piece of its window: only a reading can differ from what was before it.
    changed = same & pl.col("label").ne_missing(pl.col("label").shift(1))
    moves = pieces.select("group", changed.fill_null(value=False).alias("transitions")).group_by("group").sum()
    labels = (
        pieces.filter((pl.col("reading") | (pl.col("span") > 0)) & pl.col("label").is_not_null())
        .group_by("group", "label")
        .agg(pl.col("span").sum())
        .sort("group", "label")
        .group_by("group", maintain_order=True)
        .agg(pl.col("label").alias("states"), (pl.col("span") / SECOND_US).alias("state_durations_s"))
    )
    every = pl.DataFrame({"group": np.arange(groups)})
    joined = every.join(labels, on="group", how="left", maintain_order="left")
    joined = joined.join(moves, on="group", how="left", maintain_order="left")
    filled = (pl.col(name).cast(dtype).fill_null(_nothing(name)) for name, dtype in STATES.items())
    return joined.select(filled).get_columns()


def _nothing(name: str) -> pl.Series:
    """One row of what a signal without states has."""
    return pl.Series(name, [[] if isinstance(STATES[name], pl.List) else 0], STATES[name])
