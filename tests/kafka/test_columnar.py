"""Columnar records: what is packed is unpacked, and records that contradict themselves are rejected alone."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from streams.core.frames import COORDINATES, ID, READING
from streams.kafka.avro import block as avro_block
from streams.kafka.avro import columnar, contracts
from streams.kafka.avro import pack as columnar_pack
from streams.kafka.avro.block import Decoded
from streams.kafka.avro.codec import single_object
from streams.kafka.avro.schemas import WriterSchemas
from tests.kafka.batches import T0_MS, Item, batch, fetch_blocks, framed

CONTRACT = contracts.load("ot.reading.v1")
PREFIX = single_object().prefix(CONTRACT.topic)
_LONG = st.integers(-(2**63), 2**63 - 1)
_TEXT = st.text(max_size=5)

readings = st.lists(
    st.fixed_dictionaries({
        "site": st.sampled_from(["plant", "works"]),
        "tenant": st.sampled_from([None, "acme"]),
        "work_center": st.sampled_from(["line-1", "line-2", "línea"]),
        "signal_id": _TEXT,
        "source_id": st.sampled_from(["edge-1", "edge-2"]),
        "event_time": _LONG,
        "ingest_time": st.integers(0, 10),
        "value_double": st.none() | st.floats(),
        "value_long": st.none() | _LONG,
        "value_string": st.none() | _TEXT,
        "quality": st.integers(0, 2),
        "quality_raw": st.none() | _LONG,
        "quality_scheme": st.none() | st.integers(0, 3),
        "flags": st.integers(0, 31),
        "sequence": st.none() | _LONG,
    }),
    max_size=30,
)  # fmt: skip


def flat(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """A frame of readings."""
    return pl.DataFrame(rows, schema=READING, orient="row")


def unpacked(records: list[tuple[bytes, bytes]]) -> Decoded:
    """The records through a batch and the decoder."""
    items = [Item(value, key) for key, value in records]
    return columnar.unpack(avro_block.decode(fetch_blocks(batch(items)), WriterSchemas(CONTRACT)), "readings")


def many(rows: int, lines: int = 1, text: str | None = None) -> pl.DataFrame:
    """Readings of some lines in turn."""
    number = pl.int_range(rows, eager=True)
    constants = {"site": "plant", "source_id": "edge-1", "ingest_time": 5, "value_double": 0.5, "quality": 0,
                 "flags": 0, "value_string": text}  # fmt: skip
    columns = {"work_center": "line-" + (number % lines).cast(pl.String), "event_time": number,
               "signal_id": "signal-" + (number % 700).cast(pl.String)}  # fmt: skip
    frame = pl.DataFrame(columns).with_columns(pl.lit(value).alias(name) for name, value in constants.items())
    missing = [pl.lit(None).alias(name) for name in READING if name not in frame.columns]
    return frame.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in READING.items())


@given(rows=readings)
@settings(max_examples=60)
def test_unpack_gives_back_what_pack_took(rows: list[dict[str, Any]]) -> None:
    """All readings, by work center in their order; the ingest time is the earliest of the record."""
    records = columnar.pack(flat(rows), PREFIX)
    assert len(records) == len({(row["site"], row["tenant"], row["work_center"]) for row in rows})
    expected: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        expected.setdefault((row["site"], row["tenant"], row["work_center"]), []).append(row)
    if not records:
        return
    decoded = unpacked(records)
    assert decoded.rejects.height == 0
    assert decoded.frame.schema == pl.Schema({**READING, **COORDINATES})
    for part in decoded.frame.partition_by("_offset", maintain_order=True):
        place = part.select(pl.col("site", "tenant", "work_center").cast(pl.String)).row(0)
        group = expected.pop(place)
        earliest = min(row["ingest_time"] for row in group)
        assert_frame_equal(part.select(READING.names()), flat([row | {"ingest_time": earliest} for row in group]))
    assert not expected


@given(rows=readings.filter(bool))
@settings(max_examples=30)
def test_packed_records_are_values_of_the_contract(rows: list[dict[str, Any]]) -> None:
    """Fastavro reads each to its last byte under the contract; keys are work centers; no array without values."""
    schema = fastavro.parse_schema(dict(CONTRACT.schema))
    for key, value in columnar.pack(flat(rows), PREFIX):
        stream = io.BytesIO(value[len(PREFIX) :])
        record: Any = fastavro.schemaless_reader(stream, schema, None)
        assert (value[: len(PREFIX)], stream.read()) == (PREFIX, b"")
        assert key.decode() == record["work_center"]
        assert len(set(record["signals"])) == len(record["signals"])
        assert all(values is None or any(item is not None for item in values) for name, values in record.items()
                   if name in columnar_pack.VALUES)  # fmt: skip


def test_many_lines_and_many_readings() -> None:
    """Records are split by rows and stay below the limit; with few or many dictionaries the same comes back."""
    for lines, table in ((1, 1 << 21), (40, 1 << 21), (40, 1)):
        frame = many(30_000, lines)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(columnar_pack, "_TABLE_SLOTS", table)
            records = columnar.pack(frame, PREFIX)
        assert all(len(value) < columnar_pack.LIMIT_BYTES for _, value in records)
        back = unpacked(records).frame
        assert_frame_equal(back.select(READING.names()).sort("event_time"), frame)


@given(steps=st.lists(st.sampled_from([0, 1, 400_000, 999_999, 1_000_000, 90_000_000]), min_size=1, max_size=40))
@settings(max_examples=40)
def test_readings_of_one_record_came_within_a_second(steps: list[int]) -> None:
    """Where `validate` catches up minutes are read at once: the one ingest time of a record must not hide that."""
    came = np.cumsum(steps)
    frame = many(came.size, lines=2).with_columns(ingest_time=pl.Series(came))
    back = unpacked(columnar.pack(frame, PREFIX)).frame.select("event_time", told="ingest_time", place="_offset")
    both = back.sort("event_time").with_columns(came=pl.Series(came))
    assert ((both["came"] - both["told"]).is_between(0, columnar_pack.SPAN_US - 1)).all()
    assert back.select(pl.col("event_time").is_sorted().over("place")).to_series().all()


def test_records_that_would_be_too_large_are_split() -> None:
    """Long texts: records are halved until they are below the limit; a reading larger than that stays one record."""
    records = columnar.pack(many(3000, text="x" * 3000), PREFIX)
    assert len(records) > 9
    assert max(len(value) for _, value in records) < columnar_pack.LIMIT_BYTES
    assert unpacked(records).frame["event_time"].to_list() == list(range(3000))
    assert len(columnar.pack(many(2, text="x" * 1_000_000), PREFIX)) == 2


def test_nothing_packs_to_nothing() -> None:
    """No readings: no records; no records: no readings, with all columns."""
    assert columnar.pack(flat([]), PREFIX) == []
    empty = columnar.unpack(avro_block.decode([], WriterSchemas(CONTRACT)), "readings")
    assert empty.frame.schema == pl.Schema({**READING, **COORDINATES})


GOOD: dict[str, Any] = {"site": "plant", "work_center": "line-1", "ingest_time": 5, "signals": ["a", "b"],
                        "sources": ["edge-1"], "signal": [0, 1, 1], "source": [0, 0, 0], "event_time": [1, 2, 3],
                        "value_double": [0.5, None, 1.5], "quality": [0, 0, 0]}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "detail", "reason"),
    [
        ({"event_time": [1, 2]}, "event_time has 2 items, signal has 3", "unequal_lengths"),
        ({"value_double": []}, "value_double has 0 items, signal has 3", "unequal_lengths"),
        ({"sequence": [1, 2, 3, 4]}, "sequence has 4 items, signal has 3", "unequal_lengths"),
        ({"quality": None}, "array quality is missing", "unequal_lengths"),
        ({"signals": None}, "array signals is missing", "unequal_lengths"),
        ({"signal": [0, 1, 2]}, "array signal points beyond signals", "undecodable"),
        ({"source": [0, -1, 0]}, "array source points beyond sources", "undecodable"),
        ({"signal": [0, None, 1]}, "array signal points beyond signals", "undecodable"),
        ({"sources": []}, "array source points beyond sources", "undecodable"),
        ({"quality": [0, 3, 0]}, "array quality holds something other than 0, 1, 2", "undecodable"),
        ({"quality": [0, 128, None]}, "array quality holds something other than 0, 1, 2", "undecodable"),
        ({"quality_scheme": [0, 4, 0]}, "array quality_scheme holds an unknown scheme", "undecodable"),
        ({"event_time": [1, None, 3]}, "array event_time holds a null", "undecodable"),
    ],
)
def test_a_record_that_contradicts_itself_is_rejected_alone(change: dict[str, Any], detail: str, reason: str) -> None:
    """Arrays of unequal length, missing ones, items that cannot be: told by record, and the others survive."""
    values = [framed(CONTRACT, row) for row in (GOOD, GOOD | change, GOOD | {"sequence": [7, 8, 9]}, GOOD | change)]
    decoded = unpacked([(b"line-1", value) for value in values])
    assert decoded.rejects.select("reason", "detail", "topic", "offset", "ingest_time").rows() == [
        (reason, detail, "readings", 1, (T0_MS + 1) * 1000),
        (reason, detail, "readings", 3, (T0_MS + 3) * 1000),
    ]
    assert decoded.frame["_offset"].to_list() == [0, 0, 0, 2, 2, 2]
    assert decoded.frame["sequence"].to_list() == [None, None, None, 7, 8, 9]
    assert decoded.frame["signal_id"].cast(pl.String).to_list() == ["a", "b", "b"] * 2
    assert decoded.frame["value_double"].to_list() == [0.5, None, 1.5] * 2


def test_identifiers_are_equal_in_every_frame() -> None:
    """Categories of two chunks are the same: frames of different records concatenate and compare."""
    first, second = (unpacked(columnar.pack(many(5, lines), PREFIX)).frame for lines in (1, 2))
    both = pl.concat([first, second])
    assert both["signal_id"].dtype == ID
    assert (both["signal_id"][:5].to_physical() == first["signal_id"].to_physical()).all()
    assert np.unique(both["signal_id"].to_physical().to_numpy()).size == 5
