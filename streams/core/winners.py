"""Which of several readings of one signal and instant counts: one rule for windows and KPIs.

Enters: nothing; a frame with `sequence`, `value` (null: no number), `residual` (as in core.counters), `label`,
`quality`, `source_id`, `flags` is sorted by what leaves: expressions of which the highest row wins.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.frames import BIRTH, FORCED, HISTORICAL

KEPT: Final = FORCED | HISTORICAL | BIRTH


def order() -> list[pl.Expr]:
    """The highest source sequence, then a fixed total order; of nulls it is the lowest.

    It is over texts and numbers, never codes, which differ between processes. What came live was not historical, what
    was reported was no birth, and what was measured was not forced. A reading that wins counts or not by what it is:
    a bad one or a birth hides the others of its instant.
    """
    return [
        pl.col("sequence"),
        pl.col("value"),
        pl.col("residual"),
        pl.col("label").cast(pl.String),
        pl.col("quality"),
        pl.col("source_id").cast(pl.String),
        *((pl.col("flags") & flag == 0).alias(f"not_{flag}") for flag in (HISTORICAL, BIRTH, FORCED)),
    ]
