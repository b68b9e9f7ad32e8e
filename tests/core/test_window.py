"""The stage `window` as a timeline: readings arrive, the watermark passes, windows are emitted and corrected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pytest

from streams.core.stage import Moment
from streams.core.window import Window, WindowConfig
from streams.core.window_output import LATE, WINDOW
from tests.simulation.reference import BAD, SECOND, Reading, Signal
from tests.simulation.window_run import T0, Run, context, frame, version

TEMPERATURE = Signal("temperature", period=SECOND)
VALVE = Signal("valve", on_change=True, role="state", lengths=(10,))
CONTEXT = context([version(TEMPERATURE), version(VALVE)])
SCHEMAS = Path(__file__).parents[2] / "schemas" / "30-window"


def at(second: float, value: float | None = 1.0, signal: str = "temperature", **fields: Any) -> Reading:
    """A reading `second` seconds after the begin."""
    given: dict[str, Any] = {"source": "edge-1", "value": value} | fields
    return Reading(signal=signal, time=T0 + round(second * SECOND), **given)


def ends(run: Run, length_s: int = 10) -> list[tuple[int, int, str]]:
    """What was emitted: end in s after the begin, revision, reason."""
    rows = [row for row in run.windows if row["length_s"] == length_s]
    return [((row["window_end"] - T0) // SECOND, row["revision"], row["reason"]) for row in rows]


def started(**config: int) -> Run:
    """A task that knows the dictionary."""
    return Run(WindowConfig(**config), CONTEXT)  # type: ignore[arg-type]


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


def test_a_late_reading_inside_the_horizon_revises_its_window() -> None:
    """Revision 2 supersedes revision 1, says why, and holds the late value; untouched windows are not written again."""
    run = started()
    run.step([at(3, 1.0), at(13, 1.0), at(23, 1.0), at(80, 1.0)])
    before = len(run.windows)
    run.step([at(4, 7.0)])
    new = run.windows[before:]
    assert [(row["length_s"], row["revision"], row["supersedes"], row["reason"]) for row in new] == [
        (10, 2, 1, "late"),
        (60, 2, 1, "late"),
    ]
    assert {row["window_start"] for row in new} == {T0}
    assert [row["max"] for row in new] == [7.0, 7.0]
    assert run.counts["readings", "late"] == 1
    assert run.counts["windows", "late"] == 2


def test_a_late_reading_revises_the_windows_it_is_carried_into() -> None:
    """A late change of a valve changes every later window up to its next change, and none after that."""
    run = started()
    run.step([at(1, None, "valve", label="open"), at(41, None, "valve", label="open"), at(80)])
    run.step([at(15, None, "valve", label="shut")])
    revised = {(row["window_start"] - T0) // SECOND: row["states"] for row in run.windows if row["revision"] == 2}
    assert revised == {10: ["open", "shut"], 20: ["shut"], 30: ["shut"], 40: ["open", "shut"]}


def test_a_reading_beyond_the_horizon_goes_to_the_late_topic() -> None:
    """It is written with its coordinates, the watermark it met and its lateness, counted, and changes no window."""
    run = started(correction_horizon_us=60 * SECOND)
    run.step([at(5), at(102)])
    before = len(run.windows)
    run.step([at(39.5, 3.5), at(40.5)])
    assert run.counts["readings", "beyond_horizon"] == 1
    assert {row["window_start"] for row in run.windows[before:]} == {T0, T0 + 40 * SECOND}
    (late,) = run.late
    assert late["lateness_s"] == 60.5
    assert late["watermark"] == T0 + 100 * SECOND
    assert (late["partition"], late["offset"]) == (3, 2)
    assert (late["signal_id"], late["value_double"], late["work_center"]) == ("temperature", 3.5, "line-9")


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


def test_an_exact_duplicate_counts_once() -> None:
    """A repeated reading is counted and changes nothing, before and after its window has closed."""
    run = started()
    run.step([at(3, sequence=1), at(3, sequence=1), at(4)])
    run.step([at(80)])
    assert run.counts["readings", "duplicate"] == 1
    before = len(run.windows)
    buffered = run.state["reading"].height
    run.step([at(3, sequence=1)])
    assert run.counts["readings", "duplicate"] == 2
    assert len(run.windows) == before
    assert run.windows[0]["count"] == 2
    assert run.state["reading"].height == buffered


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_of_contradicting_readings_the_highest_sequence_wins(order: tuple[int, ...]) -> None:
    """Same signal and instant, other value: whatever arrives first, sequence 9 holds, and two conflicts are counted."""
    sent = [at(3, 5.0, sequence=9), at(3, 8.0, sequence=4), at(3, 6.0)]
    run = started()
    for number in order:
        run.step([sent[number]])
    run.step([at(80)])
    assert run.windows[0]["last"] == 5.0
    assert run.windows[0]["count"] == 1
    assert run.counts["readings", "conflict"] == 2


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


def test_revisions_are_forgotten_beyond_the_horizon() -> None:
    """A revised window is remembered only as long as it can be revised again."""
    run = started(correction_horizon_us=60 * SECOND)
    run.step([at(23), at(80)])
    run.step([at(24)])
    assert run.state["revised"].height == 2
    run.step([at(200)])
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


def test_a_silent_source_is_released_and_its_windows_are_provisional() -> None:
    """After 10 s of silence in the log, edge-2 holds edge-1's windows no longer; its own say that they may change."""
    run = started()
    run.step([at(3), at(5, 1.0, "flow", source="edge-2")], now_us=T0)
    run.step([at(12)], now_us=T0 + 9 * SECOND)
    assert run.windows == []
    run.step([at(13)], now_us=T0 + 11 * SECOND)
    told = {(row["signal_id"], row["length_s"]): (row["provisional"], row["reason"]) for row in run.windows}
    assert told == {("temperature", 10): (False, "watermark"), ("flow", 10): (True, "idle")}


def test_a_replay_releases_a_source_where_the_live_run_did() -> None:
    """Silence counts in append times: a task that has not caught up buffers no hours for a source that left."""
    run = started(correction_horizon_us=30 * SECOND)
    run.step([at(1, 1.0, "flow", source="edge-2")], now_us=T0, caught_up_us=None)
    for minute in range(20):
        chunk = [at(minute * 60 + second) for second in range(60)]
        run.step(chunk, now_us=T0 + minute * 60 * SECOND, caught_up_us=None)
    assert run.state["reading"].height < 240


def test_time_alone_closes_the_windows_of_silent_sources() -> None:
    """With every source silent, wall time carries the watermark on: [0, 10) closes 7 s after a reading at 5."""
    run = started()
    run.step([at(5)], now_us=T0 + 100 * SECOND)
    run.timer(T0 + 106 * SECOND)
    assert run.windows == []
    run.timer(T0 + 110 * SECOND)
    assert run.windows == []
    run.timer(T0 + 111 * SECOND)
    assert ends(run) == [(10, 1, "idle")]
    assert run.windows[0]["provisional"]
    assert run.windows[0]["emitted_at"] == T0 + 111 * SECOND


def test_the_timer_waits_until_the_task_has_caught_up() -> None:
    """Before, silence may be a backlog; after, the idle limit starts when the task had read all there was."""
    run = started()
    run.step([at(5)], now_us=T0)
    run.timer(T0 + 1000 * SECOND, caught_up_us=None)
    assert run.timer(T0 + 1000 * SECOND, caught_up_us=T0 + 995 * SECOND).changes == {}
    assert run.windows == []
    run.timer(T0 + 1006 * SECOND, caught_up_us=T0 + 995 * SECOND)
    assert ends(run) == [(10, 1, "idle")]


def test_an_idle_task_comes_to_rest() -> None:
    """Once nothing is left to close, the timer changes nothing more: an idle task commits nothing."""
    run = started()
    run.step([at(5), at(6, None, "valve", label="open")], now_us=T0)
    written = sum(bool(run.timer(T0 + second * SECOND).changes) for second in range(1, 400))
    assert 0 < written < 20
    assert all(not run.timer(T0 + second * SECOND).changes for second in range(400, 500))


def test_an_idle_close_is_confirmed_when_it_changes() -> None:
    """An on-change value is unknown where its source was silent, and known once it returns: reason confirmed."""
    run = started()
    run.step([at(4, None, "valve", label="open")], now_us=T0)
    run.timer(T0 + 30 * SECOND)
    assert [(row["coverage"], row["provisional"]) for row in run.windows] == [(0.0, True)]
    run.step([at(40, None, "valve", label="shut")], now_us=T0 + 31 * SECOND)
    first = [row for row in run.windows if row["window_start"] == T0]
    assert [(row["revision"], row["reason"], row["provisional"], row["coverage"]) for row in first] == [
        (1, "idle", True, 0.0),
        (2, "confirmed", False, 0.6),
    ]
    assert run.latest()["valve", 10, T0 + 10 * SECOND]["states"] == ["open"]


def test_a_source_with_a_wild_clock_closes_nobody_elses_windows() -> None:
    """One source a year ahead: the others still hold the watermark, before and after it falls silent."""
    run = started()
    run.step([at(3), at(365 * 86_400, 1.0, "flow", source="edge-2")], now_us=T0)
    run.step([at(5)], now_us=T0 + SECOND)
    run.timer(T0 + 2 * SECOND)
    assert run.windows == []
    run.step([at(12)], now_us=T0 + 12 * SECOND)
    assert [(row["signal_id"], row["window_start"]) for row in run.windows] == [("temperature", T0)]
    run.timer(T0 + 60 * SECOND)
    assert run.state["task"]["watermark"][0] < T0 + 70 * SECOND


def test_a_window_that_a_correction_empties_is_retracted() -> None:
    """A value held for edge-1's life turns out to be edge-2's, which died: the windows after that are taken back."""
    run = started()
    run.step([at(1, None, "valve", label="open"), at(60)])
    assert ("valve", 10, T0 + 40 * SECOND) in run.latest()
    run.step([at(32, None, "valve", label="shut", source="edge-2")])
    taken_back = [row for row in run.windows if row["reason"] == "retracted"]
    assert [(row["window_start"] - T0) // SECOND for row in taken_back] == [40]
    assert taken_back[0]["duration_unknown_s"] == 10.0
    assert (taken_back[0]["states"], taken_back[0]["coverage"], taken_back[0]["revision"]) == ([], 0.0, 2)
    run.step([at(45, None, "valve", label="open")])
    assert run.latest()["valve", 10, T0 + 40 * SECOND]["revision"] == 3


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
