"""A signal that is no longer sent: one timeline that fires, one that does not."""

from __future__ import annotations

from tests.core.silence_scene import every, run, told
from tests.rules.silent_line import silent_line


def test_a_signal_that_stays_away_is_told() -> None:
    """The node goes on with the pressure; the temperature is told after a minute, and that it is back."""
    readings = [
        *every("pressure", 0, 200, source="edge-1"),
        *every("temperature", 0, 30, source="edge-1"),
        *every("temperature", 180, 200, source="edge-1"),
    ]
    active, cleared = run(silent_line("signal-missing"), readings, 200)
    assert told([active, cleared]) == [("active", 90.0), ("cleared", 180.0)]
    assert active["message"] == (
        "Nothing of filler bearing temperature since 10:00:30 UTC (limit 1 min), while edge-1 goes on sending, "
        "at plantweave/line-1/filler, while order PO-1007 (Cola 0.5 l) ran; "
        "maintenance: check the sensor's wiring and whether the edge node still subscribes to it."
    )
    assert cleared["message"].startswith("Filler bearing temperature is sent again after 2 min 30 s")


def test_a_node_that_is_silent_misses_no_signal() -> None:
    """Nothing came for an hour, of none of its signals: no single one of them is to blame."""
    names = ("temperature", "pressure")
    readings = [r for n in names for b, e in ((0, 30), (3600, 3630)) for r in every(n, b, e, source="edge-1")]
    assert not run(silent_line("signal-missing"), readings, 3640, step=60)
