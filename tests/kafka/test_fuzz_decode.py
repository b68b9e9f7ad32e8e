"""The border to bytes: whatever is fetched, decoding returns rows and rejects, and never raises. Panics included."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from streams import topology
from streams.kafka.avro import block as avro_block
from streams.kafka.avro import codec, columnar, contracts
from streams.kafka.avro import wire as avro_wire
from streams.kafka.avro.block import Decoded
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.avro.wire import Kind
from streams.kafka.blocks import codecs as block_codecs
from streams.kafka.blocks.block import HEADER, Block
from streams.kafka.blocks.rejects import schema
from tests.kafka.batches import TOPIC, Item, batch, changed, fetch, framed

CONTRACTS = [contracts.load(topic.name) for topic in topology.topics() if topic.bulk]
SCHEMAS = {contract.topic: WriterSchemas(contract) for contract in CONTRACTS}
ROWS: dict[str, dict[str, Any]] = {
    "ot.raw.reading.v1": {"source_id": "edge-1", "address": "a", "value_double": 1.5, "value_string": "on"},
    "ot.raw.batch.v1": {"source_id": "edge-1", "address": ["a", "b"], "value_double": [1.5, None], "birth": [None]},
    "ot.reading.v1": {"site": "p", "work_center": "l", "signals": ["s"], "sources": ["e"], "signal": [0, 0],
                      "source": [0, 0], "event_time": [1, 2], "quality": [0, 0], "value_long": [5, None]},
    "it.access.v1": {"access_id": "a", "event_time": 5, "kind": "logon", "user": "u", "remote": True},
    "it.flow.v1": {"flow_id": "f", "event_time": 5, "service": "modbus", "destination_port": 502, "bytes_sent": 300},
    "ot.raw.alarm.v1": {"alarm_id": "a", "source_id": "plc", "event_time": 5, "code": "E7", "severity": "900"},
    "ops.alert.v1": {"alert_id": "a", "revision": 1, "reason": "opened", "kind": "alarm", "state": "active",
                     "rule_id": "r", "rule_version": 1, "work_center": "l", "event_time": 5, "begin_time": 5,
                     "detection_time": 6, "message": "m", "value": 1.5, "evidence": ["ot.reading.v1/0/7"]},
    "ops.evidence.v1": {"evidence_id": "alert:a", "kind": "alert", "site": "s", "event_time": 5, "begin_time": 5,
                        "type": "r", "actors": ["p", "q"], "evidence": ["ops.alert.v1/0/7"], "remote": False},
}  # fmt: skip
contract_of = st.sampled_from(CONTRACTS)


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Rust's panic hook writes to the process's standard error: thousands of expected panics would bury the rest."""
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def good(contract: contracts.Contract, count: int = 3, base: int = 0, codec_: int = 0) -> bytes:
    """A sound batch of a contract."""
    return batch([Item(framed(contract, ROWS[contract.topic]))] * count, base, codec_)


def block(body: bytes, count: int, header: bytes | None = None) -> Block:
    """A block as the fetcher would make it of these bytes."""
    head = header or good(CONTRACTS[0])[:61]
    head = head[:57] + struct.pack(">i", count)
    return Block(TOPIC, 0, 0, 10, head, (len(body),), body)


def check(decoded: Decoded) -> Decoded:
    """Rows and rejects have their columns, rows rise, nothing is both."""
    assert decoded.frame["_offset"].is_sorted()
    assert decoded.rejects.schema == schema()
    assert not set(decoded.rejects["offset"]) & set(decoded.frame["_offset"])
    assert decoded.rejects["payload"].drop_nulls().bin.size().max() in {None, *range(1025)}
    return decoded


def decode(contract: contracts.Contract, blocks: list[Block]) -> Decoded:
    """Decode as the services do, columnar records unpacked."""
    decoded = check(avro_block.decode(blocks, SCHEMAS[contract.topic]))
    return columnar.unpack(decoded, TOPIC) if contract.topic == "ot.reading.v1" else decoded


@given(contract=contract_of, body=st.binary(max_size=300), count=st.integers(-3, 20) | st.just(2**31 - 1))
@settings(max_examples=80)
def test_random_bodies(contract: contracts.Contract, body: bytes, count: int) -> None:
    """Random bytes in place of records."""
    decode(contract, [block(body, count)])


@given(contract=contract_of, tail=st.binary(max_size=200), key=st.sampled_from([None, b"k"]), count=st.integers(1, 5))
@settings(max_examples=80)
def test_random_values(contract: contracts.Contract, tail: bytes, key: bytes | None, count: int) -> None:
    """Random bytes under a known fingerprint; the readings beside them survive."""
    value = avro_wire.prefix(Kind.SINGLE_OBJECT, contract.fingerprint) + tail
    records = [Item(framed(contract, ROWS[contract.topic]), key), *[Item(value, key)] * count]
    decoded = decode(contract, fetch(batch(records) + good(contract, base=len(records))).items)
    assert {0, len(records), len(records) + 1, len(records) + 2} <= set(decoded.frame["_offset"])


@st.composite
def mutations(draw: st.DrawFn) -> tuple[contracts.Contract, bytes, int]:
    """Two sound batches with bytes changed, cut or doubled somewhere; (contract, bytes, where)."""
    contract = draw(contract_of)
    data = bytearray(
        good(contract, codec_=draw(st.sampled_from(range(len(block_codecs.NAMES))))) + good(contract, base=3)
    )
    place = draw(st.integers(0, len(data) - 1))
    kind = draw(st.sampled_from(["set", "cut", "double", "drop"]))
    if kind == "set":
        data[place] = draw(st.integers(0, 255))
    elif kind == "cut":
        del data[place:]
    elif kind == "double":
        data[place:place] = data[place : place + draw(st.integers(1, 40))]
    else:
        del data[place : place + draw(st.integers(1, 40))]
    return contract, bytes(data), place


@given(
    mutation=mutations(),
    offset=st.integers(0, 7),
    isolation=st.sampled_from([0, 1]),
    join=st.sampled_from([0, 1 << 16]),
)
@settings(max_examples=120)
def test_mutated_fetches(
    mutation: tuple[contracts.Contract, bytes, int], offset: int, isolation: int, join: int
) -> None:
    """Any damage to fetched bytes ends as a fault or a refetch; the position never goes back."""
    contract, data, _ = mutation
    for _ in range(2):  # the second time, what was suspect is believed
        found = fetch(data, offset, isolation=isolation, join=join)
        assert found.position >= offset
        decode(contract, found.items)


@given(contract=contract_of, change=st.dictionaries(st.integers(61, 400), st.integers(0, 255), min_size=1, max_size=4),
       codec_=st.sampled_from(range(len(block_codecs.NAMES))))  # fmt: skip
@settings(max_examples=120)
def test_damage_under_a_sound_checksum(contract: contracts.Contract, change: dict[int, int], codec_: int) -> None:
    """Records that a producer encoded wrongly: rows or rejects, and the batch beside them is read whole."""
    data = bytearray(good(contract, codec_=codec_))
    for place, value in change.items():
        data[61 + (place - 61) % (len(data) - 61)] = value
    decoded = decode(contract, fetch(changed(bytes(data)) + good(contract, base=3)).items)
    assert {3, 4, 5} <= set(decoded.frame["_offset"])
    assert decoded.frame["_offset"].unique().len() + decoded.rejects.height >= 4


@given(contract=contract_of, place=st.integers(10, 200), byte=st.integers(0, 255))
@settings(max_examples=80)
def test_one_wrong_byte_in_a_value_costs_that_record_at_most(
    contract: contracts.Contract, place: int, byte: int
) -> None:
    """The records before and after it in the same batch are exactly what they were."""
    sound = framed(contract, ROWS[contract.topic])
    assume(place < len(sound))
    broken = sound[:place] + bytes([byte]) + sound[place + 1 :]
    expected = decode(contract, fetch(good(contract)).items).frame
    decoded = decode(contract, fetch(batch([Item(sound), Item(broken), Item(sound)])).items)
    others = pl.col("_offset") != 1
    assert decoded.frame.filter(others).equals(expected.filter(others))
    assert 1 in set(decoded.frame["_offset"]) | set(decoded.rejects["offset"])


@given(header=st.binary(min_size=61, max_size=61), count=st.integers(0, 5))
@settings(max_examples=60)
def test_random_headers(header: bytes, count: int) -> None:
    """Headers of any content over a sound body, as a fault of ours would make them: no exception either."""
    fields = HEADER.unpack(header)
    head = HEADER.pack(*fields[:12], count)
    check(avro_block.decode([block(good(CONTRACTS[0])[61:], count, head)], SCHEMAS[CONTRACTS[0].topic]))


@given(value=st.none() | st.binary(max_size=100), tail=st.binary(max_size=100))
@example(value=b"", tail=b"\xff" * 10)
@settings(max_examples=80)
def test_row_topics(value: bytes | None, tail: bytes) -> None:
    """Single records, framed or not: a row or a refusal for each."""
    contract = contracts.load("it.signal.v1")
    framed_value = avro_wire.prefix(Kind.SINGLE_OBJECT, contract.fingerprint) + tail
    decoded = codec.decode([value, framed_value], WriterSchemas(contract))
    assert sorted([*decoded.rows, *decoded.refused]) == [0, 1]
