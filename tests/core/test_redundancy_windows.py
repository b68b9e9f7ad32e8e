"""Redundant gateways and windows: one value per instant, whoever tells it, in any split and across restarts."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.redundancy.selected import Selected
from streams.core.redundancy.selection import Redundancy
from streams.core.window.stage import Window, WindowConfig
from tests.core.window_scene import TEMPERATURE, at
from tests.simulation.reference import SECOND, Reading, Signal
from tests.simulation.window_run import T0, Run, context, difference, version

SPARE = Signal("spare", period=SECOND)
PAIR = context([version(TEMPERATURE), version(SPARE, source_id="edge-2", redundant_of="temperature")])
CONFIG = WindowConfig(correction_horizon_us=600 * SECOND)


class Task(Run):
    """A window task behind the selection."""

    def __post_init__(self) -> None:
        """An empty task."""
        super().__post_init__()
        self.stage = Selected(Window(self.config), Redundancy())  # type: ignore[assignment]  # both are StageCore
        self.tables = {table.name: table for table in self.stage.tables}
        self.state = {name: table.empty() for name, table in self.tables.items()}

    def restart(self, *, combined: bool = True) -> None:
        """A new process: stage and tables."""
        super().restart(combined=combined)
        self.stage = Selected(Window(self.config), Redundancy())  # type: ignore[assignment]


def log(silent: range, end: int = 120) -> list[Reading]:
    """Both gateways each second, the standby 0.1 s later; the primary is silent meanwhile. Last, a word of a third."""
    told = []
    for second in range(end):
        if second not in silent:
            told.append(at(second, float(second)))
        told.append(at(second + 0.1, float(second), signal="spare", source="edge-2"))
    return [*told, at(end + 60, signal="other")]


def test_windows_of_two_gateways_are_those_of_one() -> None:
    """Two gateways give the windows of the primary alone: every count, coverage and mean."""
    alone, both = Task(CONFIG, PAIR), Task(CONFIG, PAIR)
    everything = log(range(0))
    alone.step([one for one in everything if one.signal != "spare"], T0 + 120 * SECOND)
    both.step(everything, T0 + 120 * SECOND)
    assert both.windows == alone.windows
    assert both.counts["redundancy", "standby"] == 120


def test_windows_go_on_with_the_standby() -> None:
    """When the primary dies, the windows of its signal go on after the failover limit, and no coverage exceeds 1."""
    run = Task(CONFIG, PAIR)
    run.step(log(range(30, 120)), T0 + 120 * SECOND)
    counts = {(row["window_start"] - T0) // SECOND: row["count"] for row in run.windows if row["length_s"] == 10}
    # The standby's readings of 30.1 to 38.1 came while the primary was still on duty, which ends with that of 39.1.
    assert [counts.get(begin, 0) for begin in range(20, 60, 10)] == [10, 1, 10, 10]
    assert all(row["coverage"] <= 1.0 for row in run.windows)
    assert {row["signal_id"] for row in run.windows} <= {"temperature", "other"}


@settings(deadline=None, max_examples=25)
@given(st.integers(10, 60), st.integers(0, 50), st.lists(st.integers(1, 240), max_size=4), st.data())
def test_any_split_with_copies_and_restarts_gives_the_same_windows(
    begin: int, length: int, cuts: list[int], data: st.DataObject
) -> None:
    """However the log is cut, whichever readings come twice and whenever the worker restarts: the same windows."""
    told, restarted = log(range(begin, begin + length)), data.draw(st.integers(0, 4))
    whole, parts = Task(CONFIG, PAIR), Task(CONFIG, PAIR)
    whole.step(told, T0 + 200 * SECOND)
    places = data.draw(st.lists(st.integers(0, len(told) - 2), max_size=5))
    again = [one for place, one in enumerate(told) for _ in range(1 + places.count(place))]
    bounds = [0, *sorted({cut for cut in cuts if cut < len(again)}), len(again)]
    for number, (first, last) in enumerate(itertools.pairwise(bounds)):
        parts.step(again[first:last], T0 + 200 * SECOND)
        if number == restarted:
            parts.restart()
    parts.step([at(250, signal="other")], T0 + 250 * SECOND)
    whole.step([at(250, signal="other")], T0 + 250 * SECOND)
    # How a window came to be may differ, what it says may not.
    manner = {"revision", "supersedes", "reason", "provisional", "watermark", "emitted_at"}
    wanted = {key: {name: row[name] for name in row if name not in manner} for key, row in whole.latest().items()}
    assert difference(parts.latest(), wanted) == ""


def test_windows_forget_who_was_on_duty_where_nobody_is_redundant_any_more() -> None:
    """The dictionary has the primary alone: with the next chunk the selection has no rows left, and windows go on."""
    run = Task(CONFIG, PAIR)
    run.step(log(range(0), 30), T0 + 30 * SECOND)
    assert run.state["presence"].height == 2
    run.context = context([version(TEMPERATURE)], 2)
    run.step([at(second, float(second)) for second in range(95, 120)], T0 + 120 * SECOND)
    assert (run.state["presence"].height, run.state["duty"].height) == (0, 0)
    assert run.latest()["temperature", 10, T0 + 100 * SECOND]["count"] == 10
