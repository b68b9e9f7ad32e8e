"""What every engine must give, computed in one piece with Polars, and the comparison with what an engine gave.

In: the shape, stage and number of readings of a run, and the windows that the engine wrote. Out: None, or a sentence
that says what differs. A figure counts only where nothing does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import polars as pl

from tests.bench.shapes import (
    DISORDER_MS,
    FACTOR,
    INSTRUMENT_HIGH,
    INSTRUMENT_LOW,
    OFFSET,
    PARTITIONS,
    SIGNALS,
    WINDOW_US,
    Readings,
    Shape,
    address,
    readings,
    signal_id,
    source_of,
)

Stage = Literal["window", "chain"]
STAGES: Final[tuple[Stage, ...]] = ("window", "chain")

KEY: Final = ("signal", "window_start")
EXACT: Final = ("count", "uncertain")
# Sums depend on the order of addition; the others are values that were sent, converted once.
CLOSE: Final = ("sum", "min", "max", "first", "last", "mean")
TOLERANCE: Final = 1e-9


def closed_before_us(data: Readings, shape: Shape) -> int:
    """Windows that end up to here are closed by the watermark, whether it is kept per source or per partition.

    Raises ValueError where the two, or two partitions, differ: then engines may rightly give different windows.
    """
    frame = pl.DataFrame({"source": source_of(data.signal), "time": data.time_us})
    frame = frame.with_columns(partition=pl.col("source") % PARTITIONS)
    ends = pl.concat([frame.group_by(name).agg(pl.col("time").max())["time"] for name in ("source", "partition")])
    closed = {(end - wait) // WINDOW_US for end in ends for wait in (DISORDER_MS[shape] * 1_000, 2_000_000)}
    if len(closed) > 1:
        raise ValueError(f"{len(data.signal):,} readings end too near to a window's end: give another number")
    return int(closed.pop()) * WINDOW_US


def reference(shape: Shape, stage: Stage, count: int) -> pl.DataFrame:
    """The closed windows of the first `count` readings, one row per signal and minute: KEY, EXACT, CLOSE as columns."""
    data = readings(count)
    value = pl.col("value") * FACTOR + OFFSET if stage == "chain" else pl.col("value")
    uncertain = (pl.col("value") < INSTRUMENT_LOW) | (pl.col("value") > INSTRUMENT_HIGH)
    names = [signal_id(number) if stage == "chain" else address(number) for number in range(SIGNALS)]
    return (
        pl.LazyFrame({"number": data.signal, "time": data.time_us, "value": data.value})
        .with_columns(value, window_start=pl.col("time") // WINDOW_US * WINDOW_US)
        .filter(pl.col("window_start") + WINDOW_US <= closed_before_us(data, shape))
        .group_by("number", "window_start")
        .agg(
            pl.len().cast(pl.Int64).alias("count"),
            (uncertain if stage == "chain" else pl.lit(value=False)).sum().cast(pl.Int64).alias("uncertain"),
            pl.col("value").sum().alias("sum"),
            pl.col("value").min().alias("min"),
            pl.col("value").max().alias("max"),
            pl.col("value").sort_by("time").first().alias("first"),
            pl.col("value").sort_by("time").last().alias("last"),
            pl.col("value").mean().alias("mean"),
        )
        .with_columns(signal=pl.col("number").replace_strict(dict(enumerate(names)), return_dtype=pl.String))
        .select(*KEY, *EXACT, *CLOSE)
        .collect()
    )


def difference(expected: pl.DataFrame, rows: Sequence[dict[str, Any]]) -> str | None:
    """What `rows`, windows as an engine wrote them, lack or have wrong against `expected`; None: they are equal.

    Windows behind the last expected one are allowed: engines that close idle windows by timer write them as well.
    """
    schema = {name: expected.schema[name] for name in (*KEY, *EXACT, *CLOSE)}
    given = pl.DataFrame([[row[name] for name in schema] for row in rows], schema=schema, orient="row")
    given = given.filter(pl.col("window_start") <= expected["window_start"].max())
    if twice := given.height - given.unique(KEY).height:
        return f"{twice} windows were written twice"
    if missing := expected.join(given, on=KEY, how="anti").height:
        return f"{missing} of {expected.height} windows are missing"
    if more := given.join(expected, on=KEY, how="anti").height:
        return f"{more} windows were written that no reading belongs to"
    both = expected.join(given, on=KEY, suffix="_given")
    wrong = [(pl.col(name) != pl.col(f"{name}_given")).alias(name) for name in EXACT] + [
        ((pl.col(name) - pl.col(f"{name}_given")).abs() > TOLERANCE * pl.col(name).abs().clip(1.0)).alias(name)
        for name in CLOSE
    ]
    counts = both.select(expression.sum() for expression in wrong).row(0, named=True)
    faults = [f"{name} in {number} windows" for name, number in counts.items() if number]
    return f"wrong: {', '.join(faults)}" if faults else None
