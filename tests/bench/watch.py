"""What is seen of an engine from outside while it runs.

In: its process, its output topic, its consumer group. Out: CPU seconds over time, windows with the times at which the
broker appended them, and when its committed input passed a number of messages.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import psutil
from confluent_kafka import Consumer, TopicPartition

from tests.bench.shapes import PARTITIONS

SILENCE_S: Final = 90.0  # an engine that writes nothing for so long is stuck; starts included


@dataclass(frozen=True)
class Output:
    """What was read of the output topic: append times in s since 1970, and values as the engine encoded them."""

    times: list[float] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)


class Cpu:
    """CPU seconds of a process and its descendants over time, sampled whenever it is asked."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._processes: list[psutil.Process] = []
        self._looked = 0.0
        self._used: dict[int, float] = {}
        self.times: list[float] = []
        self.seconds: list[float] = []

    def sample(self) -> None:
        """Take a sample; descendants are looked up once a second, for that is what costs."""
        if time.monotonic() - self._looked > 1.0:
            try:
                self._processes = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self._looked = time.monotonic()
        for process in self._processes:
            try:
                used = process.cpu_times()
            except psutil.NoSuchProcess:
                continue  # what it has used stays counted
            self._used[process.pid] = used.user + used.system
        self.times.append(time.time())
        self.seconds.append(sum(self._used.values()))

    def between(self, begin: float, end: float) -> float:
        """Seconds used from `begin` to `end` (s since 1970)."""
        first, last = np.interp([begin, end], self.times, self.seconds)
        return float(last - first)


class Start:
    """The moment when a group had committed `wanted` messages of a topic, and how many they were by then."""

    def __init__(self, bootstrap: str, group: str, topic: str, wanted: int) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
        self._partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        self._wanted = wanted
        # What a run before left is not this one's: a partition counts from its first commit on.
        self._before = self._committed()
        self.time: float | None = None
        self.messages = 0

    def look(self) -> None:
        """Ask the broker, until the moment has come."""
        if self.time is not None:
            return
        found = sum(now for now, before in zip(self._committed(), self._before, strict=True) if now != before)
        if found >= self._wanted:
            self.time, self.messages = time.time(), found

    def _committed(self) -> list[int]:
        return [max(place.offset, 0) for place in self._consumer.committed(self._partitions, 10)]

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()


def read_windows(
    bootstrap: str, topic: str, windows: int, alive: Callable[[], bool], look: Callable[[], None]
) -> Output:
    """Read committed windows until `windows` of them are there, or nothing comes any more; `look` is called often."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False}
    consumer = Consumer({**settings, "isolation.level": "read_committed", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    output = Output()
    last = time.monotonic()
    try:
        while len(output.values) < windows and time.monotonic() - last < SILENCE_S and alive():
            for message in consumer.consume(10_000, 0.05):
                if not message.error():
                    output.times.append(message.timestamp()[1] / 1e3)
                    output.values.append(message.value() or b"")
                    last = time.monotonic()
            look()
    finally:
        consumer.close()
    return output
