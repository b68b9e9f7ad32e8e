"""What the integration tests share. Enters: a broker and settings; leaves: workers as processes, and what they say.

Records are made with `fastavro` and sent as record batches of the test's choice; nothing here is the code under test.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from streams import topology
from streams.kafka import topics
from streams.settings import Settings
from tests.chaos.deployment import ROOT, Deployment
from tests.chaos.services import Decoder, Encoder

POLL_S: Final = 0.05
LARGE_BYTES: Final = 14 << 20
HOST: Final = "127.0.0.1"


def until(condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
    """Poll the real thing until it is so; fails with `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(POLL_S)


def deploy(
    bootstrap: str, folder: Path, services: Sequence[str], partitions: int = 1, **settings: object
) -> Deployment:
    """A deployment with topics and a prefix of its own, nothing running yet."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f"t{time.time_ns()}."
    topics.create(Settings(bootstrap_servers=bootstrap, topic_prefix=prefix, partitions=partitions))
    return deployment(bootstrap, prefix, folder, services, partitions, **settings)


def deployment(
    bootstrap: str, prefix: str, folder: Path, services: Sequence[str], partitions: int = 1, **settings: object
) -> Deployment:
    """A deployment whose topics are another's business."""
    return Deployment(
        bootstrap,
        prefix,
        folder,
        commands={name: (sys.executable, "-m", "streams", "worker", name) for name in services},
        inputs={name: tuple(topic.name for topic in topology.stage(name).reads) for name in services},
        partitions=partitions,
        settings=settings,
    )


def write_dictionary(target: Deployment, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of `it.signal.v1`; `work_center` is `line-1` where a row names none."""
    encoder = Encoder(topology.SIGNAL)
    producer = Producer({"bootstrap.servers": target.bootstrap, "log_level": 0})
    for row in rows:
        value = encoder.value({"work_center": "line-1", "site": "site-1", **row})
        producer.produce(target.prefix + topology.SIGNAL.name, value, str(row["signal_id"]).encode())
    assert producer.flush(30) == 0


# -- HTTP and logs of a worker ---------------------------------------------------------------------------------------


def log_lines(target: Deployment, name: str) -> list[dict[str, Any]]:
    """The JSON lines of a worker's log; a Rust panic, which is bad data here, leaves others between them."""
    text = (target.folder / f"{name}.log").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line[0] == "{" and line.endswith("\n")]


def port(target: Deployment, name: str) -> int:
    """The port of the worker's health page, as its log tells it; waits until it listens."""
    found: list[int] = []

    def listening() -> bool:
        assert target.workers[name].poll() is None, f"{name} ended: {log_lines(target, name)[-3:]}"
        found.extend(int(line["port"]) for line in log_lines(target, name) if line["message"] == "http")
        return bool(found)

    until(listening, f"the health page of {name}")
    return found[-1]


def get(at: int, path: str) -> tuple[int, str]:
    """Status and body of a health page."""
    connection = http.client.HTTPConnection(HOST, at, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def start(target: Deployment, *services: str) -> dict[str, int]:
    """Start one worker per service and wait until all are ready; ports of their health pages by service."""
    names = {service: target.start(service, 0) for service in services}
    ports = {service: port(target, name) for service, name in names.items()}
    for service, at in ports.items():
        until(lambda at=at: get(at, "/ready")[0] == 200, f"{service} to be ready")  # type: ignore[misc]
    return ports


class Sample(NamedTuple):
    """One sample of a page of metrics."""

    name: str
    labels: Mapping[str, str]
    value: float


def metrics(at: int) -> tuple[set[str], list[Sample]]:
    """Families (by name) and samples of a worker's metrics."""
    families = list(text_string_to_metric_families(get(at, "/metrics")[1]))
    samples = [Sample(item.name, item.labels, item.value) for family in families for item in family.samples]
    return {family.name for family in families}, samples


def run(target: Deployment, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """`plantweave ARGUMENTS` to its end, with the deployment's settings and these."""
    own = {f"PLANTWEAVE_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "streams", *arguments]
    return subprocess.run(
        command, env={**target.env, **own}, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


class Ended(NamedTuple):
    """How a process ended: exit code, messages of its errors (JSON lines), and all that it wrote."""

    code: int
    errors: list[str]
    text: str


def ended(code: int, log: Path) -> Ended:
    """The end of a process that wrote to `log`."""
    text = log.read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return Ended(code, [line["message"] for line in lines if line["level"] == "error"], text)


# -- records ---------------------------------------------------------------------------------------------------------


class Raw(NamedTuple):
    """One record as it is sent."""

    value: bytes | None
    key: bytes | None = b"edge"
    headers: tuple[tuple[str, bytes], ...] = ()


class Batch(NamedTuple):
    """Records that go into one record batch of `topic` (without prefix), partition 0."""

    topic: str
    records: Sequence[Raw]
    codec: str | None = None


async def send(target: Deployment, batches: Sequence[Batch]) -> list[int]:
    """Append each batch as one record batch, in order; offsets of their first records."""
    producers: dict[str | None, AIOKafkaProducer] = {}
    offsets = []
    try:
        for batch in batches:
            if batch.codec not in producers:
                producers[batch.codec] = AIOKafkaProducer(
                    bootstrap_servers=target.bootstrap,
                    compression_type=batch.codec,
                    max_batch_size=LARGE_BYTES,
                    max_request_size=LARGE_BYTES,
                )
                await producers[batch.codec].start()
            producer = producers[batch.codec]
            builder = producer.create_batch()
            for record in batch.records:
                took = builder.append(key=record.key, value=record.value, timestamp=None, headers=list(record.headers))
                assert took is not None, "the records do not fit into one batch"
            builder.close()
            sent = await producer.send_batch(builder, target.prefix + batch.topic, partition=0)
            offsets.append((await sent).offset)
    finally:
        for producer in producers.values():
            await producer.stop()
    return offsets


class Reading(NamedTuple):
    """One validated reading as a subscriber sees it."""

    signal: str
    event_time: int
    value: float | int | str | None
    quality: int
    flags: int


def validated(target: Deployment, without: Container[int] = ()) -> list[Reading]:
    """All readings of `ot.reading.v1` but those of the records with these offsets, by partition and offset."""
    decode = Decoder(topology.READING).row
    found = []
    for _, value, offset in target.read(topology.READING.name):
        if offset in without:
            continue
        row = decode(value)
        for index, number in enumerate(row["signal"]):
            arrays = [row[f"value_{kind}"] for kind in ("double", "long", "string")]
            values = [array[index] for array in arrays if array is not None and array[index] is not None]
            flags = 0 if row["flags"] is None else row["flags"][index]
            found.append(
                Reading(
                    row["signals"][number],
                    row["event_time"][index],
                    values[0] if values else None,
                    row["quality"][index],
                    flags,
                )
            )
    return found


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC of a decoded time."""
    return round(moment.timestamp() * 1_000_000)


def rows(target: Deployment, topic: topology.Topic) -> list[dict[str, Any]]:
    """All records of an output topic with one row per record."""
    decode = Decoder(topic).row
    return [decode(value) for _, value, _ in target.read(topic.name) if value]
