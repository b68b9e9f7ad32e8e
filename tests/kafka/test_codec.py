"""Row topics: frames become records and come back; what cannot be read is a value."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from streams import topology
from streams.kafka.avro import codec, contracts
from streams.kafka.avro import wire as avro_wire
from streams.kafka.avro import writer as avro_writer
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.avro.wire import Kind
from tests.kafka.batches import framed

SIGNAL: dict[str, Any] = {
    "signal_id": "s-1", "site": "plant", "valid_from": 5, "valid_to": None, "source_id": "edge-1", "address": "a",
    "aliases": ["b", "c"], "work_center": "line-1", "factor": 0.1, "instrument_low": -1.5, "period_ms": 1000,
    "enumeration": [{"key": "0", "value": "stopped"}, {"key": "1", "value": "running"}], "window_lengths_s": [10, 60],
}  # fmt: skip
ROWS = [topic.name for topic in topology.topics() if topic.layout == "row"]


def example(kind: Any) -> Any:
    """A value of a column type."""
    if isinstance(kind, pl.List):
        # A map's keys are distinct: one entry.
        return [example(kind.inner)] * (1 if isinstance(kind.inner, pl.Struct) else 2)
    if isinstance(kind, pl.Struct):
        return {field.name: example(field.dtype) for field in kind.fields}
    return {pl.String(): "text", pl.Binary(): b"\0\1", pl.Boolean(): True}.get(kind, 3)


class Registrar:
    """A registry that numbers the subjects it is told."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    async def register(self, subject: str, schema: str) -> int:
        """The position of the subject, from 40 on."""
        assert contracts.parse(schema)
        self.subjects.append(subject)
        return 39 + len(self.subjects)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_topic_comes_back(name: str) -> None:
    """All columns with values, and with nulls where the contract allows them."""
    columns = avro_writer.columns(contracts.load(name).schema)
    full = {column: example(kind) for column, kind in columns.items()}
    optional = [part["name"] for part in contracts.load(name).schema["fields"] if isinstance(part["type"], list)]
    frame = pl.DataFrame([full, full | dict.fromkeys(optional)], schema=columns, orient="row")
    records = codec.Encoder(name, codec.single_object(), topology.topic(name).key).encode(frame)
    decoded = codec.decode([value for _, value in records], WriterSchemas(contracts.load(name)))
    assert not decoded.refused
    assert_frame_equal(codec.frame(decoded.rows.values(), name), frame)


def test_columns_that_are_not_there_take_the_default() -> None:
    """A frame may leave out what the contract has a default for; maps and arrays come back."""
    frame = pl.DataFrame([SIGNAL])
    ((key, value),) = codec.Encoder("it.signal.v1", codec.single_object(), "signal_id").encode(frame)
    (row,) = codec.decode([value], WriterSchemas(contracts.load("it.signal.v1"))).rows.values()
    assert key == b"s-1"
    assert {name: row[name] for name in SIGNAL} == SIGNAL
    assert (row["role"], row["offset"], row["tenant"]) == ("measurement", 0.0, None)


def test_a_row_that_does_not_fit_raises() -> None:
    """A column without default left out, or null where the contract knows none, is a fault of our code."""
    encoder = codec.Encoder("it.signal.v1", codec.single_object(), "signal_id")
    with pytest.raises((ValueError, TypeError)):
        encoder.encode(pl.DataFrame([SIGNAL]).drop("address"))
    with pytest.raises((ValueError, TypeError)):
        encoder.encode(pl.DataFrame([SIGNAL | {"address": None}]))


def test_keys() -> None:
    """One column, several joined by a slash, empty where null."""
    columns = avro_writer.columns(contracts.load("ot.reading.rejected.v1").schema)
    row = {name: example(kind) for name, kind in columns.items()} | {"source_id": "edge-1", "address": None}
    frame = pl.DataFrame([row], schema=columns, orient="row")
    for key, expected in (("source_id", b"edge-1"), ("source_id/address", b"edge-1/"), ("partition", b"3")):
        assert codec.Encoder("ot.reading.rejected.v1", codec.single_object(), key).encode(frame)[0][0] == expected


async def test_confluent_framing_registers_every_contract() -> None:
    """Subjects carry the topic prefix; values carry the id; a topic nobody registered has no prefix."""
    registrar = Registrar()
    framing = await codec.confluent(registrar, ["it.signal.v1", "ops.kpi.v1"], "dev.")
    assert registrar.subjects == ["dev.it.signal.v1-value", "dev.ops.kpi.v1-value"]
    assert framing.prefix("ops.kpi.v1") == b"\x00\x00\x00\x00\x29"
    with pytest.raises(KeyError):
        framing.prefix("it.asset.v1")
    ((_, value),) = codec.Encoder("it.signal.v1", framing, "signal_id").encode(pl.DataFrame([SIGNAL]))
    schemas = WriterSchemas(contracts.load("it.signal.v1"), registry=True)
    assert codec.decode([value], schemas).needs == {40}
    schemas.add(40, contracts.load("it.signal.v1").text)
    assert codec.decode([value], schemas).rows[0]["signal_id"] == "s-1"


def test_what_cannot_be_read_is_told_by_position() -> None:
    """Tombstones, bytes without framing, unknown schemas, values that end early or late: refused, the good kept."""
    contract = contracts.load("it.asset.v1")
    good = framed(contract, {"asset_id": "a-1", "path": "e/s", "interfaces": []})
    stranger = avro_wire.prefix(Kind.SINGLE_OBJECT, 7) + good[10:]
    values = [good, None, b"", b"{}", stranger, good[:-1], good + b"\0", avro_wire.prefix(Kind.CONFLUENT, 7), good]
    decoded = codec.decode(values, WriterSchemas(contract))
    assert sorted(decoded.rows) == [0, 8]
    assert [decoded.refused[position].reason for position in range(1, 8)] == [
        "tombstone", "undecodable", "undecodable", "schema_unknown", "undecodable", "undecodable", "schema_unknown",
    ]  # fmt: skip
    assert "fingerprint 0000000000000007" in decoded.refused[4].detail
