"""Avro's wire format around `polars.read_avro`. Enters: bytes and a list of fields. Leaves: a frame, or `DecodeError`.

A run of records becomes a frame by putting an object-container header before it (Avro 1.11, object container files).
Framings of one value: single-object encoding (C3 01, 8 bytes of CRC-64-AVRO, little endian) and the Confluent wire
format (0, 4 bytes of schema id, big endian).
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final

import polars as pl

SYNC: Final = b"plantweave-block"  # 16 bytes; block lengths delimit, the marker carries no meaning here
SINGLE_OBJECT: Final = b"\xc3\x01"
CONFLUENT: Final = b"\x00"
PADDING: Final = 16  # bytes after what the compiled scan reads, so that it can load eight anywhere


class Kind(IntEnum):
    """How a value tells its schema."""

    NONE = 0
    SINGLE_OBJECT = 1
    CONFLUENT = 2


PREFIX_BYTES: Final = {Kind.SINGLE_OBJECT: 10, Kind.CONFLUENT: 5}


class DecodeError(Exception):
    """Bytes that are not what their schema says."""


def prefix(kind: Kind, ident: int) -> bytes:
    """The bytes before a value: `ident` is the fingerprint or the registry's id."""
    if kind is Kind.SINGLE_OBJECT:
        return SINGLE_OBJECT + ident.to_bytes(8, "little")
    return CONFLUENT + ident.to_bytes(4, "big")


def framing(value: bytes) -> tuple[Kind, int]:
    """Kind and fingerprint or id of one value; (NONE, 0) where it has neither framing."""
    if value[:2] == SINGLE_OBJECT and len(value) >= 10:
        return Kind.SINGLE_OBJECT, int.from_bytes(value[2:10], "little")
    if value[:1] == CONFLUENT and len(value) >= 5:
        return Kind.CONFLUENT, int.from_bytes(value[1:5], "big")
    return Kind.NONE, 0


def framing_fields(kind: Kind) -> list[dict[str, Any]]:
    """The framing as Avro fields: a varint and 4 or 8 raw bytes."""
    ident = {"name": "_ident", "type": "double" if kind is Kind.SINGLE_OBJECT else "float"}
    return [{"name": "_magic", "type": "long"}, ident]


def varint(value: int) -> bytes:
    """Zigzag variable-length encoding of a long."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest >= 0x80:
        out.append((rest & 0x7F) | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """(value, next position) of a zigzag varint. Raises ValueError where there is none."""
    result = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (result >> 1) ^ -(result & 1), position
        shift += 7
    raise ValueError("varint without an end")


@lru_cache(maxsize=256)
def _header(fields: str) -> bytes:
    schema = f'{{"type":"record","name":"Block","fields":{fields}}}'.encode()
    entries = (b"avro.schema", schema, b"avro.codec", b"null")
    return b"Obj\x01" + varint(2) + b"".join(varint(len(entry)) + entry for entry in entries) + varint(0) + SYNC


def header(fields: Iterable[Mapping[str, Any]]) -> bytes:
    """Container header for records with these (stripped) fields."""
    return _header(json.dumps(list(fields), separators=(",", ":")))


def read(head: bytes, bodies: Sequence[bytes | memoryview], rows: int) -> pl.DataFrame:
    """The `rows` records that `bodies` hold one after another. Raises DecodeError, whatever the bytes are."""
    size = sum(map(len, bodies))
    if not 0 < rows <= size:
        # Capacity is reserved by this number: a lie would end the process, not the call.
        raise DecodeError(f"{rows} records cannot be in {size} bytes")
    container = b"".join((head, varint(rows), varint(size), *bodies, SYNC))
    try:
        return pl.read_avro(io.BytesIO(container))
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError, asyncio.CancelledError):
        raise
    except BaseException as error:  # noqa: BLE001 - a Rust panic (PanicException) derives from BaseException
        raise DecodeError(f"{type(error).__name__}: {error}") from None
