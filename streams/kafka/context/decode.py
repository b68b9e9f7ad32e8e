"""Records of one context topic as rows, many at once. Enters: fetched records of one partition. Leaves: `Decoded`.

Values of one writer schema are decoded together (`avro.values`: joined, read at once, proven by their lengths); what
does not prove is judged alone, so that a bad record is left out and its neighbours are not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import polars as pl

from streams.kafka.avro import values as avro_values
from streams.kafka.avro import wire as avro_wire
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.avro.values import Value
from streams.kafka.avro.wire import Kind
from streams.kafka.blocks.rejects import SCHEMA_UNKNOWN, UNDECODABLE, Rejects, microseconds

# Beside the contract's columns: the record's key, its broker time, a digest of its value (of this process only), and
# when it was read, counted over the topic.
HIDDEN: Final = pl.Schema({"_key": pl.Binary(), "_time": pl.Int64(), "_digest": pl.Int64(), "_order": pl.Int64()})
GONE: Final = pl.Schema({"_key": pl.Binary(), "_order": pl.Int64()})


class Record(Protocol):
    """What is read of a fetched record; `timestamp` in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True)
class Decoded:
    """`rows`: the contract's columns and HIDDEN, in order; `gone`: GONE, one row per tombstone.

    `refused`: (offset, reason, detail) of what cannot be read. `needs`: schema ids to ask the registry for; where there
    are any, tell `WriterSchemas.add` and decode again.
    """

    rows: pl.DataFrame
    gone: pl.DataFrame
    refused: list[tuple[int, str, str]]
    needs: frozenset[int]


def decode(records: Sequence[Record], schemas: WriterSchemas, first: int) -> Decoded:
    """The rows of `records` (one partition, rising offsets), numbered from `first` on. Never raises on data."""
    rejects = Rejects(records[0].topic, records[0].partition)
    groups: dict[tuple[Kind, int], list[Value]] = defaultdict(list)
    gone: list[tuple[bytes, int]] = []
    for place, record in enumerate(records, first):
        if record.value is None:
            gone.append((record.key or b"", place))
        else:
            value = Value(record.offset, microseconds(record.timestamp), record.value)
            groups[avro_wire.framing(record.value)].append(value)
    frames: list[pl.DataFrame] = []
    needs: set[int] = set()
    for (kind, ident), values in groups.items():
        writer = schemas.find(kind, ident) if kind else None
        if not kind:
            detail = "neither Avro single-object encoding nor Confluent wire format"
            _refuse(rejects, UNDECODABLE, detail, values)
        elif writer is None:
            needs.add(ident)
        elif writer.fault:
            _refuse(rejects, SCHEMA_UNKNOWN, writer.fault, values)
        else:
            frames += avro_values.decode(values, kind, writer, schemas, rejects)
    refused = rejects.frame().select("offset", "reason", "detail").rows()
    tombstones = pl.DataFrame(gone, schema=GONE, orient="row")
    return Decoded(_rows(frames, records, schemas, first), tombstones, refused, frozenset(needs))


def _refuse(rejects: Rejects, reason: str, detail: str, values: Sequence[Value]) -> None:
    for value in values:
        rejects.add(reason, detail, value.offset, value.time_us)


def _rows(frames: list[pl.DataFrame], records: Sequence[Record], schemas: WriterSchemas, first: int) -> pl.DataFrame:
    """All frames in the order of their records, with HIDDEN."""
    if not frames:
        return pl.DataFrame(schema=pl.Schema({**schemas.columns, **HIDDEN}))
    frame = pl.concat(frames) if len(frames) > 1 else frames[0]
    offsets = np.fromiter((record.offset for record in records), np.int64, len(records))
    place = np.searchsorted(offsets, frame["_offset"].to_numpy())
    keys = pl.Series("_key", [record.key or b"" for record in records], pl.Binary)
    # A digest takes eight bytes where the value takes hundreds, and only tells equal values from others.
    digests = np.fromiter((hash(record.value) for record in records), np.int64, len(records))
    rows = frame.select(
        *schemas.columns,
        keys.gather(pl.Series(place, dtype=pl.UInt32)),
        "_time",
        pl.Series("_digest", digests[place]),
        pl.Series("_order", place + first),
    )
    return rows if rows["_order"].is_sorted() else rows.sort("_order")
