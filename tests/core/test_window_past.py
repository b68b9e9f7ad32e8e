"""The stage `window` where readings are older than its memory: windows told again from the log."""

from __future__ import annotations

from typing import Any

from streams.core.stage import Moment
from streams.core.window.past import TABLES
from streams.core.window.stage import WindowConfig
from tests.core.window_scene import TEMPERATURE, VALVE, at, ends, started
from tests.simulation import test_window_invariant as near
from tests.simulation.reference import SECOND, windows
from tests.simulation.window_run import T0, Run, difference

LATER = T0 + 3600 * SECOND
WAITING = [table.name for table in TABLES if table.name != "waiting"]


def short(**config: int) -> Run:
    """A task with 20 s of memory."""
    return started(memory_us=20 * SECOND, **config)


def test_a_reading_older_than_memory_revises_its_windows() -> None:
    """It is no more in memory, yet its windows get revision 2, as if they had been; then nothing waits any more."""
    run = short()
    run.step([at(second) for second in range(200)])
    before = len(run.windows)
    run.step([at(15.5, 7.0)])
    assert len(run.windows) == before
    run.correct(LATER)
    new = run.windows[before:]
    assert [(row["window_start"] - T0, row["length_s"], row["revision"], row["reason"], row["max"]) for row in new] == [
        (10 * SECOND, 10, 2, "late", 7.0),
        (0, 60, 2, "late", 7.0),
    ]
    assert run.counts["readings", "late"] == 1
    assert run.counts["windows", "late"] == 2
    assert not run.stage.due(run.state, Moment(LATER))
    assert all(run.state[name].is_empty() for name in WAITING)


def test_the_buffer_holds_memory_not_the_horizon() -> None:
    """Of a horizon of a day, 20 s (at most half as much again, and what a window begins with) are kept as readings."""
    run = short()
    for minute in range(30):
        run.step([at(minute * 60 + second) for second in range(60)])
        assert run.state["reading"].height <= 30 + 60 + 60


def test_an_old_value_stands_in_memory_at_once() -> None:
    """What comes from before memory and still stands revises the windows in memory in the same step."""
    run = short()
    run.step([at(1, None, "valve", label="open"), at(200)])
    before = len(run.windows)
    run.step([at(15, None, "valve", label="shut")])
    at_once = {(row["window_start"] - T0) // SECOND: row["states"] for row in run.windows[before:]}
    assert at_once == {170: ["shut"], 180: ["shut"]}
    run.correct(LATER)
    later = {(row["window_start"] - T0) // SECOND: row["states"] for row in run.windows[before + 2 :]}
    assert later == {10: ["open", "shut"]} | {begin: ["shut"] for begin in range(20, 170, 10)}


def test_a_source_that_returns_fills_what_memory_has_let_go() -> None:
    """Silent for longer than memory, an on-change value is known again all that time once its source goes on."""
    run = short()
    sent = [at(4), at(5, None, "valve", label="open", source="edge-2")]
    run.step(sent, now_us=T0)
    sent += [at(100)]
    run.step(sent[2:], now_us=T0 + 20 * SECOND)
    sent += [at(101, None, "valve", label="shut", source="edge-2")]
    run.step(sent[3:], now_us=T0 + 21 * SECOND)
    valve = [end for end, _, _ in ends(run) if end > 10]
    run.correct(LATER)
    starts = sorted((row["window_start"] - T0) // SECOND for row in run.windows if row["signal_id"] == "valve")
    assert valve
    assert starts == [0, 0, *range(10, 90, 10)]
    signals = {signal.name: signal for signal in (VALVE, TEMPERATURE)}
    assert difference(run.latest(), windows(sent, signals, int(run.state["task"]["watermark"][0]))) == ""


def test_a_correction_waits_until_what_it_is_for_has_come() -> None:
    """It begins once nothing old has come for 5 s, or after a minute of it; where nothing waits, never."""
    run = short()
    run.step([at(second) for second in range(200)])
    assert not run.stage.due(run.state, Moment(LATER))
    begun = T0 + 300 * SECOND
    for second in range(60):
        run.step([at(second + 0.5)], now_us=begun + second * SECOND)
        assert not run.stage.due(run.state, Moment(begun + second * SECOND))
    assert run.stage.due(run.state, Moment(begun + 60 * SECOND))
    assert run.stage.due(run.state, Moment(begun + 64 * SECOND))


def test_what_comes_during_a_look_back_waits_for_the_next() -> None:
    """Its offset is behind what is read; the next look back corrects it, and each window is revised in turn."""
    run = short()
    run.step([at(second) for second in range(200)])
    run.step([at(15.5, 7.0)])
    back = run.look_back(LATER)
    assert back is not None
    run.step([at(15.7, 9.0), at(300)])
    run.looked(back, LATER)
    assert run.latest()["temperature", 10, T0 + 10 * SECOND]["max"] == 7.0
    run.correct(LATER)
    window = run.latest()["temperature", 10, T0 + 10 * SECOND]
    assert (window["max"], window["revision"], window["count"]) == (9.0, 3, 12)


def test_a_source_that_goes_on_during_a_look_back_is_told_of_by_the_next() -> None:
    """A look back tells of what was when it began: what a source adds meanwhile is not lost."""
    run = short()
    sent = [at(300), at(107.75, None, "valve", label="open", source="edge-2")]
    run.step(sent[:1])
    run.step(sent[1:])
    back = run.look_back(LATER)
    assert back is not None
    sent += [at(400, None, "valve", label="shut", source="edge-2"), at(400)]
    run.step(sent[2:], now_us=LATER)
    run.looked(back, LATER)
    run.correct(LATER + 60 * SECOND)
    signals = {signal.name: signal for signal in (VALVE, TEMPERATURE)}
    assert difference(run.latest(), windows(sent, signals, int(run.state["task"]["watermark"][0]))) == ""


def test_a_repeat_of_an_old_reading_counts_and_changes_nothing() -> None:
    """Found in the log as what it is: counted as duplicate, the windows stand."""
    run = short()
    run.step([at(second) for second in range(200)])
    before = len(run.windows)
    run.step([at(15), at(16, 3.0)])
    run.correct(LATER)
    assert run.counts["readings", "duplicate"] == 1
    assert run.counts["readings", "conflict"] == 1
    assert {row["window_start"] for row in run.windows[before:]} == {T0 + 10 * SECOND, T0}


def test_what_came_beyond_the_horizon_stays_out_when_it_is_read_again() -> None:
    """The late topic has it; a look back over its time does not put it into a window as well."""
    run = short(correction_horizon_us=100 * SECOND)
    run.step([at(second) for second in range(150)])
    run.step([at(46.5, 50.0), at(49.5, 60.0)])
    assert [row["value_double"] for row in run.late] == [50.0]
    run.correct(LATER)
    assert run.latest()["temperature", 10, T0 + 40 * SECOND]["max"] == 60.0
    assert run.latest()["temperature", 10, T0 + 40 * SECOND]["count"] == 11


def test_what_the_log_has_lost_goes_to_the_late_topic() -> None:
    """Windows whose other readings are gone cannot be told again: what waited is written there, counted, and done."""
    run = short()
    run.apart = 10
    run.step([at(second) for second in range(200)])
    run.step([at(15.5, 7.0), at(300)])
    run.log_begin = 1500
    before = len(run.windows)
    run.correct(LATER)
    assert len(run.windows) == before
    assert [(row["value_double"], row["offset"]) for row in run.late] == [(7.0, 2000)]
    assert run.counts["readings", "unavailable"] == 1
    assert all(run.state[name].is_empty() for name in WAITING)
    run.log_begin = 0
    run.step([at(15.7, 8.0)])
    run.correct(LATER)
    window = run.latest()["temperature", 10, T0 + 10 * SECOND]
    assert (window["max"], window["count"]) == (8.0, 11)


def test_what_memory_kept_aside_of_an_old_window_is_found_in_the_log() -> None:
    """A state later than the old one, still in the buffer for its longer window, ends what the old one tells."""
    run = Run(WindowConfig(memory_us=56 * SECOND), near.CONTEXT)
    phase: dict[str, Any] = {"signal": "phase", "label": None}
    sent = [at(168, signal="unlisted"), at(76.25, 2.0, **phase), at(11.75, 1.0, **phase)]
    run.step(sent[:2])
    run.step(sent[2:])
    sent += near.closing()
    run.step(sent[3:])
    run.correct(LATER)
    told = windows(sent, near.SIGNALS, int(run.state["task"]["watermark"][0]))
    assert difference(run.latest(), told) == ""
