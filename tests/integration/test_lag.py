"""`plantweave lag` on a real broker: what holds a task back is named, from its state alone."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from streams import topology
from tests.chaos.deployment import Deployment
from tests.chaos.services import Encoder
from tests.integration import harness

pytestmark = pytest.mark.timeout(240)

EDGES = ("edge-behind", "edge-on-time")
BEHIND_S = 900


def send(target: Deployment, rows: list[dict[str, Any]]) -> None:
    """Raw readings on partition 0."""
    encoder = Encoder(topology.RAW_READING)
    producer = Producer({"bootstrap.servers": target.bootstrap, "log_level": 0})
    for row in rows:
        producer.produce(target.prefix + topology.RAW_READING.name, encoder.value(row), b"edge", partition=0)
    assert producer.flush(30) == 0


def readings(second: int) -> list[dict[str, Any]]:
    """One reading of each edge; what the first one sends is a quarter of an hour old."""
    now_us = time.time_ns() // 1000
    return [
        {"source_id": edge, "address": "tag", "value_double": float(second), "source_time": now_us - age * 1_000_000}
        for edge, age in zip(EDGES, (BEHIND_S, 0), strict=True)
    ]


def test_the_source_that_holds_a_task_back_is_named(bootstrap: str, tmp_path: Path) -> None:
    """Exit code 3, the slowest source and what to do while both send; before, that no worker runs; JSON and text."""
    settings = {"idle_after_by_source": "edge-behind=600000", "idle_after_ms": 600_000}
    target = harness.deploy(bootstrap, tmp_path, ("validate", "window"), partitions=2, **settings)
    rows = [{"signal_id": edge, "source_id": edge, "address": "tag", "period_ms": 1000} for edge in EDGES]
    harness.write_dictionary(target, rows)
    try:
        idle = harness.run(target, "lag", "window", "--json")
        assert idle.returncode == 3
        assert ["no worker of window runs" in task["advice"][0] for task in json.loads(idle.stdout)["tasks"]] == [
            True
        ] * 2
        harness.start(target, "validate", "window")
        for second in range(3):
            send(target, readings(second))
        harness.until(lambda: target.settle(0) == 0, "all positions to reach the end")
        held = harness.run(target, "lag", "--json")
        assert held.returncode == 3, held.stderr
        tasks = {(task["service"], task["partition"]): task for task in json.loads(held.stdout)["tasks"]}
        assert len(tasks) == 2 * len(topology.STAGES)
        (found,) = [task for task in tasks.values() if task["sources"]]
        assert [(one["source_id"], one["status"]) for one in found["sources"]] == [
            ("edge-behind", "holding"),
            ("edge-on-time", "ahead"),
        ]
        assert BEHIND_S < found["watermark_lag_s"] < BEHIND_S + 120
        assert found["waiting"] == {topology.READING.name: 0}
        assert found["advice"][0].startswith("edge-behind still sends, but what it sends is 15 min")
        assert tasks["validate", 0]["advice"] == []
        text = harness.run(target, "lag", "window", "--max-lag-s", "100000")
        assert text.returncode == 0, "nothing is further behind than that"
        assert "    edge-behind holds the watermark back: its event times are 15 min" in text.stdout
    finally:
        target.stop()
