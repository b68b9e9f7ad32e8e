"""A plant's raw readings as the dictionary reads them. Enters: a plant and a span; leaves: one row per reading."""

from __future__ import annotations

import polars as pl

from streams import topology
from streams.plant.model import SECOND_US, STATES
from streams.plant.plant import Plant

# Half past two in the afternoon, some day.
START_US = 1_790_001_000 * SECOND_US
HOUR_US = 3600 * SECOND_US
SINGLE, BATCH = topology.RAW_READING.name, topology.RAW_BATCH.name


def flat(plant: Plant, from_us: int, to_us: int) -> pl.DataFrame:
    """All readings of a span, one per row, in published units, with the dictionary's signal_id, role and work_unit."""
    frames = plant.readings(from_us, to_us)
    columns = ["source_id", "address", "source_time", "value_double", "value_long", "value_bool", "value_string"]
    arrays = [*columns[1:], "quality_raw"]
    batch = frames[BATCH].select("source_id", *arrays)
    # Arrays without any value are left out, so lists of nulls stand in for them.
    nulls = pl.col("address").list.eval(pl.lit(None))
    filled = batch.with_columns(
        pl.when(pl.col(name).is_null()).then(nulls.cast(batch.schema[name])).otherwise(pl.col(name)).alias(name)
        for name in arrays
    )
    rows = pl.concat(
        [frames[SINGLE].select(*columns, "quality_raw"), filled.explode(arrays).select(*columns, "quality_raw")]
    )
    known = pl.DataFrame(plant.context(from_us)[topology.SIGNAL.name], infer_schema_length=None).select(
        "source_id", "address", "signal_id", "role", "work_unit", "factor", "offset"
    )
    number = pl.coalesce("value_double", pl.col("value_long").cast(pl.Float64))
    return rows.join(known, on=["source_id", "address"], how="left").with_columns(
        value=number * pl.col("factor") + pl.col("offset")
    )


def states(rows: pl.DataFrame, unit: str) -> pl.DataFrame:
    """State changes of a machine: source_time and label."""
    changes = rows.filter((pl.col("work_unit") == unit) & (pl.col("role") == "state")).sort("source_time")
    return changes.select("source_time", label=pl.col("value_long").replace_strict(dict(enumerate(STATES))))
