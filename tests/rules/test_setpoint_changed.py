"""Setpoint changed: one timeline that is recorded, one that is not."""

from __future__ import annotations

from tests.core.alert_scene import R, seconds, told
from tests.rules.bottling import line, series, signal_id

RULE = "setpoint-changed"


def test_a_setpoint_that_is_set_anew_is_recorded() -> None:
    """From what to what, with the order that ran; nobody is called, and a second step within 10 s belongs to it."""
    rows = line(RULE).feed(*series("fill-setpoint", (0, 330.0), (60, 400.0), (65, 500.0), (100, 500.0)))
    assert told(rows) == [("active", 60.0), ("cleared", 75.0)]
    first, last = rows
    assert first["message"] == (
        "Filler fill setpoint was changed from 330 ml to 400 ml at 10:01:00 UTC at "
        "plantweave/bottling/hall/line-1/filler, while order PO-1007 (Cola 0.5 l) runs."
    )
    assert last["message"] == (
        "Filler fill setpoint is 500 ml after its change from 330 ml from 10:01:00 UTC to 10:01:05 UTC at "
        "plantweave/bottling/hall/line-1/filler, while order PO-1007 (Cola 0.5 l) ran."
    )
    assert {(row["kind"], row["annunciated"], row["historical"], row["limit"]) for row in rows} == {
        ("event", False, False, 330.0)
    }
    assert (first["value"], last["value"], seconds(last["end_time"])) == (400.0, 500.0, 65.0)


def test_a_setpoint_that_is_told_again_is_not() -> None:
    """By its controller after a restart, or each minute; nor is a measurement that moves."""
    setpoint = [*series("fill-setpoint", (0, 330.0), (60, 330.0)), R(90, signal_id("fill-setpoint"), 330.0, flags=4)]
    assert not line(RULE).feed(*setpoint, *series("fill-level", (91, 330.0), (92, 331.0)))
