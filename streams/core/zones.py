"""Names of time zones. Enters: a name. Leaves: whether it is one."""

from __future__ import annotations

import polars as pl


def known(name: str) -> bool:
    """Whether `name` is a time zone (IANA)."""
    try:
        pl.Series([0], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(name)
    except pl.exceptions.ComputeError:
        return False
    return True
