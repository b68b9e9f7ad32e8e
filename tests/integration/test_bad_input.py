"""Bad input through the real broker and real workers: each ends where it should, its neighbours survive.

Every case is one record batch, most of them a good reading (1.0), the bad one, and a good one again (2.0), of a source
and signal of its own. All are appended before the workers start, so that they share chunks, and once more, one by one,
while they run.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import fastavro
import pytest
from confluent_kafka import Producer

from streams import topology
from streams.kafka import contracts
from streams.kafka.avro_wire import Kind, prefix
from tests.chaos.deployment import Deployment
from tests.chaos.services import Encoder
from tests.integration import harness
from tests.integration.harness import Batch, Raw, Reading

pytestmark = [pytest.mark.xdist_group("broker"), pytest.mark.timeout(180)]

NOW: Final = time.time_ns() // 1_000_000_000 * 1_000_000
BASE: Final = NOW - 60_000_000
YEAR: Final = 365 * 86_400_000_000
RAW: Final = topology.RAW_READING.name
BATCH: Final = topology.RAW_BATCH.name
RANDOM: Final = random.Random(20).randbytes(64)
SCHEMA: Final = dict(contracts.load(RAW).schema)
# Two writer versions that the registry knows beside the contract itself: one before and one after it.
OLDER: Final = {**SCHEMA, "fields": [f for f in SCHEMA["fields"] if f["name"] not in {"boot_id", "value_bytes"}]}
NEWER: Final = {**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "edge_version", "type": "int", "default": 0}]}
SCHEMA_IDS: Final = {1: OLDER, 2: NEWER, 3: SCHEMA}
READING: Final = Encoder(topology.RAW_READING)
COLUMNAR: Final = Encoder(topology.RAW_BATCH)
VALIDATED: Final = Encoder(topology.READING)


def row(name: str, second: int, value: float, **fields: object) -> dict[str, Any]:
    """One raw reading of the case's own source."""
    time_us = BASE + second * 1_000_000
    return {"source_id": f"edge-{name}", "address": "t", "source_time": time_us, "value_double": value, **fields}


def good(name: str, second: int, value: float, **fields: object) -> bytes:
    """The same, encoded."""
    return READING.value(row(name, second, value, **fields))


def confluent(ident: int, fields: Mapping[str, Any]) -> bytes:
    """A raw reading in Confluent's wire format, written with the registry's schema."""
    writer = Encoder.__new__(Encoder)
    writer._prefix = prefix(Kind.CONFLUENT, ident)
    writer._schema = fastavro.parse_schema(dict(SCHEMA_IDS.get(ident, SCHEMA)))
    return writer.value(dict(fields))


def columnar(name: str, second: int, **arrays: object) -> bytes:
    """A raw batch of the case's own source."""
    return COLUMNAR.value({"source_id": f"edge-{name}", "gateway_time": BASE + second * 1_000_000, **arrays})


def reading(name: str, second: int, **arrays: object) -> bytes:
    """A record of `ot.reading.v1` with one reading, its arrays replaced by `arrays`."""
    whole: dict[str, Any] = {"site": "site-1", "work_center": "line-1", "signals": [f"signal-{name}"]}
    whole |= {"sources": [f"edge-{name}"], "signal": [0], "source": [0], "event_time": [BASE + second * 1_000_000]}
    return VALIDATED.value({**whole, "value_double": [1.0], "quality": [0], "ingest_time": NOW, **arrays})
