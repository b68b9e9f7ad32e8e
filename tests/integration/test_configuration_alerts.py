"""A fault of the signal dictionary, through a real broker: told once over a worker's death, until it is mended."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from streams import topology
from tests.integration import harness
from tests.integration.test_context_alerts import write

pytestmark = pytest.mark.timeout(180)

FIRST: dict[str, Any] = {"signal_id": "s", "source_id": "edge-1", "address": "t", "valid_from": 0, "valid_to": 9}
SECOND: dict[str, Any] = {"signal_id": "s", "source_id": "edge-2", "address": "t", "valid_from": 5}


ORDER: dict[str, Any] = {
    "order_id": "WO-7", "site": "site-1", "work_center": "line-1", "status": "started", "activity": "program",
    "started_at": time.time_ns() // 1000 - 600_000_000, "started_at_precision": "exact",
}  # fmt: skip


def test_two_sources_of_a_signal_are_told_once(bootstrap: str, tmp_path: Path) -> None:
    """Three tasks and a worker that is killed leave one alert; an order that comes late is one more revision of it, and
    a corrected dictionary clears it.
    """
    target = harness.deploy(bootstrap, tmp_path, ("validate",), partitions=3)
    harness.write_dictionary(target, [FIRST, SECOND])

    def told() -> list[tuple[str, str, str, int]]:
        rows = harness.rows(target, topology.ALERT)
        return [(row["rule_id"], row["signal_id"], row["state"], row["revision"]) for row in rows]

    try:
        harness.start(target, "validate")
        harness.until(told, "the alert")
        write(target, topology.WORK_ORDER, "WO-7", ORDER)
        harness.until(lambda: len(told()) > 1, "the order that explains it")
        target.kill("validate-0")
        target.start("validate", 0)
        harness.write_dictionary(target, [{**FIRST, "valid_to": 5}])
        harness.until(lambda: len(told()) > 2, "the alert to be cleared")
        rows = harness.rows(target, topology.ALERT)
    finally:
        target.stop()
    rule = "builtin.configuration.two_sources"
    assert told() == [(rule, "s", "active", 1), (rule, "s", "active", 2), (rule, "s", "cleared", 3)]
    assert [row["reason"] for row in rows] == ["condition_active", "verdict", "condition_cleared"]
    assert [(row["verdict"], row["verdict_reference"]) for row in rows] == [("none", None), *[("possible", "WO-7")] * 2]
    assert [row["context_missing"] for row in rows] == [["asset", "production_order"]] * 3
    assert [row["work_center"] for row in rows] == ["line-1"] * 3
