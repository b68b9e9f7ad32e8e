"""An edge node from which nothing comes: one timeline that fires, one that does not."""

from __future__ import annotations

from tests.core.silence_scene import every, run, told
from tests.rules.silent_line import silent_line


def test_a_node_that_is_silent_is_told() -> None:
    """A minute without anything of edge-1 is told once, with what to do and who does it."""
    readings = [*every("temperature", 0, 30, source="edge-1"), *every("temperature", 200, 210, source="edge-1")]
    active, cleared = run(silent_line("edge-node-offline"), readings, 210)
    assert told([active, cleared]) == [("active", 90.0), ("cleared", 200.0)]
    assert (active["asset_path"], active["source_id"], active["signal_id"]) == (
        "plantweave/line-1/cabinet-1", "edge-1", None,
    )  # fmt: skip
    assert active["message"] == (
        "Nothing from edge node edge-1 since 10:00:30 UTC (limit 1 min), whatever it reads, "
        "at plantweave/line-1/cabinet-1, while order PO-1007 (Cola 0.5 l) ran; "
        "it-ot: check the node's power and its network connection."
    )
    assert cleared["message"].startswith("Edge node edge-1 sends again after 2 min 50 s")


def test_a_node_that_pauses_is_not() -> None:
    """Fifty seconds are shorter than the limit."""
    readings = [*every("temperature", 0, 30, source="edge-1"), *every("temperature", 80, 100, source="edge-1")]
    assert not run(silent_line("edge-node-offline"), readings, 120)
