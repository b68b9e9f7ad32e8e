"""Years that a log does not tell. Enters: records with `_row` in the file's order. Leaves: where New Year may lie."""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.load.mapping import Mapping
from streams.core.load.take import ROW
from streams.core.times import DAY_US

HALF_US: Final = 183 * DAY_US


def turn(records: pl.DataFrame, mapping: Mapping) -> int | None:
    """The first row whose time is more than half a year away from that of the row before it.

    Lines of a log stand in the order of their times: read as times of one year, those around New Year leap by a whole
    year. Other files have no such order. None where no time leaps, or each tells its year.
    """
    if mapping.format != "lines":
        return None
    dated = [name for name, one in mapping.fields.items() if one.year is not None and name in records.columns]
    rows = [
        records.drop_nulls(name).filter(pl.col(name).diff().abs() > HALF_US)[ROW].head(1).to_list() for name in dated
    ]
    return min((row for found in rows for row in found), default=None)
