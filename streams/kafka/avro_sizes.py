"""Encoded sizes of decoded records. Enters: a frame and its Avro fields. Leaves: bytes per row, vectorised.

This is the proof of the block decoder. A decoder that lost its place still returns values; it did not lose it if what
it returned takes exactly the bytes that were there. Sizes here are *canonical* (shortest varints, arrays in one block
with a positive count), and no encoding of the same values is shorter; so where canonical sizes add up to the length of
the bytes, the decoder consumed exactly these bytes for each row, and every row is where its record is. Bytes that are
valid but not canonical fail the proof and take the slow path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.kafka.avro_writer import core

Size = int | npt.NDArray[Any]
_FIXED: Final = {"boolean": 1, "float": 4, "double": 8}
# A zigzag varint has k bytes up to 64 * 128^(k-1) - 1 (and its complement).
_LIMITS: Final = [64 << (7 * power) for power in range(9)]


def rows(frame: pl.DataFrame, fields: Iterable[Mapping[str, Any]]) -> npt.NDArray[np.int64]:
    """Canonical encoded size of every row, in bytes, over `fields` (flat ones, see `avro_writer.flat`)."""
    constant = 0
    total = np.zeros(frame.height, np.int64)
    for part in fields:
        size = column(frame[part["name"]], part["type"])
        if isinstance(size, int):
            constant += size
        else:
            total += size
    return total + constant


def column(series: pl.Series, schema: Any) -> Size:
    """Encoded size of every value of a column, an int where all are equal."""
    kind, nullable = core(schema)
    nulls = series.null_count()
    if nullable and nulls == len(series):
        return 1
    size = _array(series, kind) if isinstance(kind, Mapping) else _primitive(series, kind)
    if nulls:
        size = np.where(series.is_not_null().to_numpy(), size, 0)
    return size + 1 if nullable else size


def varint(values: npt.NDArray[Any]) -> Size:
    """Size of each value as a zigzag varint."""
    if not len(values):
        return 0
    low, high = int(values.min()), int(values.max())
    most = _varint(max(high, ~low))
    least = _varint(low if low >= 0 else ~high if high < 0 else 0)
    if most == least:
        return most
    folded = values ^ (values >> 63) if low < 0 else values
    size = np.full(len(values), least, np.uint8)
    for limit in _LIMITS[least - 1 : most - 1]:
        size += folded >= limit
    return size


def _varint(folded: int) -> int:
    """Size of a value that is not negative (of a negative one, its complement)."""
    return max(1, -(-(folded.bit_length() + 1) // 7))


def _primitive(series: pl.Series, kind: str) -> Size:
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in {"string", "bytes"}:
        lengths = series.str.len_bytes() if kind == "string" else series.bin.size()
        numbers = lengths.fill_null(0).to_numpy()
        return varint(numbers) + numbers.astype(np.int64)
    return varint(series.fill_null(0).to_numpy())


def _array(series: pl.Series, kind: Mapping[str, Any]) -> Size:
    """An array is a count, its items and a zero; an empty one the zero alone."""
    lengths = series.list.len().fill_null(0).to_numpy().astype(np.int64)
    items = series.explode(empty_as_null=False, keep_nulls=False)
    size = column(items, kind["items"]) if len(items) else 0
    if isinstance(size, int):
        total = lengths * size
    else:
        sums = np.concatenate(([0], np.cumsum(size, dtype=np.int64)))
        ends = np.cumsum(lengths)
        total = sums[ends] - sums[ends - lengths]
    return total + np.where(lengths > 0, varint(lengths), 0) + 1
