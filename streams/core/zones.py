"""Names of time zones. Enters: names from the IT context. Leaves: those that are zones."""

from __future__ import annotations

import polars as pl


def known(name: str) -> bool:
    """Whether `name` is a time zone (IANA)."""
    try:
        pl.Series([0], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(name)
    except pl.exceptions.ComputeError:
        return False
    return True


def fit(names: pl.Series) -> tuple[pl.Series, int]:
    """`names` (texts) with null in place of what is no zone, and how many those were."""
    unknown = [name for name in names.drop_nulls().unique().to_list() if not known(name)]
    wrong = names.is_in(unknown).fill_null(value=False)
    return names.set(wrong, None), int(wrong.sum())
