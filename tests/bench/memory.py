"""How much memory a worker takes while nobody takes what it writes.

In: nothing. Out: {"service", "rss_mib_before", "rss_mib_blocked", "seconds", "held", "below_1_gib",
"readings_waiting"}: `validate` has millions of readings before it, its producer's requests are held by a door, and its
resident memory is sampled.
`python -m tests.bench.memory` measures it alone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psutil
from confluent_kafka import Consumer, TopicPartition

from streams.kafka import topics
from streams.kafka.embedded.child import Child
from streams.kafka.embedded.node import EmbeddedKafka
from streams.kafka.embedded.ports import free_port
from streams.settings import Settings
from streams.topology import group
from tests.bench.blocked import Door
from tests.bench.engines import ROOT
from tests.bench.fill import fill, input_topic, prefix
from tests.bench.measure import LOGS
from tests.bench.shapes import PARTITIONS

LIMIT_MIB: Final = 1024
SECONDS: Final = 45.0


def measure_memory(count: int = 2_000_000, seconds: float = SECONDS) -> dict[str, Any]:
    """Run `validate` behind a door that shuts while it works; `count` readings wait for it."""
    broker_port = free_port()
    door_port = free_port(broker_port)
    advertised = {"advertised.listeners": f"BROKER://127.0.0.1:{door_port}"}
    LOGS.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="plantweave-bench-") as folder,
        Door(broker_port, door_port) as door,
        EmbeddedKafka(Path(folder), broker_port, settings=advertised),
    ):
        bootstrap = f"127.0.0.1:{door_port}"
        fill(bootstrap, "single", count)
        env = {"BOOTSTRAP_SERVERS": bootstrap, "TOPIC_PREFIX": prefix("single", count), "PARTITIONS": str(PARTITIONS)}
        env = {f"PLANTWEAVE_{name}": value for name, value in env.items()}
        topics.create(Settings.load(env))
        command = [sys.executable, "-m", "streams", "worker", "validate"]
        worker = Child(command, LOGS / "memory-validate.log", {**os.environ, "PYTHONPATH": str(ROOT), **env})
        try:
            figures = _watch(psutil.Process(worker.pid), door, seconds)
            waiting = count - _committed(bootstrap, count)
            if waiting <= 0:
                raise RuntimeError(f"all {count:,} readings were processed before the door was shut: give more")
            return {**figures, "readings_waiting": waiting}
        finally:
            door.open()
            worker.end(signal.SIGTERM)


def _watch(worker: psutil.Process, door: Door, seconds: float) -> dict[str, Any]:
    """Shut the door as soon as the worker works, then sample its memory."""
    _until_busy(door)
    before = worker.memory_info().rss
    door.shut()
    highest, deadline = before, time.monotonic() + seconds
    while time.monotonic() < deadline:
        highest = max(highest, worker.memory_info().rss)
        time.sleep(0.1)
    if not door.held:
        raise RuntimeError("the worker wrote nothing while the door was shut: its log says why")
    return {
        "service": "validate",
        "rss_mib_before": round(before / 2**20),
        "rss_mib_blocked": round(highest / 2**20),
        "seconds": seconds,
        "held": door.held,
        "below_1_gib": highest < LIMIT_MIB * 2**20,
    }


def _committed(bootstrap: str, count: int) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": prefix("single", count) + group("validate")})
    places = [TopicPartition(input_topic("single", count), number) for number in range(PARTITIONS)]
    found = sum(max(place.offset, 0) for place in consumer.committed(places, 10))
    consumer.close()
    return found


def _until_busy(door: Door) -> None:
    """Wait until the worker writes."""
    begin, deadline = door.passed, time.monotonic() + 60
    while door.passed < begin + 10:
        if time.monotonic() > deadline:
            raise TimeoutError("the worker wrote nothing within 60 s: its log says why")
        time.sleep(0.05)


def main() -> None:
    """Measure and print."""
    print(json.dumps(measure_memory()))


if __name__ == "__main__":
    main()
