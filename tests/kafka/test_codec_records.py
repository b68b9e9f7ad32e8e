"""Arrays of records in row topics: an incident's causes."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from streams import topology
from streams.core.correlate.tables import EVIDENCE, INCIDENT
from streams.kafka.avro import codec, contracts
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.avro.writer import columns

TEXT = st.text(max_size=8)
CAUSES = st.lists(
    st.fixed_dictionaries(
        {
            "rank": st.integers(1, 9),
            "kind": TEXT,
            "reference": TEXT,
            "asset_id": st.none() | TEXT,
            "time": st.none() | st.integers(0, 2**50),
            "confidence": st.floats(0, 1),
            "text": TEXT,
            "evidence": st.lists(TEXT, max_size=3),
        }
    ),
    max_size=4,
)


def filled(causes: list[dict[str, Any]]) -> dict[str, Any]:
    """An incident with these causes, every other field the least that its type allows."""
    least: dict[type[pl.DataType], Any] = {pl.String: "", pl.List: [], pl.Boolean: False, pl.Int32: 0}
    row = {name: least.get(type(dtype)) for name, dtype in INCIDENT.items()}
    times = dict.fromkeys(("event_time", "begin_time", "detection_time"), 5)
    return {**row, **times, "site": "s", "incident_id": "i", "causes": causes}


def test_columns_are_those_of_the_contracts() -> None:
    """The core's columns of evidence and incidents are what the contracts become."""
    assert columns(contracts.load(topology.EVIDENCE.name).schema) == EVIDENCE
    assert columns(contracts.load(topology.INCIDENT.name).schema) == INCIDENT
    assert columns(contracts.load(topology.INCIDENT_CURRENT.name).schema) == INCIDENT


@given(CAUSES)
def test_records_in_arrays_are_written_and_read(causes: list[dict[str, Any]]) -> None:
    """What fastavro reads of a value is what was in the frame, and so is what our own reader makes of it."""
    name = topology.INCIDENT.name
    frame = pl.DataFrame([filled(causes)], schema=INCIDENT, orient="row")
    ((key, value),) = codec.Encoder(name, codec.single_object(), "site").encode(frame)
    assert key == b"s"
    bare = {**contracts.load(name).schema}
    read: Any = fastavro.schemaless_reader(io.BytesIO(value[10:]), fastavro.parse_schema(bare))
    assert [cause["reference"] for cause in read["causes"]] == [cause["reference"] for cause in causes]
    decoded = codec.decode([value], WriterSchemas(contracts.load(name)))
    assert codec.frame(decoded.rows.values(), name).equals(frame)
