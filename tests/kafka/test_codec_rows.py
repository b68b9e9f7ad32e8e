"""Rows encoded at once are what fastavro encodes one by one."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from streams import topology
from streams.kafka.avro import codec, contracts
from streams.kafka.avro.row_codec import RowEncoder, writable
from streams.kafka.avro.writer import columns

CONTRACT = contracts.load(topology.WINDOW.name)
COLUMNS = columns(CONTRACT.schema)
KINDS: dict[type[pl.DataType], st.SearchStrategy[object]] = {
    pl.String: st.text(max_size=70),
    pl.Int64: st.integers(-(2**63), 2**63 - 1),
    pl.Int32: st.integers(-(2**31), 2**31 - 1),
    pl.Float64: st.floats(allow_nan=False),
    pl.Boolean: st.booleans(),
}


def cell(dtype: pl.DataType) -> st.SearchStrategy[object]:
    if isinstance(dtype, pl.List):
        return st.none() | st.lists(KINDS[type(dtype.inner)] | st.none(), max_size=4)  # type: ignore[index]
    return st.none() | KINDS[type(dtype)]


@given(st.lists(st.fixed_dictionaries({name: cell(dtype) for name, dtype in COLUMNS.items()}), min_size=1, max_size=5))
def test_each_value_is_what_fastavro_writes(rows: list[dict[str, object]]) -> None:
    """Key and value of every row, in order, are byte for byte those of the encoder that goes row by row."""
    framing = codec.single_object()
    frame = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    fast = RowEncoder(topology.WINDOW.name, framing.prefix(topology.WINDOW.name), ["work_center"])
    assert fast.encode(frame) == codec.Encoder(topology.WINDOW.name, framing, "work_center").encode(frame)


def test_only_contracts_in_the_right_shape_are_written_that_way() -> None:
    """Windows are; alerts, with fields that are never null, are not."""
    assert writable(CONTRACT.schema)
    assert not writable(contracts.load(topology.ALERT.name).schema)
