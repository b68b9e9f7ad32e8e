"""What happens to an alarm while the broker is away: nothing is lost, nothing is told twice, no worker gives up."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streams import topology
from streams.kafka.embedded.node import EmbeddedKafka
from tests.chaos.deployment import Deployment
from tests.chaos.services import Encoder
from tests.core.alert_scene import RULE
from tests.integration import harness

pytestmark = pytest.mark.timeout(240)

HOT, COOL = 90.0, 20.0


def send(target: Deployment, base_us: int, *readings: tuple[int, float]) -> None:
    """Readings of (second, temperature), as one edge node sends them."""
    encoder = Encoder(topology.RAW_READING)
    producer = Producer({"bootstrap.servers": target.bootstrap, "log_level": 0})
    for second, value in readings:
        row = {"source_id": "edge", "address": "t", "value_double": value, "source_time": base_us + second * 1_000_000}
        producer.produce(target.prefix + topology.RAW_READING.name, encoder.value(row), b"edge")
    assert producer.flush(30) == 0


def told(target: Deployment, base_us: int) -> list[tuple[str, float, int]]:
    """State, event time in seconds and revision of each transition, as a subscriber reads them."""
    rows = harness.rows(target, topology.ALERT)
    return [(row["state"], (harness.microseconds(row["event_time"]) - base_us) / 1e6, row["revision"]) for row in rows]


def test_an_alarm_is_the_same_for_all_after_the_broker_was_away(tmp_path: Path) -> None:
    """Phoebus #2267: what went into alarm and recovered while Kafka was away never reached it, and servers and clients
    went on with different states. Here the broker dies with an alarm standing; meanwhile the value recovers, is too
    high again and recovers again. Every one of these is told once, with its own time.
    """
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "hot.toml").write_text(RULE, encoding="utf-8")
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        target = harness.deploy(kafka.bootstrap, tmp_path / "work", ("validate", "alert"), rules_dir=rules)
        harness.write_dictionary(
            target,
            [{"signal_id": "s", "source_id": "edge", "address": "t", "role": "measurement", "unit": "Cel"}],
        )
        try:
            harness.start(target, "validate", "alert")
            # Of the present and a little ahead: what is a minute old would be one of the past, and told otherwise.
            base_us = time.time_ns() // 1_000
            send(target, base_us, (0, COOL), (10, HOT))
            harness.until(lambda: told(target, base_us), "the alarm")
            kafka.kill()
            kafka.start()
            send(target, base_us, (20, COOL), (30, HOT), (40, COOL))
            harness.until(lambda: len(told(target, base_us)) > 3, "what happened meanwhile")
            assert target.dead() == []
        finally:
            target.stop()
        assert told(target, base_us) == [
            ("active", 10.0, 1),
            ("cleared", 20.0, 2),
            ("active", 30.0, 1),
            ("cleared", 40.0, 2),
        ]
