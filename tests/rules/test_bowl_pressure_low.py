"""Filler bowl pressure low: one timeline that fires, one that does not."""

from __future__ import annotations

from tests.core.alert_scene import told
from tests.rules.bottling import line, series

RULE = "bowl-pressure-low"


def test_a_bowl_that_runs_empty_alarms() -> None:
    """Below 170 for 3 s; it is over at 178, 3 s later."""
    rows = line(RULE).feed(
        *series(
            "bowl-pressure", (0, 250.0), (10, 169.0), (12, 160.0), (13, 158.0), (20, 177.0), (21, 178.0), (24, 250.0)
        )
    )
    assert told(rows) == [("active", 13.0), ("cleared", 24.0)]
    assert rows[0]["message"] == (
        "Filler bowl pressure is 160 kPa (lower limit 170 kPa) "
        "since 10:00:10 UTC at plantweave/bottling/hall/line-1/filler, "
        "while order PO-1007 (Cola 0.5 l) runs; "
        "maintenance-mechanical: check the product supply and the bowl's pressure valve."
    )


def test_a_filler_that_stands_does_not() -> None:
    """A stopped filler keeps 190 kPa."""
    assert not line(RULE).feed(*series("bowl-pressure", (0, 250.0), (10, 190.0), (60, 182.0), (90, 250.0)))
