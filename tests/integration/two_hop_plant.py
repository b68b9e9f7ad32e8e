"""What the two-hop tests share: topics, workers as processes, a producer of numbered readings, and the final count."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import polars as pl
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from streams.kafka import topics
from streams.kafka.restore import delete_before  # noqa: F401 - part of the public shell
from streams.kafka.state import Reader
from streams.settings import Settings

HERE = Path(__file__).parent
ASSETS = 12


class Plant:
    """One deployment of the two services under a topic prefix of its own."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, partitions: int = 4, **settings: object) -> None:
        self.folder = folder
        self.settings = Settings(bootstrap_servers=bootstrap, topic_prefix=prefix, partitions=partitions)
        self.env = {
            **os.environ,
            "PYTHONPATH": str(HERE.parents[1]),
            "PLANTWEAVE_BOOTSTRAP_SERVERS": bootstrap,
            "PLANTWEAVE_TOPIC_PREFIX": prefix,
            "PLANTWEAVE_PARTITIONS": str(partitions),
            **{f"PLANTWEAVE_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.prefix = prefix
        self.partitions = partitions
        self.sent = 0
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        names = ["two.in.v1", "two.mid.v1", "two.out.v1"]
        state = {"cleanup.policy": "delete", "retention.ms": "-1"}
        topics.create(
            self.settings,
            [NewTopic(prefix + name, partitions, 1) for name in names]
            + [NewTopic(f"{prefix}plantweave.{name}.state.v1", partitions, 1, config=state) for name in ("relay", "count")],
        )
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "partitioner": "murmur2_random"})

    def start(self, service: str, slot: int) -> None:
        """Start (or start again) the worker `service` of this slot."""
        name = f"{service}-{slot}"
        with (self.folder / f"{name}.log").open("ab") as out:
            self.workers[name] = subprocess.Popen(
                [sys.executable, str(HERE / "two_hop.py"), service],
                env={**self.env, "PLANTWEAVE_WORKER_ID": f"slot-{slot}"},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a worker; SIGKILL and SIGTERM are waited for."""
        self.workers[name].send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.workers[name].wait(30)

    def stop(self) -> None:
        """End every worker that still runs."""
        for worker in self.workers.values():
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.terminate()
        for worker in self.workers.values():
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def produce(self, count: int) -> None:
        """Send the next `count` numbered readings, a tenth of a second of event time apart per asset."""
        for _ in range(count):
            number = self.sent
            self.sent += 1
            asset = f"asset-{number % ASSETS}"
            row = {"asset": asset, "ts": (number // ASSETS) * 100, "id": number}
            self._producer.produce(self.prefix + "two.in.v1", json.dumps(row).encode(), asset.encode())
            self._producer.poll(0)
        self._producer.flush()

    def consumer(self) -> Consumer:
        """A read-committed consumer without influence on the services' groups."""
        return Consumer(
            {
                "bootstrap.servers": self.settings.bootstrap_servers,
                "group.id": f"{self.prefix}reader",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )

    def read(self, topic: str) -> list[tuple[int, bytes]]:
        """Every committed record of a topic: (partition, value)."""
        consumer = self.consumer()
        consumer.assign([TopicPartition(self.prefix + topic, number, 0) for number in range(self.partitions)])
        found: list[tuple[int, bytes]] = []
        ends = 0
        while ends < self.partitions:
            message = consumer.poll(10)
            if message is None:
                raise TimeoutError(f"{topic}: no end of partition within 10 s")
            if message.error():
                ends += 1
            else:
                found.append((message.partition(), message.value()))
        consumer.close()
        return found

    def lag(self, service: str, topic: str) -> int:
        """Offsets between the group's committed position and the last stable offset."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.bootstrap_servers,
                "group.id": f"{self.prefix}plantweave.{service}",
                "isolation.level": "read_committed",
            }
        )
        places = [TopicPartition(self.prefix + topic, number) for number in range(self.partitions)]
        committed = consumer.committed(places, timeout=10)
        lag = sum(consumer.get_watermark_offsets(place, timeout=10)[1] - max(place.offset, 0) for place in committed)
        consumer.close()
        return int(lag)

    def wait_for_lag(self, timeout_s: float) -> int:
        """Wait until both services have read everything; returns the lag that is left."""
        deadline = time.monotonic() + timeout_s
        while True:
            lag = self.lag("relay", "two.in.v1")
            lag = lag or self.lag("count", "two.mid.v1")
            if lag == 0 or time.monotonic() > deadline:
                return lag
            time.sleep(0.3)  # polling a real broker; bounded by the deadline

    def account(self) -> dict[str, int]:
        """Where every reading ended: closed windows, open windows, and windows seen twice."""
        from two_hop import Count  # noqa: PLC0415 - a script beside this one

        rows = [json.loads(value) for _, value in self.read("two.out.v1")]
        seen = Counter((row["asset"], row["minute"]) for row in rows)
        open_rows = 0
        readers = {number: Reader(Count.tables) for number in range(self.partitions)}
        for number, value in self.read("plantweave.count.state.v1"):
            readers[number].add(value)
        for reader in readers.values():
            window: pl.DataFrame = reader.restored.tables["window"]
            open_rows += int(window["n"].sum())
        return {
            "closed": sum(row["n"] for row in rows),
            "open": open_rows,
            "duplicates": sum(count - 1 for count in seen.values()),
        }
