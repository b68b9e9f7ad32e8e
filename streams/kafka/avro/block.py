"""Blocks to rows. Enters: the blocks of one chunk of one partition. Leaves: a frame in offset order, and rejects.

Flat records, one reading per message, go through the compiled `scan`. Records with arrays: record batches are zigzag
varints and length-prefixed bytes, and so is Avro, so the records section of a batch is an Avro block of records {_len,
_attr, _tsd, _offd, _key, _vlen, <framing>, <the value's fields>, _hdrs}; blocks of one shape are joined, decoded by
`polars.read_avro` at once, and proven (`proof`); what does not prove is halved until it is one block. A block that
neither way takes goes record by record, its values once more joined and halved, the last ones through fastavro.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
import polars as pl

from streams.core.frames import COORDINATES
from streams.kafka.avro import values as avro_values
from streams.kafka.avro import wire as avro_wire
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.avro.values import Value
from streams.kafka.avro.wire import PADDING, DecodeError, Kind
from streams.kafka.avro.writer import Writer
from streams.kafka.blocks import records as block_records
from streams.kafka.blocks.block import HEADER, LOG_APPEND_TIME, Block
from streams.kafka.blocks.peek import peek
from streams.kafka.blocks.proof import Ints, Run, Shape, proven, unions
from streams.kafka.blocks.rejects import SCHEMA_UNKNOWN, TOMBSTONE, TOO_LARGE, UNDECODABLE, Rejects, microseconds

VALUE_LIMIT_BYTES: Final = 8 << 20
_MAX_TIME_MS: Final = (2**63 - 1) // 1000
Batch = tuple[bytes, bytes]


@dataclass(frozen=True)
class Decoded:
    """Rows of the reader's columns plus COORDINATES, in offset order; rejects (ot.reading.rejected.v1's columns).

    `needs`: schema ids to ask the registry for; where there are any, tell `WriterSchemas.add` and decode again.
    `slow_batches`: how many record batches went record by record. `keyless`: records without a key, of all blocks.
    """

    frame: pl.DataFrame
    rejects: pl.DataFrame
    needs: frozenset[int] = frozenset()
    slow_batches: int = 0
    keyless: int = 0


def decode(
    blocks: Sequence[Block], schemas: WriterSchemas, from_offset: int = 0, *, value_limit: int = VALUE_LIMIT_BYTES
) -> Decoded:
    """The rows of `blocks` (one topic partition, rising offsets) with offsets of at least `from_offset`.

    Never raises on data: what cannot be read is in `rejects`; values above `value_limit` bytes are too_large.
    """
    if not blocks:
        return Decoded(avro_values.empty(schemas), Rejects("", 0).frame())
    chunk = _Chunk(blocks[0], schemas, from_offset, value_limit)
    good = []
    for block in blocks:
        if block.fault is None:
            good.append(block)
        elif block.offset >= from_offset:
            chunk.rejects.add_block(block)
    if good:
        chunk.add(good)
    return Decoded(chunk.frame(), chunk.rejects.frame(), frozenset(chunk.needs), chunk.slow_batches, chunk.keyless)


class _Chunk:
    """Collects what the blocks of a chunk decode to."""

    def __init__(self, first: Block, schemas: WriterSchemas, from_offset: int, value_limit: int) -> None:
        self.rejects: Final = Rejects(first.topic, first.partition)
        self.needs: set[int] = set()
        self.slow_batches = self.keyless = 0
        self._partition, self._schemas = first.partition, schemas
        self._from_offset, self._value_limit = from_offset, value_limit
        self._frames: list[pl.DataFrame] = []

    def add(self, blocks: Sequence[Block]) -> None:
        """Decode blocks that have no fault."""
        lengths = np.fromiter(chain.from_iterable([block.lengths for block in blocks]), np.int64)
        raw = np.frombuffer(b"".join([block.header for block in blocks]), f"V{HEADER.size}")
        data = b"".join([*(block.body for block in blocks), bytes(PADDING)])
        everything = Run(raw, lengths, memoryview(data)[:-PADDING])
        slow: list[Batch] = []
        for kind, ident, null_key, chosen in peek(data, everything.ends - lengths).groups():
            writer = self._schemas.find(kind, ident) if kind else Writer(fault="no framing")
            run = everything.pick(chosen)
            if writer is None or writer.fault or writer.fields is None:
                slow += run.batches()
                continue
            shape = Shape(kind, ident, null_key, writer)
            odd = self._scan(data, everything.ends[chosen], run, shape)
            if odd is None:
                for part in run.parts():
                    slow += self._fast(part, shape)
            elif odd.size:
                slow += run.pick(odd).batches()
        self._slow(slow)

    def _scan(self, data: bytes, ends: Ints, run: Run, shape: Shape) -> Ints | None:
        """Read the run, whose batches end at `ends` of `data`, as flat records; indices of the batches that are not
        in order. None where this way is not for them.
        """
        layout = shape.writer.layout
        if layout is None:
            return None
        batches = np.stack([ends - run.lengths, ends, run.headers["count"], run.headers["last"]]).astype(np.int64)
        framing = avro_wire.prefix(shape.kind, shape.ident)
        scanned = layout.read(data, batches, framing, self._value_limit)
        if scanned is None:
            return None
        self.keyless += scanned.keyless
        if scanned.frame.height:
            self._frames.append(self._rows(scanned.frame, run, scanned.places, shape.writer))
        return np.flatnonzero(~scanned.good)

    def _fast(self, run: Run, shape: Shape) -> list[Batch]:
        """Decode a run as one Avro block; the batches that prove in no company are returned."""
        counts = run.headers["count"].astype(np.int64)
        head = avro_wire.header(shape.fields())
        try:
            frame = avro_wire.read(head, [run.data], int(counts.sum()) if counts.min() > 0 else -1)
            fits = proven(frame, run, counts, shape, self._value_limit) and unions(frame, run, shape)
        except DecodeError:
            fits, frame = False, pl.DataFrame()
        if fits:
            self.keyless += frame.height if shape.null_key else 0
            batch = np.repeat(np.arange(len(counts)), counts)
            places = np.stack([batch, frame["_offd"].to_numpy(), frame["_tsd"].to_numpy()])
            self._frames.append(self._rows(frame, run, places, shape.writer))
            return []
        if len(counts) == 1:
            return run.batches()
        middle = len(counts) // 2
        return self._fast(run.part(0, middle), shape) + self._fast(run.part(middle, len(counts)), shape)

    def _rows(self, frame: pl.DataFrame, run: Run, places: Ints, writer: Writer) -> pl.DataFrame:
        """The reader's columns and coordinates from `from_offset` on; `places`: batch, offset and time delta by row."""
        batch, offset, time_ms = places
        offsets = run.headers["base"].astype(np.int64)[batch] + offset
        appended = (run.headers["attributes"] & LOG_APPEND_TIME) != 0
        base_times = np.where(appended, run.headers["max_time"], run.headers["first_time"]).astype(np.int64)
        # Append time is one for the whole batch, whatever the producer's deltas say.
        times = base_times[batch] + time_ms * ~appended[batch]
        np.clip(times, -_MAX_TIME_MS, _MAX_TIME_MS, out=times)
        rows = frame.select(
            *writer.complete, pl.Series("_offset", offsets), pl.Series("_time", times * 1000)
        ).with_columns(*writer.times)
        return rows.filter(pl.col("_offset") >= self._from_offset) if offsets[0] < self._from_offset else rows

    def _slow(self, batches: Sequence[Batch]) -> None:
        """Record by record: group the values by schema, decode each group, reject the rest with its reason."""
        self.slow_batches += len(batches)
        groups: dict[tuple[Kind, int], list[Value]] = defaultdict(list)
        for header, body in batches:
            found, damaged = block_records.records(header, body)
            for offset, time_ms, detail, payload in damaged:
                if offset >= self._from_offset:
                    self.rejects.add(UNDECODABLE, detail, offset, microseconds(time_ms), payload)
            for offset, time_ms, data, keyless in found:
                self.keyless += keyless
                if offset >= self._from_offset:
                    self._sort(Value(offset, microseconds(time_ms), data or b""), data is None, groups)
        for (kind, ident), values in groups.items():
            writer = self._schemas.find(kind, ident)
            if writer is None:
                self.needs.add(ident)
            elif writer.fault:
                for value in values:
                    self.rejects.add(SCHEMA_UNKNOWN, writer.fault, value.offset, value.time_us, value.data)
            else:
                self._frames += avro_values.decode(values, kind, writer, self._schemas, self.rejects)

    def _sort(self, value: Value, tombstone: bool, groups: dict[tuple[Kind, int], list[Value]]) -> None:
        kind, ident = avro_wire.framing(value.data)
        if tombstone:
            self.rejects.add(TOMBSTONE, "record without a value", value.offset, value.time_us)
        elif len(value.data) > self._value_limit:
            detail = f"value of {len(value.data)} bytes; the limit is {self._value_limit}"
            self.rejects.add(TOO_LARGE, detail, value.offset, value.time_us, value.data)
        elif kind is Kind.NONE:
            detail = "neither Avro single-object encoding nor Confluent wire format"
            self.rejects.add(UNDECODABLE, detail, value.offset, value.time_us, value.data)
        else:
            groups[kind, ident].append(value)

    def frame(self) -> pl.DataFrame:
        """All rows in offset order."""
        if not self._frames:
            return avro_values.empty(self._schemas)
        frame = pl.concat(self._frames, rechunk=False) if len(self._frames) > 1 else self._frames[0]
        offset = frame["_offset"]
        if not offset.is_sorted():
            frame = frame.sort("_offset")
        partition = pl.lit(self._partition, pl.Int32).alias("_partition")
        return frame.select(*self._schemas.columns, partition, *list(COORDINATES)[1:])
