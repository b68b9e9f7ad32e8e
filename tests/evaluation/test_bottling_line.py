"""The evaluation of bottling_line on a small recording of the same form, through the pure stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation import bottling_line, replay_core, run
from tests.evaluation.scenario import ReplayFailure

DAILY = "date,start_clock,end_clock,monitored_time_dec,operation_time_dec,pause_time_dec"
STOPS = "downtime_id,date,start_clock,end_clock"


def recording(folder: Path, daily: list[str], stops: list[str]) -> Path:
    """A folder of recorded sets with one bottling_line, lines ended as in the original."""
    place = folder / "bottling_line"
    place.mkdir()
    numbered = [f"downtime_{number},{row}" for number, row in enumerate(stops)]
    for name, head, rows in (("daily", DAILY, daily), ("downtime", STOPS, numbered)):
        (place / f"{name}_cleaned.csv").write_bytes("\r\n".join([head, *rows, ""]).encode())
    return folder


def evaluated(folder: Path) -> dict[str, Any]:
    """Metrics and details."""
    return bottling_line.evaluate(folder / "bottling_line", replay_core.replay, lambda _line: None)


def test_stops_are_cut_to_sessions_and_overlaps_count_once(tmp_path: Path) -> None:
    """Two sessions of a date: a stop crosses the first one's end, two overlap in the second, one lies outside."""
    daily = [
        f"2021-03-01,08:00:00,10:00:00.500000,{7200.5 / 3600},{(7200.5 - 900.5) / 3600},{900.5 / 3600}",
        f"2021-03-01,13:00:00,14:00:00,1.0,{3000 / 3600},{600 / 3600}",
    ]
    stops = [
        "2021-03-01,08:00:00,08:10:00",
        "2021-03-01,09:55:00,10:30:00",
        "2021-03-01,11:00:00,11:30:00.250000",
        "2021-03-01,13:10:00,13:18:00",
        "2021-03-01,13:15:00,13:20:00",
    ]
    metrics = evaluated(recording(tmp_path, daily, stops))
    first, second = metrics["details"]
    assert (first["downtime_s"], first["monitored_s"], first["coverage"]) == (900.5, 7200.5, 1.0)
    assert (second["downtime_s"], second["availability"]) == (600.0, pytest.approx(3000 / 3600))
    assert (metrics["days"], metrics["days_consistent_within_1_min"], metrics["days_flagged"]) == (2, 2, 0)
    assert metrics["days_self_consistent"] == 0, "all stops of the date do not add up to one session's pause"


def test_a_disagreement_is_flagged_with_its_size(tmp_path: Path) -> None:
    """61 s are flagged, 59 s are not; a table that does not add up is told beside it."""
    daily = [
        f"2021-03-01,08:00:00,09:00:00,1.0,{3000 / 3600},{600 / 3600}",
        f"2021-03-02,08:00:00,09:00:00,1.0,{3000 / 3600},{600 / 3600}",
        f"2021-03-03,08:00:00,09:00:00,1.0,{2000 / 3600},{600 / 3600}",
    ]
    stops = ["2021-03-01,08:10:00,08:21:01", "2021-03-02,08:10:00,08:20:59", "2021-03-03,08:10:00,08:20:00"]
    metrics = evaluated(recording(tmp_path, daily, stops))
    flags = [day["flags"] for day in metrics["details"]]
    assert flags[0] == ["downtime 661 s, table 600 s: +61 s"]
    assert flags[1] == []
    assert flags[2] == [
        "operation 3000 s, table 2000 s: +1000 s",
        "the table's own monitored - operation - pause leaves +1000 s",
    ]
    assert (metrics["days_self_consistent"], metrics["days_consistent_within_1_min"], metrics["days_flagged"]) == (
        2,
        2,
        1,
    )
    assert (metrics["days_operation_within_1_min"], metrics["days_table_does_not_add_up"]) == (1, 1)


def test_a_session_and_a_stop_past_midnight(tmp_path: Path) -> None:
    """A clock that ends before it begins belongs to the next day."""
    daily = [f"2021-03-01,22:00:00,02:00:00,4.0,{(14400 - 1800) / 3600},0.5"]
    metrics = evaluated(recording(tmp_path, daily, ["2021-03-01,23:45:00,00:15:00"]))
    (day,) = metrics["details"]
    assert (day["monitored_s"], day["downtime_s"], day["agrees"]) == (14400.0, 1800.0, True)


def test_rows_that_cannot_be_read_are_flagged_and_the_rest_counts(tmp_path: Path) -> None:
    """A day without a clock is a flagged day; a stop without one is counted."""
    daily = [
        "2021-03-01,08:00:00,09:00:00,1.0,1.0,0.0",
        "2021-03-02,,09:00:00,1.0,1.0,0.0",
        "2021-03-03,08:00:00,09:00:00,nan,1.0,0.0",
    ]
    metrics = evaluated(recording(tmp_path, daily, ["2021-03-01,soon,08:20:00"]))
    assert (metrics["days"], metrics["days_consistent_within_1_min"], metrics["days_flagged"]) == (3, 1, 2)
    assert metrics["stops_unreadable"] == 1
    assert metrics["details"][1]["flags"] == [
        "line 3 of daily_cleaned.csv cannot be read: time data '' does not match format '%H:%M:%S'"
    ]


def test_the_command_writes_what_was_found(tmp_path: Path) -> None:
    """{set: {metric: value}} for the sets in the folder; others are left alone."""
    data = recording(tmp_path, ["2021-03-01,08:00:00,09:00:00,1.0,1.0,0.0"], [])
    (data / "another_set").mkdir()
    out = tmp_path / "build" / "evaluation.json"
    assert run.main(["--data", str(data), "--out", str(out), "--replay", "core"]) == 0
    written = json.loads(out.read_text())
    assert written.keys() == {"bottling_line"}
    assert written["bottling_line"]["days_consistent_within_1_min"] == 1


def test_missing_data_is_said_loudly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing folder, a folder without a known set and a set without its table end with 1 and say what to do."""
    assert run.main(["--data", str(tmp_path / "none")]) == 1
    assert "no such folder; give the folder of the recorded data" in capsys.readouterr().err
    assert run.main(["--data", str(tmp_path)]) == 1
    assert "holds none of the sets" in capsys.readouterr().err
    (tmp_path / "bottling_line").mkdir()
    assert run.main(["--data", str(tmp_path), "--replay", "core", "--out", str(tmp_path / "x.json")]) == 1
    assert "daily_cleaned.csv is missing" in capsys.readouterr().err
    with pytest.raises(ReplayFailure):
        bottling_line.read_stops(tmp_path / "absent.csv")
