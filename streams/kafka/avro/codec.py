"""Row topics: frames to records and back. Enters: a frame with a contract's columns. Leaves: keys and framed values.

For topics of low volume (`fastavro`, one record at a time); the bulk topics have `avro_block` and `columnar`. Times are
Int64 microseconds, arrays Lists, maps Lists of {key, value}, as in `avro_writer.columns`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import fastavro
import polars as pl

from streams.kafka.avro import contracts
from streams.kafka.avro import values as avro_values
from streams.kafka.avro import wire as avro_wire
from streams.kafka.avro import writer as avro_writer
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.avro.wire import DecodeError, Kind
from streams.kafka.blocks.rejects import SCHEMA_UNKNOWN, TOMBSTONE, UNDECODABLE


class Registrar(Protocol):
    """What `confluent` asks of a schema registry (`registry.Registry`)."""

    async def register(self, subject: str, schema: str) -> int:
        """The id of a schema under a subject."""
        ...


@dataclass(frozen=True)
class Framing:
    """How written values tell their schema: by fingerprint, or by the ids that a registry gave (topic: id)."""

    ids: Mapping[str, int] | None = None

    def prefix(self, topic: str) -> bytes:
        """The bytes before each value of `topic` (without prefix). KeyError where no id was registered for it."""
        if self.ids is None:
            return avro_wire.prefix(Kind.SINGLE_OBJECT, contracts.load(topic).fingerprint)
        return avro_wire.prefix(Kind.CONFLUENT, self.ids[topic])


def single_object() -> Framing:
    """Avro single-object encoding: needs no registry."""
    return Framing()


async def confluent(registry: Registrar, topics: Iterable[str], name_prefix: str = "") -> Framing:
    """Confluent wire format: registers the contracts of `topics` as `<name_prefix><topic>-value`, at start.

    Raises what the registry raises: a schema it finds incompatible, or no registry, keeps a service from starting.
    """
    ids = {}
    for topic in topics:
        ids[topic] = await registry.register(f"{name_prefix}{topic}-value", contracts.load(topic).text)
    return Framing(ids)


class Encoder:
    """Writes rows of one topic. `key` names the column, or the columns joined by "/", that records are keyed by."""

    def __init__(self, topic: str, framing: Framing, key: str) -> None:
        contract = contracts.load(topic)
        bare = avro_writer.stripped(contract.schema)
        self._schema: Final = fastavro.parse_schema(bare)
        self._prefix: Final = framing.prefix(topic)
        self._key: Final = key.split("/")
        self._columns: Final = avro_writer.columns(contract.schema)
        self._maps: Final = [part["name"] for part in bare["fields"] if _is_map(part["type"])]

    def encode(self, frame: pl.DataFrame) -> list[tuple[bytes, bytes]]:
        """(key, value) of every row, in order. Columns that the frame lacks take the contract's default.

        Raises ValueError or TypeError where a row does not fit the contract: that is a fault of the code before.
        """
        parts = [pl.col(name).cast(pl.String).fill_null("") for name in self._key]
        keys = frame.select(pl.concat_str(parts, separator="/"))
        known = [name for name in self._columns if name in frame.columns]
        rows = frame.select(pl.col(name).cast(self._columns[name]) for name in known).to_dicts()
        return [(key.encode(), self._value(row)) for key, row in zip(keys.to_series().to_list(), rows, strict=True)]

    def _value(self, row: dict[str, Any]) -> bytes:
        for name in self._maps:
            if row.get(name) is not None:
                row[name] = {item["key"]: item["value"] for item in row[name]}
        stream = io.BytesIO()
        stream.write(self._prefix)
        fastavro.schemaless_writer(stream, self._schema, row)
        return stream.getvalue()


def _is_map(schema: Any) -> bool:
    kind, _ = avro_writer.core(schema)
    return isinstance(kind, Mapping) and kind["type"] == "map"


class Refused(NamedTuple):
    """A value that cannot be read: a reason of ot.reading.rejected.v1, and what is wrong."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Rows:
    """Decoded records: `rows` and `refused` by position in the input; `needs`: schema ids to ask the registry for."""

    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    refused: dict[int, Refused] = field(default_factory=dict)
    needs: frozenset[int] = frozenset()


def decode(values: Sequence[bytes | None], schemas: WriterSchemas) -> Rows:
    """The reader's fields of framed values, one by one. Never raises on data; null values are refused as tombstone."""
    rows: dict[int, dict[str, Any]] = {}
    refused: dict[int, Refused] = {}
    needs: set[int] = set()
    for position, value in enumerate(values):
        if value is None:
            refused[position] = Refused(TOMBSTONE, "record without a value")
            continue
        kind, ident = avro_wire.framing(value)
        writer = schemas.find(kind, ident) if kind else None
        if not kind:
            refused[position] = Refused(UNDECODABLE, "neither Avro single-object encoding nor Confluent wire format")
        elif writer is None:
            needs.add(ident)
        elif writer.fault:
            refused[position] = Refused(SCHEMA_UNKNOWN, writer.fault)
        else:
            try:
                rows[position] = avro_values.single(value[avro_wire.PREFIX_BYTES[kind] :], writer)
            except DecodeError as error:
                refused[position] = Refused(UNDECODABLE, str(error))
    return Rows(rows, refused, frozenset(needs))


def frame(rows: Iterable[Mapping[str, Any]], topic: str) -> pl.DataFrame:
    """Decoded rows as a frame with the contract's columns."""
    return pl.DataFrame(list(rows), schema=avro_writer.columns(contracts.load(topic).schema), orient="row")
