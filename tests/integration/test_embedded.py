"""The embedded broker: it serves, survives a kill with its data, says what is in its way, and never outlives us."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.kafka.embedded.node import EmbeddedKafka, EmbeddedKafkaError, free_port


def write(bootstrap: str, topic: str, values: list[bytes]) -> None:
    """Create the topic and write the values, acknowledged by the broker."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(timeout=30)
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "message.max.bytes": 12_000_000})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def read(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    """The first `count` values of the topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes | None] = []
    while len(values) < count and (messages := consumer.consume(count, timeout=30)):
        values += [message.value() for message in messages]
    consumer.close()
    return values


def test_data_and_port_survive_a_kill(tmp_path: Path) -> None:
    """After SIGKILL and start the same address serves everything that was acknowledged before."""
    with EmbeddedKafka(tmp_path) as kafka:
        before = kafka.bootstrap
        write(before, "kept", [b"one", b"two"])
        kafka.kill()
        assert kafka.pid is None
        kafka.start()
        assert kafka.bootstrap == before
        assert read(before, "kept", 2) == [b"one", b"two"]


def test_large_record_is_taken(bootstrap: str) -> None:
    """A record of 10 MB passes: what to do with it is decided by the services, not by this broker."""
    write(bootstrap, "large", [bytes(10_000_000)])
    assert [len(value or b"") for value in read(bootstrap, "large", 1)] == [10_000_000]


def test_listens_on_loopback_only(broker: EmbeddedKafka) -> None:
    """No other machine can reach the broker: every socket it listens on is bound to 127.0.0.1."""
    assert broker.pid is not None
    sockets = psutil.Process(broker.pid).net_connections(kind="inet")
    addresses = {s.laddr.ip.removeprefix("::ffff:") for s in sockets if s.status == psutil.CONN_LISTEN}
    assert addresses == {"127.0.0.1"}


def test_taken_port_is_named(broker: EmbeddedKafka, tmp_path: Path) -> None:
    """A given port that is in use stops the start at once with an error that names it."""
    with pytest.raises(EmbeddedKafkaError, match=f"Port {broker.port} .* choose another port"):
        EmbeddedKafka(tmp_path, broker.port).start()


def test_data_folder_in_use_is_named(broker: EmbeddedKafka) -> None:
    """A second broker on the same data folder is refused with an error that names it; the first one goes on."""
    second = EmbeddedKafka(broker.data_dir)
    with pytest.raises(EmbeddedKafkaError, match="Another broker uses the data folder"):
        second.start()
    assert second.pid is None
    assert broker.pid is not None
    assert AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10).brokers


def test_address_before_start() -> None:
    """Asking for the address too early is an error that says so, not an address that nobody serves."""
    kafka = EmbeddedKafka()
    with pytest.raises(EmbeddedKafkaError, match="call start"):
        _ = kafka.bootstrap
    kafka.close()
    assert not kafka.data_dir.exists()


@pytest.fixture
def foreground(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A broker in the foreground of a process of its own, up, with all processes that it started."""
    command = [sys.executable, "-m", "streams.kafka.embedded.node", "--port", str(free_port())]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("127.0.0.1:")
            started = psutil.Process(process.pid).children(recursive=True)
            assert any("java" in child.name() for child in started)
            yield process, started
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_told_to_stop(
    foreground: tuple[subprocess.Popen[str], list[psutil.Process]], number: signal.Signals, tmp_path: Path
) -> None:
    """Ctrl-C and SIGTERM end the broker in order: nothing runs on and the temporary data folder is gone."""
    process, started = foreground
    process.send_signal(number)
    assert process.wait(30) == 0
    assert psutil.wait_procs(started, timeout=0)[1] == []
    assert list(tmp_path.iterdir()) == []


def test_never_outlives_its_parent(foreground: tuple[subprocess.Popen[str], list[psutil.Process]]) -> None:
    """When the parent is killed and can tidy nothing, the broker and the watchdog end within seconds."""
    process, started = foreground
    process.kill()
    process.wait()
    assert psutil.wait_procs(started, timeout=10)[1] == []
