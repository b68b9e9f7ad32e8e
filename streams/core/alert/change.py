"""Rules on changes of a value. Enter: readings of a chunk, values told last. Leave: judged readings, values to keep.

A change is a reading that is further than `by` from the value that was told last, or, before anything was told, from
the first reading. Where `by` is 0 that is the reading before; else small steps in one direction are told once they add
up, and a jitter of less than half of `by` never is. The value told last moves with changes only: whatever lies between
them has no bearing on what follows.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from streams.core.alert.rule_match import Compiled, Floats, Integers, Mask

# The reading that the next rate is measured from, whether it was a birth, and the one that its own was measured from.
# Of rules on changes the reading that was told last, and the first of all (`change.Changed`).
ANCHORS: Final = pl.Schema(
    {"anchor_time": pl.Int64(), "anchor_value": pl.Float64(), "born": pl.Boolean()}
    | {"before_time": pl.Int64(), "before_value": pl.Float64()}
)


class Changed(NamedTuple):
    """Readings of rules on changes; `high` and `low` are both the value told last (null: none was).

    `readings`: as `Judged.readings` has them. `anchors`: pair, the last change (or the first reading) as
    `anchor_time`, `anchor_value`, the first reading as `before_time`, `before_value`; of pairs where that is new.
    `contested` has (pair, event_time, _offset) of readings at the same instant as the one before that say another
    value than the one told last.
    """

    readings: pl.DataFrame
    anchors: pl.DataFrame
    contested: pl.DataFrame


def changed(
    picked: pl.DataFrame,
    compiled: Compiled,
    anchors: pl.DataFrame,
    last_us: Integers,
    since: pl.DataFrame | None = None,
) -> Changed:
    """Judge readings by rules on changes.

    `anchors` (pair, anchor_value, before_time, before_value) is what was carried, `last_us` the last event time by
    slot. With `since` (pair, since_us) only these pairs are judged, from their time on. A value that is announced
    again after a restart (birth) is a value like any other: the same is no change, another one was set meanwhile.
    """
    rows = picked.join(compiled.changing, on="slot", maintain_order="left").filter(
        pl.col("value").is_not_null(), pl.col("event_time").is_between("valid_from", "valid_to", closed="left")
    )
    if since is not None:
        rows = rows.join(since, on="pair", maintain_order="left").filter(pl.col("event_time") >= pl.col("since_us"))
    carried = anchors.select("pair", "anchor_value", "before_time", "before_value")
    rows = rows.sort("pair", "row").join(carried, on="pair", how="left", maintain_order="left")
    pair, value, by = (rows[name].to_numpy() for name in ("pair", "value", "by"))
    told = _told(pair, value, rows["anchor_value"].fill_null(np.nan).to_numpy(), by)
    told_before = pl.Series(told).fill_nan(None)
    rows = rows.with_columns(
        high=told_before, low=told_before, holds=pl.Series(np.abs(value - told) > by),
        held_before=pl.lit(value=False), behind_before=pl.lit(value=False),
    ).with_columns(decides="holds")  # fmt: skip
    first = pl.Series(_first(pair))
    time = pl.col("event_time")
    earlier = pl.when(first).then(pl.Series(last_us[rows["slot"].to_numpy()])).otherwise(time.shift(1))
    contested = rows.filter(time == earlier, pl.col("value") != pl.col("high"))
    return Changed(rows, _kept(rows), contested.select("pair", "event_time", "_offset"))


def _kept(rows: pl.DataFrame) -> pl.DataFrame:
    began = rows.with_columns(
        before_time=pl.coalesce("before_time", pl.col("event_time").first().over("pair")),
        before_value=pl.coalesce("before_value", pl.col("value").first().over("pair")),
    )
    new = began.filter(pl.col("holds") | pl.col("high").is_null()).unique("pair", keep="last", maintain_order=True)
    last = new.with_columns(anchor_time="event_time", anchor_value="value", born=pl.lit(value=False))
    return last.select("pair", *ANCHORS)


def _first(pair: Integers) -> Mask:
    return np.append(True, pair[1:] != pair[:-1])[: len(pair)]


def _told(pair: Integers, value: Floats, carried: Floats, by: Floats) -> Floats:
    """The value that was told last before each reading (by pair, in order); NaN before the first."""
    told: Floats = np.where(_first(pair), carried, np.append(np.nan, value[:-1])[: len(value)])
    banded = by > 0
    if banded.any():
        told[banded] = carried[banded]
        # Few pairs change in a chunk; of all others the carried value holds throughout.
        for number in np.unique(pair[banded & ~(np.abs(value - carried) <= by)]):
            begin, end = np.searchsorted(pair, [number, number + 1])
            _follow(value[begin:end], told[begin:end], float(by[begin]))
    return told


def _follow(value: Floats, told: Floats, by: float) -> None:
    """Fill in `told`, whose first one is right, from change to change."""
    at = 0
    if np.isnan(told[0]):
        at, told[1:] = 1, value[0]
    while (beyond := np.flatnonzero(np.abs(value[at:] - told[at:]) > by)).size:
        at += int(beyond[0]) + 1
        told[at:] = value[at - 1]
