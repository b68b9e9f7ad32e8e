"""A sensor whose values are bad: one timeline that fires, one that does not."""

from __future__ import annotations

from tests.core.alert_scene import BAD, R
from tests.core.silence_scene import every, run, told
from tests.rules.silent_line import silent_line


def test_a_sensor_that_stays_bad_is_told() -> None:
    """Half a minute of bad values is told, as bad."""
    bad = every("temperature", 0, 60, quality=BAD, source="edge-1")
    readings = [*bad, *every("temperature", 61, 70, source="edge-1")]
    active, cleared = run(silent_line("sensor-bad"), readings, 70)
    assert told([active, cleared]) == [("active", 30.0), ("cleared", 61.0)]
    assert active["quality"] == "bad"
    assert active["message"].startswith(
        "Filler bearing temperature has no good value since 10:00:00 UTC (limit 30 s), as edge-1 says itself"
    )


def test_one_bad_status_is_no_bad_sensor() -> None:
    """It discards no neighbour, and tells of nothing that lasts."""
    readings = [*every("temperature", 0, 90, source="edge-1"), *every("pressure", 0, 90, source="edge-1")]
    readings[20] = R(20, "temperature", 0.0, BAD, source="edge-1")
    assert not run(silent_line("sensor-bad"), readings, 90)
