"""From the raw append to the visible alert: idle, at a tenth and at half of the throughput.

In: the throughput of the chain in readings/s. Out: per load {"load", "readings_per_s", "sent_per_s", "probes",
"p50_ms", "p99_ms"}. The services `validate` and `alert` run as they are, with one rule; a probe signal goes beyond its
limit and back, and each transition is timed from the broker's append time of the raw reading to the moment when a
read-committed consumer has the alert. `python -m tests.bench.latency --throughput N` measures it alone.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import fastavro
import numpy as np
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from streams.kafka import topics
from streams.kafka.embedded.child import Child
from streams.kafka.embedded.node import EmbeddedKafka
from streams.settings import Settings
from streams.topology import ALERT, RAW_READING, SIGNAL
from tests.bench.engines import ROOT
from tests.bench.fill import write_dictionary
from tests.bench.measure import LOGS
from tests.bench.messages import marker, schema
from tests.bench.shapes import PARTITIONS

PREFIX: Final = "latency."
LOADS: Final = (("idle", 0.0), ("a tenth", 0.1), ("half", 0.5))
PROBES: Final = 200
PAUSE_S: Final = 0.2
WAIT_S: Final = 30.0
RULE: Final = """
id = "probe-high"
version = 1
status = "stable"
title = "Probe high"
owner = "bench"
kind = "alert"
type = "threshold"
priority = "low"
consequence = "The probe's time is taken."
response = "do nothing"
false_positives = ["None: only the benchmark sends this signal."]

[select]
role = "measurement"
unit = "1"
address = "probe/*"

[condition]
high = 50.0
deadband = 0.0
on_delay_s = 0.0
off_delay_s = 0.0

[fires]
readings = [{ at = 0, value = 10.0 }, { at = 1, value = 90.0 }]
expect = [{ at = 1, state = "active" }]

[quiet]
readings = [{ at = 0, value = 10.0 }]
"""


def probe_signals() -> list[dict[str, Any]]:
    """Dictionary rows of the probes, one per partition and line."""
    lines = ("line-1", "line-6", "line-3", "line-7")
    return [
        {
            "signal_id": f"probe-{number}",
            "site": "site-1",
            "source_id": f"probe-{number}",
            "address": f"probe/{number}",
            "work_center": line,
            "unit": "1",
            "period_ms": 1_000,
        }
        for number, line in enumerate(lines)
    ]


class Probe:
    """Sends probe readings and waits for their alerts."""

    def __init__(self, bootstrap: str) -> None:
        self._contract = schema(f"10-raw/{RAW_READING.name}.avsc")
        self._raw: Any = fastavro.parse_schema(self._contract)
        self._alert: Any = fastavro.parse_schema(schema(ALERT.schema_path))
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": 1, "log_level": 0})
        settings = {"bootstrap.servers": bootstrap, "group.id": "probe", "enable.auto.commit": False, "log_level": 0}
        self._consumer = Consumer({**settings, "isolation.level": "read_committed", "fetch.wait.max.ms": 100})
        self._consumer.assign([TopicPartition(PREFIX + ALERT.name, number, 0) for number in range(PARTITIONS)])
        self._appended = 0.0
        self._sent = 0

    def once(self) -> float:
        """Send one transition and return its latency in s. Raises TimeoutError where no alert comes."""
        number, beyond = self._sent % PARTITIONS, self._sent // PARTITIONS % 2 == 0
        self._sent += 1
        self._appended = 0.0
        self._send(number, 90.0 if beyond else 10.0)
        wanted = (f"probe-{number}", "active" if beyond else "cleared")
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            message = self._consumer.poll(0.5)
            seen = time.time()
            self._producer.poll(0)
            if message is not None and not message.error() and self._of(message) == wanted:
                return seen - self._appended
        raise TimeoutError(f"no alert {wanted} within {WAIT_S:.0f} s: the services' logs say why")

    def _send(self, number: int, value: float) -> None:
        row = {
            "source_id": f"probe-{number}",
            "site": "site-1",
            "address": f"probe/{number}",
            "source_time": int(time.time() * 1e6),
            "value_double": value,
        }
        body = io.BytesIO()
        fastavro.schemaless_writer(body, self._raw, row)
        payload = marker(self._contract) + body.getvalue()
        self._producer.produce(PREFIX + RAW_READING.name, payload, f"probe-{number}", number, self._delivered)
        self._producer.flush(WAIT_S)

    def _delivered(self, error: object, message: Message) -> None:
        if error is not None:
            raise RuntimeError(f"the probe was not taken: {error}")
        self._appended = message.timestamp()[1] / 1e3

    def _of(self, message: Message) -> tuple[str, str]:
        value = message.value() or b""
        row: Any = fastavro.schemaless_reader(io.BytesIO(value[10:]), self._alert, None)
        return row["signal_id"], row["state"]


def measure_latency(throughput: float, probes: int = PROBES) -> list[dict[str, Any]]:
    """Latency at every load; `throughput` is what the chain does at most, in readings/s."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="plantweave-bench-") as name, EmbeddedKafka(Path(name) / "kafka") as broker:
        rules = Path(name) / "rules"
        rules.mkdir()
        (rules / "probe-high.toml").write_text(RULE, "utf-8")
        given = {"BOOTSTRAP_SERVERS": broker.bootstrap, "TOPIC_PREFIX": PREFIX, "RULES_DIR": str(rules)}
        env = {f"PLANTWEAVE_{name}": value for name, value in {**given, "PARTITIONS": str(PARTITIONS)}.items()}
        prepare(Settings.load(env))
        whole = {**os.environ, "PYTHONPATH": str(ROOT), **env}
        command = [sys.executable, "-m", "streams", "worker"]
        workers = [Child([*command, name], LOGS / f"latency-{name}.log", whole) for name in ("validate", "alert")]
        try:
            probe = Probe(broker.bootstrap)
            for _ in range(2 * PARTITIONS):  # the services are up when the first answers come
                probe.once()
            return [at_load(probe, broker.bootstrap, load, part * throughput, probes) for load, part in LOADS]
        finally:
            for worker in workers:
                worker.end(signal.SIGTERM)


def prepare(settings: Settings) -> None:
    """Topics, the raw one with the broker's append time, and the dictionary of load and probes."""
    wanted = topics.wanted(settings)
    for topic in wanted:
        if topic.topic == PREFIX + RAW_READING.name:
            topic.config = {**(topic.config or {}), "message.timestamp.type": "LogAppendTime"}
    topics.create(settings, wanted)
    write_dictionary(settings.bootstrap_servers, PREFIX + SIGNAL.name, probe_signals())


def at_load(probe: Probe, bootstrap: str, load: str, rate: float, probes: int) -> dict[str, Any]:
    """Latency while a process of its own sends `rate` readings/s."""
    command = [sys.executable, "-m", "tests.bench.load", "--bootstrap", bootstrap, "--rate", str(round(rate))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = LOGS / "latency-load.log"
    log.unlink(missing_ok=True)
    sender = Child([*command, "--topic", PREFIX + RAW_READING.name], log, environment) if rate else None
    try:
        if sender:
            time.sleep(5.0)  # the load is even by then
        taken = []
        for _ in range(probes):
            time.sleep(PAUSE_S)
            taken.append(probe.once() * 1e3)
    finally:
        if sender:
            sender.end(signal.SIGTERM)
    p50, p99 = np.percentile(taken, [50, 99])
    sent = int(log.read_text("utf-8").split()[-1]) if sender else 0
    figures = {"probes": probes, "p50_ms": round(float(p50), 1), "p99_ms": round(float(p99), 1)}
    return {"load": load, "readings_per_s": round(rate), "sent_per_s": sent, **figures}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.latency", description=__doc__)
    parser.add_argument("--throughput", type=float, required=True, help="readings/s of the chain")
    parser.add_argument("--probes", type=int, default=PROBES)
    chosen = parser.parse_args()
    print(json.dumps(measure_latency(chosen.throughput, chosen.probes), indent=2))


if __name__ == "__main__":
    main()
