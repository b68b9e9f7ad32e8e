"""Proof of the block decoder. Enters: a decoded run of blocks. Leaves: whether each row is one record of its block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.kafka.avro import sizes as avro_sizes
from streams.kafka.avro import wire as avro_wire
from streams.kafka.avro.wire import Kind
from streams.kafka.avro.writer import Writer

_RUN_BYTES: Final = 2 << 20  # longer runs leave the cache and are slower per row
HEADERS: Final = np.dtype({
    "names": ["base", "attributes", "last", "first_time", "max_time", "count"],
    "formats": [">i8", ">i2", ">i4", ">i8", ">i8", ">i4"],
    "offsets": [0, 21, 23, 27, 35, 57],
    "itemsize": 61,
})  # fmt: skip
_LEAD: Final[list[Mapping[str, Any]]] = [{"name": name, "type": "long"} for name in ("_len", "_attr", "_tsd", "_offd")]
_VALUE_LENGTH: Final = {"name": "_vlen", "type": "long"}
_HEADER_COUNT: Final = {"name": "_hdrs", "type": "long"}
_MAGIC: Final = {Kind.SINGLE_OBJECT: -98, Kind.CONFLUENT: 0}  # C3 01 and 00, read as varints
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """Record batches of one shape: headers (61 bytes each), lengths of their bodies, and the bodies joined."""

    raw: npt.NDArray[np.void]
    lengths: Ints
    data: memoryview

    @cached_property
    def headers(self) -> npt.NDArray[Any]:
        """The header fields that decoding needs, as columns."""
        return self.raw.view(HEADERS)

    @cached_property
    def ends(self) -> Ints:
        """Where each body ends in `data`."""
        return np.cumsum(self.lengths)

    def part(self, begin: int, end: int) -> Run:
        """The batches `begin` to `end` (at least one)."""
        first = int(self.ends[begin] - self.lengths[begin])
        return Run(self.raw[begin:end], self.lengths[begin:end], self.data[first : int(self.ends[end - 1])])

    def pick(self, chosen: Ints) -> Run:
        """The batches with these indices."""
        if len(chosen) == len(self.lengths):
            return self
        bounds = zip((self.ends - self.lengths)[chosen].tolist(), self.ends[chosen].tolist(), strict=True)
        data = memoryview(b"".join([self.data[begin:end] for begin, end in bounds]))
        return Run(self.raw[chosen], self.lengths[chosen], data)

    def parts(self) -> list[Run]:
        """Cut where `_RUN_BYTES` are full; at least one batch each."""
        edges = [0, *(np.flatnonzero(np.diff(self.ends // _RUN_BYTES)) + 1).tolist(), len(self.lengths)]
        return [self.part(begin, end) for begin, end in pairwise(edges)]

    def batches(self) -> list[tuple[bytes, bytes]]:
        """(header, body) of each."""
        bounds = zip(self.ends - self.lengths, self.ends, strict=True)
        bodies = [bytes(self.data[begin:end]) for begin, end in bounds]
        return [(header.tobytes(), body) for header, body in zip(self.raw, bodies, strict=True)]


@dataclass(frozen=True)
class Shape:
    """What the blocks of a run have in common."""

    kind: Kind
    ident: int
    null_key: bool
    writer: Writer

    @property
    def key(self) -> Mapping[str, Any]:
        """The key as an Avro field: a null key is a length of -1."""
        return {"name": "_key", "type": "long" if self.null_key else "bytes"}

    def fields(self) -> list[Mapping[str, Any]]:
        """A record of the batch as Avro fields."""
        framing = avro_wire.framing_fields(self.kind)
        return [*_LEAD, self.key, _VALUE_LENGTH, *framing, *(self.writer.fields or ()), _HEADER_COUNT]


def proven(frame: pl.DataFrame, run: Run, counts: Ints, shape: Shape, value_limit: int) -> bool:
    """True where every row is exactly one record of its block, and nothing is left over.

    By induction over the rows: the decoder stands at the begin of the first record. Where it stands at the begin of a
    record, `_len` is that record's length. It consumed at least the canonical size of what it returned, that equals
    `_len` and its prefix, and over all rows these add up to all the bytes there were, which is the most it can have
    consumed: so it consumed exactly the record, and stands at the begin of the next. `_vlen` equals the size of the
    framing and the fields: so these are the record's value, and its body holds neither less nor more. That blocks end
    where their rows end (`ends`) ties each row to the coordinates of its own batch.
    """
    numbers = {name: frame[name].to_numpy() for name in ("_len", "_attr", "_tsd", "_offd", "_vlen", "_magic", "_hdrs")}
    if numbers["_attr"].any() or numbers["_hdrs"].any() or (numbers["_magic"] != _MAGIC[shape.kind]).any():
        return False
    bits = frame["_ident"].to_numpy()
    if (bits.view(np.uint64 if shape.kind is Kind.SINGLE_OBJECT else np.uint32) != _raw(shape)).any():
        return False
    if shape.null_key and (frame["_key"].to_numpy() != -1).any():
        return False
    sizes = avro_sizes.columns(frame, [shape.key, *(shape.writer.fields or ())])
    key = sizes.pop("_key")
    value = avro_sizes.add(frame.height, (avro_wire.PREFIX_BYTES[shape.kind], *sizes.values()))
    if not np.array_equal(value, numbers["_vlen"]) or int(value.max()) > value_limit:
        return False
    varints = [avro_sizes.varint(numbers[name]) for name in ("_tsd", "_offd", "_vlen")]
    record = avro_sizes.add(frame.height, (value, key, 2, *varints))  # 2: attributes, number of headers
    if not np.array_equal(record, numbers["_len"]):
        return False
    ends = np.cumsum(counts)
    if not np.array_equal(np.cumsum(record + avro_sizes.varint(record))[ends - 1], run.ends):
        return False
    return _rising(numbers["_offd"], ends - counts, ends, run.headers["last"])


def unions(frame: pl.DataFrame, run: Run, shape: Shape) -> bool:
    """True where no value of a proven frame names a branch that its union does not have."""
    length = frame["_len"].to_numpy()
    # After a value there is only the number of headers, a byte: 0.
    ends = np.cumsum(length + avro_sizes.varint(length)) - 1
    begins = ends - frame["_vlen"].to_numpy() + avro_wire.PREFIX_BYTES[shape.kind]
    sound = shape.writer.sound(run.data, begins)
    return sound is None or bool(sound.all())


def _raw(shape: Shape) -> int:
    """The framing's id as the decoder sees its bits: little endian, in place of a float."""
    width = 8 if shape.kind is Kind.SINGLE_OBJECT else 4
    return int.from_bytes(avro_wire.prefix(shape.kind, shape.ident)[-width:], "little")


def _rising(deltas: Ints, begins: Ints, ends: Ints, last: npt.NDArray[Any]) -> bool:
    """Offset deltas rise strictly within each block, from 0 or more to the last one of the header or less."""
    rises = np.diff(deltas) > 0
    rises[begins[1:] - 1] = True
    return bool(rises.all() and (deltas[begins] >= 0).all() and (deltas[ends - 1] <= last).all())
