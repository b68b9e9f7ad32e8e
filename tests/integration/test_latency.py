"""From a lone reading to its alert: the services as they are, on a broker that does nothing else."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from streams import topology
from tests.chaos.deployment import Deployment
from tests.chaos.services import Decoder, Encoder
from tests.integration import harness

pytestmark = pytest.mark.timeout(120)

WARM_UP: Final = 4
LONE: Final = 12
PAUSE_S: Final = 0.7
RULE: Final = """
id = "probe-high"
version = 1
status = "stable"
title = "Probe high"
owner = "maintenance"
kind = "alert"
type = "threshold"
priority = "low"
consequence = "Nothing."
response = "do nothing"
false_positives = ["None: only this test sends the signal."]

[select]
role = "measurement"
unit = "1"
address = "probe"

[condition]
high = 50.0
deadband = 0.0
on_delay_s = 0.0
off_delay_s = 0.0

[fires]
readings = [{ at = 0, value = 10.0 }, { at = 1, value = 90.0 }]
expect = [{ at = 1, state = "active" }]

[quiet]
readings = [{ at = 0, value = 10.0 }]
"""


class Probe:
    """Sends single readings, and waits as a subscriber for the alert that each of them causes."""

    def __init__(self, target: Deployment) -> None:
        self._raw, self._alert = Encoder(topology.RAW_READING), Decoder(topology.ALERT)
        self._topic = target.prefix + topology.RAW_READING.name
        shared = {"bootstrap.servers": target.bootstrap, "log_level": 0}
        self._producer = Producer({**shared, "linger.ms": 0})
        reader = {"group.id": f"{target.prefix}probe", "enable.auto.commit": False, "fetch.wait.max.ms": 100}
        self._consumer = Consumer({**shared, **reader, "isolation.level": "read_committed"})
        alerts = target.prefix + topology.ALERT.name
        self._consumer.assign([TopicPartition(alerts, number, 0) for number in range(target.partitions)])
        self._above = False

    def once(self) -> float:
        """Seconds from the call that sends a reading to the alert of it, which a read-committed consumer has."""
        self._above = not self._above
        row = {"source_id": "edge", "address": "probe", "source_time": time.time_ns() // 1000}
        value = self._raw.value({**row, "value_double": 90.0 if self._above else 10.0})
        begin = time.monotonic()
        self._producer.produce(self._topic, value, b"edge", partition=0)
        self._producer.poll(0)
        message = self._consumer.poll(60)
        took = time.monotonic() - begin
        assert message is not None, "no alert within 60 s"
        assert message.error() is None
        assert self._alert.row(message.value() or b"")["state"] == ("active" if self._above else "cleared")
        return took

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


@pytest.fixture
def probe(bootstrap: str, tmp_path: Path) -> Iterator[Probe]:
    """`validate` and `alert` at work, and warm."""
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "probe-high.toml").write_text(RULE, "utf-8")
    target = harness.deploy(bootstrap, tmp_path, ("validate", "alert"), partitions=2, rules_dir=rules)
    signal = {"signal_id": "probe", "source_id": "edge", "address": "probe", "unit": "1", "period_ms": 1000}
    harness.write_dictionary(target, [signal])
    found = Probe(target)
    try:
        harness.start(target, "validate", "alert")
        for _ in range(WARM_UP):
            found.once()
        yield found
    finally:
        found.close()
        target.stop()


def test_a_lone_reading_reaches_its_alert_in_under_a_second(
    probe: Probe, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Produced, validated, judged and committed twice, exactly once: the median of lone readings."""
    taken = []
    for _ in range(LONE):
        due = time.monotonic() + PAUSE_S
        harness.until(lambda due=due: time.monotonic() >= due, "the pause between lone readings")  # type: ignore[misc]
        taken.append(probe.once())
    p50, worst = statistics.median(taken), max(taken)
    print(f"lone reading to alert: p50 {p50 * 1e3:.0f} ms, worst of {LONE} {worst * 1e3:.0f} ms")
    record_testsuite_property("lone_reading_to_alert_p50_ms", round(p50 * 1e3))
    record_testsuite_property("lone_reading_to_alert_worst_ms", round(worst * 1e3))
    assert p50 < 1.0
