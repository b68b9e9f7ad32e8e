"""The compiled scan of flat records says what the record-by-record path says, on sound bytes and on damaged ones."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from streams.kafka.avro import block as avro_block
from streams.kafka.avro import contracts
from streams.kafka.avro import writer as avro_writer
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.avro.wire import Kind
from streams.kafka.blocks.block import Block
from tests.contracts.test_bulk_decoding import rows
from tests.kafka.batches import Item, batch, fetch_blocks, framed
from tests.kafka.readings import CONTRACT, ROW, decode, items, places, refused, value

FLAT = contracts.Contract(
    "ot.raw.reading.v1",
    {"type": "record", "name": "Flat", "fields": [
        {"name": f"{kind}_{number}", "type": shape}
        for kind in avro_writer.PRIMITIVES for number, shape in enumerate([kind, ["null", kind], [kind, "null"]])
    ]}, 0,
)  # fmt: skip
HOW = ["set", "cut", "drop", "double"]
HEADERS: st.SearchStrategy[Any] = st.lists(
    st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=5)), max_size=3
)


def both(blocks: list[Block], contract: contracts.Contract = CONTRACT) -> tuple[avro_block.Decoded, avro_block.Decoded]:
    """The blocks decoded by the scan, and record by record by fastavro."""
    by_scan, without = (WriterSchemas(contract, registry=True) for _ in range(2))
    for schemas in (by_scan, without):
        schemas.add(3, json.dumps(contract.schema))
    for kind, ident in ((Kind.SINGLE_OBJECT, contracts.fingerprint(contract.schema)), (Kind.CONFLUENT, 3)):
        writer = without.find(kind, ident)
        assert writer is not None
        object.__setattr__(writer, "fields", None)
    return avro_block.decode(blocks, by_scan), avro_block.decode(blocks, without)


@given(found=rows(FLAT), data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_primitive_at_once(found: list[dict[str, Any]], data: st.DataObject) -> None:
    """All primitives, null first or second or not at all, with any keys and headers: no batch goes record by record."""
    records = [
        Item(framed(FLAT, row, 3), data.draw(st.none() | st.binary(max_size=3)), data.draw(HEADERS)) for row in found
    ]
    decoded, without = both(fetch_blocks(batch(records)), FLAT)
    assert (decoded.slow_batches, decoded.rejects.height) == (0, 0)
    expected = pl.DataFrame(found, schema=avro_writer.columns(FLAT.schema), orient="row")
    assert_frame_equal(decoded.frame.select(expected.columns), expected)
    assert decoded.keyless == sum(record.key is None for record in records) == without.keyless


@given(
    rests=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(HOW), st.integers(0, 255)), max_size=3),
    unlike=st.booleans(),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_damage_is_judged_alike(rests: list[tuple[int, str, int]], unlike: bool) -> None:
    """Bytes of records changed, cut, left out or doubled: the same rows and the same rejects as one by one."""
    records = [Item(value(number), b"k" if unlike and number else None) for number in range(4)]
    (block,) = fetch_blocks(batch(records))
    body = bytearray(block.body)
    for place, how, byte in rests:
        at = place % max(len(body), 1)
        if how == "set" and body:
            body[at] = byte
        elif how == "cut":
            del body[at:]
        elif how == "drop":
            del body[at : at + byte % 20]
        else:
            body[at:at] = body[at : at + byte % 20]
    damaged = Block(block.topic, 0, 0, 4, block.header, (len(body),), bytes(body))
    decoded, without = both([damaged, *fetch_blocks(batch(items(4, 5), 4))])
    assert_frame_equal(decoded.frame, without.frame)
    assert_frame_equal(decoded.rejects.drop("detail"), without.rejects.drop("detail"))
    assert {4, 5} <= set(decoded.frame["_offset"])


def test_more_texts_than_are_worth_numbering() -> None:
    """70,000 different texts in one chunk: the rows are there all the same, none of them record by record."""
    texts = [f"lot-{number}" for number in range(70_000)]
    records = [Item(framed(CONTRACT, ROW | {"value_string": text})) for text in texts]
    decoded = decode(*(batch(records[base : base + 10_000], base) for base in range(0, len(records), 10_000)))
    assert decoded.frame["value_string"].to_list() == texts
    assert (decoded.slow_batches, decoded.rejects.height) == (0, 0)


def test_five_thousand_texts() -> None:
    """More than the first table has room for: scanned again with a larger one."""
    texts = [f"lot-{number}" for number in range(5000)]
    records = [Item(framed(CONTRACT, ROW | {"value_string": text, "sequence": None})) for text in texts]
    decoded = decode(batch(records))
    assert decoded.frame["value_string"].to_list() == texts
    assert decoded.frame["sequence"].null_count() == len(texts)


def test_a_text_that_is_no_utf8() -> None:
    """It is one reject; bytes that are no text are no fault, and the neighbours survive."""
    odd = value(1).replace(b"filler/speed", b"filler\xffspeed")
    decoded = decode(batch([*items(0), Item(odd), Item(framed(CONTRACT, ROW | {"value_bytes": b"\xff\x00"}))]))
    assert refused(decoded) == [("undecodable", 1)]
    assert decoded.frame["_offset"].to_list() == [0, 2]
    assert decoded.frame["value_bytes"].to_list() == [None, b"\xff\x00"]


def test_headers_without_end() -> None:
    """A record that announces more headers than it has bytes for is rejected, quickly."""
    data = value(1)
    (block,) = fetch_blocks(batch([Item(data)]))
    body = block.body[:-1] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"
    body = bytes([(len(block.body) + 7) * 2 % 128 | 0x80, (len(block.body) + 7) * 2 // 128]) + body[2:]
    decoded = decode_block(Block(block.topic, 0, 0, 1, block.header, (len(body),), body))
    assert (places(decoded), set(decoded.rejects["reason"])) == ([], {"undecodable"})


def decode_block(block: Block) -> avro_block.Decoded:
    """What one block decodes to."""
    return avro_block.decode([block], WriterSchemas(CONTRACT))
