"""A value that never moves: one timeline that fires, one that does not."""

from __future__ import annotations

from tests.core.alert_scene import R
from tests.core.silence_scene import every, run, told
from tests.rules.silent_line import silent_line


def test_a_value_that_stands_while_the_machine_runs_is_told() -> None:
    """A quarter of an hour of exactly 62 degrees is no bearing that runs."""
    readings = [R(0, "state", "running", source="edge-1"), *every("temperature", 0, 1000, 62.0, source="edge-1")]
    (active,) = run(silent_line("signal-frozen"), readings, 1000, step=20)
    assert told([active]) == [("active", 900.0)]
    assert active["message"].startswith(
        "Filler bearing temperature stands at 62 °C since 10:00:00 UTC (limit 15 min), while edge-1 goes on sending it"
    )
    assert (active["value"], active["unit"], active["limit"]) == (62.0, "Cel", None)


def test_a_stopped_line_raises_nothing() -> None:
    """Its values stand as it does: its state says so, for as long as it likes."""
    readings = [R(0, "state", "stopped", source="edge-1"), *every("pressure", 0, 3600, 190.0, 2, source="edge-1")]
    assert not run(silent_line("signal-frozen"), readings, 3600, step=60)
