"""Input that is deleted, and topics that are made anew, under a service with a state: it stops and says what to do."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams import topology
from streams.kafka import topics
from streams.settings import Settings
from tests.chaos.services import Encoder
from tests.integration import harness

pytestmark = pytest.mark.timeout(180)

RAW: Final = topology.RAW_READING.name
BASE_US: Final = time.time_ns() // 1_000_000_000 * 1_000_000 - 60_000_000
_RAW: Final = Encoder(topology.RAW_READING)


class Plant:
    """`validate` on one partition, and readings numbered from 0."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.target = harness.deploy(bootstrap, folder, ("validate",))
        accepting = (*self.target.commands["validate"], "--accept-data-loss")
        self.target.commands = {**self.target.commands, "accepting": accepting}
        self.target.inputs = {"validate": self.target.inputs["validate"]}
        self._topic = self.target.prefix + RAW
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self.sent = 0
        harness.write_dictionary(self.target, [{"signal_id": "s", "source_id": "edge", "address": "t"}])

    def send(self, count: int) -> None:
        producer = Producer({"bootstrap.servers": self.target.bootstrap, "log_level": 0})
        for number in range(self.sent, self.sent + count):
            row = {"source_id": "edge", "address": "t", "source_time": BASE_US + number, "value_double": float(number)}
            producer.produce(self._topic, _RAW.value(row), b"edge", partition=0)
        assert producer.flush(30) == 0
        self.sent += count

    def delete_before(self, offset: int) -> None:
        for future in self._admin.delete_records([TopicPartition(self._topic, 0, offset)]).values():
            future.result(20)

    def make_topic_anew(self) -> None:
        self._admin.delete_topics([self._topic])[self._topic].result(20)
        harness.until(lambda: self._topic not in self._admin.list_topics(timeout=20).topics, "the topic to be gone")
        topics.create(Settings(bootstrap_servers=self.target.bootstrap, topic_prefix=self.target.prefix, partitions=1))

    def settle(self) -> None:
        harness.until(lambda: self.target.settle(0) == 0, "all positions to reach the end")

    def values(self) -> list[object]:
        return [reading.value for reading in harness.validated(self.target)]

    def end(self, name: str) -> harness.Ended:
        """Wait for a worker that ends by itself."""
        code = self.target.workers[name].wait(60)
        return harness.ended(code, self.target.folder / f"{name}.log")


@pytest.fixture
def plant(bootstrap: str, tmp_path: Path) -> Iterator[Plant]:
    """Nothing running yet."""
    found = Plant(bootstrap, tmp_path)
    yield found
    found.target.stop()


def test_deleted_input_stops_the_worker_until_the_loss_is_accepted(plant: Plant) -> None:
    """Found at the start and found while running; what is accepted is what was lost before that start."""
    target = plant.target
    worker = target.start("validate", 0)
    plant.send(10)
    plant.settle()
    assert target.terminate(worker) == 0

    plant.send(10)
    plant.delete_before(15)
    ended = plant.end(target.start("validate", 0))
    assert ended.code == 1
    error = ended.errors[-1]
    assert f"{target.prefix}{RAW}/0 from 10 to 15" in error
    assert "plantweave worker validate --accept-data-loss" in error

    worker = target.start("accepting", 0)
    plant.settle()
    expected = [float(number) for number in (*range(10), *range(15, 20))]
    assert plant.values() == expected

    target.workers[worker].send_signal(signal.SIGSTOP)
    plant.send(1)  # the fetch that waits at the broker may still bring it
    plant.send(10)
    plant.delete_before(27)
    target.workers[worker].send_signal(signal.SIGCONT)
    ended = plant.end(worker)
    assert ended.code == 1
    assert "--accept-data-loss" in ended.errors[-1]
    assert [value for value in plant.values() if value not in expected] in ([], [20.0])


def test_a_topic_made_anew_is_refused_until_the_state_is_reset(plant: Plant) -> None:
    """Its offsets start again: old positions would skip new readings."""
    target = plant.target
    worker = target.start("validate", 0)
    plant.send(10)
    plant.settle()
    assert target.terminate(worker) == 0

    plant.make_topic_anew()
    ended = plant.end(target.start("validate", 0))
    assert ended.code == 1
    error = ended.errors[-1]
    assert f"{target.prefix}{RAW} was deleted and made anew" in error
    assert "`plantweave state reset validate" in error

    unsure = harness.run(target, "state", "reset", "validate")
    assert (unsure.returncode, "--yes" in unsure.stderr) == (2, True)
    assert harness.run(target, "state", "reset", "validate", "--yes").returncode == 0
    target.start("validate", 0)
    plant.send(3)
    plant.settle()
    assert plant.values() == [float(number) for number in range(13)]
