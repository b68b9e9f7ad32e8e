"""The edge nodes: readings in the raw form of their source. In: a line and a span of time. Out: frames of a raw topic.

Which readings there are, when and with which sequence numbers is a function of time alone; so however a span is cut,
the pieces hold the same records. A node that sends batches sends what it read between two ticks at the second tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.plant.line import Line
from streams.plant.model import QUALITY_CODES, SECOND_US, SITE, Edge, Signal, address
from streams.plant.noise import Floats, Integers

# What a node needs to hand a reading to its gateway.
GATEWAY_US: Final = 3_000
_MILLISECOND_US: Final = 1_000


@dataclass(frozen=True)
class Pace:
    """How fast the plant is read: `factor` multiplies the sampling periods; batches leave every `batch_us`."""

    factor: float = 1.0
    batch_us: int = SECOND_US // 2

    def period_ms(self, signal: Signal) -> int | None:
        """Sampling period of a signal in ms; None where events alone bring readings."""
        return None if signal.period_ms is None else max(1, round(signal.period_ms * self.factor))


# One reading per row, before the raw form is chosen; `sequence` counts the readings of the source.
_COLUMNS: Final = {
    "source_time": pl.Int64,
    "address": pl.String,
    "value_double": pl.Float64,
    "value_long": pl.Int64,
    "value_bool": pl.Boolean,
    "value_string": pl.String,
    "quality_raw": pl.Int64,
}


def single(line: Line, edge: Edge, pace: Pace, from_us: int, to_us: int) -> pl.DataFrame:
    """Records of `ot.raw.reading.v1` that the node sends from `from_us` (inclusive) until `to_us` (exclusive)."""
    rows, before = _readings(line, edge, pace, from_us, to_us)
    return rows.select(
        *_identity(line, edge),
        pl.int_range(before, before + pl.len(), dtype=pl.Int64).alias("sequence"),
        "address",
        "source_time",
        (pl.col("source_time") + GATEWAY_US).alias("gateway_time"),
        "value_double",
        "value_long",
        "value_bool",
        "value_string",
        pl.lit(None, pl.Binary).alias("value_bytes"),
        "quality_raw",
        pl.lit(edge.scheme).alias("quality_scheme"),
        pl.lit(value=False).alias("historical"),
        pl.lit(value=False).alias("birth"),
    )


def batches(line: Line, edge: Edge, pace: Pace, from_us: int, to_us: int) -> pl.DataFrame:
    """Records of `ot.raw.batch.v1` that the node sends from `from_us` (inclusive) until `to_us` (exclusive)."""
    # A batch leaves at the tick that ends it, so the ticks inside [from, to) decide.
    first = -(-(from_us - line.start_us) // pace.batch_us)
    last = -(-(to_us - line.start_us) // pace.batch_us) - 1
    begin, end = (line.start_us + tick * pace.batch_us for tick in (max(first, 1) - 1, max(last, 0)))
    rows, _ = _readings(line, edge, pace, begin, end)
    tick = (pl.col("source_time") - line.start_us) // pace.batch_us
    values = ("value_double", "value_long", "value_bool", "value_string")
    return (
        rows.group_by(tick.alias("sequence"), maintain_order=True)
        .agg(list(_COLUMNS))
        .select(
            *_identity(line, edge),
            "sequence",
            (line.start_us + (pl.col("sequence") + 1) * pace.batch_us + GATEWAY_US).alias("gateway_time"),
            "address",
            "source_time",
            # An array without any value is left out.
            *(pl.when(pl.col(name).list.drop_nulls().list.len() > 0).then(pl.col(name)) for name in values),
            "quality_raw",
            pl.lit(edge.scheme).alias("quality_scheme"),
            pl.lit(None, pl.List(pl.Boolean)).alias("historical"),
            pl.lit(None, pl.List(pl.Boolean)).alias("birth"),
        )
    )


def _identity(line: Line, edge: Edge) -> list[pl.Expr]:
    return [
        pl.lit(edge.source_id).alias("source_id"),
        pl.lit(SITE).alias("site"),
        pl.lit(None, pl.String).alias("tenant"),
        # The node boots with the plant.
        pl.lit(f"{edge.source_id}-{line.start_us}").alias("boot_id"),
    ]


def _readings(line: Line, edge: Edge, pace: Pace, from_us: int, to_us: int) -> tuple[pl.DataFrame, int]:
    """Readings of a node in [from, to) in order of time, and how many there were before."""
    frames: list[pl.DataFrame] = []
    before = 0
    pieces: dict[str, list[_Piece]] = {"value_double": [], "value_long": [], "value_bool": [], "value_string": []}
    for rank, signal in enumerate(line.signals):
        if signal.unit not in edge.units:
            continue
        first, times, values = _values(line, signal, pace, from_us, to_us)
        before += first
        if len(times):
            codes = np.array(QUALITY_CODES[edge.scheme])[line.quality(signal, times)]
            column, sent = _as_sent(signal, values)
            pieces[column].append(_Piece(np.full(len(times), rank), times, codes, sent))
    for column, parts in pieces.items():
        if parts:
            ranks, all_times, all_codes, sent = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            data = {"_rank": ranks, "source_time": all_times, "quality_raw": all_codes}
            text = column == "value_string"
            frames.append(pl.DataFrame({**data, column: pl.Series(sent.tolist() if text else sent)}))
    if not frames:
        return pl.DataFrame(schema=_COLUMNS), before
    addresses = pl.Series([address(line.number, signal, edge.scheme) for signal in line.signals])
    absent = pl.DataFrame(schema=_COLUMNS).drop("address")
    rows = pl.concat([absent, *frames], how="diagonal").sort("source_time", "_rank")
    return rows.with_columns(pl.lit(addresses).gather(pl.col("_rank")).alias("address")).select(list(_COLUMNS)), before


class _Piece(NamedTuple):
    rank: Integers
    time_us: Integers
    quality: Integers
    value: npt.NDArray[Any]


def _values(
    line: Line, signal: Signal, pace: Pace, from_us: int, to_us: int
) -> tuple[int, Integers, Floats | npt.NDArray[np.str_]]:
    """How many readings a signal had before, and times and published values of those in [from, to)."""
    period_ms = pace.period_ms(signal)
    if period_ms is None:
        events = line.events(signal)
        low, high = (int(np.searchsorted(events.time_us, limit)) for limit in (from_us, to_us))
        return low, events.time_us[low:high], events.value[low:high]
    low, high, times = _samples(line, signal, period_ms * _MILLISECOND_US, from_us, to_us)
    return low, times, line.sample(signal, np.arange(low, high), times)


def _samples(line: Line, signal: Signal, period_us: int, from_us: int, to_us: int) -> tuple[int, int, Integers]:
    """Numbers (first, and one after the last) and times of a signal's samples in [from, to)."""
    limits = np.array([max(from_us, line.start_us), max(to_us, line.start_us)])
    low, high = (int(number) for number in (limits - line.start_us) // period_us)
    number = np.arange(low, high + 1)
    late = (line.delay(signal, number) * signal.spread * period_us).astype(np.int64)
    times = line.start_us + number * period_us + late
    begin, end = (int(place) for place in np.searchsorted(times, limits))
    return low + begin, low + end, times[begin:end]


def _as_sent(signal: Signal, values: Floats | npt.NDArray[np.str_]) -> tuple[str, npt.NDArray[Any]]:
    """The field of the raw record that carries a signal's values, and the values as the source sends them."""
    if values.dtype.kind == "U":
        return "value_string", values
    if signal.role == "alarm":
        return "value_bool", values.astype(np.bool_)
    raw = (values.astype(np.float64) - signal.offset) / signal.factor
    return ("value_long", np.rint(raw).astype(np.int64)) if signal.whole else ("value_double", raw)
