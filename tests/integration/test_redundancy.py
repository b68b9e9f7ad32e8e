"""Two gateways of one signal on a real broker: one dies, windows go on from the other, nothing counts twice."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer

from streams import topology
from tests.chaos.deployment import Deployment
from tests.chaos.services import Encoder
from tests.integration import harness

pytestmark = pytest.mark.timeout(180)

SECOND_US: Final = 1_000_000
LENGTH_S: Final = 5
PERIOD_S: Final = 0.5
BASE_US: Final = time.time_ns() // 60_000_000_000 * 60 * SECOND_US - 180 * SECOND_US
PRIMARY, STANDBY = 0, 1
VALUE: Final = {PRIMARY: 1.0, STANDBY: 2.0}


def send(target: Deployment, gateway: int, begin_s: float, end_s: float, **fields: Any) -> int:
    """Readings of one gateway, in its own partition, from `begin_s` up to `end_s`; waits until they are worked in."""
    encoder = Encoder(topology.RAW_READING)
    producer = Producer({"bootstrap.servers": target.bootstrap, "log_level": 0})
    steps = range(round(begin_s / PERIOD_S), round(end_s / PERIOD_S))
    for step in steps:
        row = {"source_id": f"gateway-{gateway}", "address": "flow", "value_double": VALUE[gateway], "sequence": step}
        row |= {"source_time": BASE_US + int(step * PERIOD_S * SECOND_US), **fields}
        producer.produce(
            target.prefix + topology.RAW_READING.name, encoder.value(row), b"gateway", partition=gateway
        )  # fmt: skip
    assert producer.flush(30) == 0
    harness.until(lambda: target.settle(0) == 0, "all positions to reach the end")
    return len(steps)


def dictionary(target: Deployment) -> None:
    """One signal, and the standby that backs it up through another gateway."""
    flow = {"unit": "m3/h", "period_ms": int(PERIOD_S * 1000), "window_lengths_s": [LENGTH_S], "address": "flow"}
    harness.write_dictionary(
        target,
        [
            {**flow, "signal_id": "flow", "source_id": "gateway-0"},
            {**flow, "signal_id": "flow-standby", "source_id": "gateway-1", "redundant_of": "flow"},
        ],
    )


def latest(rows: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The latest revision of each window, by its begin in s."""
    last = {}
    for row in sorted(rows, key=lambda row: int(row["revision"])):
        assert row["signal_id"] == "flow"
        assert row["coverage"] <= 1.0
        assert row["count"] <= LENGTH_S / PERIOD_S
        last[(harness.microseconds(row["window_start"]) - BASE_US) // SECOND_US] = row
    return last


def standby(port: int) -> float:
    """Readings that the service has left out."""
    labels = {"kind": "redundancy", "label": "standby"}
    return sum(item.value for item in harness.metrics(port)[1] if item.labels == labels and "events" in item.name)


def test_windows_go_on_from_the_other_gateway(bootstrap: str, tmp_path: Path) -> None:
    """The standby fills every second that the primary is dead, no other; the primary's buffer takes nothing back."""
    target = harness.deploy(
        bootstrap, tmp_path, ("validate", "window"), partitions=2,
        failover_after_ms=2000, failback_after_ms=3000, correction_horizon_s=3600, idle_after_ms=1000,
    )  # fmt: skip
    dictionary(target)
    try:
        ports = harness.start(target, "validate", "window")
        left_out = 0
        for begin_s in (0, 15):
            send(target, PRIMARY, begin_s, begin_s + 15)
            left_out += send(target, STANDBY, begin_s, begin_s + 15)
        assert standby(ports["window"]) == left_out
        # The primary dies at 30 s, and so does the worker: who is on duty is state.
        send(target, STANDBY, 30, 40)
        target.kill("window-0")
        (tmp_path / "window-0.log").unlink()
        at = harness.start(target, "window")["window"]
        send(target, STANDBY, 40, 60)
        assert standby(at) == 0
        # It comes back, first with the present, then with what it has kept.
        send(target, PRIMARY, 60, 80)
        left_out = send(target, STANDBY, 60, 80)
        left_out += send(target, PRIMARY, 30, 60, historical=True)
        assert standby(at) == left_out
        # The gateway that is off duty holds nothing back: its source is idle.
        whole = range(0, 75, LENGTH_S)
        harness.until(lambda: set(whole) <= latest(harness.rows(target, topology.WINDOW)).keys(), "all windows")
        windows = latest(harness.rows(target, topology.WINDOW))
    finally:
        target.stop()
    assert [windows[begin]["count"] for begin in whole] == [LENGTH_S / PERIOD_S] * len(whole)
    assert [windows[begin]["coverage"] for begin in whole] == [1.0] * len(whole)
    by = [STANDBY if 30 <= begin < 60 else PRIMARY for begin in whole]
    # Right after a change of hands the value of the one before stands until the first of the next.
    assert [(windows[begin]["min"], windows[begin]["max"]) for begin in whole] == [(VALUE[g], VALUE[g]) for g in by]
