"""A fault of the signal dictionary, through a real broker: told once over a worker's death, until it is mended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streams import topology
from tests.integration import harness

pytestmark = pytest.mark.timeout(180)

FIRST: dict[str, Any] = {"signal_id": "s", "source_id": "edge-1", "address": "t", "valid_from": 0, "valid_to": 9}
SECOND: dict[str, Any] = {"signal_id": "s", "source_id": "edge-2", "address": "t", "valid_from": 5}


def test_two_sources_of_a_signal_are_told_once(bootstrap: str, tmp_path: Path) -> None:
    """Three tasks and a worker that is killed leave one alert; a corrected dictionary clears it."""
    target = harness.deploy(bootstrap, tmp_path, ("validate",), partitions=3)
    harness.write_dictionary(target, [FIRST, SECOND])

    def told() -> list[tuple[str, str, str, int]]:
        rows = harness.rows(target, topology.ALERT)
        return [(row["rule_id"], row["signal_id"], row["state"], row["revision"]) for row in rows]

    try:
        harness.start(target, "validate")
        harness.until(told, "the alert")
        target.kill("validate-0")
        target.start("validate", 0)
        harness.write_dictionary(target, [{**FIRST, "valid_to": 5}])
        harness.until(lambda: len(told()) > 1, "the alert to be cleared")
    finally:
        target.stop()
    rule = "builtin.configuration.two_sources"
    assert told() == [(rule, "s", "active", 1), (rule, "s", "cleared", 2)]
