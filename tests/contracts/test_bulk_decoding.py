"""Generated records of every bulk contract decode alike on all ways: blocks, values, and fastavro one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from streams import topology
from streams.kafka.avro import block as avro_block
from streams.kafka.avro import contracts
from streams.kafka.avro import sizes as avro_sizes
from streams.kafka.avro import values as avro_values
from streams.kafka.avro import writer as avro_writer
from streams.kafka.avro.schemas import WriterSchemas
from tests.kafka.batches import Item, batch, body, fetch_blocks, framed

BULK = [topic.name for topic in topology.topics() if topic.bulk]
ANY_SHAPE = contracts.Contract(
    "ot.raw.reading.v1",
    {"type": "record", "name": "Any", "fields": [
        {"name": f"{kind}_{number}", "type": shape}
        for kind in avro_writer.PRIMITIVES
        for number, shape in enumerate([
            kind, ["null", kind], [kind, "null"], {"type": "array", "items": kind},
            ["null", {"type": "array", "items": ["null", kind]}], {"type": "array", "items": [kind, "null"]},
        ])
    ]}, 0,
)  # fmt: skip
_VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1) | st.sampled_from([-65, -64, 63, 64, 8191, 8192, -8192, -8193]),
    "long": st.integers(-(2**63), 2**63 - 1) | st.sampled_from([s * 64 * 128**k + d for s in (1, -1) for k in range(8)
                                                               for d in (-1, 0)]),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(max_size=100),
    "string": st.text(max_size=100),
}  # fmt: skip


def values(schema: Any) -> st.SearchStrategy[Any]:
    """Values of a flat Avro type."""
    kind, nullable = avro_writer.core(schema)
    strategy = st.lists(values(kind["items"]), max_size=4) if isinstance(kind, Mapping) else _VALUES[kind]
    return st.none() | strategy if nullable else strategy


def rows(contract: contracts.Contract) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Records of a contract; a field is often the same in all of them, as in life."""
    fields = avro_writer.stripped(contract.schema)["fields"]
    record = st.fixed_dictionaries({part["name"]: values(part["type"]) for part in fields})
    return st.lists(record, min_size=1, max_size=8)


def _decoded(items: list[Item], schemas: WriterSchemas) -> avro_block.Decoded:
    middle = len(items) // 2
    parts = [batch(items[:middle]), batch(items[middle:], middle)] if middle else [batch(items)]
    return avro_block.decode(fetch_blocks(*parts), schemas)


def _expected(contract: contracts.Contract, found: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(found, schema=avro_writer.columns(contract.schema), orient="row")


@pytest.mark.parametrize("name", BULK)
@given(data=st.data(), confluent=st.booleans(), key=st.sampled_from([None, b"key"]))
@settings(max_examples=20)
def test_bulk_contracts_decode_alike_on_all_ways(name: str, data: st.DataObject, confluent: bool, key: bytes) -> None:
    """For any record: as blocks (none record by record), beside a tombstone (values), and singly; both framings."""
    contract = contracts.load(name)
    found = data.draw(rows(contract))
    schemas = WriterSchemas(contract, registry=True)
    schemas.add(3, contract.text)
    framings = [framed(contract, row, 3 if confluent else None) for row in found]
    blocks = _decoded([Item(value, key) for value in framings], schemas)
    assert (blocks.slow_batches, blocks.rejects.height) == (0, 0)
    slow = avro_block.decode(fetch_blocks(batch([*(Item(value, key) for value in framings), Item(None)])), schemas)
    assert (slow.slow_batches, slow.rejects.height) == (1, 1)
    assert_frame_equal(blocks.frame.drop("_time"), slow.frame.drop("_time"))
    assert (blocks.keyless, slow.keyless) == (0 if key else len(found), 0 if key else len(found))
    expected = _expected(contract, found)
    assert_frame_equal(blocks.frame.select(expected.columns), expected)
    writer = avro_writer.plan(contract.schema, contract.schema)
    assert_frame_equal(
        _expected(contract, [avro_values.single(body(contract, row), writer) for row in found]), expected
    )


@given(found=rows(ANY_SHAPE))
@settings(max_examples=25)
def test_every_shape_that_counts_as_flat_is_decoded_and_measured(found: list[dict[str, Any]]) -> None:
    """All primitives, nullable either way, and arrays of them: read_avro decodes, and sizes equal the bytes."""
    schemas = WriterSchemas(ANY_SHAPE, registry=True)
    schemas.add(3, json.dumps(ANY_SHAPE.schema))
    decoded = _decoded([Item(framed(ANY_SHAPE, row, 3)) for row in found], schemas)
    assert (decoded.slow_batches, decoded.rejects.height) == (0, 0)
    expected = _expected(ANY_SHAPE, found)
    assert_frame_equal(decoded.frame.select(expected.columns), expected)
    sizes = avro_sizes.rows(expected, avro_writer.stripped(ANY_SHAPE.schema)["fields"])
    assert sizes.tolist() == [len(body(ANY_SHAPE, row)) for row in found]
