"""Motor current high: one timeline that fires, one that does not."""

from __future__ import annotations

from tests.core.alert_scene import told
from tests.rules.bottling import line, series

RULE = "motor-current-high"


def test_a_motor_that_labours_alarms() -> None:
    """Above 20 A for 2 s."""
    rows = line(RULE).feed(
        *series("motor-current", (0, 14.0), (10, 23.5), (11, 24.0), (12, 24.5), (13, 14.0), (18, 14.0))
    )
    assert told(rows) == [("active", 12.0), ("cleared", 18.0)]
    assert rows[0]["message"] == (
        "Filler motor current is 24 A (limit 20 A) "
        "since 10:00:10 UTC at plantweave/bottling/hall/line-1/filler, "
        "while order PO-1007 (Cola 0.5 l) runs; "
        "maintenance-mechanical: look for a jam or a dry gear, and free it before the drive trips."
    )


def test_an_inrush_does_not() -> None:
    """Starting draws three times the current for less than 2 s."""
    assert not line(RULE).feed(*series("motor-current", (0, 0.8), (10, 45.0), (11, 30.0), (11.5, 14.0), (20, 14.0)))
