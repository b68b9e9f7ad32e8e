"""Rows encoded at once are what fastavro encodes one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import topology
from streams.kafka.avro import codec, contracts
from streams.kafka.avro.row_codec import RowEncoder, writable
from streams.kafka.avro.writer import columns, core, stripped

PRIMITIVES: Final[Mapping[str, st.SearchStrategy[object]]] = {
    "string": st.text(max_size=70),
    "bytes": st.binary(max_size=70),
    "long": st.integers(-(2**63), 2**63 - 1),
    "int": st.integers(-(2**31), 2**31 - 1),
    "double": st.floats(allow_nan=False),
    "boolean": st.booleans(),
}
WRITABLE: Final = (topology.EVIDENCE, topology.WINDOW, topology.ALERT, topology.KPI, topology.LATE, topology.REJECTED)


def cell(declared: Any) -> st.SearchStrategy[object]:
    """Values of a flat Avro type."""
    kind, nullable = core(declared)
    value = st.lists(cell(kind["items"]), max_size=4) if isinstance(kind, Mapping) else PRIMITIVES[kind]
    return st.none() | value if nullable else value


def rows(topic: str, most: int = 5) -> st.SearchStrategy[list[dict[str, object]]]:
    """Rows of a contract."""
    fields = stripped(contracts.load(topic).schema)["fields"]
    row = st.fixed_dictionaries({part["name"]: cell(part["type"]) for part in fields})
    return st.lists(row, min_size=1, max_size=most)


def frame(topic: str, found: list[dict[str, object]]) -> pl.DataFrame:
    """The rows as a stage gives them."""
    return pl.DataFrame(found, schema=columns(contracts.load(topic).schema), orient="row")


@pytest.mark.parametrize("topic", WRITABLE, ids=lambda topic: topic.name)
@given(data=st.data())
@settings(max_examples=30)
def test_each_value_is_what_fastavro_writes(topic: topology.Topic, data: st.DataObject) -> None:
    """Key and value of every row, in order, are byte for byte those of the encoder that goes row by row."""
    framing = codec.single_object()
    given_ = frame(topic.name, data.draw(rows(topic.name)))
    fast = RowEncoder(topic.name, framing, topic.key, few=0)
    assert fast.encode(given_) == codec.Encoder(topic.name, framing, topic.key).encode(given_)
    # Of two that are one after another each is what it is alone.
    assert fast.encode(pl.concat([given_, given_])) == [*fast.encode(given_), *fast.encode(given_)]


def test_columns_that_a_frame_lacks_take_the_contracts_default() -> None:
    """As fastavro does it: evidence of which only what has no default is told."""
    topic, framing = topology.EVIDENCE, codec.single_object()
    told = {"evidence_id": "flow:1", "kind": "flow", "site": "s", "event_time": 5, "begin_time": 5, "type": "ssh"}
    given_ = pl.DataFrame([told, told])
    encoded = RowEncoder(topic.name, framing, topic.key, few=0).encode(given_)
    assert encoded == codec.Encoder(topic.name, framing, topic.key).encode(given_)


@pytest.mark.parametrize(
    ("column", "value", "named"),
    [("message", None, "message"), ("actors", None, "actors"), ("members", ["a", None], "in an array")],
)
def test_a_null_that_the_contract_does_not_have_is_refused(column: str, value: Any, named: str) -> None:
    """It is a fault of the stage, told by its column; nothing is written."""
    topic = topology.EVIDENCE.name
    fields = stripped(contracts.load(topic).schema)["fields"]
    blank: dict[str, Any] = {part["name"]: part.get("default") for part in fields}
    blank |= dict.fromkeys(("evidence_id", "kind", "site", "type"), "x") | {"event_time": 1, "begin_time": 1}
    encoder = RowEncoder(topic, codec.single_object(), "site", few=0)
    assert len(encoder.encode(frame(topic, [blank, blank]))) == 2
    with pytest.raises(ValueError, match=f"null where the contract has none: {named}"):
        encoder.encode(frame(topic, [blank, blank | {column: value}]))


def test_only_contracts_in_the_right_shape_are_written_that_way() -> None:
    """Flat ones are; context with maps, and incidents with records in an array, are not."""
    row_topics = [topic for topic in topology.topics() if topic.layout == "row"]
    found = {topic for topic in row_topics if writable(contracts.load(topic.name).schema)}
    assert found >= set(WRITABLE)
    assert not found & {topology.INCIDENT, topology.INCIDENT_CURRENT, topology.SIGNAL}
