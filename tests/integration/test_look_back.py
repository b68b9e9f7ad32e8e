"""Looking back on a real broker: what is read again is what was written, and what it leads to is written once."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka import TopicPartition as AioPartition
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from streams import topology
from streams.kafka import topics
from streams.kafka.clients import rereading_consumer, stop_consumer
from streams.kafka.embedded.node import EmbeddedKafka
from streams.settings import Settings
from tests.chaos.deployment import ROOT, Deployment
from tests.chaos.services import Decoder, Encoder
from tests.integration import harness
from tests.integration.again import OUT

pytestmark = pytest.mark.timeout(240)

READING: Final = topology.READING
_ENCODER: Final = Encoder(READING)
Rounds = Sequence[Sequence[tuple[int, int]]]


def record(numbers: Sequence[int], signal: str = "s", text: str | None = None) -> bytes:
    """Readings with these numbers as values."""
    count = len(numbers)
    row = {"site": "site-1", "work_center": "line-1", "signals": [signal], "sources": ["edge"], "value_long": numbers}
    row |= {"signal": [0] * count, "source": [0] * count, "quality": [0] * count, "event_time": list(numbers)}
    return _ENCODER.value(row | {"value_string": [text] * count})


class Log:
    """`ot.reading.v1` of a deployment, written by hand, and a service that is asked to read it again."""

    def __init__(self, bootstrap: str, folder: Path, partitions: int = 1, **settings: object) -> None:
        self.gate = folder / "gate"
        self.target = harness.deploy(bootstrap, folder, ("window",), partitions, **settings)
        script = str(ROOT / "tests" / "integration" / "again.py")
        self.target.commands = {"window": (sys.executable, script, str(self.gate))}
        prefix = self.target.prefix
        own = Settings(bootstrap_servers=bootstrap, topic_prefix=prefix, partitions=partitions)
        topics.create(own, [NewTopic(prefix + OUT.name, partitions, 1)])
        self.topic = prefix + READING.name
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._config = {"bootstrap.servers": bootstrap, "log_level": 0, "linger.ms": 50, "message.max.bytes": 4 << 20}
        self._transactions: Producer | None = None
        self._sent = 0

    def numbers(self, count: int) -> list[int]:
        """The next numbers."""
        self._sent += count
        return list(range(self._sent - count, self._sent))

    def send(self, *values: bytes, codec: str = "none", partition: int = 0) -> None:
        """Records outside of any transaction."""
        producer = Producer({**self._config, "compression.type": codec})
        for value in values:
            producer.produce(self.topic, value, b"line-1", partition=partition)
        assert producer.flush(30) == 0

    def transact(self, *values: bytes, commit: bool) -> None:
        """Records in a transaction that is committed, or aborted when they are all at the broker."""
        if self._transactions is None:
            self._transactions = Producer({**self._config, "transactional.id": self.topic})
            self._transactions.init_transactions(60)
        self._transactions.begin_transaction()
        for value in values:
            self._transactions.produce(self.topic, value, b"line-1", partition=0)
        assert self._transactions.flush(30) == 0
        if commit:
            self._transactions.commit_transaction(60)
        else:
            self._transactions.abort_transaction(60)

    def ask(self, rounds: Rounds, gated: bool = False, partition: int = 0) -> None:
        """Have these offsets read again."""
        text = json.dumps({"rounds": rounds, "gated": gated})
        self.send(record(self.numbers(1), "ask", text), partition=partition)

    def written(self) -> list[list[int]]:
        """[offset, number] of every committed reading that can be decoded, as any other consumer sees them."""
        decode, found = Decoder(READING).row, []
        for _, value, offset in self.target.read(READING.name):
            if value != NONSENSE:
                found += [[offset, number] for number in decode(value)["value_long"]]
        return found

    def told(self, kind: str) -> list[dict[str, Any]]:
        """What the service has written, of one kind, in order."""
        found = [json.loads(value) for _, value, _ in self.target.read(OUT.name)]
        return [one for one in found if one["kind"] == kind]

    def answers(self) -> list[dict[str, Any]]:
        """The answers that are whole, their parts joined."""
        found: list[dict[str, Any]] = []
        for part in self.told("looked"):
            if found and found[-1]["left"]:
                assert found[-1]["ask"] == part["ask"]
                found[-1] |= {"readings": found[-1]["readings"] + part["readings"], "left": part["left"]}
            else:
                found.append(part)
        return [one for one in found if not one["left"]]

    def looked(self, count: int, timeout_s: float = 60.0) -> list[dict[str, Any]]:
        """Wait until as many asks are answered, and everything is committed."""
        harness.until(lambda: len(self.answers()) >= count, f"{count} answers", timeout_s)
        harness.until(lambda: self.target.settle(0) == 0, "all positions to reach the end")
        return self.answers()

    def live(self) -> list[list[int]]:
        """[offset, number] of what came live, in order."""
        return [row for one in self.told("live") for row in one["readings"]]

    def said(self, message: str, worker: str = "window-0") -> int:
        """How often the worker's log has this line."""
        return sum(line["message"] == message for line in harness.log_lines(self.target, worker))


NONSENSE: Final = b"no record at all"


@pytest.fixture
def log(bootstrap: str, tmp_path: Path) -> Iterator[Log]:
    """One partition; nothing runs yet."""
    found = Log(bootstrap, tmp_path)
    yield found
    found.target.stop()


def history(log: Log) -> int:
    """Transactions, aborted ones, plain and compressed batches, large records, one that is none; the end offset."""
    for number in range(24):
        log.transact(*(record(log.numbers(5)) for _ in range(3)), commit=True)
        log.transact(*(record([-1, -2]) for _ in range(2)), commit=False)
        if number % 4 == 0:
            log.send(*(record(log.numbers(7)) for _ in range(5)), codec=("lz4", "zstd", "none")[number % 3])
        if number == 12:
            log.transact(*(record(log.numbers(9000)) for _ in range(40)), commit=True)
            log.send(NONSENSE)
    return max(offset for offset, _ in log.written()) + 1


def random_spans(source: random.Random, end: int) -> list[tuple[int, int]]:
    """Ascending spans of offsets, some of them adjacent, some with nothing but markers in them."""
    borders = sorted(source.sample(range(end + 1), 12))
    return [*zip(borders[::2], borders[1::2], strict=True), (borders[-1], borders[-1] + 1)]


def test_what_is_read_again_is_what_was_written(log: Log) -> None:
    """Whole log, parts, single offsets (most of them markers and aborted records), several rounds: each wanted reading
    once and in order, nothing else; what could not be decoded is told once, when it was first read.
    """
    end = history(log)
    source = random.Random(7)
    asks: list[Rounds] = [
        [[(0, end)]],
        [[(7, 9), (9, 30)], [(0, 3)]],
        [[(offset, offset + 1) for offset in range(0, 60, 2)]],
        [random_spans(source, end), random_spans(source, end)],
        [random_spans(source, end - 40)],
    ]
    for rounds in asks:
        log.ask(rounds)
    (port,) = harness.start(log.target, "window").values()
    answers, written = log.looked(len(asks)), log.written()
    assert log.live() == written
    assert len(answers) == len(asks)
    for rounds, answer in zip(asks, answers, strict=True):
        expected = [row for spans in rounds for begin, stop in spans for row in written if begin <= row[0] < stop]
        assert answer["readings"] == expected
        assert answer["log"][0] == 0
    samples = harness.metrics(port)[1]
    figures = {(item.name, *item.labels.values()): item.value for item in samples}
    assert figures["plantweave_look_backs_total", "begun"] == len(asks)
    assert figures["plantweave_look_backs_total", "ended"] == len(asks)
    assert figures["plantweave_reread_readings_total",] == sum(len(answer["readings"]) for answer in answers)
    assert figures["plantweave_rejects_total", "undecodable"] == 1
    assert figures["plantweave_look_back_seconds_count",] == len(asks)
    assert not any(item.name == "plantweave_look_back_progress_ratio" for item in samples)


def test_steps_go_on_while_the_log_is_read(log: Log) -> None:
    """What comes while a look-back runs is written and committed at once; the metrics tell that it runs."""
    end = history(log)
    log.ask([[(0, end)]], gated=True)
    (port,) = harness.start(log.target, "window").values()
    harness.until(lambda: log.said("look-back begins"), "the look-back to begin")
    for _ in range(3):
        log.send(record(log.numbers(4)))
        harness.until(lambda: log.target.settle(0) == 0, "what is new to be committed")
    assert log.live() == log.written()
    assert log.told("looked") == []
    ratio = "plantweave_look_back_progress_ratio"
    harness.until(lambda: any(item.name == ratio for item in harness.metrics(port)[1]), "the progress to be told")
    log.gate.touch()
    (answer,) = log.looked(1)
    assert answer["readings"] == [row for row in log.written() if row[0] < end]


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_worker_that_ends_in_between_begins_again(log: Log, how: str) -> None:
    """Killed, or told to stop (exit code 0 at once): the next worker looks back from the start and answers once."""
    end = history(log)
    log.ask([[(0, end)]], gated=True)
    worker = log.target.start("window", 0)
    harness.until(lambda: log.said("look-back begins"), "the look-back to begin")
    harness.until(lambda: log.target.settle(0) == 0, "the ask to be committed")
    if how == "kill":
        log.target.kill(worker)
    else:
        assert log.target.terminate(worker) == 0
    assert log.told("looked") == []
    log.gate.touch()
    log.target.start("window", 0)
    (answer,) = log.looked(1)
    assert answer["readings"] == [row for row in log.written() if row[0] < end]
    assert log.live() == log.written()


def test_where_the_log_begins_later_meanwhile_it_begins_again(log: Log) -> None:
    """Readings deleted while they are read again: the look-back learns where the log begins now, and goes by that."""
    end = history(log)
    log.ask([[(0, end)]], gated=True)
    harness.start(log.target, "window")
    harness.until(lambda: log.said("look-back begins"), "the look-back to begin")
    harness.until(lambda: log.target.settle(0) == 0, "the ask to be committed")
    for future in log.admin.delete_records([TopicPartition(log.topic, 0, 100)]).values():
        future.result(20)
    harness.until(lambda: log.said("look-back begins") > 1, "the look-back to begin again")
    log.gate.touch()
    (answer,) = log.looked(1)
    assert answer["log"][0] == 100
    assert answer["readings"] == [row for row in log.written() if 100 <= row[0] < end]


def test_one_look_back_at_a_time(bootstrap: str, tmp_path: Path) -> None:
    """Two tasks of one worker that both have to look back do so one after the other."""
    log = Log(bootstrap, tmp_path, partitions=2)
    try:
        for partition in (0, 1):
            log.send(*(record(log.numbers(50)) for _ in range(20)), partition=partition)
            log.ask([[(0, 20)]], partition=partition)
        harness.start(log.target, "window")
        assert sorted(len(answer["readings"]) for answer in log.looked(2)) == [1000, 1000]
        said = [line["message"] for line in harness.log_lines(log.target, "window-0")]
        assert [text for text in said if text.startswith("look-back")] == ["look-back begins", "look-back ended"] * 2
    finally:
        log.target.stop()


def test_an_outage_of_the_broker_is_waited_out(tmp_path: Path) -> None:
    """The broker dies while the log is read and comes back: the worker is not restarted, and answers once."""
    with EmbeddedKafka(tmp_path / "kafka") as broker:
        log = Log(broker.bootstrap, tmp_path / "target")
        try:
            end = history(log)
            log.ask([[(0, end)]], gated=True)
            harness.start(log.target, "window")
            harness.until(lambda: log.said("look-back begins"), "the look-back to begin")
            harness.until(lambda: log.target.settle(0) == 0, "the ask to be committed")
            broker.restart()
            log.gate.touch()
            (answer,) = log.looked(1, 150)
            assert answer["readings"] == [row for row in log.written() if row[0] < end]
            assert log.target.dead() == []
        finally:
            log.target.stop()


async def test_a_consumer_stops_while_the_broker_is_away(tmp_path: Path) -> None:
    """No cancellation comes out of it, as it does out of aiokafka's own stop between two attempts to fetch."""
    with EmbeddedKafka(tmp_path / "kafka") as broker:
        settings = Settings(bootstrap_servers=broker.bootstrap, partitions=1)
        topics.create(settings)
        place = AioPartition(READING.name, 0)
        consumers = [rereading_consumer(settings) for _ in range(8)]
        for consumer in consumers:
            await consumer.start()
            consumer.assign([place])
            consumer.seek(place, 0)
        broker.kill()
        for consumer in consumers:
            await consumer.getmany(place, timeout_ms=130)
            await stop_consumer(consumer)


def ended(target: Deployment, **settings: object) -> harness.Ended:
    """The end of a worker that ends by itself."""
    target.env |= {f"PLANTWEAVE_{name.upper()}": str(value) for name, value in settings.items()}
    name = target.start("window", 0)
    return harness.ended(target.workers[name].wait(60), target.folder / f"{name}.log")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("retention.ms", "60000", "keeps readings for 60 s (retention.ms=60000), and corrections reach back 3600 s"),
        ("cleanup.policy", "compact", "is compacted, which removes readings: set cleanup.policy=delete on it"),
    ],
)
def test_a_log_that_forgets_too_early_stops_the_start(log: Log, name: str, value: str, says: str) -> None:
    """Found before anything is read; the message names the topic, both times, and what to do."""
    change = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource("topic", log.topic, incremental_configs=[change])
    for future in log.admin.incremental_alter_configs([resource]).values():
        future.result(20)
    end = ended(log.target, correction_horizon_s=3600)
    assert end.code == 1
    assert f"{log.topic} {says}" in end.errors[-1]
    assert f"--alter --topic {log.topic} --add-config" in end.errors[-1]
