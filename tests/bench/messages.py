"""Readings as the bytes of messages.

In: readings of one partition. Out: keys and values of the messages that carry them, in order. Avro messages of one
shape have a fixed length (names, sequence and times are of equal length), so a whole array is encoded at once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import fastavro
import numpy as np
from fastavro.schema import fingerprint, to_parsing_canonical_form
from numpy.typing import NDArray

from tests.bench.shapes import BATCH, SIGNALS, SOURCES, Readings, Shape, address, source_id, source_of

SEQUENCE: Final = 10_000_000
_SCHEMAS: Final = Path(__file__).parents[2] / "schemas"
_SECONDS: Final = BATCH * SOURCES // SIGNALS  # per batch


def messages(part: Readings, shape: Shape, first: int = 0) -> tuple[list[bytes], list[bytes]]:
    """Keys and values of the messages for `part`, readings of one partition in whole batches; `first` is the number of
    readings before it in that partition.
    """
    if shape == "batch100":
        return _batches(part, first)
    sources = [source_id(number).encode() for number in range(SOURCES)]
    keys = [sources[number] for number in source_of(part.signal).tolist()]
    return keys, _jsons(part, first) if shape == "json" else _singles(part, first)


def schema(path: str) -> dict[str, Any]:
    """The contract at `path` below `schemas/`."""
    loaded: dict[str, Any] = json.loads((_SCHEMAS / path).read_text("utf-8"))
    return loaded


def marker(loaded: dict[str, Any]) -> bytes:
    """First ten bytes of Avro's single-object encoding: C3 01 and the schema's CRC-64-AVRO fingerprint."""
    digest = fingerprint(to_parsing_canonical_form(fastavro.parse_schema(loaded)), "CRC-64-AVRO")
    return b"\xc3\x01" + bytes.fromhex(digest)


def _text(values: list[str]) -> NDArray[np.uint8]:
    """Avro strings of equal length, one row each."""
    raw = [bytes([2 * len(value)]) + value.encode("ascii") for value in values]
    return np.frombuffer(b"".join(raw), np.uint8).reshape(len(values), -1)


def _varint(values: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Avro longs that all take `width` bytes; ValueError if one does not."""
    zigzag = values.astype(np.uint64) << np.uint64(1)
    if len(zigzag) and (int(zigzag.min()) >> (7 * (width - 1)) == 0 or int(zigzag.max()) >> (7 * width)):
        raise ValueError(f"longs of another length than {width} bytes")
    shifts = np.arange(width, dtype=np.uint64) * np.uint64(7)
    out = ((zigzag[:, None] >> shifts) & np.uint64(0x7F)).astype(np.uint8)
    out[:, :-1] |= 0x80
    return out


def _singles(part: Readings, first: int) -> list[bytes]:
    """Messages of `ot.raw.reading.v1`, single-object encoding; `first` numbers the first reading."""
    count = len(part.signal)
    present = _constant(b"\x02", count)
    columns = [
        _constant(marker(schema("10-raw/ot.raw.reading.v1.avsc")), count),
        _SOURCES[source_of(part.signal)],
        _constant(b"\x0csite-1" + b"\x00\x00", count),  # site, tenant and boot_id
        present,
        _varint(np.arange(count, dtype=np.int64) + first + SEQUENCE, 4),  # sequence
        _ADDRESSES[part.signal],
        present,
        _varint(part.time_us, 8),
        _constant(b"\x00", count),  # gateway_time
        present,
        part.value.astype("<f8").view(np.uint8).reshape(count, 8),
        _constant(b"\x00\x00\x00\x00", count),  # the other values
        _constant(b"\x02\x00" + b"\x02\x0aopcua" + b"\x00\x00", count),  # quality good, no flags
    ]
    return _rows(columns)


def _jsons(part: Readings, first: int) -> list[bytes]:
    """JSON objects with the fields that are not null."""
    heads = [f'{{"source_id":"{source_id(source_of(n))}","site":"site-1","sequence":' for n in range(SIGNALS)]
    middles = [f',"address":"{address(n)}","source_time":' for n in range(SIGNALS)]
    rows = zip(part.signal.tolist(), part.time_us.tolist(), part.value.tolist(), strict=True)
    return [
        f'{heads[n]}{SEQUENCE + at}{middles[n]}{time_us},"value_double":{value},'
        '"quality_raw":0,"quality_scheme":"opcua"}'.encode()
        for at, (n, time_us, value) in enumerate(rows, first)
    ]


def _batches(part: Readings, first: int) -> tuple[list[bytes], list[bytes]]:
    """Messages of `ot.raw.batch.v1`: ten seconds of one source's ten signals, single-object encoding."""
    sources = len(set(source_of(part.signal[:SIGNALS]).tolist()))

    def by_batch(column: NDArray[Any]) -> NDArray[Any]:
        blocks = column.reshape(-1, _SECONDS, sources, SIGNALS // SOURCES)
        return np.ascontiguousarray(blocks.transpose(0, 2, 1, 3)).reshape(-1, BATCH)

    signal, time_us, value = by_batch(part.signal), by_batch(part.time_us), by_batch(part.value)
    count = len(signal)
    source = source_of(signal[:, 0])
    begin, end = _constant(b"\x02\xc8\x01", count), _constant(b"\x00", count)  # an array of 100; no further block
    columns = [
        _constant(marker(schema("10-raw/ot.raw.batch.v1.avsc")), count),
        _SOURCES[source],
        _constant(b"\x0csite-1" + b"\x00\x00\x02", count),  # site, no tenant, no boot_id, sequence
        _varint(np.arange(count, dtype=np.int64) + first // BATCH + SEQUENCE, 4),
        _constant(b"\x00", count),  # gateway_time
        *(begin, _items(_ADDRESSES[signal.ravel()]), end),
        *(begin, _items(_varint(time_us.ravel(), 8)), end),
        *(begin, _items(value.ravel().astype("<f8").view(np.uint8).reshape(-1, 8)), end),
        _constant(b"\x00\x00\x00", count),  # the other values
        *(begin, _constant(b"\x02\x00" * BATCH, count), end),  # quality good
        _constant(b"\x02\x0aopcua" + b"\x00\x00", count),  # no flags
    ]
    return [source_id(number).encode() for number in source.tolist()], _rows(columns)


def _items(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Nullable array items that are there, 100 to a row."""
    return np.concatenate([_constant(b"\x02", len(values)), values], axis=1).reshape(len(values) // BATCH, -1)


def _constant(value: bytes, count: int) -> NDArray[np.uint8]:
    return np.broadcast_to(np.frombuffer(value, np.uint8), (count, len(value)))


def _rows(columns: Sequence[NDArray[np.uint8]]) -> list[bytes]:
    rows = np.concatenate(columns, axis=1)
    width, buffer = rows.shape[1], rows.tobytes()
    return [buffer[at : at + width] for at in range(0, len(buffer), width)]


_SOURCES: Final = _text([source_id(number) for number in range(SOURCES)])
_ADDRESSES: Final = _text([address(number) for number in range(SIGNALS)])
