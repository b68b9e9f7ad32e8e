"""Framed values of records, one by one in origin. Enters: `Value`s of one writer schema. Leaves: frames and rejects.

The way of records whose block did not decode as a whole (a bad neighbour; with arrays also headers and mixed keys):
flat values are scanned again, each by itself; others are joined, decoded at once and proven by their lengths, and a run
that does not prove is halved. What remains single is judged by fastavro, which must consume it to its last byte.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import fastavro
import numpy as np
import polars as pl

from streams.core.frames import COORDINATES
from streams.kafka.avro import sizes as avro_sizes
from streams.kafka.avro import wire as avro_wire
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.avro.wire import PADDING, DecodeError, Kind
from streams.kafka.avro.writer import Writer
from streams.kafka.blocks.rejects import UNDECODABLE, Rejects

_RUN_BYTES: Final = 2 << 20
_FEW: Final = 4  # so many are decoded faster one by one, and a bad one raises no Rust panic


class Value(NamedTuple):
    """A framed value and where it came from; time in microseconds."""

    offset: int
    time_us: int
    data: bytes


def empty(schemas: WriterSchemas) -> pl.DataFrame:
    """No rows: the reader's columns and COORDINATES."""
    return pl.DataFrame(schema=pl.Schema({**schemas.columns, **COORDINATES}))


def decode(
    values: Sequence[Value], kind: Kind, writer: Writer, schemas: WriterSchemas, rejects: Rejects
) -> Iterator[pl.DataFrame]:
    """Frames with the reader's columns, `_offset` and `_time`, in order; what does not decode goes to `rejects`."""
    singles: list[Value] = []
    for run in _runs(values):
        if writer.fields is None:
            singles += run
            continue
        for part in _joined(run, kind, writer) if writer.layout is None else _scanned(run, kind, writer):
            if isinstance(part, Value):
                singles.append(part)
            else:
                yield part
    good, rows = [], []
    for value in singles:
        try:
            rows.append(single(value.data[avro_wire.PREFIX_BYTES[kind] :], writer))
            good.append(value)
        except DecodeError as error:
            rejects.add(UNDECODABLE, str(error), value.offset, value.time_us, value.data)
    if rows:
        frame = pl.DataFrame(rows, schema=schemas.columns, orient="row").with_columns(*writer.times)
        yield _placed(frame, good)


def single(data: bytes, writer: Writer) -> dict[str, Any]:
    """One value without framing, as the reader's fields. Raises DecodeError where it is not exactly one value."""
    stream = io.BytesIO(data)
    row: Any
    try:
        row = fastavro.schemaless_reader(stream, writer.parsed_writer, writer.parsed_reader)
    except (MemoryError, RecursionError) as error:
        raise DecodeError(f"{type(error).__name__}: value claims more than it holds") from None
    except Exception as error:  # noqa: BLE001 - fastavro meets damaged bytes with errors of any type
        raise DecodeError(f"{type(error).__name__}: {error}") from None
    if stream.tell() != len(data):
        raise DecodeError(f"value of {len(data)} bytes, its schema ends after {stream.tell()}")
    sound = writer.sound(data, np.zeros(1, np.int64))
    if sound is not None and not sound[0]:
        raise DecodeError("a union names a branch that it does not have")
    return {name: _maps_as_lists(item) for name, item in row.items()}


def _maps_as_lists(item: Any) -> Any:
    return [{"key": key, "value": value} for key, value in item.items()] if isinstance(item, Mapping) else item


def _runs(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Slices of at most `_RUN_BYTES` (at least one value each)."""
    begin = size = 0
    for position, value in enumerate(values):
        if size and size + len(value.data) > _RUN_BYTES:
            yield values[begin:position]
            begin, size = position, 0
        size += len(value.data)
    if begin < len(values):
        yield values[begin:]


def _scanned(values: Sequence[Value], kind: Kind, writer: Writer) -> Iterator[pl.DataFrame | Value]:
    """A frame of the flat values that the scan takes, each as if it were a batch of its own, and the others."""
    head = bytes((0, 0, 0, 1))  # attributes, time delta, offset delta, no key
    records = []
    for value in values:
        record = head + avro_wire.varint(len(value.data)) + value.data + b"\0"
        records.append(avro_wire.varint(len(record)) + record)
    sizes = np.fromiter(map(len, records), np.int64, len(records))
    ends = np.cumsum(sizes)
    batches = np.stack([ends - sizes, ends, np.ones_like(ends), np.zeros_like(ends)])
    assert writer.layout is not None
    data = b"".join([*records, bytes(PADDING)])
    scanned = writer.layout.read(data, batches, values[0].data[: avro_wire.PREFIX_BYTES[kind]], len(data))
    if scanned is None:
        yield from values
        return
    yield _placed(
        scanned.frame.select(*writer.complete).with_columns(*writer.times),
        [values[place] for place in np.flatnonzero(scanned.good).tolist()],
    )
    yield from (values[place] for place in np.flatnonzero(~scanned.good).tolist())


def _joined(values: Sequence[Value], kind: Kind, writer: Writer) -> Iterator[pl.DataFrame | Value]:
    """Proven frames, and the values that prove in no company."""
    if len(values) <= _FEW:
        yield from values
        return
    fields = [*avro_wire.framing_fields(kind), *(writer.fields or ())]
    try:
        frame = avro_wire.read(avro_wire.header(fields), [value.data for value in values], len(values))
        lengths = np.fromiter((len(value.data) for value in values), np.int64, len(values))
        proven = np.array_equal(avro_sizes.rows(frame, writer.fields or ()) + avro_wire.PREFIX_BYTES[kind], lengths)
        if proven:
            begins = np.cumsum(lengths) - lengths + avro_wire.PREFIX_BYTES[kind]
            sound = writer.sound(b"".join([value.data for value in values]), begins)
            proven = sound is None or bool(sound.all())
    except DecodeError:
        proven, frame = False, pl.DataFrame()
    if proven:
        yield _placed(frame.select(*writer.complete).with_columns(*writer.times), values)
    else:
        middle = len(values) // 2
        yield from _joined(values[:middle], kind, writer)
        yield from _joined(values[middle:], kind, writer)


def _placed(frame: pl.DataFrame, values: Sequence[Value]) -> pl.DataFrame:
    return frame.with_columns(
        pl.Series("_offset", [value.offset for value in values], pl.Int64),
        pl.Series("_time", [value.time_us for value in values], pl.Int64),
    )
