"""Rejects come fast: one timeline that fires, one that does not."""

from __future__ import annotations

from tests.core.alert_scene import told
from tests.rules.bottling import line, series

RULE = "reject-rate-high"


def test_a_machine_that_rejects_every_fourth_item_alerts() -> None:
    """1.8 rejects per s are told within 10 s; the rate is in items per min."""
    rows = line(RULE).feed(
        *series("reject-count", *((float(at), float(120 + int(1.8 * max(at - 10, 0)))) for at in range(0, 31, 2)))
    )
    assert told(rows) == [("active", 20.0)]
    assert rows[0]["message"] == (
        "Capper reject count rises by 108 items/min (limit 40 items/min) "
        "since 10:00:20 UTC at plantweave/bottling/hall/line-1/capper, "
        "while order PO-1007 (Cola 0.5 l) runs; "
        "maintenance-mechanical: look at the last rejects and correct the cause at the machine."
    )


def test_a_counter_that_rolls_over_does_not() -> None:
    """Falling from 65535 to 0 is no rate of rejects, and 12 per min are usual."""
    assert not line(RULE).feed(*series("reject-count", (0, 65532.0), (10, 65534.0), (20, 0.0), (30, 2.0), (40, 4.0)))
