"""A zone whose nodes fall silent together: one timeline that fires, one that does not."""

from __future__ import annotations

from tests.core.silence_scene import every, rang, run
from tests.rules.silent_line import silent_line

RULES = ("network-segment-down", "edge-node-offline", "signal-missing")


def test_a_zone_that_is_cut_off_rings_once() -> None:
    """Both nodes of the zone are silent: one alert for the zone, which names them; theirs point to it."""
    readings = [*every("temperature", 0, 30, source="edge-1"), *every("torque", 0, 31, source="edge-2")]
    rows = run(silent_line(*RULES), readings, 200)
    assert rang(rows) == [("network-segment-down", "line-1-control@line-1")]
    (segment,) = [row for row in rows if row["rule_id"] == "network-segment-down"]
    assert segment["members"] == ["edge-1", "edge-2"]
    assert segment["message"].startswith(
        "Network segment line-1-control cut off since 10:00:31 UTC: nothing from edge-1 and edge-2, at line-1"
    )
    others = [row for row in rows if row is not segment]
    assert {row["source_id"] for row in others} == {"edge-1", "edge-2"}
    assert {row["cause_alert_id"] for row in others} == {segment["alert_id"]}


def test_one_silent_node_is_no_segment() -> None:
    """The other goes on: the alert is the node's."""
    readings = [*every("temperature", 0, 30, source="edge-1"), *every("torque", 0, 200, source="edge-2")]
    assert rang(run(silent_line(*RULES), readings, 200)) == [("edge-node-offline", "edge-1@line-1")]
