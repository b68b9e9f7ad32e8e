"""Record batches as brokers keep them, and how to fetch them: through blocks, and through aiokafka's own path."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import fastavro
import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from streams.kafka.avro import contracts
from streams.kafka.avro import wire as avro_wire
from streams.kafka.avro.wire import Kind
from streams.kafka.blocks import fetch as block_fetch
from streams.kafka.blocks import install as blocks
from streams.kafka.blocks.block import Block

TOPIC = "blocks"
T0_MS = 1_700_000_000_000
# aiokafka's own class, also where `install` has replaced the name in its module.
OWN_PATH: Any = block_fetch.BlockRecords.__mro__[1]
COMMITTED, UNCOMMITTED = 1, 0


class Item(NamedTuple):
    """One record as a producer sends it."""

    value: bytes | None
    key: bytes | None = b"edge-1"
    headers: Sequence[tuple[str, bytes]] = ()
    delta: int | None = None


def batch(
    items: Sequence[Item], base: int = 0, codec: int = 0, *, producer: int = -1, transactional: bool = False,
    attributes: int = 0, **header: int,
) -> bytes:  # fmt: skip
    """A record batch at offset `base`; `attributes` are set beside those of codec and transaction; see `changed`."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=transactional, producer_id=producer,
        producer_epoch=0 if producer >= 0 else -1, base_sequence=0 if producer >= 0 else -1, batch_size=1 << 30,
    )  # fmt: skip
    for number, item in enumerate(items):
        delta = number if item.delta is None else item.delta
        builder.append(delta, T0_MS + delta, item.key, item.value, list(item.headers))
    data = bytearray(builder.build())
    (flags,) = struct.unpack_from(">h", data, 21)
    return changed(bytes(data), base=base, attributes=flags | attributes, **header)


_FIELDS = {"base": (0, ">q"), "length": (8, ">i"), "magic": (16, ">b"), "attributes": (21, ">h"), "last": (23, ">i"),
           "first_time": (27, ">q"), "max_time": (35, ">q"), "producer": (43, ">q"), "count": (57, ">i")}  # fmt: skip


def changed(data: bytes, **header: int) -> bytes:
    """The batch with other header fields, and the CRC that goes with them."""
    copy = bytearray(data)
    for name, value in header.items():
        offset, layout = _FIELDS[name]
        struct.pack_into(layout, copy, offset, value)
    struct.pack_into(">I", copy, 17, calc_crc32c(bytes(copy[21:])))
    return bytes(copy)


def marker(base: int, producer: int, *, commit: bool) -> bytes:
    """A control batch: the end of a transaction."""
    item = Item(struct.pack(">hi", 0, 0), struct.pack(">HH", 0, int(commit)))
    return batch([item], base, producer=producer, transactional=True, attributes=0x20)


class Fetched(NamedTuple):
    """What a fetch yields, and the position after it."""

    items: list[Any]
    position: int


def fetch(
    data: bytes, offset: int = 0, *, aborted: Sequence[tuple[int, int]] = (), isolation: int = COMMITTED, join: int = 0
) -> Fetched:
    """The blocks of fetched bytes: one for each batch, or for as many as `join` bytes hold."""
    blocks.install({TOPIC})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_fetch, "JOIN_BYTES", join)
        return _drain(fetcher.PartitionRecords, fetcher.MemoryRecords(data), offset, aborted, isolation)


def fetch_records(
    data: bytes, offset: int = 0, *, aborted: Sequence[tuple[int, int]] = (), isolation: int = COMMITTED
) -> Fetched:
    """The records of the same bytes, as aiokafka yields them."""
    return _drain(OWN_PATH, MemoryRecords(data), offset, aborted, isolation)


def _drain(kind: Any, records: Any, offset: int, aborted: Sequence[tuple[int, int]], isolation: int) -> Fetched:
    source = kind(TopicPartition(TOPIC, 0), records, list(aborted), offset, None, None, True, isolation)
    return Fetched(list(source), source.next_fetch_offset)


def fetch_blocks(*batches: bytes, join: int = block_fetch.JOIN_BYTES) -> list[Block]:
    """The blocks of batches that follow each other."""
    return fetch(b"".join(batches), join=join).items


def body(contract: contracts.Contract, row: dict[str, Any]) -> bytes:
    """One row as Avro bytes without framing."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, dict(contract.schema), row)
    return stream.getvalue()


def framed(contract: contracts.Contract, row: dict[str, Any], ident: int | None = None) -> bytes:
    """One row in single-object encoding, or in Confluent's with schema id `ident`."""
    if ident is None:
        return avro_wire.prefix(Kind.SINGLE_OBJECT, contract.fingerprint) + body(contract, row)
    return avro_wire.prefix(Kind.CONFLUENT, ident) + body(contract, row)
