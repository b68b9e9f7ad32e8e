"""Bearing temperature rises fast: one timeline that fires, one that does not."""

from __future__ import annotations

from tests.core.alert_scene import told
from tests.rules.bottling import line, series

RULE = "bearing-temperature-rising"


def test_a_failing_bearing_is_seen_before_its_limit() -> None:
    """1.2 K per s from 62: told at 68, long before the limit of 85."""
    rows = line(RULE).feed(
        *series("bearing-temperature", *((float(at), 62.0 + 1.2 * max(at - 5, 0)) for at in range(12)))
    )
    assert told(rows) == [("active", 10.0)]
    assert rows[0]["message"] == (
        "Filler bearing temperature rises by 72 °C/min (limit 30 °C/min) "
        "since 10:00:10 UTC at plantweave/bottling/hall/line-1/filler, "
        "while order PO-1007 (Cola 0.5 l) runs; "
        "maintenance-mechanical: watch the bearing and have a stop prepared."
    )


def test_a_machine_that_warms_up_does_not() -> None:
    """20 K per min is what a cold machine does."""
    assert not line(RULE).feed(*series("bearing-temperature", *((float(at), 20.0 + at / 3) for at in range(60))))
