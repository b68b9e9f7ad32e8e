"""Windows that a change of unit or scaling splits, and the lengths that windows may have."""

from __future__ import annotations

from typing import Any

import pytest

from streams.core import dictionary
from streams.core.window.stage import WindowConfig
from tests.core.window_scene import at
from tests.simulation.reference import SECOND, Signal
from tests.simulation.window_run import DICTIONARY, T0, Run, context, version

PERIODIC = Signal("temperature", period=2 * SECOND, lengths=(10, 60))
CHANGES = Signal("temperature", on_change=True, lengths=(10,))
STATE = Signal("valve", on_change=True, role="state", lengths=(10,))


def run_of(*rows: dict[str, Any], **config: int) -> Run:
    """A task with these rows of the dictionary."""
    return Run(WindowConfig(**config), context([*rows]))  # type: ignore[arg-type]


def fahrenheit(signal: Signal, second: float, **fields: Any) -> dict[str, Any]:
    """The version that publishes degrees Fahrenheit from `second` on."""
    changed: dict[str, Any] = {"unit": "[degF]", "factor": 1.8, "offset": 32.0} | fields
    return version(signal, T0 + round(second * SECOND), **changed)


def parts(run: Run, signal: str = "temperature", length_s: int = 10) -> dict[tuple[float, float], dict[str, Any]]:
    """The latest records of a signal by begin and end in s."""
    found = {}
    for (name, length, start), row in run.latest().items():
        if (name, length) == (signal, length_s):
            found[(start - T0) / SECOND, (row["window_end"] - T0) / SECOND] = row
    return found


def test_a_change_of_unit_splits_the_window() -> None:
    """20 degC until 4.5 s, then 68 degF: two records, each in its own unit, with its own length, statistics and id."""
    run = run_of(version(PERIODIC), fahrenheit(PERIODIC, 4.5))
    run.step([at(0, 20.0), at(2, 20.0), at(4, 20.0), at(6, 68.0), at(8, 68.0), at(80)])
    first, second = (parts(run)[bounds] for bounds in ((0.0, 4.5), (4.5, 10.0)))
    assert (first["unit"], first["count"], first["min"], first["max"]) == ("Cel", 3, 20.0, 20.0)
    assert (second["unit"], second["count"], second["min"], second["max"]) == ("[degF]", 2, 68.0, 68.0)
    assert (first["mean_time_weighted"], first["coverage"], first["duration_unknown_s"]) == (20.0, 1.0, 0.0)
    assert (second["mean_time_weighted"], second["duration_good_s"], second["duration_unknown_s"]) == (68.0, 4.0, 1.5)
    assert (second["coverage"], second["share_good"]) == (4 / 5.5, 4 / 5.5)
    assert (first["length_s"], second["length_s"]) == (10, 10)
    assert first["window_id"] == f"temperature/10/{T0}"
    assert second["window_id"] == f"temperature/10/{T0 + 4_500_000}"


@pytest.mark.parametrize("field", [{"unit": "K"}, {"factor": 2.0}, {"offset": 273.15}, {"unit": None}])
def test_unit_factor_and_offset_split(field: dict[str, Any]) -> None:
    """Each of the three alone makes readings that must not be mixed."""
    run = run_of(version(PERIODIC), version(PERIODIC, T0 + 5 * SECOND, **field))
    run.step([at(second) for second in range(0, 14, 2)] + [at(80)])
    assert set(parts(run)) >= {(0.0, 5.0), (5.0, 10.0), (10.0, 20.0)}


def test_other_changes_do_not_split() -> None:
    """A machine that moves to another work unit goes on measuring: the window is whole, and told as at its begin."""
    run = run_of(version(PERIODIC), version(PERIODIC, T0 + 5 * SECOND, work_unit="capper", name="renamed"))
    run.step([at(second) for second in range(0, 14, 2)] + [at(80)])
    assert parts(run)[0.0, 10.0]["work_unit"] == "filler"
    assert parts(run)[0.0, 10.0]["count"] == 5


def test_a_change_at_the_border_splits_nothing() -> None:
    """The 10 s windows are whole; the value from before does not reach into the new unit; the minute has two parts."""
    run = run_of(version(PERIODIC), fahrenheit(PERIODIC, 10))
    run.step([at(8, 20.0), at(13, 68.0), at(80)])
    assert set(parts(run)) >= {(0.0, 10.0), (10.0, 20.0)}
    assert parts(run)[10.0, 20.0]["duration_unknown_s"] == 5.0
    assert set(parts(run, length_s=60)) >= {(0.0, 10.0), (10.0, 60.0)}


def test_a_value_that_stands_ends_with_its_unit() -> None:
    """What was 20 degC is not 20 degF: an on-change signal is unknown from the change to its next reading."""
    run = run_of(version(CHANGES), fahrenheit(CHANGES, 15))
    run.step([at(2, 20.0), at(44, 68.0), at(80, signal="other")])
    told = {bounds: (row["duration_good_s"], row["max"]) for bounds, row in parts(run).items()}
    assert told[0.0, 10.0] == (8.0, 20.0)
    assert told[10.0, 15.0] == (5.0, None)
    assert (15.0, 20.0) not in told
    assert (20.0, 30.0) not in told
    assert told[40.0, 50.0] == (6.0, 68.0)


def test_two_changes_in_one_window_make_three_parts() -> None:
    """Each part is told from its own readings, also after a restart and a late reading into the middle one."""
    run = run_of(version(PERIODIC), fahrenheit(PERIODIC, 3), version(PERIODIC, T0 + 7 * SECOND))
    run.step([at(1, 20.0), at(4, 68.0), at(8, 21.0), at(80)])
    run.restart(combined=True)
    run.step([at(5, 70.0)])
    told = {
        bounds: (row["revision"], row["count"], row["max"]) for bounds, row in parts(run).items() if bounds[1] <= 10
    }
    assert told == {(0.0, 3.0): (1, 1, 20.0), (3.0, 7.0): (2, 2, 70.0), (7.0, 10.0): (1, 1, 21.0)}
    last = run.windows[-1]
    assert (last["unit"], last["provisional"], last["reason"]) == ("[degF]", False, "late")


def test_an_idle_close_of_a_part_is_provisional_until_its_own_end() -> None:
    """The source was heard 1 s after the first part's end and before the whole window's: it may still change."""
    run = run_of(version(PERIODIC), fahrenheit(PERIODIC, 4))
    run.step([at(1, 20.0), at(7, 68.0)], now_us=T0)
    run.timer(T0 + 30 * SECOND)
    told = {bounds: row["provisional"] for bounds, row in parts(run).items() if bounds[1] <= 10}
    assert told == {(0.0, 4.0): False, (4.0, 10.0): True}


def test_a_part_that_a_correction_empties_is_retracted_with_its_own_length() -> None:
    """A value held for edge-1's life turns out to be edge-2's: the unknown time is that of the part, not 10 s."""
    run = run_of(version(CHANGES), version(CHANGES, T0 + 44 * SECOND, unit="K"))
    run.step([at(1, 20.0), at(60, signal="other")])
    run.step([at(32, 21.0, source="edge-2")])
    (taken_back,) = (row for row in run.windows if row["reason"] == "retracted")
    assert taken_back["window_end"] - taken_back["window_start"] == 4 * SECOND
    assert (taken_back["duration_unknown_s"], taken_back["share_good"], taken_back["coverage"]) == (4.0, 0.0, 0.0)


def test_a_state_survives_a_change_of_unit() -> None:
    """A label has no unit: the window is whole, time in state and transitions run on."""
    run = run_of(version(STATE), version(STATE, T0 + 15 * SECOND, unit="1", factor=2.0))
    run.step([at(2, None, "valve", label="open"), at(18, None, "valve", label="shut"), at(80, signal="other")])
    row = parts(run, "valve")[10.0, 20.0]
    assert (row["states"], row["state_durations_s"], row["transitions"]) == (["open", "shut"], [8.0, 2.0], 1)


@pytest.mark.parametrize("lengths", [[7], [10, 7], [0, 10], [-10], [172_800], [None, 10]])
def test_lengths_that_do_not_divide_a_day_give_way_to_the_defaults(lengths: list[int | None]) -> None:
    """The dictionary's check calls them faulty, and windows have the defaults, as it says."""
    row = version(PERIODIC, window_lengths_s=lengths)
    (fault,) = dictionary.check(context([row]).frame("it.signal.v1"))
    assert (fault.kind, fault.signal_id) == ("bad_window_length", "temperature")
    assert "the defaults are used" in fault.detail
    run = run_of(row)
    run.step([at(3), at(80)])
    assert {row["length_s"] for row in run.windows} == {10, 60}


def test_a_version_that_cannot_be_used_is_none() -> None:
    """A factor of 0 is no scaling: the version is set aside, as in `validate`, and splits nothing."""
    run = run_of(version(PERIODIC), version(PERIODIC, T0 + 5 * SECOND, factor=0.0))
    run.step([at(second) for second in range(0, 10, 2)] + [at(80)])
    assert parts(run)[0.0, 10.0]["count"] == 5
    assert set(DICTIONARY) == set(dictionary.SIGNAL)
