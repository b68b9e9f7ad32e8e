"""Columns of the frames that pass between stages. Times are microseconds since 1970-01-01 UTC (Int64), never text.

Identifiers and labels are Categorical: equal texts are equal in every frame of a process, and grouping by them costs
what grouping by an integer costs (27 M rows/s against 4 M/s for text, one core).
"""

from __future__ import annotations

from typing import Final

import polars as pl

ID: Final = pl.Categorical()

# Quality, normalised.
GOOD: Final = 0
UNCERTAIN: Final = 1
BAD: Final = 2

# Quality schemes, as kept beside the original code.
SCHEME_NONE: Final = 0
SCHEME_OPCUA: Final = 1
SCHEME_OPCDA: Final = 2
SCHEME_SPARKPLUG: Final = 3

# Flags of a reading: a sum of these.
FORCED: Final = 1
HISTORICAL: Final = 2
BIRTH: Final = 4
OUT_OF_RANGE: Final = 8
ESTIMATED_TIME: Final = 16
AMBIGUOUS_TIME: Final = 32  # local time that was twice, or never

# One validated reading per row: what `window`, `alert` and `kpi` receive (ot.reading.v1, unpacked, in offset order).
READING: Final = pl.Schema(
    {
        "site": ID,
        "tenant": ID,
        "work_center": ID,
        "signal_id": ID,
        "source_id": ID,
        "event_time": pl.Int64(),
        "ingest_time": pl.Int64(),
        "value_double": pl.Float64(),
        "value_long": pl.Int64(),
        "value_string": ID,
        "quality": pl.Int8(),
        "quality_raw": pl.Int64(),
        "quality_scheme": pl.Int8(),
        "flags": pl.Int32(),
        "sequence": pl.Int64(),
    }
)
# Where a row came from; the shell adds these to every frame it hands to a stage.
COORDINATES: Final = pl.Schema({"_partition": pl.Int32(), "_offset": pl.Int64(), "_time": pl.Int64()})
