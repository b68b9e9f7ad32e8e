"""Union indices of values with arrays, compiled. Enters: well-formed values. Leaves: which name branches there are.

`polars.read_avro` takes any index that is not null's for "present", fastavro a negative one for the last branch; sizes
do not show it. So values that others write are walked through once more. It relies on what was proven before: that each
value, read in that lax way, is exactly its bytes. A wrong index is seen before what follows it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streams.kafka.avro.writer import core
from streams.kafka.compiled import compiled

# How a field is encoded, where that is no fixed number of bytes; and where null stands in its union.
_VARINT, _TEXT, _ARRAY = 16, 17, 18
_NOT_NULLABLE, _NULL_FIRST, _NULL_SECOND = range(3)
_KINDS: Final = {
    "int": _VARINT,
    "long": _VARINT,
    "string": _TEXT,
    "bytes": _TEXT,
    "boolean": 1,
    "float": 4,
    "double": 8,
}

Codes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def codes(fields: Sequence[Mapping[str, Any]]) -> Codes:
    """The layout of stripped, flat fields: kind and place of null of each field, and of its items."""
    rows = []
    for part in fields:
        kind, null = _code(part["type"])
        rows.append((_ARRAY, null, *_code(kind["items"])) if isinstance(kind, Mapping) else (kind, null, 0, 0))
    return np.array(rows, np.uint8).reshape(-1, 4)


def _code(declared: Any) -> tuple[Any, int]:
    kind, nullable = core(declared)
    null = _NOT_NULLABLE if not nullable else _NULL_FIRST if declared[0] == "null" else _NULL_SECOND
    return (kind if isinstance(kind, Mapping) else _KINDS[kind]), null


def sound(data: bytes | memoryview, begins: Ints, layout: Codes) -> Bools:
    """Which of the values that begin at these places of `data` have sound unions."""
    good = np.zeros(begins.size, np.bool_)
    _walk(np.frombuffer(data, np.uint8), begins, layout, good)
    return good


@compiled
def _after(data: Any, position: Any) -> Any:
    """The position after a varint."""
    while data[position] >= 0x80:
        position += 1
    return position + 1


@compiled
def _number(data: Any, position: Any) -> Any:
    """A zigzag varint and the position after it."""
    value, shift = np.uint64(0), np.uint64(0)
    while data[position] >= 0x80:
        value |= np.uint64(data[position] & 0x7F) << shift
        shift += np.uint64(7)
        position += 1
    value |= np.uint64(data[position]) << shift
    return np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1)), position + 1


@compiled
def _past(data: Any, position: Any, kind: Any, null: Any) -> Any:
    """The position after a value that is no array; -1 where its union has no such branch."""
    if null != _NOT_NULLABLE:
        branch = data[position]
        if branch & 0xFD:  # zigzag: 0 is the first branch, 2 the second
            return -1
        position += 1
        if (branch == 0) == (null == _NULL_FIRST):
            return position
    if kind < _VARINT:
        return position + kind
    if kind == _VARINT:
        return _after(data, position)
    size, position = _number(data, position)
    return position + size


@compiled
def _past_items(data: Any, position: Any, kind: Any, null: Any) -> Any:
    """The position after the blocks of an array; -1 as above."""
    count, position = _number(data, position)
    while count != 0:
        if count < 0:
            count, position = -count, _after(data, position)
        for _ in range(count):
            position = _past(data, position, kind, null)
            if position < 0:
                return position
        count, position = _number(data, position)
    return position


@compiled
def _walk(data: Any, begins: Any, layout: Any, good: Any) -> None:
    for row in range(begins.size):
        position = begins[row]
        for number in range(layout.shape[0]):
            kind, null = layout[number, 0], layout[number, 1]
            if kind != _ARRAY:
                position = _past(data, position, kind, null)
            else:
                # Of the array itself only the union: it has no bytes of its own before its first block.
                here = null == _NOT_NULLABLE or (data[position] == 0) != (null == _NULL_FIRST)
                position = _past(data, position, 0, null)
                if position >= 0 and here:
                    position = _past_items(data, position, layout[number, 2], layout[number, 3])
            if position < 0:
                break
        good[row] = position >= 0
