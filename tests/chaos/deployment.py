"""A deployment under test: worker processes of several services, and what its topics say from outside.

Enters: commands per service; leaves: signals to workers, lag per group, committed records per topic.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

ROOT = Path(__file__).parents[2]


def patiently(ask: Callable[[], Any]) -> Any:
    """The answer of a broker whose coordinators may be moving just now: asked again for a while."""
    deadline = time.monotonic() + 40
    while True:
        try:
            return ask()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


class Deployment:
    """Workers `service-slot` as processes, their logs in `folder`; topic names are given with prefix."""

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        folder: Path,
        commands: Mapping[str, Sequence[str]],
        inputs: Mapping[str, Sequence[str]],
        partitions: int,
        settings: Mapping[str, object],
    ) -> None:
        self.bootstrap, self.prefix, self.folder, self.partitions = bootstrap, prefix, folder, partitions
        self.commands, self.inputs = commands, inputs
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        values = {"bootstrap_servers": bootstrap, "topic_prefix": prefix, "partitions": partitions, **settings}
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            **{f"PLANTWEAVE_{name.upper()}": str(value) for name, value in values.items()},
        }

    def start(self, service: str, slot: int) -> str:
        """Start (again) the worker of this slot; its group membership is static, so it takes its partitions back."""
        name = f"{service}-{slot}"
        with (self.folder / f"{name}.log").open("ab") as out:
            self.workers[name] = subprocess.Popen(
                list(self.commands[service]),
                env={**self.env, "PLANTWEAVE_WORKER_ID": f"slot-{slot}"},
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
            )
        return name

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until it is gone."""
        self.workers[name].send_signal(signal.SIGCONT)
        self.workers[name].kill()
        self.workers[name].wait()

    def terminate(self, name: str) -> int:
        """SIGTERM, and the exit code: 0 where the worker finished its transaction and left."""
        self.workers[name].terminate()
        return self.workers[name].wait(30)

    def stop(self) -> dict[str, int]:
        """End every worker; exit codes by name."""
        for name in list(self.workers):
            if self.workers[name].poll() is None:
                self.workers[name].send_signal(signal.SIGCONT)
                self.workers[name].terminate()
        codes = {}
        for name, worker in self.workers.items():
            try:
                codes[name] = worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                codes[name] = worker.wait()
        return codes

    def dead(self) -> list[str]:
        """Workers that ended without being asked to."""
        return [
            name
            for name, worker in self.workers.items()
            if worker.poll() not in (None, 0, -signal.SIGKILL, -signal.SIGTERM)
        ]

    def group(self, service: str) -> str:
        """Consumer group of a service."""
        return f"{self.prefix}plantweave.{service}"

    def lose_offsets(self, service: str) -> None:
        """Delete the group and its committed offsets; no worker of it may be a member."""
        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        for future in client.delete_consumer_groups([self.group(service)]).values():
            try:
                future.result(20)
            except KafkaException as why:
                if why.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:  # an attempt that timed out did it
                    raise

    def read(self, topic: str) -> list[tuple[int, bytes, int]]:
        """Every committed record of a topic (without prefix): (partition, value, offset)."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"{self.prefix}reader",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "log_level": 0,
            }
        )
        consumer.assign([TopicPartition(self.prefix + topic, number, 0) for number in range(self.partitions)])
        found: list[tuple[int, bytes, int]] = []
        ends: set[int] = set()
        while len(ends) < self.partitions:
            message = consumer.poll(30)
            if message is None:
                raise TimeoutError(f"{topic}: no end of partition within 30 s, the last stable offset is held back")
            if message.error():
                ends.add(int(message.partition() or 0))
            else:
                found.append((int(message.partition() or 0), message.value() or b"", int(message.offset() or 0)))
        consumer.close()
        return found

    def lag(self, service: str) -> int:
        """Offsets between the group's committed positions and the last stable offsets of its inputs."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": self.group(service),
                "isolation.level": "read_committed",
                "log_level": 0,
            }
        )
        total = 0
        for topic in self.inputs[service]:
            places = [TopicPartition(self.prefix + topic, number) for number in range(self.partitions)]
            for place in patiently(lambda places=places: consumer.committed(places, timeout=20)):  # type: ignore[misc]
                low, high = patiently(lambda place=place: consumer.get_watermark_offsets(place, timeout=20))  # type: ignore[misc]
                total += high - max(place.offset, low)
        consumer.close()
        return int(total)

    def settle(self, timeout_s: float) -> int:
        """Wait until every service, in order, has committed all it was given; returns the lag that is left."""
        deadline = time.monotonic() + timeout_s
        while True:
            lag = sum(self.lag(service) for service in self.inputs)
            if lag == 0 or time.monotonic() > deadline:
                return lag
            time.sleep(0.5)
