"""The evaluations of nab and mtconnect_okuma on small recordings of the same form, through the pure stages."""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation import nab, okuma, replay_core, run
from tests.evaluation.scenario import Outcome, ReplayFailure, Scenario
from tests.evaluation.windows import WRONG

BEGIN = datetime(2021, 3, 1, tzinfo=UTC)
ITEMS = (
    '<DataItem category="SAMPLE" type="POSITION" name="X" units="MILLIMETER" id="x"/>\n'
    '<DataItem category="SAMPLE" type="PATH_POSITION" name="Path" units="MILLIMETER_3D" id="p"/>\n'
    '<DataItem category="EVENT" type="EXECUTION"\n  name="execution" id="e">'
)


def series(folder: Path, rows: Sequence[tuple[int, float]], name: str = "machine_temperature") -> Path:
    """A series of (minute, value) as nab keeps it."""
    path = folder / nab.place(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{BEGIN + timedelta(minutes=minute):%Y-%m-%d %H:%M:%S},{value}" for minute, value in rows]
    path.write_bytes(gzip.compress("\r\n".join(["timestamp,value", *lines, ""]).encode()))
    return path


def stream(folder: Path, lines: Sequence[str]) -> Path:
    """A recording as mtconnect_okuma keeps it; a line begins with the second of its stamp."""
    place = folder / okuma.NAME
    place.mkdir()
    stamped = []
    for line in lines:
        second, separator, rest = line.partition("|")
        stamp = f"{BEGIN + timedelta(milliseconds=float(second) * 1000):%Y-%m-%dT%H:%M:%S.%f}7Z" if separator else line
        stamped.append(stamp + separator + rest)
    (place / "okuma.txt.gz").write_bytes(gzip.compress("\n".join(stamped).encode()))
    (place / "Devices.xml.gz").write_bytes(gzip.compress(ITEMS.encode()))
    return place


def of_series(path: Path, name: str = "machine_temperature", chunk: int = 500) -> dict[str, Any]:
    replay = functools.partial(replay_core.replay, chunk=chunk)
    return nab.evaluate_series(name)(path, replay, lambda _line: None)


def of_stream(place: Path) -> dict[str, Any]:
    return okuma.evaluate(place, replay_core.replay, lambda _line: None)


def test_an_hour_that_comes_twice_is_a_conflict_per_instant(tmp_path: Path) -> None:
    """After four hours the clock goes back one: twelve stamps come twice with other values; the later line counts."""
    minutes = [*range(0, 240, 5), *range(180, 1440, 5)]
    path = series(tmp_path, [(minute, float(place)) for place, minute in enumerate(minutes)])
    metrics = of_series(path, chunk=5)
    assert (metrics["backward_stamps"], metrics["conflicts"], metrics["distinct_readings"]) == (1, 12, 300)
    assert metrics["late_revised"] >= 12
    assert metrics["duplicates"] == metrics["readings"] - 300 > 0
    assert {name: metrics[name] for name in WRONG} == dict.fromkeys(WRONG, 0)
    at_once = of_series(path)
    assert at_once["late_revised"] == 0
    moving = {"late_revised", "windows_revised"}
    assert {name: at_once[name] for name in metrics.keys() - moving} == {
        name: metrics[name] for name in metrics.keys() - moving
    }


def test_a_gap_of_days_is_unknown(tmp_path: Path) -> None:
    """Hourly readings with three days between: 2.5 periods of the gap are known, no window after that says anything."""
    hours = [*range(48), *range(48 + 72, 48 + 96)]
    metrics = of_series(series(tmp_path, [(60 * hour, 20.0 + hour % 7) for hour in hours], "ambient_temperature"))
    assert (metrics["gap_s"], metrics["gap_windows_claiming_coverage"]) == (73 * 3600.0, 0)
    assert metrics["gap_windows"] == metrics["gap_windows_reported_unknown"] == 70 + 2
    assert 0.4 < metrics["coverage"] < 0.6
    assert {name: metrics[name] for name in WRONG} == dict.fromkeys(WRONG, 0)


def test_sessions_joined_in_no_order_lose_nothing(tmp_path: Path) -> None:
    """Two sessions, the second one earlier; labels, bad readings, a path position and a text that is no number."""
    lines = [
        "600.0|avail|AVAILABLE|X|1.5|execution|READY",
        "600.0|system|NORMAL||||",
        "600.1|@ASSET@|7|CuttingTool|--multiline--A",
        "<CuttingTool toolId='7'/>",
        "* adapterVersion: 1",
        *(f"{601 + second}|X|{second}.25|Path|1 {second} 3" for second in range(30)),
        "603.2|X|UNAVAILABLE|execution|ACTIVE",
        "0.0|avail|AVAILABLE|X|UNAVAILABLE|execution|UNAVAILABLE",
        "1.0|X|twelve|execution|READY",
        *(f"{2 + second}|X|{second}" for second in range(30)),
    ]
    metrics = of_stream(stream(tmp_path, lines))
    assert (metrics["lines"], metrics["sessions"], metrics["backward_stamps"]) == (66, 2, 2)
    assert metrics["non_numeric_share"] == round(40 / 101, 4)
    assert metrics["rejected_by_reason"].keys() == {"type_mismatch"}
    assert metrics["rejected_by_reason"]["type_mismatch"] >= 1
    assert {name: metrics[name] for name in WRONG} == dict.fromkeys(WRONG, 0)


def test_what_is_lost_or_changed_is_found(tmp_path: Path) -> None:
    """The check is not blind: a window that counts one less, one that is missing, a reading less."""
    path = series(tmp_path, [(5 * place, float(place)) for place in range(60)])

    def spoilt(change: str) -> dict[str, Any]:
        def replay(scenario: Scenario) -> Outcome:
            outcome = replay_core.replay(scenario)
            name, row = next((name, row) for name, row in outcome.records.items() if row["length_s"] == 300)
            if change == "count":
                row["count"] -= 1
            elif change == "missing":
                del outcome.records[name]
            else:
                return replace(outcome, accepted=outcome.accepted - 1)
            return outcome

        return nab.evaluate_series("machine_temperature")(path, replay, lambda _line: None)

    assert spoilt("count")["windows_wrong"] == 1
    assert spoilt("missing")["windows_wrong"] == 1
    assert spoilt("missing")["known_time_wrong"] > 0
    assert spoilt("accepted")["readings_unaccounted"] == 1


def test_the_command_evaluates_what_is_there_and_says_what_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One series of nab in the folder: it is evaluated, the other sets are left out by name."""
    series(tmp_path, [(5 * place, float(place)) for place in range(60)])
    out = tmp_path / "evaluation.json"
    assert run.main(["--data", str(tmp_path), "--out", str(out), "--replay", "core"]) == 0
    assert json.loads(out.read_text()).keys() == {"nab_machine_temperature"}
    said = capsys.readouterr().out
    for name in ("bottling_line", "nab_ambient_temperature", "mtconnect_okuma"):
        assert f"{name}: left out" in said


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    """Missing, empty, and with a line that is no reading."""
    with pytest.raises(ReplayFailure, match=r"okuma\.txt\.gz is missing"):
        of_stream(tmp_path)
    with pytest.raises(ReplayFailure, match="holds no observation"):
        of_stream(stream(tmp_path, ["* adapterVersion: 1"]))
    path = series(tmp_path, [(0, 1.0)])
    with pytest.raises(ReplayFailure, match="no two readings"):
        of_series(path)
    path.write_bytes(gzip.compress(b"timestamp,value\n2021-03-01 00:00:00,warm\n"))
    with pytest.raises(ReplayFailure, match=r"line 2 of machine_temperature_system_failure\.csv\.gz cannot be read"):
        of_series(path)
