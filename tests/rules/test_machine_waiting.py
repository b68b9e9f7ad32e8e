"""Machine waits for its neighbours: one timeline that fires, one that does not."""

from __future__ import annotations

from tests.core.alert_scene import told
from tests.rules.bottling import line, series

RULE = "machine-waiting"


def test_a_long_wait_is_told() -> None:
    """15 s without bottles, or without room for them, count together."""
    rows = line(RULE).feed(
        *series("state", (0, "running"), (10, "starved"), (20, "blocked"), (40, "running"), (45, "running"))
    )
    assert told(rows) == [("active", 25.0), ("cleared", 42.0)]
    assert rows[0]["message"] == (
        "Filler state is blocked since 10:00:10 UTC at plantweave/bottling/hall/line-1/filler, "
        "while order PO-1007 (Cola 0.5 l) runs; "
        "maintenance-mechanical: look for the machine that holds the others up."
    )


def test_a_short_wait_is_not() -> None:
    """A jam next door of 10 s is part of the work."""
    assert not line(RULE).feed(
        *series("state", (0, "running"), (10, "starved"), (20, "running"), (30, "blocked"), (44, "running"))
    )
