"""The stage `window` as a timeline: readings arrive, the watermark passes, windows are emitted."""

from __future__ import annotations

import json
from pathlib import Path

import fastavro
import polars as pl
import pytest

from streams.core.stage import Moment
from streams.core.window.output import LATE, WINDOW
from streams.core.window.stage import Window, WindowConfig
from tests.core.window_scene import CONTEXT, TEMPERATURE, at, ends, started
from tests.simulation.reference import BAD, SECOND, Signal
from tests.simulation.window_run import T0, Run, context, frame, version

SCHEMAS = Path(__file__).parents[2] / "schemas" / "30-window"


def test_a_window_closes_when_the_watermark_passes_its_end() -> None:
    """The window [0, 10) closes at event time 12: its end plus the allowed disorder of 2 s, and not before."""
    run = started()
    run.step([at(3), at(11.999)])
    assert run.windows == []
    result = run.step([at(12)])
    assert ends(run) == [(10, 1, "watermark")]
    assert result.watermark_us == T0 + 10 * SECOND


def test_disorder_within_the_allowance_needs_no_revision() -> None:
    """Readings up to 2 s out of order enter their window before it is emitted."""
    run = started()
    for second in (9.5, 11.9, 9.9, 8.1, 12):
        run.step([at(second)])
    assert ends(run) == [(10, 1, "watermark")]
    assert run.windows[0]["count"] == 3


def test_output_has_exactly_the_fields_of_its_contract() -> None:
    """Field names and order are those of the .avsc files, and every record is valid under them."""
    run = started(correction_horizon_us=60 * SECOND)
    run.step([at(5), at(6, None, "valve", label="open"), at(7, signal="unlisted"), at(7, quality=BAD), at(102)])
    run.step([at(30)])
    for name, schema, rows in (("ot.window.v1", WINDOW, run.windows), ("ot.window.late.v1", LATE, run.late)):
        contract = json.loads((SCHEMAS / f"{name}.avsc").read_text())
        assert [field["name"] for field in contract["fields"]] == schema.names()
        parsed = fastavro.parse_schema(contract)
        assert rows
        assert all(fastavro.validate(row, parsed, strict=True) for row in rows)


def test_an_on_change_value_is_carried_while_its_source_lives() -> None:
    """Windows without a reading of the valve are emitted with its state, for other signals keep its source alive."""
    run = started()
    run.step([at(5, None, "valve", label="open")])
    run.step([at(second) for second in range(6, 63)])
    carried = [row for row in run.windows if row["signal_id"] == "valve"]
    assert [(row["states"], row["count"], row["coverage"]) for row in carried[1:]] == [(["open"], 0, 1.0)] * 5
    assert carried[0]["coverage"] == 0.5


def test_a_carried_value_ends_at_its_limit() -> None:
    """A signal silent for longer than the carry limit is unknown, and its windows stop."""
    run = Run(WindowConfig(carry_limit_us=25 * SECOND), CONTEXT)
    run.step([at(5, None, "valve", label="open"), *(at(second) for second in range(6, 63))])
    carried = [row for row in run.windows if row["signal_id"] == "valve"]
    assert [row["duration_good_s"] for row in carried] == [5.0, 10.0, 10.0]


def test_a_carried_value_outlives_its_reading_in_the_buffer() -> None:
    """Hours after the valve moved, its reading is long forgotten, its state still told, also after a restart."""
    run = started(correction_horizon_us=30 * SECOND)
    run.step([at(5, None, "valve", label="open")])
    for minute in range(30):
        run.step([at(minute * 60 + second) for second in range(0, 60, 5)])
        run.restart(combined=minute % 2 == 0)
    assert "valve" not in run.state["reading"]["signal_id"].to_list()
    last = [row for row in run.windows if row["signal_id"] == "valve"][-1]
    assert last["window_end"] == T0 + 1790 * SECOND
    assert (last["states"], last["coverage"]) == (["open"], 1.0)


def test_the_buffer_holds_no_more_than_horizon_and_longest_window() -> None:
    """Over an hour of readings the buffer stays within one and a half horizons and a window."""
    run = started(correction_horizon_us=60 * SECOND)
    for minute in range(60):
        run.step([at(minute * 60 + second) for second in range(60)])
        assert run.state["reading"].height <= 90 + 60 + 60
    assert run.state["revised"].height == 0


def test_a_chunk_that_closes_nothing_changes_little() -> None:
    """Its changes are its own readings, its source and the watermark: no window, no carried value, no floor."""
    run = started()
    run.step([at(1)])
    result = run.step([at(2), at(2.5)])
    assert set(result.changes) == {"reading", "source", "task"}
    upsert = result.changes["reading"].upsert
    assert upsert is not None
    assert upsert.height == 2
    assert result.changes["reading"].floor is None
    assert result.out == {}


def test_equipment_is_that_of_the_windows_begin() -> None:
    """A dictionary version that begins later changes unit and lengths of later windows only."""
    later = Signal("temperature", period=SECOND, lengths=(30,))
    versions = [
        version(TEMPERATURE, valid_to=T0 + 60 * SECOND),
        version(later, valid_from=T0 + 60 * SECOND, unit="K", work_unit=None),
    ]
    run = Run(WindowConfig(), context(versions))
    run.step([at(second) for second in range(0, 132, 4)])
    told = {(row["length_s"], row["unit"], row["work_unit"]) for row in run.windows}
    assert told == {(10, "Cel", "filler"), (60, "Cel", "filler"), (30, "K", None)}
    assert {row["window_start"] < T0 + 60 * SECOND for row in run.windows if row["unit"] == "Cel"} == {True}
    assert {row["work_center"] for row in run.windows} == {"line-1"}


def test_a_signal_that_the_dictionary_does_not_know_is_not_lost() -> None:
    """It gets the default lengths and role, and site and line as its readings say, also after a restart."""
    run = started()
    run.step([at(3, signal="unlisted")])
    run.restart(combined=True)
    run.step([at(80, signal="unlisted")])
    assert {row["length_s"] for row in run.windows} == {10, 60}
    row = run.windows[0]
    assert (row["site"], row["work_center"], row["role"], row["unit"]) == ("Hamburg", "line-9", "measurement", None)


def test_new_dictionary_rows_hold_from_the_next_chunk_on() -> None:
    """A raised context version is prepared anew."""
    run = started()
    run.step([at(3, signal="unlisted")])
    run.context = context([version(Signal("unlisted", lengths=(20,)))], number=2)
    run.step([at(80, signal="unlisted")])
    assert {row["length_s"] for row in run.windows} == {20}


def test_a_number_that_is_not_finite_counts_as_bad() -> None:
    """Infinity and NaN enter no statistic; the window's other readings do."""
    run = started()
    run.step([at(1, 2.0), at(2, float("inf")), at(3, float("nan")), at(4, 4.0), at(80)])
    row = run.windows[0]
    assert (row["count"], row["count_bad"], row["sum"], row["max"]) == (2, 2, 6.0, 4.0)


def test_a_counter_beyond_53_bits_is_aggregated() -> None:
    """64-bit integers come in `value_long` and enter the statistics as numbers."""
    stage = Window()
    run = started()
    rows = frame([at(1, None), at(2, 2.5), at(80)], 0, T0)
    counted = pl.Series("value_long", [2**60, None, None], dtype=pl.Int64)
    result = stage.step("ot.reading.v1", rows.with_columns(counted), run.state, run.context, Moment(T0))
    assert result.out["ot.window.v1"]["max"][0] == float(2**60)


def test_an_empty_chunk_changes_nothing() -> None:
    """No reading, no change; the watermark stays known."""
    run = started()
    run.step([at(12)])
    result = run.step([])
    assert result.changes == {}
    assert result.watermark_us == T0 + 10 * SECOND


def test_another_topic_is_a_fault_of_the_program() -> None:
    """The stage says which topic it reads."""
    run = started()
    with pytest.raises(KeyError, match=r"reads ot\.reading\.v1 only"):
        run.stage.step("ot.raw.reading.v1", frame([at(1)], 0, T0), run.state, run.context, Moment(T0))
