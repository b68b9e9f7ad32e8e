"""Bearing temperature high: one timeline that fires, one that does not."""

from __future__ import annotations

from tests.core.alert_scene import told
from tests.rules.bottling import line, series

RULE = "bearing-temperature-high"


def test_a_bearing_that_stays_hot_alarms() -> None:
    """Above 85 for a second: an alarm that begins where the limit was passed; at 82 and 5 s later it is over."""
    rows = line(RULE).feed(
        *series("bearing-temperature", (0, 62.0), (5, 84.9), (6, 86.1), (6.5, 86.7), (7, 87.3), (20, 81.9), (25, 80.0))
    )
    assert told(rows) == [("active", 7.0), ("cleared", 25.0)]
    assert rows[0]["message"] == (
        "Filler bearing temperature is 86.7 °C (limit 85 °C) "
        "since 10:00:06 UTC at plantweave/bottling/hall/line-1/filler, "
        "while order PO-1007 (Cola 0.5 l) runs; "
        "maintenance-mechanical: check the bearing's lubrication and plan its replacement."
    )


def test_a_spike_of_the_sensor_does_not() -> None:
    """One reading of 120 between normal ones half a second apart is no hot bearing."""
    assert not line(RULE).feed(*series("bearing-temperature", (0, 62.0), (0.5, 120.0), (1, 62.1), (1.5, 62.0)))
