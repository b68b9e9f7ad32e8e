"""A worker as a service: health pages, metrics, logs, and how it tells that its work stands still."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import psutil
import pytest
from confluent_kafka import Producer

from streams import topology
from streams.kafka.embedded.node import EmbeddedKafka
from tests.chaos.deployment import Deployment
from tests.chaos.services import Encoder
from tests.integration import harness

pytestmark = pytest.mark.timeout(240)

READINGS: Final = 90
BACKLOG: Final = 4000
BASE_US: Final = time.time_ns() // 60_000_000_000 * 60_000_000 - 120_000_000
SIGNAL: Final = {"signal_id": "signal-7", "source_id": "edge-7", "address": "tag-7", "period_ms": 1000}
# Public: dashboards and alerts are written against them.
NAMES: Final = {
    "records", "records_written", "rejects", "events", "late_readings", "task_discards", "task_seeks",
    "restore_seconds", "restored_records", "restore_progress_ratio", "transaction_seconds", "latency_seconds",
    "state_bytes", "state_rows", "tasks_open", "tasks_assigned", "ready", "context_version", "consumer_lag_records",
    "watermark_lag_seconds", "open_windows", "sources", "slowest_source_lag_seconds", "look_backs",
    "look_back_seconds", "look_back_progress_ratio", "reread_readings", "open_incidents",
}  # fmt: skip
LABELS: Final = {
    "topic",
    "partition",
    "reason",
    "outcome",
    "kind",
    "label",
    "why",
    "table",
    "le",
    "status",
    "rank",
    "site",
}


def send(target: Deployment, values: Sequence[bytes]) -> None:
    """Raw records on partition 0, in record batches of at most 64 KiB."""
    producer = Producer({"bootstrap.servers": target.bootstrap, "log_level": 0, "batch.size": 65_536})
    for value in values:
        producer.produce(target.prefix + topology.RAW_READING.name, value, b"edge-7", partition=0)
    assert producer.flush(30) == 0


def reading(second: float, **fields: str) -> bytes:
    """One raw reading of event time `second`."""
    row = {"source_id": "edge-7", "address": "tag-7", "value_double": second, **fields}
    return Encoder(topology.RAW_READING).value({**row, "source_time": BASE_US + int(second * 1_000_000)})


def settle(target: Deployment) -> None:
    """Wait until everything sent is committed."""
    harness.until(lambda: target.settle(0) == 0, "all positions to reach the end")


class Running(NamedTuple):
    """Two services at work, and the ports of their health pages."""

    target: Deployment
    ports: dict[str, int]


@pytest.fixture(scope="module")
def running(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`validate` and `window` after 90 s of event time, one record that is none, and one late reading."""
    folder = tmp_path_factory.mktemp("service")
    target = harness.deploy(bootstrap, folder, ("validate", "window"), partitions=2)
    harness.write_dictionary(target, [{**SIGNAL, "work_center": "line-7"}])
    try:
        ports = harness.start(target, "validate", "window")
        send(target, [*(reading(second) for second in range(READINGS)), b"no record"])
        settle(target)
        send(target, [reading(5.5)])
        settle(target)
        yield Running(target, ports)
    finally:
        target.stop()


def test_the_health_pages_answer_on_loopback_only(running: Running) -> None:
    """/live and /ready say yes with nothing against it; nobody else can reach them."""
    for service, port in running.ports.items():
        for page in ("/live", "/ready"):
            status, body = harness.get(port, page)
            assert (status, json.loads(body)) == (200, {"ok": True, "against": []})
        sockets = psutil.Process(running.target.workers[f"{service}-0"].pid).net_connections("tcp")
        assert {item.laddr for item in sockets if item.status == psutil.CONN_LISTEN} == {("127.0.0.1", port)}


def test_every_documented_metric_is_there(running: Running) -> None:
    """By name, in both services, also those that have not counted anything yet; none is undocumented."""
    for port in running.ports.values():
        assert harness.metrics(port)[0] == {f"plantweave_{name}" for name in NAMES}


def test_labels_are_bounded(running: Running) -> None:
    """Label names of a fixed set; no value names a signal, a source, an address or a line."""
    for port in running.ports.values():
        labels = [item for sample in harness.metrics(port)[1] for item in sample.labels.items()]
        assert {name for name, _ in labels} <= LABELS
        equipment = ("signal-7", "edge-7", "tag-7", "line-7")
        assert [value for _, value in labels if any(name in value for name in equipment)] == []


def test_the_metrics_tell_what_happened(running: Running) -> None:
    """Records in and out, the reject, the late reading, restores, transactions, latency; lag 0 on every partition."""
    harness.until(  # a commit is seen by readers a moment before the worker that made it has its answer
        lambda: (
            not any(
                sample.value
                for port in running.ports.values()
                for sample in harness.metrics(port)[1]
                if sample.name.endswith("lag_records")
            )
        ),
        "lag 0 on every partition",
    )
    pages = {service: harness.metrics(port)[1] for service, port in running.ports.items()}

    def total(service: str, name: str, **labels: str) -> float:
        chosen = [item for item in pages[service] if item.name == f"plantweave_{name}"]
        return sum(item.value for item in chosen if labels.items() <= item.labels.items())

    raw, readings = topology.RAW_READING.name, topology.READING.name
    assert total("validate", "records_total", topic=raw) == READINGS + 1
    assert total("validate", "records_written_total", topic=readings) == READINGS + 1
    assert total("validate", "rejects_total", reason="undecodable") == 1
    assert total("window", "records_total", topic=readings) == READINGS + 1
    assert total("window", "late_readings_total", outcome="revised") == 1
    for service, page in pages.items():
        assert total(service, "restore_seconds_count") == 2
        assert total(service, "transaction_seconds_count") >= 2
        assert total(service, "latency_seconds_count") >= 1
        assert total(service, "ready") == 1
        lags = {(s.labels["topic"], s.labels["partition"]): s.value for s in page if s.name.endswith("lag_records")}
        inputs = [topic.name for topic in topology.stage(service).reads]
        assert lags == {(topic, str(number)): 0.0 for topic in inputs for number in (0, 1)}
    begin = time.time() - BASE_US / 1e6 - READINGS
    # The partition of the line has a watermark, the other one has seen nothing.
    assert begin - 5 < max(s.value for s in pages["window"] if s.name.endswith("watermark_lag_seconds")) < begin + 60


def test_every_log_line_is_a_json_object(running: Running) -> None:
    """With time, level, service and message."""
    for service in running.ports:
        lines = (running.target.folder / f"{service}-0.log").read_text("utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        assert len(found) >= 4
        assert all({"time", "level", "service", "message"} <= set(line) for line in found)
        assert {line["service"] for line in found} == {service}
        assert {line["task"] for line in found if line["message"] == "task open"} == {f"{service}/0", f"{service}/1"}


def _says(port: int, page: str, text: str) -> bool:
    status, body = harness.get(port, page)
    return status == 503 and any(text in line for line in json.loads(body)["against"])


def test_a_worker_is_ready_when_it_can_work_and_live_while_its_commits_move(tmp_path: Path) -> None:
    """Not ready before it has context and partitions, though live; not live with lag and no commit; then both again."""
    with EmbeddedKafka(tmp_path / "kafka") as broker:
        assert broker.pid is not None
        settings = {"liveness_timeout_s": 5, "transaction_timeout_ms": 2000, "fetch_max_bytes": 65_536}
        target = harness.deploy(broker.bootstrap, tmp_path, ("validate",), **settings)
        harness.write_dictionary(target, [SIGNAL])
        try:
            _freeze_and_thaw(target, broker.pid)
        finally:
            os.kill(broker.pid, signal.SIGCONT)
            target.stop()


def _taken(port: int) -> float:
    """Raw readings that the worker has taken so far."""
    return sum(item.value for item in harness.metrics(port)[1] if item.name == "plantweave_records_total")


def _freeze_and_thaw(target: Deployment, broker: int) -> None:
    os.kill(broker, signal.SIGSTOP)
    worker = target.start("validate", 0)
    port = harness.port(target, worker)
    assert _says(port, "/ready", "context is being loaded")
    assert _says(port, "/ready", "no partitions assigned yet")
    assert harness.get(port, "/live")[0] == 200
    assert harness.get(port, "/metrics")[0] == 200
    os.kill(broker, signal.SIGCONT)
    harness.until(lambda: harness.get(port, "/ready")[0] == 200, "ready with context and partitions")
    send(target, [reading(second) for second in range(10)])
    settle(target)

    # The broker freezes in the middle of a backlog: lag that cannot be committed.
    process = target.workers[worker]
    process.send_signal(signal.SIGSTOP)
    send(target, [reading(10, site="s" * 4000)] * BACKLOG)
    process.send_signal(signal.SIGCONT)
    harness.until(lambda: _taken(port) > 10, "the worker to be at the backlog")
    os.kill(broker, signal.SIGSTOP)
    assert _taken(port) < 10 + BACKLOG
    harness.until(lambda: _says(port, "/ready", "restored or are fenced"), "not ready without its task", 30)
    harness.until(lambda: _says(port, "/live", "no commit in spite of lag: validate/0"), "not live", 30)
    os.kill(broker, signal.SIGCONT)
    harness.until(lambda: harness.get(port, "/live")[0] == 200, "live again")
    harness.until(lambda: harness.get(port, "/ready")[0] == 200, "ready again")
    settle(target)
    assert [item.value for item in harness.validated(target)] == [*map(float, range(10)), *[10.0] * BACKLOG]
    assert target.terminate(worker) == 0
