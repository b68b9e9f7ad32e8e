"""Each bad input by name: it ends where it should, its neighbours survive."""

from __future__ import annotations

import math

import polars as pl
import pytest

from streams.core.validate.stage import ValidateConfig
from tests.core.validate_run import (
    DAY,
    MOMENT,
    NOW,
    RAW_BATCH,
    RAW_READING,
    SCHEMAS,
    Run,
    record,
    signal,
)


@pytest.mark.parametrize("role", ["measurement", "total_counter", "state"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_leaves_a_bad_reading_without_value(value: float, role: str) -> None:
    """The gap stays visible: nothing is rejected, the value is null, the quality bad, and it is counted."""
    run = Run([signal("x", "X", role=role)]).step(record(RAW_READING, 1, address="X", value_double=value))
    (reading,) = run.readings
    assert (reading["value_double"], reading["value_long"], reading["value_string"]) == (None, None, None)
    assert reading["quality"] == 2
    assert run.counts["values", "not_finite"] == 1
    assert not run.rejects


def test_a_bad_reading_without_value_stays_a_good_one_is_rejected() -> None:
    """No value with a bad code is the message that there is none; with a good code it cannot be interpreted."""
    run = Run([signal("x", "X")]).step(
        record(RAW_READING, 1, address="X", quality_raw=0x80000000, quality_scheme="opcua"),
        record(RAW_READING, 2, address="X"),
    )
    assert [(row["quality"], row["value_double"]) for row in run.readings] == [(2, None)]
    assert run.rejects == [("no_value", RAW_READING, 3, 2, None, "edge-1", "X")]


@pytest.mark.parametrize("stamp", [NOW + 365 * DAY, 0, 2**63 - 1, NOW // 1_000])
def test_an_impossible_stamp_is_rejected_and_its_neighbours_survive(stamp: int) -> None:
    """A year ahead, 1970, the largest long, milliseconds taken for microseconds: rejected with both times."""
    run = Run([signal("x", "X")]).step(
        record(RAW_READING, 1, address="X", value_double=1.0),
        record(RAW_READING, 2, address="X", value_double=2.0, source_time=stamp),
        record(RAW_READING, 3, address="X", value_double=3.0),
    )
    assert [row["value_double"] for row in run.readings] == [1.0, 3.0]
    assert [reject[0] for reject in run.rejects] == ["impossible_time"]
    assert str(stamp) in run.rows("ot.reading.rejected.v1")[0]["detail"]
    assert run.counts["rejects", "impossible_time"] == 1


def test_a_record_without_any_time_is_rejected() -> None:
    """No stamp of the source, the gateway or the broker: there is nothing to order it by."""
    run = Run([signal("x", "X")]).step(
        record(RAW_READING, 1, address="X", value_double=1.0, source_time=None, _time=-1)
    )
    assert [reject[0] for reject in run.rejects] == ["no_time"]


def test_arrays_of_unequal_length_reject_their_batch_only() -> None:
    """The other batches of the chunk pass; the reject has the coordinates of the batch and no place in it."""
    run = Run([signal("x", "X")]).step(
        record(RAW_BATCH, 1, address=["X", "X"], value_double=[1.0, 2.0], gateway_time=NOW),
        record(RAW_BATCH, 2, address=["X", "X"], value_double=[3.0], gateway_time=NOW),
        record(RAW_BATCH, 3, address=None, value_double=[4.0], gateway_time=NOW),
        record(RAW_BATCH, 4, address=["X"], value_double=[5.0], gateway_time=NOW),
    )
    assert [row["value_double"] for row in run.readings] == [1.0, 2.0, 5.0]
    assert [(reject[0], reject[3], reject[4]) for reject in run.rejects] == [
        ("unequal_lengths", 2, None),
        ("unequal_lengths", 3, None),
    ]


def test_an_empty_batch_is_counted_and_gives_nothing() -> None:
    """Neither a reading nor a reject: empty arrays, or none at all."""
    run = Run([signal("x", "X")]).step(
        record(RAW_BATCH, 1, address=[], value_double=[]), record(RAW_BATCH, 2, address=None)
    )
    assert run.counts == {("batches", "empty"): 2}
    assert not run.out


def test_a_reject_inside_a_batch_names_its_place() -> None:
    """Coordinates are topic, partition, offset and the position in the batch."""
    run = Run([signal("x", "X")]).step(
        record(RAW_BATCH, 7, address=["X", None, "X"], value_string=["1.5", "2", "abc"], gateway_time=NOW)
    )
    assert run.rejects == [
        ("no_address", RAW_BATCH, 3, 7, 1, "edge-1", None),
        ("type_mismatch", RAW_BATCH, 3, 7, 2, "edge-1", "X"),
    ]
    assert "abc" in run.rows("ot.reading.rejected.v1")[1]["detail"]
    assert [row["value_double"] for row in run.readings] == [1.5]


def test_bytes_are_text_of_a_batch_id_and_nothing_else() -> None:
    """UTF-8 for batch_id and phase; for a measurement, or if they are no UTF-8, a type mismatch."""
    rows = [signal("b", "B", role="batch_id"), signal("x", "X"), signal("s", "S", role="state")]
    run = Run(rows).step(
        record(RAW_READING, 1, address="B", value_bytes=b"L-17"),
        record(RAW_READING, 2, address="B", value_bytes=b"\xff\xfe"),
        record(RAW_READING, 3, address="X", value_bytes=b"1"),
        record(RAW_READING, 4, address="S", value_bytes=b"1"),
    )
    assert [row["value_string"] for row in run.readings] == ["L-17"]
    assert [(reject[0], reject[3]) for reject in run.rejects] == [("type_mismatch", n) for n in (2, 3, 4)]


def test_faults_of_the_dictionary_are_counted_once_per_version_and_cost_only_their_row() -> None:
    """A factor of 0 makes its signal unknown; the others pass; the next chunk does not count it again."""
    run = Run([signal("x", "X"), signal("y", "Y", factor=0.0)])
    for offset in (1, 2):
        run.step(
            record(RAW_READING, offset, address="X", value_double=1.0),
            record(RAW_READING, offset, address="Y", value_double=1.0),
        )
    assert run.counts["context_faults", "bad_scale"] == 1
    assert (len(run.readings), run.counts["unknown", "readings"]) == (2, 2)


def test_an_empty_dictionary_makes_every_signal_unknown() -> None:
    """Nothing is lost or rejected before the dictionary is written."""
    run = Run([]).step(record(RAW_READING, 1, address="X", value_double=1.0))
    assert run.counts["unknown", "readings"] == 1
    assert not run.readings
    assert not run.rejects


def test_a_chunk_without_rows_gives_nothing() -> None:
    """Of either topic."""
    run = Run([signal("x", "X")])
    for topic, schema in SCHEMAS.items():
        result = run.stage.step(topic, pl.DataFrame(schema=schema), run.state, run.context, MOMENT)
        assert (dict(result.changes), dict(result.out), dict(result.counts)) == ({}, {}, {})


def test_limits_that_are_not_positive_are_named() -> None:
    """A wrong setting stops the start, every fault in one message."""
    with pytest.raises(ValueError, match=r"max_future_s, inventory_limit: set a positive number"):
        ValidateConfig(max_future_s=0, inventory_limit=-1)


def test_endless_names_do_not_make_endless_rejects() -> None:
    """A reject keeps the first 1,024 characters of what a source calls itself and its signal: it fits into a record."""
    names = {"source_id": "s" * 2_000_000, "site": "h" * 2_000_000, "tenant": "t" * 2_000_000}
    fields = {**names, "address": ["a" * 2_000_000], "value_double": [1.0], "source_time": [0]}
    run = Run([signal("x", "X")]).step(record(RAW_BATCH, 1, **fields))
    (row,) = run.rows("ot.reading.rejected.v1")
    assert row["reason"] == "impossible_time"
    assert [len(row[name]) for name in ("source_id", "site", "tenant", "address")] == [1_024] * 4


def test_endless_names_do_not_make_endless_inventories() -> None:
    """Site and tenant of an unknown signal are kept to 64 characters each."""
    run = Run([]).step(record(RAW_READING, 1, address="X", site="h" * 2_000_000, tenant="t" * 2_000_000))
    (row,) = run.rows("ot.signal.unknown.v1")
    assert (len(row["site"]), len(row["tenant"])) == (64, 64)
