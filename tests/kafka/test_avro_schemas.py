"""Writer schemas: both framings, several versions at once, and schemas that nobody knows."""

from __future__ import annotations

import json

import pytest

from streams.kafka.avro import block as avro_block
from streams.kafka.avro import contracts
from streams.kafka.avro import wire as avro_wire
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.avro.wire import Kind
from tests.kafka.batches import Item, batch, body, fetch_blocks, framed
from tests.kafka.readings import CONTRACT, ROW, decode, items, places, refused, value

CONFLUENT_ID = 4711


@pytest.mark.parametrize("ident", [0, 1, CONFLUENT_ID, 0x0100807F, 0x010080FF, 0x0000C07F, 2**32 - 1])
def test_confluent_framing(ident: int) -> None:
    """Ids that are not known yet are asked for; once told, blocks decode at once; rows keep their order. Ids whose
    bytes are no number when read as a float (signalling NaN among them) are ids like any other.
    """
    blocks = fetch_blocks(batch([Item(value(0, ident)), Item(value(1, ident))]), batch(items(2), 2))
    schemas = WriterSchemas(CONTRACT, registry=True)
    assert avro_block.decode(blocks, schemas).needs == {ident}
    schemas.add(ident, CONTRACT.text)
    decoded = avro_block.decode(blocks, schemas)
    assert not decoded.needs
    assert decoded.slow_batches == 0
    assert places(decoded) == [(0, 0), (1, 1), (2, 2)]


def test_schemas_that_nobody_knows() -> None:
    """An unknown fingerprint, an id without a registry, one the registry does not know: schema_unknown, each alone."""
    stranger = avro_wire.prefix(Kind.SINGLE_OBJECT, 1) + body(CONTRACT, ROW)
    records = [Item(value(0)), Item(stranger), Item(value(2, CONFLUENT_ID)), Item(value(3))]
    decoded = decode(batch(records))
    assert refused(decoded) == [("schema_unknown", 1), ("schema_unknown", 2)]
    assert places(decoded) == [(0, 0), (3, 3)]
    schemas = WriterSchemas(CONTRACT, registry=True)
    schemas.add(CONFLUENT_ID, None, "deleted")
    decoded = avro_block.decode(fetch_blocks(batch([Item(value(2, CONFLUENT_ID))])), schemas)
    assert decoded.rejects["detail"].to_list() == [f"schema id {CONFLUENT_ID}: deleted"]


def test_producers_of_several_versions_in_one_chunk() -> None:
    """Older, newer and reordered schemas are completed with defaults, promoted, converted, and stay in offset order."""
    fields = list(CONTRACT.schema["fields"])
    older = {
        **CONTRACT.schema,
        "fields": [part for part in fields if part["name"] not in {"birth", "site", "sequence"}],
    }
    swap = {"sequence": ["null", "int"], "source_time": ["null", {"type": "long", "logicalType": "timestamp-millis"}]}
    newer = {**CONTRACT.schema, "fields": [
        {"name": "line", "type": "string", "default": "L1"},
        *({**part, "type": swap.get(part["name"], part["type"])} for part in reversed(fields)),
    ]}  # fmt: skip
    schemas = WriterSchemas(CONTRACT, registry=True)
    writers = {11: older, 12: newer}
    for ident, schema in writers.items():
        schemas.add(ident, json.dumps(schema))

    def item(offset: int, ident: int) -> Item:
        time = ROW["source_time"] // (1000 if ident == 12 else 1)
        row = ROW | {"sequence": offset, "source_time": time}
        return Item(framed(contracts.Contract("", writers[ident], 0), row, ident))

    blocks = fetch_blocks(batch([item(0, 11)]), batch([item(1, 12), *items(2)], 1), batch([item(3, 12)], 3))
    decoded = avro_block.decode(blocks, schemas)
    assert (decoded.slow_batches, decoded.rejects.height) == (1, 0)
    assert places(decoded) == [(0, None), (1, 1), (2, 2), (3, 3)]
    assert decoded.frame["site"].to_list() == ["", "plant", "plant", "plant"]
    assert decoded.frame["birth"].to_list() == [False, True, True, True]
    assert set(decoded.frame["source_time"]) == {ROW["source_time"]}


def test_writer_schemas_that_do_not_resolve() -> None:
    """A field without default missing, another type, a record that contains itself: told, and never decoded."""
    text = {"name": "source_id", "type": "long"}
    recursive = {"name": "more", "type": ["null", "RawReading"], "default": None}
    fields = list(CONTRACT.schema["fields"])
    for changed_fields in (fields[1:], [text, *fields[1:]], [*fields, recursive]):
        schemas = WriterSchemas(CONTRACT, registry=True)
        schemas.add(7, json.dumps({**CONTRACT.schema, "fields": changed_fields}))
        decoded = avro_block.decode(fetch_blocks(batch([Item(value(0, 7))])), schemas)
        assert decoded.rejects["reason"].to_list() == ["schema_unknown"]
        assert "does not resolve" in decoded.rejects["detail"][0]
    for nonsense in ("{", '"string"', '{"type": "unheard-of"}'):
        schemas = WriterSchemas(CONTRACT, registry=True)
        schemas.add(7, nonsense)
        decoded = avro_block.decode(fetch_blocks(batch([Item(value(0, 7))])), schemas)
        assert decoded.rejects["reason"].to_list() == ["schema_unknown"]
