"""Record by record: the slow path. Enters: a record batch. Leaves: its records, and what is damaged.

First by aiokafka's own iterator, which is what every other consumer of the topic sees; where that gives up, by a walk
that trusts a record's length prefix and nothing else, so that one malformed record does not take its neighbours along.
"""

from __future__ import annotations

from typing import NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch

from streams.kafka.avro import wire as avro_wire
from streams.kafka.blocks.block import ATTRIBUTES_OFFSET, HEADER, LOG_APPEND_TIME

_CODEC_MASK = 0x07


class Record(NamedTuple):
    """One record: offset, timestamp in milliseconds, value (None: a tombstone), whether it has no key."""

    offset: int
    time_ms: int
    value: bytes | None
    keyless: bool


class Damage(NamedTuple):
    """A part of a batch that is no record: the offset it would have had, what is wrong, its first bytes."""

    offset: int
    time_ms: int
    detail: str
    payload: bytes


def records(header: bytes, body: bytes) -> tuple[list[Record], list[Damage]]:
    """All records of a batch in offset order, and the damage between them. Never raises on data."""
    try:
        found = [Record(item.offset, item.timestamp, item.value, item.key is None) for item in _batch(header, body)]
        damaged: list[Damage] = []
    except (CorruptRecordException, UnicodeDecodeError, OverflowError):
        found, damaged = _walk(header, body)
    base, last = HEADER.unpack(header)[0], HEADER.unpack(header)[6]
    kept: list[Record] = []
    expected = base
    for record in found:
        if expected <= record.offset <= base + last:
            kept.append(record)
            expected = record.offset + 1
        else:
            detail = f"offset {record.offset} where {expected} to {base + last} are possible"
            damaged.append(Damage(min(expected, base + last), record.time_ms, detail, record.value or b""))
    return kept, damaged


def _batch(header: bytes, body: bytes) -> DefaultRecordBatch:
    """The iterator of aiokafka over the batch, made whole again without compression."""
    plain = bytearray(header)
    plain[ATTRIBUTES_OFFSET + 1] &= ~_CODEC_MASK
    return DefaultRecordBatch(bytes(plain) + body)


def _walk(header: bytes, body: bytes) -> tuple[list[Record], list[Damage]]:
    found: list[Record] = []
    damaged: list[Damage] = []
    base, _, _, _, _, attributes, last, first_time, latest, _, _, _, count = HEADER.unpack(header)
    position, offset, time = 0, base, latest if attributes & LOG_APPEND_TIME else first_time
    for _ in range(min(max(count, 0), len(body))):
        start = position
        try:
            position, end = _extent(body, position)
        except ValueError as error:
            damaged.append(Damage(offset, time, f"{error}; the rest of its batch is lost", body[start:]))
            return found, damaged
        try:
            delta, offset_delta, value, keyless = _fields(body[position:end])
            offset = base + offset_delta
            stamp = time if attributes & LOG_APPEND_TIME else first_time + delta
            found.append(Record(offset, stamp, value, keyless))
        except ValueError as error:
            damaged.append(Damage(offset, time, str(error), body[start:end]))
        position, offset = end, offset + 1
    if position < len(body):
        damaged.append(Damage(min(offset, base + last), time, "bytes after the last record", body[position:]))
    elif count > len(found) + len(damaged):
        damaged.append(Damage(min(offset, base + last), time, f"{count} records announced", b""))
    return found, damaged


def _extent(body: bytes, position: int) -> tuple[int, int]:
    """Where the record at `position` begins, past its length, and where it ends."""
    length, position = avro_wire.read_varint(body, position)
    if length < 1 or position + length > len(body):
        raise ValueError(f"record of {length} bytes where {len(body) - position} are left")
    return position, position + length


def _fields(record: bytes) -> tuple[int, int, bytes | None, bool]:
    """Time delta, offset delta, value, absence of a key. Raises ValueError where the record does not add up."""
    delta, position = avro_wire.read_varint(record, 1)  # after the attributes, which no release of Kafka uses
    offset_delta, position = avro_wire.read_varint(record, position)
    key, position = _bytes(record, position)
    value, position = _bytes(record, position)
    count, position = avro_wire.read_varint(record, position)
    for _ in range(count):
        name, position = _bytes(record, position)
        if name is None:
            raise ValueError("header without a name")
        _, position = _bytes(record, position)
    if position != len(record) or count < 0 or offset_delta < 0:
        raise ValueError(f"record of {len(record)} bytes holds {position}")
    return delta, offset_delta, value, key is None


def _bytes(data: bytes, position: int) -> tuple[bytes | None, int]:
    length, position = avro_wire.read_varint(data, position)
    if length < 0:
        return None, position
    if position + length > len(data):
        raise ValueError(f"field of {length} bytes where {len(data) - position} are left")
    return data[position : position + length], position + length
