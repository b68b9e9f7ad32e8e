"""A union index that is none of its branches: the record is refused, wherever it is and whoever stands beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.kafka.avro import block as avro_block
from streams.kafka.avro import branches, contracts
from streams.kafka.avro import writer as avro_writer
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.avro.wire import PREFIX_BYTES, Kind, read_varint
from tests.kafka.batches import Item, batch, fetch, framed

CONTRACT = contracts.load("ot.raw.batch.v1")
FIELDS = avro_writer.stripped(CONTRACT.schema)["fields"]
SCHEMAS = WriterSchemas(CONTRACT)
FRAMING = PREFIX_BYTES[Kind.SINGLE_OBJECT]
LONG = st.integers(-(2**63), 2**63 - 1)
ITEMS = {"string": st.text(max_size=3), "long": LONG, "double": st.floats(), "boolean": st.booleans()}


def unions(data: bytes, position: int = FRAMING) -> list[int]:
    """Where the union indices of a value stand, read by the letter of the specification."""
    found: list[int] = []

    def skip(kind: Any, at: int) -> int:
        if isinstance(kind, list):
            found.append(at)
            branch, at = read_varint(data, at)
            return skip(kind[branch], at)
        if isinstance(kind, dict):
            count, at = read_varint(data, at)
            while count:
                for _ in range(count):
                    at = skip(kind["items"], at)
                count, at = read_varint(data, at)
            return at
        if kind in {"string", "bytes"}:
            size, at = read_varint(data, at)
            return at + size
        return at + {"null": 0, "boolean": 1, "double": 8}[kind] if kind != "long" else read_varint(data, at)[1]

    for part in FIELDS:
        position = skip(part["type"], position)
    assert position == len(data)
    return found


@st.composite
def batches(draw: st.DrawFn) -> dict[str, Any]:
    """A batch with any of its fields, and nulls among their items."""
    row: dict[str, Any] = {"source_id": draw(ITEMS["string"]), "site": "s"}
    for part in FIELDS[2:]:
        kind, _ = avro_writer.core(part["type"])
        if isinstance(kind, str):
            row[part["name"]] = draw(st.none() | ITEMS[kind])
        else:
            items = st.none() | ITEMS[avro_writer.core(kind["items"])[0]]
            row[part["name"]] = draw(st.none() | st.lists(items, max_size=3))
    return row


@given(row=batches(), data=st.data(), wrong=st.sampled_from([1, 3, 4, 5, 6, 63, 127]), company=st.integers(0, 7))
@settings(max_examples=150)
def test_a_wrong_index_costs_its_record_and_no_other(
    row: dict[str, Any], data: st.DataObject, wrong: int, company: int
) -> None:
    """Any index of any union set to any other number: refused; in a block, among values, and alone."""
    sound = framed(CONTRACT, row)
    place = data.draw(st.sampled_from(unions(sound)))
    broken = sound[:place] + bytes([wrong]) + sound[place + 1 :]
    headers = [("h", b"")] if data.draw(st.booleans()) else []  # with headers a batch goes record by record
    items = [*[Item(sound, headers=headers)] * company, Item(broken, headers=headers)]
    decoded = avro_block.decode(fetch(batch(items)).items, SCHEMAS)
    assert decoded.rejects.select("offset", "reason").rows() == [(company, "undecodable")]
    whole = avro_block.decode(fetch(batch([Item(sound)] * max(1, company))).items, SCHEMAS).frame
    assert decoded.frame.equals(whole.head(company))


@given(rows=st.lists(batches(), min_size=1, max_size=9))
@settings(max_examples=60)
def test_sound_records_pass(rows: list[dict[str, Any]]) -> None:
    """Nothing that an encoder writes is refused, whatever is null."""
    decoded = avro_block.decode(fetch(batch([Item(framed(CONTRACT, row)) for row in rows])).items, SCHEMAS)
    assert (decoded.frame.height, decoded.rejects.height, decoded.slow_batches) == (len(rows), 0, 0)


@pytest.mark.parametrize("first", [True, False])
def test_null_may_stand_first_or_second(first: bool) -> None:
    """Arrays in several blocks, with their sizes or without, and unions in either order are walked through."""
    union = ["null", "long"] if first else ["long", "null"]
    null, present = (b"\x00", b"\x02") if first else (b"\x02", b"\x00")
    layout = branches.codes([{"name": "a", "type": {"type": "array", "items": union}}, {"name": "b", "type": union}])
    items = present + b"\x08" + null
    for array in (b"\x04" + items + b"\x00", b"\x03\x06" + items + b"\x02" + null + b"\x00", b"\x00"):
        values = [
            array + present + b"\x80\x01",
            array + null,
            array + b"\x01",
            array.replace(present + b"\x08", b"\x06\x08"),
        ]
        begins = np.cumsum([0, *map(len, values)])[:-1]
        wrong = b"\x06\x08" in values[3]
        values[3] += b"" if wrong else null
        assert branches.sound(b"".join(values), begins, layout).tolist() == [True, True, False, not wrong]


def test_what_only_we_write_is_not_walked_through() -> None:
    """Its writer is this program: the check, and the memory of its engine, are spared in the services behind."""
    ours = WriterSchemas(contracts.load("ot.reading.v1"))
    writer = ours.find(Kind.SINGLE_OBJECT, contracts.load("ot.reading.v1").fingerprint)
    assert writer is not None
    assert writer.sound(b"", np.zeros(0, np.int64)) is None
    assert pl.DataFrame(schema=ours.columns).columns == list(ours.columns)
