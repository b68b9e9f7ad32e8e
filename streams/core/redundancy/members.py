"""Which signals are redundant: enters the signal dictionary, leave faults, and primaries with their standbys by slot.

A standby is a signal of its own (source, address, scale) that names the primary, the signal it backs up, in
`redundant_of`. Preferred is the primary, then its standbys by signal id.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.core import dictionary
from streams.core.frames import ID

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

HOLD_PERIODS: Final = 2.5


def check(frame: pl.DataFrame) -> list[dictionary.Fault]:
    """Faults of rows of `it.signal.v1` (columns dictionary.SIGNAL) that concern gateways.

    `bad_redundant_of`: the primary cannot be one. `two_sources`: two sources are to give one signal at the same time
    without one of them being declared as standby, so that its windows would rest on more than all there is to know.
    """
    details = {
        "bad_redundant_of": "redundant_of must name a signal of the same line (work_center), role and unit that is "
        "itself no standby: the signal counts on its own",
        "two_sources": "another source holds the signal until later than this one begins, which counts from then on: "
        "end the other's version, or declare a signal of its own with redundant_of",
    }
    wrong = {"bad_redundant_of": _standbys(_latest(frame)).filter(~pl.col("sound")), "two_sources": _doubled(frame)}
    return [
        dictionary.Fault(signal_id, valid_from, kind, details[kind])
        for kind, rows in wrong.items()
        for signal_id, valid_from in rows.select("signal_id", "valid_from").rows()
    ]


def _doubled(frame: pl.DataFrame) -> pl.DataFrame:
    """Versions that begin while a version of the signal with another source is declared to last."""
    rows = dictionary.usable(frame).with_columns(pl.col("valid_from").fill_null(0))
    rows = rows.sort("signal_id", "valid_from", maintain_order=True)
    source, begin, end = (pl.col(name).shift(1).over("signal_id") for name in ("source_id", "valid_from", "valid_to"))
    # An open end is none: the next version ends it.
    lasts = (end > pl.col("valid_from")) | (begin == pl.col("valid_from"))
    return rows.filter((source != pl.col("source_id")) & lasts.fill_null(value=False))


def members(frame: pl.DataFrame) -> pl.DataFrame:
    """Primaries that have standbys, and their standbys: primary, rank (0: primary), signal_id, source_id, period_us.

    By the version of each signal that began last; ids are text, sorted by primary and rank. `period_us` is the longest
    of the group; null where no member is periodic.
    """
    rows = _latest(frame)
    standbys = _standbys(rows).filter("sound").select(pl.col("redundant_of").alias("primary"), "signal_id")
    primaries = standbys.select("primary", signal_id="primary").unique()
    period = pl.when(pl.col("reporting") == "periodic").then(pl.col("period_ms") * 1000)
    attributes = rows.select("signal_id", "source_id", period_us=period)
    group = pl.concat([primaries, standbys]).join(attributes, on="signal_id")
    group = group.sort("primary", pl.col("primary") != pl.col("signal_id"), "signal_id")
    return group.select(
        "primary",
        pl.int_range(pl.len()).over("primary").alias("rank"),
        "signal_id",
        "source_id",
        pl.col("period_us").max().over("primary"),
    )


def _latest(frame: pl.DataFrame) -> pl.DataFrame:
    return dictionary.versions(frame).unique("signal_id", keep="last", maintain_order=True)


def _standbys(rows: pl.DataFrame) -> pl.DataFrame:
    """Signals that name a primary, and whether they may (`sound`)."""
    attributes = ("redundant_of", "work_center", "role", "unit")
    primaries = rows.select("signal_id", *(pl.col(name).alias(f"primary_{name}") for name in attributes))
    named = rows.filter(pl.col("redundant_of").fill_null("") != "")
    joined = named.join(
        primaries, left_on="redundant_of", right_on="signal_id", how="left", coalesce=False, maintain_order="left"
    )
    same = (pl.col(name).eq_missing(pl.col(f"primary_{name}")) for name in attributes[1:])
    return joined.with_columns(sound=pl.all_horizontal(pl.col("primary_redundant_of").fill_null("") == "", *same))


class Members:
    """`members` by slot, that is their place: `ids` (Categorical), `rank`, `limit_us`, `group` (the primary's slot).

    Slots of one group are neighbours, by preference. `failover_us` is the least that a limit can be.
    """

    def __init__(self, frame: pl.DataFrame, failover_us: int) -> None:
        rows = members(frame)
        self.size = rows.height
        self.ids = rows["signal_id"].cast(ID)
        self.rank: Ints = rows["rank"].cast(pl.Int64).to_numpy()
        self.group: Ints = np.arange(self.size) - self.rank
        period_us = rows["period_us"].fill_null(0).to_numpy() * HOLD_PERIODS
        self.limit_us: Ints = np.maximum(period_us, failover_us).astype(np.int64)
        codes = self.ids.to_physical().cast(pl.Int64).to_numpy()
        self._slot_of: Ints = np.full(int(codes.max(initial=-1)) + 2, -1, np.int64)
        self._slot_of[codes] = np.arange(self.size)

    def slots(self, signal_ids: pl.Series) -> Ints:
        """Slot of each signal; -1 where it is no member."""
        last = len(self._slot_of) - 1
        codes = signal_ids.to_physical().cast(pl.Int64).fill_null(last).to_numpy()
        found: Ints = self._slot_of[np.minimum(codes, last)]
        return found
