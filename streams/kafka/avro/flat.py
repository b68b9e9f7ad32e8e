"""Frames of flat records, by the compiled scan. Enters: joined bodies of record batches and a layout. Leaves: columns.

For contracts whose fields are (nullable) primitives: the one-reading-per-message form. Arrays go the way of `block`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.kafka.avro import scan
from streams.kafka.avro.writer import PRIMITIVES, core

_KINDS: Final = {
    "long": scan.LONG,
    "int": scan.INT,
    "float": scan.FLOAT,
    "double": scan.DOUBLE,
    "boolean": scan.BOOLEAN,
    "string": scan.TEXT,
    "bytes": scan.TEXT,
}
_RECORD_BYTES: Final = 7  # the smallest record that there can be
# Room for distinct texts, tried in order: first small enough for the cache. Beyond, interning costs more than it saves.
_ROOMS: Final = (1 << 12, 1 << 16)
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """The fields of a flat writer schema: names, Avro types, and per field kind and place of null (see `scan`)."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    codes: npt.NDArray[np.uint8]

    def read(self, data: bytes, batches: Ints, framing: bytes, limit: int) -> Scanned | None:
        """Scan `data`, which ends in `wire.PADDING` bytes; `batches` as `scan.scan` takes them.

        None where there are more distinct texts than interning is good for, or a text is no UTF-8.
        """
        possible = batches[2] <= (batches[1] - batches[0]) // _RECORD_BYTES
        # A count that lies must not reserve memory; its batch is never in order.
        batches[2] = np.where(possible & (batches[2] > 0), batches[2], 0)
        rows, width = int(batches[2].sum()), len(self.names)
        raw, head, good = np.frombuffer(data, np.uint8), _words(framing), np.zeros(batches.shape[1], np.bool_)
        cells, places = np.empty((width, rows), np.int64), np.empty((3, rows), np.int64)
        for room in _ROOMS:
            present, texts = np.ones((width, rows), np.uint8), np.zeros((2, room + 1), np.int64)
            index = np.full(width, -1, np.int64), np.full(4 * room, -1, np.int32), texts
            found, keyless = scan.scan(raw, batches, head, limit, self.codes, (cells, present, places), index, good)
            if found != scan.FULL:
                break
        else:
            return None
        good &= batches[2] > 0
        used = texts[:, : texts[0, -1]].tolist()
        found_texts = [data[begin : begin + size] for begin, size in zip(*used, strict=True)]
        known = pl.Series([*found_texts, b""], dtype=pl.Binary)
        columns = list(_columns(self, cells[:, :found], present[:, :found], known))
        if any(column is None for column in columns):
            return None
        return Scanned(pl.DataFrame(columns), places[:, :found], good, keyless)


@dataclass(frozen=True)
class Scanned:
    """Rows of the batches in order (`good`): the writer's columns, and batch, offset delta and time delta of each row.

    `keyless` counts the records without a key.
    """

    frame: pl.DataFrame
    places: Ints
    good: npt.NDArray[np.bool_]
    keyless: int


def layout(fields: Sequence[Mapping[str, Any]]) -> Layout:
    """The layout of stripped fields, each a (nullable) primitive."""
    codes, types = [], []
    for part in fields:
        kind, nullable = core(part["type"])
        null = scan.NOT_NULLABLE
        if nullable:
            null = scan.NULL_FIRST if part["type"][0] == "null" else scan.NULL_SECOND
        types.append(kind)
        codes.append((_KINDS[kind], null))
    names = tuple(part["name"] for part in fields)
    return Layout(names, tuple(types), np.ascontiguousarray(np.array(codes, np.uint8).reshape(-1, 2).T))


def _words(framing: bytes) -> npt.NDArray[np.uint64]:
    """The framing as `scan` compares it: two rows of eight bytes and their mask, then the number of bytes."""
    head, mask = framing.ljust(16, b"\0"), (b"\xff" * len(framing)).ljust(16, b"\0")
    rows = head[:8] + mask[:8] + head[8:] + mask[8:] + len(framing).to_bytes(16, "little")
    return np.frombuffer(rows, "<u8").reshape(3, 2)


def _columns(plan: Layout, cells: Ints, present: npt.NDArray[np.uint8], known: pl.Series) -> Iterator[pl.Series | None]:
    """The writer's columns, in order; None for one with a string that is no UTF-8."""
    strings = pl.Series([_decoded(text) for text in known.to_list()], dtype=pl.String)
    for name, kind, null, cell, here in zip(plan.names, plan.types, plan.codes[1], cells, present, strict=True):
        missing = None
        if null != scan.NOT_NULLABLE and not here.all():
            if not here.any():
                yield pl.Series(name, [None], PRIMITIVES[kind]).new_from_index(0, len(here))
                continue
            missing = pl.Series(here == 0)
            cell = np.where(here, cell, len(known) - 1)  # noqa: PLW2901 - where nothing was written there is anything
        column = _column(kind, cell, strings if kind == "string" else known)
        if kind == "string" and column.null_count():
            yield None
        else:
            yield (column if missing is None else column.set(missing, None)).alias(name)


def _decoded(text: bytes) -> str | None:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return None


def _column(kind: str, cell: Ints, texts: pl.Series) -> pl.Series:
    """The column of 64-bit cells; no nulls but where a text is no UTF-8."""
    if kind in {"string", "bytes"}:
        return texts.gather(pl.Series(cell.astype(np.uint32)))
    if kind == "double":
        return pl.Series(cell.view(np.float64))
    if kind == "float":
        return pl.Series(cell.astype(np.uint32).view(np.float32))
    return pl.Series(cell).cast(PRIMITIVES[kind])
