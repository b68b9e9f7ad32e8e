"""The cases of bad input: record batches, each with what must become of it. In: nothing. Out: `CASES`.

Most are a good reading (1.0), the bad one, and a good one again (2.0), of a source and signal of their own.
"""

from __future__ import annotations

import io
import math
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import fastavro

from streams import topology
from streams.kafka.avro import contracts
from streams.kafka.avro.wire import Kind, prefix
from tests.chaos.services import Encoder
from tests.integration.harness import Batch, Raw

NOW: Final = time.time_ns() // 1_000_000_000 * 1_000_000
# On a window's begin: all readings of a case are in one.
BASE: Final = NOW // 10_000_000 * 10_000_000 - 60_000_000
YEAR: Final = 365 * 86_400_000_000
RAW: Final = topology.RAW_READING.name
BATCH: Final = topology.RAW_BATCH.name
READING: Final = topology.READING.name
GOOD, UNCERTAIN, BAD = 0, 1, 2
RANDOM: Final = random.Random(20).randbytes(64)
SCHEMA: Final = dict(contracts.load(RAW).schema)
_OLDER: Final = {**SCHEMA, "fields": [f for f in SCHEMA["fields"] if f["name"] not in {"boot_id", "value_bytes"}]}
_NEWER: Final = {**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "edge_version", "type": "int", "default": 0}]}
# What the registry knows: a version before the contract, one after it, and the contract.
SCHEMA_IDS: Final[Mapping[int, Mapping[str, Any]]] = {1: _OLDER, 2: _NEWER, 3: SCHEMA}
_RAW, _BATCH, _READING = Encoder(topology.RAW_READING), Encoder(topology.RAW_BATCH), Encoder(topology.READING)


class Reject(NamedTuple):
    """A reject that is expected: its reason, which record of the batch, and the place within that record."""

    reason: str
    record: int
    position: int | None = None


class Case(NamedTuple):
    """A record batch; the values and qualities of the readings that come of it, and its rejects."""

    name: str
    batch: Batch
    readings: Sequence[tuple[float | str | None, int]]
    rejects: Sequence[Reject] = ()


def _row(name: str, second: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"source_id": f"edge-{name}", "address": "t", "source_time": BASE + second * 1_000_000, **fields}


def reading(name: str, second: int, **fields: object) -> bytes:
    """A raw reading of the case's own source."""
    return _RAW.value(_row(name, second, fields))


def confluent(ident: int, name: str, second: int, **fields: object) -> bytes:
    """The same in Confluent's wire format, with the registry's schema of this id (the contract, for unknown ids)."""
    body = io.BytesIO()
    writer = fastavro.parse_schema(dict(SCHEMA_IDS.get(ident, SCHEMA)))
    fastavro.schemaless_writer(body, writer, _row(name, second, fields))
    return prefix(Kind.CONFLUENT, ident) + body.getvalue()


def columnar(name: str, second: int, **arrays: object) -> bytes:
    """A raw batch of the case's own source; its readings take the gateway's time."""
    return _BATCH.value({"source_id": f"edge-{name}", "gateway_time": BASE + second * 1_000_000, **arrays})


def validated(name: str, second: int, **fields: object) -> bytes:
    """A record of `ot.reading.v1` with one reading, as `validate` writes it."""
    row: dict[str, Any] = {"site": "site-1", "work_center": "line-1", "signals": [f"signal-{name}"], "signal": [0]}
    row |= {"sources": [f"edge-{name}"], "source": [0], "event_time": [BASE + second * 1_000_000], "ingest_time": NOW}
    return _READING.value({**row, "value_double": [float(second)], "quality": [0], **fields})


def _between(name: str, *bad: Raw | bytes | None, codec: str | None = None, topic: str = RAW) -> Batch:
    """The bad records between two good ones."""
    if topic == READING:
        pair = [validated(name, second) for second in (1, 2)]
    elif topic == BATCH:
        pair = [columnar(name, second, address=["t"], value_double=[float(second)]) for second in (1, 2)]
    else:
        pair = [reading(name, second, value_double=float(second)) for second in (1, 2)]
    records = [record if isinstance(record, Raw) else Raw(record) for record in bad]
    return Batch(topic, [Raw(pair[0]), *records, Raw(pair[1])], codec)


SURVIVORS: Final = [(1.0, GOOD), (2.0, GOOD)]


def _rejected(name: str, value: Raw | bytes | None, reason: str, topic: str = RAW, position: int | None = None) -> Case:
    return Case(name, _between(name, value, topic=topic), SURVIVORS, [Reject(reason, 1, position)])


def _undecodable() -> list[Case]:
    whole = reading("x", 5, value_double=5.0)
    return [
        _rejected("truncated", whole[:-3], "undecodable"),
        _rejected("longer-than-its-record", whole + b"\0", "undecodable"),
        _rejected("random-bytes", RANDOM, "undecodable"),
        _rejected("random-body", whole[:10] + RANDOM, "undecodable"),
        _rejected("no-bytes", b"", "undecodable"),
        _rejected("wrong-fingerprint", b"\xc3\x01" + bytes(8) + whole[10:], "schema_unknown"),
        _rejected("wrong-schema-id", confluent(999, "x", 5, value_double=5.0), "schema_unknown"),
        _rejected("tombstone", None, "tombstone"),
        _rejected("ten-megabytes", reading("x", 5, value_string="m" * 10_000_000), "too_large"),
        _rejected("truncated-batch", columnar("x", 5, address=["t"], value_double=[5.0])[:-3], "undecodable", BATCH),
    ]


def _uninterpretable() -> list[Case]:
    ahead = reading("year-ahead", 5, value_double=5.0, source_time=NOW + YEAR)
    unequal = columnar("unequal-arrays", 5, address=["t", "t"], value_double=[5.0])
    nameless = columnar("no-address", 5, address=["t", None], value_double=[1.5, 5.0])
    return [
        _rejected("year-ahead", ahead, "impossible_time"),
        _rejected("text-for-a-number", reading("text-for-a-number", 5, value_string="abc"), "type_mismatch"),
        _rejected("no-value", reading("no-value", 5), "no_value"),
        _rejected("unequal-arrays", unequal, "unequal_lengths", BATCH),
        Case(
            "no-address",
            _between("no-address", nameless, topic=BATCH),
            [(1.0, GOOD), (1.5, GOOD), (2.0, GOOD)],
            [Reject("no_address", 1, 1)],
        ),
    ]


def _odd_but_good() -> list[Case]:
    """Nothing of these is rejected."""
    found = []
    for name, value in (("nan", math.nan), ("infinity", math.inf), ("minus-infinity", -math.inf)):
        bad = reading(name, 5, value_double=value)
        found.append(Case(name, _between(name, bad), [(1.0, GOOD), (None, BAD), (2.0, GOOD)]))
    nan = columnar("nan-in-a-batch", 5, address=["t"], value_double=[math.nan])
    middle = [(1.0, GOOD), (1.5, GOOD), (2.0, GOOD)]
    return [
        *found,
        Case("nan-in-a-batch", _between("nan-in-a-batch", nan, topic=BATCH), [(1.0, GOOD), (None, BAD), (2.0, GOOD)]),
        Case(
            "out-of-range",
            _between("out-of-range", reading("out-of-range", 5, value_double=5000.0)),
            [(1.0, GOOD), (5000.0, UNCERTAIN), (2.0, GOOD)],
        ),
        Case(
            "empty-batch",
            _between("empty-batch", columnar("empty-batch", 5, address=[], value_double=[]), topic=BATCH),
            SURVIVORS,
        ),
        Case("no-arrays", _between("no-arrays", columnar("no-arrays", 5), topic=BATCH), SURVIVORS),
        Case(
            "headers",
            _between(
                "headers", Raw(reading("headers", 5, value_double=1.5), headers=(("trace", b"1"), ("empty", b"")))
            ),
            middle,
        ),
        Case("null-key", _between("null-key", Raw(reading("null-key", 5, value_double=1.5), key=None)), middle),
        Case("only-null-keys", _without_keys("only-null-keys"), SURVIVORS),
    ]


def _without_keys(name: str) -> Batch:
    batch = _between(name)
    return batch._replace(records=[record._replace(key=None) for record in batch.records])


def _compressed() -> list[Case]:
    found = []
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        sound, damaged = f"{codec}-sound", f"{codec}-damaged"
        found.append(Case(sound, _between(sound, codec=codec), SURVIVORS))
        bad = reading(damaged, 5, value_double=5.0)[:-3]
        found.append(Case(damaged, _between(damaged, bad, codec=codec), SURVIVORS, [Reject("undecodable", 1)]))
    return found


def _versions() -> Case:
    name = "mixed-versions"
    values = [
        reading(name, 1, value_double=1.0),
        confluent(1, name, 2, value_double=2.0),
        confluent(2, name, 3, value_double=3.0, edge_version=7),
        confluent(1, name, 4, value_double=4.0),
        confluent(3, name, 5, value_double=5.0),
        confluent(998, name, 6, value_double=6.0),
        reading(name, 7, value_double=7.0),
    ]
    good = [(float(number), GOOD) for number in (1, 2, 3, 4, 5, 7)]
    return Case(name, Batch(RAW, [Raw(value) for value in values]), good, [Reject("schema_unknown", 5)])


def _swollen() -> Case:
    """Small on the wire, 3 MB decompressed: it would not fit into a record of the output topic."""
    name = "swollen-text"
    text = reading(name, 5, value_string="m" * 3_000_000)
    good = [reading(name, second, value_string=f"L-{second}") for second in (1, 2)]
    batch = Batch(RAW, [Raw(good[0]), Raw(text), Raw(good[1])], "zstd")
    return Case(name, batch, [("L-1", GOOD), ("L-2", GOOD)], [Reject("too_large", 1)])


CASES: Final = [
    *_undecodable(),
    *_uninterpretable(),
    *_odd_but_good(),
    *_compressed(),
    _versions(),
    _swollen(),
]


def _validated_cases() -> list[Case]:
    """The same border one hop on: what is no record of `ot.reading.v1` does not stop `window`."""
    whole = validated("x", 5)
    return [
        _rejected("w-truncated", whole[:-3], "undecodable", READING),
        _rejected("w-random-bytes", RANDOM, "undecodable", READING),
        _rejected("w-wrong-fingerprint", b"\xc3\x01" + bytes(8) + whole[10:], "schema_unknown", READING),
        _rejected("w-tombstone", None, "tombstone", READING),
        _rejected("w-unequal-arrays", validated("w-unequal-arrays", 5, quality=[0, 0]), "unequal_lengths", READING),
        _rejected("w-index-beyond", validated("w-index-beyond", 5, signal=[3]), "undecodable", READING),
    ]


VALIDATED_CASES: Final = _validated_cases()


def dictionary() -> list[dict[str, Any]]:
    """A signal per case, and one of an aborted transaction; no row for `edge-unknown`."""
    names = [*(case.name for case in (*CASES, *VALIDATED_CASES)), "aborted"]
    special: dict[str, dict[str, Any]] = {
        "out-of-range": {"instrument_low": 0.0, "instrument_high": 100.0},
        "swollen-text": {"role": "batch_id"},
    }
    shared = {"address": "t", "period_ms": 1000, "window_lengths_s": [10]}
    return [
        {"signal_id": f"signal-{name}", "source_id": f"edge-{name}", **shared, **special.get(name, {})}
        for name in names
    ]
