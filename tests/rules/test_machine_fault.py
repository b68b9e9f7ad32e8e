"""Machine in fault: one timeline that fires, one that does not."""

from __future__ import annotations

from tests.core.alert_scene import told
from tests.rules.bottling import line, series

RULE = "machine-fault"


def test_a_fault_that_is_not_reset_alarms() -> None:
    """5 s in fault; it is over with the first other state."""
    rows = line(RULE).feed(*series("state", (0, "running"), (10, "fault"), (40, "stopped"), (50, "running")))
    assert told(rows) == [("active", 15.0), ("cleared", 40.0)]
    assert rows[0]["message"] == (
        "Filler state is fault since 10:00:10 UTC at plantweave/bottling/hall/line-1/filler, "
        "while order PO-1007 (Cola 0.5 l) runs; "
        "maintenance-mechanical: go to the machine, read its fault message and clear the cause."
    )


def test_a_fault_that_is_reset_at_once_does_not() -> None:
    """The operator was there within 5 s; other stops are no faults."""
    assert not line(RULE).feed(
        *series(
            "state", (0, "running"), (10, "fault"), (14.9, "running"), (20, "stopped"), (60, "setup"), (90, "running")
        )
    )
