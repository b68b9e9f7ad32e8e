"""The shell on a real broker: nothing lost, nothing twice, whatever dies; restores read live state, not history."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from streams.kafka.embedded.node import EmbeddedKafka
from tests.chaos.pipelines import TwoHop
from tests.chaos.run import judge
from tests.chaos.scenario import Plan, Scenario


@pytest.fixture
def two_hop(bootstrap: str, tmp_path: Path) -> Iterator[TwoHop]:
    """Two services with topics of their own, nothing running yet."""
    pipeline = TwoHop(bootstrap, f"t{time.time_ns()}.", tmp_path)
    yield pipeline
    pipeline.deployment.stop()


def until(condition: Callable[[], bool], what: str, timeout_s: float = 40.0) -> None:
    """Poll the real thing until it is so."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.2)


@pytest.mark.timeout(300)
def test_chaos_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """60 s of kills, terminations, a 15 s stop, a broker kill, aborted transactions and scaling: every reading once."""
    with EmbeddedKafka(tmp_path / "kafka") as broker:
        pipeline = TwoHop(broker.bootstrap, "chaos.", tmp_path)
        scenario = Scenario(pipeline, broker, Plan(60.0, 7, 8, 1, 1, scale=True, lose_offsets=False, rate=3000), print)
        try:
            scenario.run()
            lag = pipeline.deployment.settle(120)
            result = judge(scenario, pipeline.account(), lag)
        finally:
            pipeline.deployment.stop()
    assert result["faults"] == []
    assert scenario.done["kills"] >= 6
    assert scenario.done["aborted_transactions"] >= 3


@pytest.mark.timeout(180)
def test_a_restore_reads_live_state_not_history(two_hop: TwoHop) -> None:
    """After many commits the state topic holds a snapshot and what came after it; the rest was deleted."""
    deployment = two_hop.deployment
    for service in two_hop.services:
        deployment.start(service, 0)
    for _ in range(60):
        two_hop.produce(2400)
    until(lambda: deployment.settle(5) == 0, "all readings committed")
    config = {"bootstrap.servers": deployment.bootstrap, "group.id": "look", "log_level": 0}
    consumer = Consumer(config)
    state = f"{deployment.prefix}plantweave.count.state.v1"
    held = []
    for number in range(deployment.partitions):
        low, high = consumer.get_watermark_offsets(TopicPartition(state, number), timeout=10)
        if high:
            held.append((low, high))
    consumer.close()
    sizes = sum(len(value) for _, value, _ in deployment.read("plantweave.count.state.v1"))
    assert any(low > 0 for low, _ in held), "nothing was ever deleted"
    # Per task: one snapshot, and deltas of little more than twice its size or the configured minimum.
    assert sizes < deployment.partitions * 4 * 16_384
    account = two_hop.account()
    assert account.accounted == account.readings_in


@pytest.mark.timeout(120)
def test_a_worker_that_is_told_to_stop_finishes_its_transaction(two_hop: TwoHop) -> None:
    """SIGTERM under load: exit code 0, and nothing of the aborted kind is left on its partitions."""
    deployment = two_hop.deployment
    relay = deployment.start("relay", 0)
    two_hop.produce(5000)
    until(lambda: deployment.lag("relay") < 5000, "the relay to be at work")
    two_hop.produce(20_000)
    assert deployment.terminate(relay) == 0
    read = len(deployment.read("two.mid.v1"))
    deployment.start("relay", 0)
    until(lambda: deployment.lag("relay") == 0, "the rest")
    assert read <= 25_000
    assert len(deployment.read("two.mid.v1")) == 25_000


@pytest.mark.timeout(180)
def test_a_worker_without_a_broker_waits_and_resumes(tmp_path: Path) -> None:
    """Started before its broker, and again when the broker goes away and comes back, it goes on by itself."""
    with EmbeddedKafka(tmp_path / "kafka") as broker:
        pipeline = TwoHop(broker.bootstrap, "wait.", tmp_path)
        deployment = pipeline.deployment
        broker.kill()
        for service in pipeline.services:
            deployment.start(service, 0)
        log = tmp_path / "relay-0.log"
        until(lambda: "no broker at" in log.read_text(), "the worker to say that it waits")
        broker.start()
        pipeline.produce(3000)
        until(lambda: deployment.settle(1) == 0, "work after the start")
        broker.restart()
        pipeline.produce(3000)
        until(lambda: deployment.settle(1) == 0, "work after the restart", 90)
        account = pipeline.account()
        assert (account.accounted, account.duplicates) == (6000, 0)
        assert set(deployment.stop().values()) == {0}


@pytest.mark.timeout(120)
def test_a_frozen_owner_is_fenced_and_does_not_come_back_as_a_second_one(two_hop: TwoHop) -> None:
    """An owner frozen beyond its session wakes up fenced: its partitions are another's; every reading counts once."""
    deployment = two_hop.deployment
    for service in two_hop.services:
        for slot in (0, 1):
            deployment.start(service, slot)
    two_hop.produce(6000)
    until(lambda: deployment.settle(1) == 0, "both at work")
    frozen = deployment.workers["count-0"]
    frozen.send_signal(signal.SIGSTOP)
    two_hop.produce(12_000)
    until(lambda: deployment.settle(1) == 0, "the other one to take over", 60)
    frozen.send_signal(signal.SIGCONT)
    two_hop.produce(6000)
    until(lambda: deployment.settle(1) == 0, "the rest", 60)
    account = two_hop.account()
    assert (account.accounted, account.duplicates) == (24_000, 0)
