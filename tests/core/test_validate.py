"""What the validate stage makes of ordinary readings, one fact per test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streams.core.frames import COORDINATES, READING
from streams.core.validate import inventory
from streams.core.validate.rejects import REJECTED
from streams.core.validate.unpack import ARRAYS, RAW
from tests.core.validate_run import (
    NOW,
    RAW_READING,
    SCHEMAS,
    Run,
    S,
    record,
    signal,
)


def test_a_reading_leaves_scaled_under_its_signal_and_line() -> None:
    """Value * factor + offset, identity from the dictionary, times, code and sequence as sent."""
    rows = [signal("t-1", "T", factor=0.1, offset=-40.0, work_center="line-7", tenant="acme")]
    sent = record(RAW_READING, 5, address="T", value_double=650.0, quality_raw=192, quality_scheme="opcda", sequence=8)
    assert Run(rows).step(sent).readings == [
        {
            "site": "hall",
            "tenant": "acme",
            "work_center": "line-7",
            "signal_id": "t-1",
            "source_id": "edge-1",
            "event_time": NOW - S,
            "ingest_time": NOW,
            "value_double": 25.0,
            "value_long": None,
            "value_string": None,
            "quality": 0,
            "quality_raw": 192,
            "quality_scheme": 2,
            "flags": 0,
            "sequence": 8,
        }
    ]


def test_frames_have_the_columns_and_types_of_the_contracts() -> None:
    """Readings are READING, rejects and inventory have the fields of their schemas, in any chunk."""
    run = Run([signal("t-1", "T")])
    run.step(
        record(RAW_READING, 1, address="T", value_double=1.0),
        record(RAW_READING, 2, address="T", value_string="x"),
        record(RAW_READING, 3, address="?", value_double=1.0),
    )
    assert run.out["ot.reading.v1"][0].schema == READING
    assert run.out["ot.reading.rejected.v1"][0].schema == REJECTED
    assert tuple(run.out["ot.signal.unknown.v1"][0].columns) == tuple(inventory.UNKNOWN)


def test_a_counter_beyond_2_53_stays_exact() -> None:
    """64-bit counts never pass through a float, sent as integer or as digits."""
    rows = [signal("c", "C", role="total_counter")]
    run = Run(rows).step(
        record(RAW_READING, 1, address="C", value_long=2**62 + 1),
        record(RAW_READING, 2, address="C", value_string=str(2**62 + 3)),
    )
    assert [(row["value_long"], row["value_double"]) for row in run.readings] == [(2**62 + 1, None), (2**62 + 3, None)]


def test_states_become_labels_and_what_has_no_label_is_uncertain() -> None:
    """The enumeration is asked for the raw value as text; a text it does not have passes as it is, uncertain."""
    labels = [{"key": "1", "value": "running"}, {"key": "false", "value": "stopped"}]
    run = Run([signal("s", "S", role="state", enumeration=labels)]).step(
        record(RAW_READING, 1, address="S", value_long=1),
        record(RAW_READING, 2, address="S", value_double=1.0),
        record(RAW_READING, 3, address="S", value_bool=True),
        record(RAW_READING, 4, address="S", value_bool=False),
        record(RAW_READING, 5, address="S", value_string="cleaning"),
    )
    found = [(row["value_string"], row["quality"]) for row in run.readings]
    assert found == [("running", 0), ("running", 0), ("running", 0), ("stopped", 0), ("cleaning", 1)]


def test_outside_the_instrument_range_passes_as_uncertain_outside_the_engineering_range_is_ordinary() -> None:
    """High-high alarms must see it: flag 8 and at least uncertain; bad stays bad; the range's ends belong to it."""
    rows = [signal("p", "P", factor=2.0, instrument_high=10.0, engineering_high=5.0)]
    sent = [5.0, 5.5, 4.0]
    run = Run(rows).step(*(record(RAW_READING, n, address="P", value_double=value) for n, value in enumerate(sent)))
    run.step(record(RAW_READING, 9, address="P", value_double=9.0, quality_raw=0, quality_scheme="opcda"))
    assert [(r["quality"], r["flags"]) for r in run.readings] == [(0, 0), (1, 8), (0, 0), (2, 8)]


def test_event_time_comes_from_the_source_then_the_gateway_then_the_broker() -> None:
    """What is not the source's own stamp is flagged as estimated (16)."""
    rows = [signal("x", "X")]
    run = Run(rows).step(
        record(RAW_READING, 1, address="X", value_double=1.0, gateway_time=NOW - 1),
        record(RAW_READING, 2, address="X", value_double=1.0, source_time=None, gateway_time=NOW - 2),
        record(RAW_READING, 3, address="X", value_double=1.0, source_time=None),
    )
    assert [(r["event_time"], r["flags"]) for r in run.readings] == [(NOW - S, 0), (NOW - 2, 16), (NOW, 16)]


def test_a_move_to_another_line_takes_effect_at_its_event_time() -> None:
    """The version that holds at the event time says what a reading means, not the one that holds now."""
    rows = [
        signal("x", "X", valid_from=0, work_center="line-1", factor=2.0),
        signal("x", "X", valid_from=NOW - 5 * S, work_center="line-2"),
    ]
    run = Run(rows).step(
        record(RAW_READING, 1, address="X", value_double=1.0, source_time=NOW - 5 * S),
        record(RAW_READING, 2, address="X", value_double=1.0, source_time=NOW - 5 * S - 1),
    )
    assert [(row["work_center"], row["value_double"]) for row in run.readings] == [("line-2", 1.0), ("line-1", 2.0)]


def fields(path: str) -> dict[str, Any]:
    """Field names and types of a contract."""
    contract = json.loads((Path(__file__).parents[2] / "schemas" / path).read_text())
    return {field["name"]: field["type"] for field in contract["fields"]}


def test_columns_are_the_fields_of_the_contracts() -> None:
    """What is read is there, what is written is complete and in order; the arrays of a batch are those unpacked."""
    assert list(fields("20-reading/ot.reading.rejected.v1.avsc")) == REJECTED.names()
    assert tuple(fields("20-reading/ot.signal.unknown.v1.avsc")) == tuple(inventory.UNKNOWN)
    reading, batch = fields("10-raw/ot.raw.reading.v1.avsc"), fields("10-raw/ot.raw.batch.v1.avsc")
    assert {name for name in RAW.names() if not name.startswith("_")} == reading.keys() - {"boot_id"}
    assert {name for name, kind in batch.items() if isinstance(kind, list) and "items" in str(kind)} == set(ARRAYS)
    assert all(COORDINATES.items() <= schema.items() for schema in SCHEMAS.values())
