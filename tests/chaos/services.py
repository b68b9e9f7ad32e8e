"""The real services under chaos: `validate`, `window` and `alert` on numbered raw readings of a small plant.

Every reading must end in exactly one closed window, open window, or late record; no output revision comes twice.
"""

from __future__ import annotations

import io
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import fastavro
import polars as pl
from confluent_kafka import Producer

from streams import topology
from streams.core.window.stage import Window
from streams.kafka import topics
from streams.kafka.avro import contracts
from streams.kafka.avro.wire import Kind, prefix
from streams.kafka.state import Reader
from streams.settings import Settings
from tests.chaos.deployment import Deployment
from tests.chaos.pipelines import Account

SOURCES: Final = 8
SIGNALS: Final = 3
LINES: Final = 3
LENGTH_S: Final = 60
PERIOD_US: Final = 100_000
EPOCH_US: Final = 1_780_000_000_000_000


class Encoder:
    """Single-object Avro values of one topic."""

    def __init__(self, topic: topology.Topic) -> None:
        contract = contracts.load(topic.name)
        self._prefix = prefix(Kind.SINGLE_OBJECT, contract.fingerprint)
        self._schema = fastavro.parse_schema(dict(contract.schema))

    def value(self, row: dict[str, Any]) -> bytes:
        """Encoded `row`; missing fields take the contract's defaults."""
        buffer = io.BytesIO(self._prefix)
        buffer.seek(0, io.SEEK_END)
        fastavro.schemaless_writer(buffer, self._schema, row)
        return buffer.getvalue()


class Decoder:
    """Rows of one output topic, from single-object values written with the present contract."""

    def __init__(self, topic: topology.Topic) -> None:
        self._schema = fastavro.parse_schema(dict(contracts.load(topic.name).schema))

    def row(self, value: bytes) -> dict[str, Any]:
        """One record."""
        found: dict[str, Any] = fastavro.schemaless_reader(io.BytesIO(value[10:]), self._schema)  # type: ignore[assignment]
        return found


class Services:
    """A small plant: SOURCES edge nodes with SIGNALS signals each, ten readings per second of event time and signal."""

    services: tuple[str, ...] = ("validate", "window", "alert")

    def __init__(self, bootstrap: str, prefix_: str, folder: Path, partitions: int = 4) -> None:
        stages = {name: topology.stage(name) for name in self.services}
        self.deployment = Deployment(
            bootstrap,
            prefix_,
            folder,
            commands={name: (sys.executable, "-m", "streams", "worker", name) for name in self.services},
            inputs={name: tuple(topic.name for topic in stage.reads) for name, stage in stages.items()},
            partitions=partitions,
            settings={"snapshot_min_bytes": 65_536, "correction_horizon_s": 7200, "idle_after_ms": 60_000},
        )
        topics.create(Settings(bootstrap_servers=bootstrap, topic_prefix=prefix_, partitions=partitions))
        self.sent = 0
        self._skipped = 0
        self._raw = Encoder(topology.RAW_READING)
        self._config = {"bootstrap.servers": bootstrap, "linger.ms": 5, "log_level": 0}
        self._producer = Producer({**self._config, "enable.idempotence": True, "message.timeout.ms": 120_000})
        self._aborting: Producer | None = None
        self._dictionary()

    def _dictionary(self) -> None:
        signal = Encoder(topology.SIGNAL)
        for source in range(SOURCES):
            for number in range(SIGNALS):
                identity = f"signal-{source}-{number}"
                row: dict[str, Any] = {"signal_id": identity, "source_id": f"edge-{source}", "address": f"tag-{number}"}
                row |= {"work_center": f"line-{source % LINES}", "period_ms": PERIOD_US // 1000, "unit": "Cel"}
                row |= {"window_lengths_s": [LENGTH_S]}
                topic = self.deployment.prefix + topology.SIGNAL.name
                self._producer.produce(topic, signal.value(row), identity.encode())
        self._producer.flush()

    def produce(self, count: int, skip_partitions: frozenset[int] = frozenset()) -> None:
        """The next readings, in event time order per source; a source sits on one partition."""
        sent = 0
        while sent < count:
            number = self.sent + self._skipped
            source = number % SOURCES
            if source % self.deployment.partitions in skip_partitions:
                self._skipped += 1
                continue
            self._send(self._producer, number, f"edge-{source}", f"tag-{number // SOURCES % SIGNALS}")
            self.sent += 1
            sent += 1
        self._producer.flush()

    def _send(self, producer: Producer, number: int, source: str, address: str) -> None:
        step = number // (SOURCES * SIGNALS)
        row: dict[str, Any] = {
            "source_id": source,
            "address": address,
            "source_time": EPOCH_US + step * PERIOD_US,
            "sequence": number,
        }
        row["value_double"] = float(number % 97)
        partition = int(source.rpartition("-")[2]) % self.deployment.partitions
        topic = self.deployment.prefix + topology.RAW_READING.name
        producer.produce(topic, self._raw.value(row), source.encode(), partition=partition)
        producer.poll(0)

    def produce_aborted(self, count: int) -> None:
        """Readings of instants of their own, in a transaction that is aborted."""
        if self._aborting is None:
            own = {"transactional.id": f"{self.deployment.prefix}aborting"}
            self._aborting = Producer({**self._config, **own})
            self._aborting.init_transactions(60)
        self._aborting.begin_transaction()
        for number in range(count):
            row = {"source_id": "edge-0", "address": "tag-0", "value_double": -1000.0}
            row["source_time"] = EPOCH_US + self.sent // (SOURCES * SIGNALS) * PERIOD_US + 1 + number
            topic = self.deployment.prefix + topology.RAW_READING.name
            self._aborting.produce(
                topic, self._raw.value(row), b"edge-0", partition=number % self.deployment.partitions
            )
        self._aborting.flush()
        self._aborting.abort_transaction(60)

    def account(self) -> Account:
        """Latest revisions of closed windows, buffered readings of open ones, late records."""
        decode = Decoder(topology.WINDOW).row
        rows = [decode(value) for _, value, _ in self.deployment.read(topology.WINDOW.name)]
        alerts = [Decoder(topology.ALERT).row(value) for _, value, _ in self.deployment.read(topology.ALERT.name)]
        revisions = Counter((row["window_id"], row["revision"]) for row in rows)
        revisions.update((row["alert_id"], row["revision"]) for row in alerts)
        latest = {row["window_id"]: row for row in sorted(rows, key=lambda row: int(row["revision"]))}
        late = len(self.deployment.read(topology.LATE.name))
        return Account(
            readings_in=self.sent,
            closed=sum(row["count"] + row["count_bad"] for row in latest.values()) + late,
            open=self._open(),
            duplicates=sum(count - 1 for count in revisions.values()),
            aborted_seen=sum(row["min"] is not None and row["min"] < 0 for row in latest.values()),
        )

    def _open(self) -> int:
        readers = {number: Reader(Window().tables) for number in range(self.deployment.partitions)}
        for number, value, _ in self.deployment.read(topology.state_topic("window")):
            readers[number].add(value)
        total = 0
        for reader in readers.values():
            watermark = reader.restored.watermark_us
            border = -1 if watermark is None else watermark // (LENGTH_S * 1_000_000) * LENGTH_S * 1_000_000
            buffered: pl.DataFrame = reader.restored.tables["reading"]
            total += buffered.filter(pl.col("event_time") >= border).height
        return total
