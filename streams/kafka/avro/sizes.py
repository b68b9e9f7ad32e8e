"""Encoded sizes of decoded records. Enters: a frame and its Avro fields. Leaves: bytes per row, vectorised.

This is the proof of the block decoder. A decoder that lost its place still returns values; it did not lose it if what
it returned takes exactly the bytes that were there. Sizes here are *canonical* (shortest varints, arrays in one block
with a positive count), and no encoding of the same values is shorter; so where canonical sizes add up to the length of
the bytes, the decoder consumed exactly these bytes for each row, and every row is where its record is. Bytes that are
valid but not canonical fail the proof and take the slow path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.kafka.avro.writer import core

Size = int | npt.NDArray[Any]
_FIXED: Final = {"boolean": 1, "float": 4, "double": 8}
# A zigzag varint has k bytes up to 64 * 128^(k-1) - 1 (and its complement).
_LIMITS: Final = [64 << (7 * power) for power in range(9)]


def rows(frame: pl.DataFrame, fields: Iterable[Mapping[str, Any]]) -> npt.NDArray[np.int64]:
    """Canonical encoded size of every row, in bytes, over `fields` (flat ones, see `avro_writer.flat`)."""
    return add(frame.height, columns(frame, fields).values())


def add(height: int, sizes: Iterable[Size]) -> npt.NDArray[np.int64]:
    """The sum of sizes per row, for `height` rows."""
    constant = 0
    total = np.zeros(height, np.int64)
    for size in sizes:
        if isinstance(size, int):
            constant += size
        else:
            total += size
    total += constant
    return total


def columns(frame: pl.DataFrame, fields: Iterable[Mapping[str, Any]]) -> dict[str, Size]:
    """Encoded sizes by column: one for every row, or an int where all are equal."""
    sizes: dict[str, Size] = {}
    parts: dict[str, tuple[Any, bool, bool]] = {}
    measured: list[pl.Expr] = []
    for part in fields:
        name, (kind, nullable) = part["name"], core(part["type"])
        nulls = frame[name].null_count()
        if nullable and nulls == frame.height:
            sizes[name] = 1
        elif not isinstance(kind, Mapping) and kind in _FIXED and not nulls:
            sizes[name] = _FIXED[kind] + nullable
        else:
            parts[name] = kind, nullable, nulls > 0
            if isinstance(kind, Mapping) or kind not in _FIXED:
                measured.append(_measure(name, kind))
            if nulls:
                measured.append(pl.col(name).is_not_null().alias(f"{name}?"))
    # One query for all columns: each costs as much as encoding a hundred rows.
    numbers = frame.select(measured)
    arrays = {name: kind for name, (kind, _, _) in parts.items() if isinstance(kind, Mapping)}
    items = _items(frame, numbers, arrays)
    for name, (kind, nullable, nulls) in parts.items():
        size = (
            _FIXED[kind] if name not in numbers.columns else _size(numbers[name].to_numpy(), kind, items.get(name, 0))
        )
        if nulls:
            size = np.where(numbers[f"{name}?"].to_numpy(), size, 0)
        sizes[name] = size + nullable
    return sizes


def _measure(name: str, kind: Any) -> pl.Expr:
    """The number that decides about a value's size: its length, or itself; 0 for nulls."""
    column = pl.col(name)
    if isinstance(kind, Mapping):
        column = column.list.len()
    elif kind == "string":
        column = column.str.len_bytes()
    elif kind == "bytes":
        column = column.bin.size()
    return column.fill_null(0)


def _size(numbers: npt.NDArray[Any], kind: Any, items: Size) -> Size:
    if isinstance(kind, Mapping):
        # A count, the items and a zero; the zero alone for an empty array.
        return _sums(numbers.astype(np.int64), items) + np.where(numbers > 0, varint(numbers), 0) + 1
    return varint(numbers) + numbers if kind in {"string", "bytes"} else varint(numbers)


def _items(frame: pl.DataFrame, lengths: pl.DataFrame, arrays: Mapping[str, Any]) -> dict[str, Size]:
    """Sizes of the items of array columns; columns with as many items are taken apart together."""
    by_total: dict[int, list[str]] = defaultdict(list)
    for name in arrays:
        by_total[int(lengths[name].sum())].append(name)
    sizes: dict[str, Size] = {}
    for total, names in by_total.items():
        if total:
            flat = frame.select(pl.col(names).explode(empty_as_null=False, keep_nulls=False))
            sizes |= columns(flat, [{"name": name, "type": arrays[name]["items"]} for name in names])
    return sizes


def _sums(lengths: npt.NDArray[np.int64], items: Size) -> Size:
    """Sizes of items added up by array."""
    if isinstance(items, int):
        return lengths * items
    sums = np.concatenate(([0], np.cumsum(items, dtype=np.int64)))
    ends = np.cumsum(lengths)
    total: Size = sums[ends] - sums[ends - lengths]
    return total


def varint(values: npt.NDArray[Any]) -> Size:
    """Size of each value as a zigzag varint."""
    if not len(values):
        return 0
    low, high = int(values.min()), int(values.max())
    most = _varint(max(high, ~low))
    least = _varint(low if low >= 0 else ~high if high < 0 else 0)
    if most == least:
        return most
    folded = values ^ (values >> (8 * values.itemsize - 1)) if low < 0 else values
    size = np.full(len(values), least, np.uint8)
    for limit in _LIMITS[least - 1 : most - 1]:
        size += folded >= limit
    return size


def _varint(folded: int) -> int:
    """Size of a value that is not negative (of a negative one, its complement)."""
    return max(1, -(-(folded.bit_length() + 1) // 7))
