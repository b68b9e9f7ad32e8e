"""A source whose clock is wrong, through a real broker: re-timed over a worker's death, told once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Producer

from streams import topology
from streams.core.frames import ESTIMATED_TIME
from tests.chaos.deployment import Deployment
from tests.chaos.services import Decoder, Encoder
from tests.integration import harness

pytestmark = pytest.mark.timeout(180)

HOUR_US: Final = 3_600_000_000
# The gateway saw the last reading when the test began, the first one 54 s before.
BASE_US: Final = time.time_ns() // 1_000 - 54_000_000
HALF: Final = 30


def send(target: Deployment, first: int, count: int) -> None:
    """Readings numbered from `first`, nine tenths of a second apart, their own clock an hour ahead."""
    encoder = Encoder(topology.RAW_READING)
    producer = Producer({"bootstrap.servers": target.bootstrap, "log_level": 0})
    for number in range(first, first + count):
        seen = BASE_US + number * 900_000
        row = {"source_id": "edge", "address": "t", "value_double": float(number)}
        value = encoder.value({**row, "source_time": seen + HOUR_US, "gateway_time": seen})
        producer.produce(target.prefix + topology.RAW_READING.name, value, b"edge", partition=0)
    assert producer.flush(30) == 0
    harness.until(lambda: target.settle(0) == 0, "all positions to reach the end")


def test_a_skewed_source_is_retimed_and_told_once_though_the_worker_dies(bootstrap: str, tmp_path: Path) -> None:
    """From the twentieth reading on event time is the gateway's; a new worker goes on with that, at once."""
    target = harness.deploy(bootstrap, tmp_path, ("validate",))
    harness.write_dictionary(target, [{"signal_id": "s", "source_id": "edge", "address": "t", "work_center": "line-7"}])
    try:
        harness.start(target, "validate")
        send(target, 0, HALF)
        target.kill("validate-0")
        target.start("validate", 0)
        send(target, HALF, HALF)
        readings = [Decoder(topology.READING).row(value) for _, value, _ in target.read(topology.READING.name)]
        alerts = [Decoder(topology.ALERT).row(value) for _, value, _ in target.read(topology.ALERT.name)]
    finally:
        target.stop()
    columns = ("value_double", "event_time", "flags")
    rows = sorted(row for record in readings for row in zip(*(record[name] for name in columns), strict=True))
    assert [int(number) for number, _, _ in rows] == list(range(2 * HALF))
    ahead = [at - BASE_US - int(number) * 900_000 for number, at, _ in rows]
    assert ahead == [HOUR_US] * 19 + [0] * 41
    assert [flags for _, _, flags in rows] == [0] * 19 + [ESTIMATED_TIME] * 41
    (alert,) = alerts
    assert (alert["rule_id"], alert["state"], alert["work_center"]) == ("builtin.clock_skew", "active", "line-7")
    assert (alert["source_id"], alert["value"]) == ("edge", 3600.0)
