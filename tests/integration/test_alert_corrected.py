"""A late reading, through a real broker: the alert service reads its log once more and corrects what it had told."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer

from streams import topology
from tests.chaos.services import Encoder
from tests.core.alert_scene import RULE
from tests.integration import harness

pytestmark = pytest.mark.timeout(180)

S: Final = 1_000_000
_READING: Final = Encoder(topology.READING)


def record(*readings: tuple[int, float]) -> bytes:
    """Readings (event time in us, value) of the signal."""
    count = len(readings)
    row = {"site": "site-1", "work_center": "line-1", "signals": ["s"], "sources": ["edge"]}
    times, values = [at for at, _ in readings], [value for _, value in readings]
    numbers = dict.fromkeys(("signal", "source", "quality"), [0] * count)
    return _READING.value(
        row | numbers | {"event_time": times, "ingest_time": int(time.time() * S), "value_double": values}
    )


def test_an_alert_is_corrected_from_the_log(bootstrap: str, tmp_path: Path) -> None:
    """A minute late: the alert began ten seconds before what had been told; and before it there had been another."""
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "hot.toml").write_text(RULE, encoding="utf-8")
    target = harness.deploy(bootstrap, tmp_path / "work", ("alert",), rules_dir=rules)
    harness.write_dictionary(
        target, [{"signal_id": "s", "source_id": "edge", "address": "t", "role": "measurement", "unit": "Cel"}]
    )
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    begin = (int(time.time()) - 3600) * S

    def send(*readings: tuple[float, float]) -> None:
        value = record(*((begin + round(at * S), value) for at, value in readings))
        producer.produce(target.prefix + topology.READING.name, value, b"line-1", partition=0)
        assert producer.flush(30) == 0

    def told() -> list[dict[str, Any]]:
        return harness.rows(target, topology.ALERT)

    try:
        harness.start(target, "alert")
        send((0, 20.0), (100, 20.0), (200, 90.0), (300, 20.0), (400, 20.0))
        harness.until(lambda: len(told()) == 2, "the alert, told live")
        send((190, 90.0), (50, 90.0), (60, 20.0))
        harness.until(lambda: len(told()) == 5, "what late readings change")
    finally:
        target.stop()
    found = [(row["state"], row["reason"], row["revision"], row["historical"]) for row in told()[2:]]
    assert sorted(found) == [
        ("active", "late", 1, False),
        ("cleared", "late", 2, True),
        ("cleared", "late", 3, True),
    ]
    assert {row["alert_id"] for row in told()} == {f"hot|s|{begin + at * S}" for at in (50, 200)}
