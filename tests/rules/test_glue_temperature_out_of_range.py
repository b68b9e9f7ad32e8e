"""Glue temperature out of range: one timeline that fires, one that does not."""

from __future__ import annotations

from tests.core.alert_scene import told
from tests.rules.bottling import line, series

RULE = "glue-temperature-out-of-range"


def test_a_heater_that_fails_alarms() -> None:
    """Below 155 for 10 s; the same rule watches the upper end."""
    rows = line(RULE).feed(
        *series(
            "glue-temperature", (0, 168.0), (10, 154.0), (15, 150.0), (20, 148.0), (40, 190.0), (50, 168.0), (60, 168.0)
        )
    )
    assert told(rows) == [("active", 20.0), ("cleared", 60.0)]
    assert rows[0]["message"] == (
        "Packer glue temperature is 150 °C (lower limit 155 °C) "
        "since 10:00:10 UTC at plantweave/bottling/hall/line-1/packer, "
        "while order PO-1007 (Cola 0.5 l) runs; "
        "packaging-team: check the glue heater and hold the cartons packed since."
    )


def test_a_heater_that_switches_does_not() -> None:
    """The swing of the controller stays within 155 to 182."""
    assert not line(RULE).feed(*series("glue-temperature", (0, 156.0), (20, 181.0), (40, 155.0), (60, 182.0)))
