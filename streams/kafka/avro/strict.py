"""Rows of flat contracts by polars, also of contracts with what is never null. Enters: a frame. Leaves: bytes, by row.

`polars.write_avro` declares every field and item nullable, null first: one byte before each value says that it is
there. A contract in which a field is never null has no such byte before it, and is otherwise the same: these bytes are
cut out, at places that follow from the encoded sizes of what stands before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.kafka.avro import sizes as avro_sizes
from streams.kafka.avro.pack import body
from streams.kafka.avro.writer import core

Ints = npt.NDArray[np.int64]
Field = Mapping[str, Any]
# The branch of a value in a union with null, which is the first.
_PRESENT: Final = 2


def encode(rows: pl.DataFrame, fields: Sequence[Field]) -> tuple[bytes, Ints]:
    """The values of all rows, and where each ends. `fields`: what `rows` has as columns, (nullable) primitives and
    arrays of such, null first.

    Raises ValueError where there is a null that the contract does not have, RuntimeError where polars encodes in
    another way than the sizes say.
    """
    rows = rows.rechunk()  # polars writes a container block per piece
    data = body(rows)
    sizes = avro_sizes.columns(rows, [{"name": part["name"], "type": _loose(part["type"])} for part in fields])
    length = avro_sizes.add(rows.height, sizes.values())
    ends = np.cumsum(length)
    if ends[-1] != len(data):
        raise RuntimeError("polars encodes records in another way than this release was tested with; pin polars")
    cuts, removed = _cuts(rows, fields, sizes, ends - length)
    if not cuts.size:
        return data, ends
    raw = np.frombuffer(data, np.uint8)
    if (raw[cuts] != _PRESENT).any():
        empty = [part["name"] for part in fields if not core(part["type"])[1] and rows[part["name"]].null_count()]
        raise ValueError(f"null where the contract has none: {', '.join(empty) or 'in an array'}")
    kept = np.ones(raw.size, np.bool_)
    kept[cuts] = False
    return raw[kept].tobytes(), np.cumsum(length - removed)


def _loose(declared: Any) -> list[Any]:
    """The type as polars writes it."""
    kind, _ = core(declared)
    return ["null", {"type": "array", "items": _loose(kind["items"])} if isinstance(kind, Mapping) else kind]


def _cuts(
    rows: pl.DataFrame, fields: Sequence[Field], sizes: Mapping[str, avro_sizes.Size], begins: Ints
) -> tuple[Ints, Ints]:
    """Places of the bytes that the contract does not have, and how many each row has; rows begin at `begins`."""
    cuts, removed, place = [np.zeros(0, np.int64)], np.zeros(rows.height, np.int64), begins
    for part in fields:
        kind, nullable = core(part["type"])
        if not nullable:
            cuts.append(place)
            removed += 1
        if isinstance(kind, Mapping) and not core(kind["items"])[1]:
            counts = rows[part["name"]].list.len().fill_null(0).to_numpy().astype(np.int64)
            cuts.append(_items(rows[part["name"]], kind["items"], place, counts))
            removed += counts
        place = place + sizes[part["name"]]
    return np.concatenate(cuts), removed


def _items(column: pl.Series, item: Any, begins: Ints, counts: Ints) -> Ints:
    """Where each item of an array column begins; the arrays begin at `begins` and have `counts` items."""
    items = column.explode(empty_as_null=False, keep_nulls=False)
    if not items.len():
        return np.zeros(0, np.int64)
    size = avro_sizes.columns(items.to_frame(), [{"name": column.name, "type": _loose(item)}])[column.name]
    before = np.cumsum(np.append(0, np.broadcast_to(size, items.len())[:-1]), dtype=np.int64)
    first = np.cumsum(counts) - counts
    here = counts > 0
    # An array's first item stands behind the byte that says that there is an array, and the number of items.
    start = begins[here] + 1 + avro_sizes.varint(counts[here]) - before[first[here]]
    places: Ints = np.repeat(start, counts[here]) + before
    return places
