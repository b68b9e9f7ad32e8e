"""The real services under chaos: `validate`, `window` and `alert` on the readings of a small plant, in real time.

The latest revision of every window must be what the plain reference makes of what was sent; every reading must end in
one place, whatever way it came: in a window, on the late topic, or among those that were told twice.
"""

from __future__ import annotations

import io
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import fastavro
import polars as pl
from confluent_kafka import Producer

from streams import topology
from streams.kafka import topics
from streams.kafka.avro import contracts
from streams.kafka.avro.wire import Kind, prefix
from streams.settings import Settings
from tests.chaos import alarms, expected
from tests.chaos.context import SITE, Office, Told, labels, machine, wrong_incidents
from tests.chaos.deployment import ROOT, Deployment
from tests.chaos.edge import EDGES, LINES, PERIOD_US, SECOND_US, Message
from tests.chaos.pipelines import Account
from tests.chaos.plant import PRIMARY, STANDBY, Plant
from tests.simulation.reference import Payload, Window
from tests.simulation.window_run import difference

MEMORY_S: Final = 20
HORIZON_S: Final = 3600
IDLE_MS: Final = 5000
COMPLETE_S: Final = 120.0  # for the last corrections of windows
CORRECTED_S: Final = 60.0  # and of alerts
GARBAGE_EVERY: Final = 20
ABORTED: Final = -1000.0
ACTIVITIES: Final = {alarms.RULE: ["repair"]}
LINKS: Final = ROOT / "streams" / "rules" / "incidents" / "links.toml"


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
    """A small plant (`plant.py`) whose edge nodes measure about `rate` readings per second in all."""

    services: tuple[str, ...] = ("validate", "window", "alert", "route", "correlate")

    def __init__(
        self, bootstrap: str, prefix_: str, folder: Path, partitions: int = 4, rate: int = 4000, seed: int = 1
    ) -> None:
        stages = {name: topology.stage(name) for name in self.services}
        memory = (
            {"correction_memory_s": MEMORY_S} if "correction_memory_s" in {f.name for f in fields(Settings)} else {}
        )
        self.deployment = Deployment(
            bootstrap,
            prefix_,
            folder,
            commands={name: (sys.executable, "-m", "streams", "worker", name) for name in self.services},
            inputs={name: tuple(topic.name for topic in stage.reads) for name, stage in stages.items()},
            partitions=partitions,
            settings={
                "snapshot_min_bytes": 65_536,
                "correction_horizon_s": HORIZON_S,
                "idle_after_ms": IDLE_MS,
                "failover_after_ms": expected.FAILOVER_US // 1000,
                "failback_after_ms": expected.FAILBACK_US // 1000,
                "rules_dir": ROOT / "tests" / "chaos" / "rules",
                **memory,
            },
        )
        topics.create(Settings(bootstrap_servers=bootstrap, topic_prefix=prefix_, partitions=partitions))
        self._raw, self._batch = Encoder(topology.RAW_READING), Encoder(topology.RAW_BATCH)
        self._config = {"bootstrap.servers": bootstrap, "linger.ms": 5, "log_level": 0}
        self._producer = Producer({**self._config, "enable.idempotence": True, "message.timeout.ms": 120_000})
        self._aborting: Producer | None = None
        self._bulk = max(rate // (EDGES * SECOND_US // PERIOD_US), 1)
        self._calls = 0
        self.office = Office(seed)
        self._encoders: dict[str, Encoder] = {}
        self._told(self.office.opening())
        self._dictionary()
        self.plant = Plant(self._bulk, _now_us() // SECOND_US * SECOND_US, seed)

    def _dictionary(self) -> None:
        encoder = Encoder(topology.SIGNAL)
        for edge in range(EDGES):
            names = [f"bulk-{edge}-{place}" for place in range(self._bulk)]
            names += [f"{what}-{edge}" for what in ("alarm", "state", "closing")]
            names += {PRIMARY: [expected.REDUNDANT[0]], STANDBY: [expected.REDUNDANT[1]]}.get(edge, [])
            for name in names:
                told = expected.described(name)
                row: dict[str, Any] = {"signal_id": name, "source_id": f"edge-{edge}", "address": name}
                row |= {"work_center": f"line-{edge % LINES}", "role": told.role, "window_lengths_s": told.lengths}
                row |= {"reporting": "on_change" if told.on_change else "periodic"}
                row |= {"unit": "Cel", "period_ms": None if told.period is None else told.period // 1000}
                row |= {"site": SITE, "work_unit": machine(edge), "asset_id": machine(edge)}
                row |= {"redundant_of": expected.REDUNDANT[0]} if name == expected.REDUNDANT[1] else {}
                topic = self.deployment.prefix + topology.SIGNAL.name
                self._producer.produce(topic, encoder.value(row), name.encode())
        self._producer.flush()

    def produce(self, count: int, skip_partitions: frozenset[int] = frozenset()) -> None:
        """What the plant sends until now, which is about `count` readings; and now and then what is no record."""
        partitions = self.deployment.partitions
        cut = frozenset(number for number in range(EDGES) if number % partitions in skip_partitions)
        self._send(self.plant.tick(_now_us(), cut))
        self._told(self.office.late(self.plant.over(), _now_us()))
        self._calls += 1
        if self._calls % GARBAGE_EVERY == 0:
            topic = (topology.RAW_READING, topology.RAW_BATCH)[self._calls // GARBAGE_EVERY % 2]
            free = [number for number in range(partitions) if number not in skip_partitions]
            self._producer.produce(
                self.deployment.prefix + topic.name, b"no record", b"edge-0", partition=free[self._calls % len(free)]
            )
            self.plant.done["garbage"] += 1
        self._producer.flush()

    def finish(self) -> None:
        """Every edge node delivers what it has kept, and comes back for good."""
        self._send(self.plant.finish(_now_us()))
        self._producer.flush()

    def _send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            encoder, topic = (self._batch, topology.RAW_BATCH) if message.batch else (self._raw, topology.RAW_READING)
            self._producer.produce(
                self.deployment.prefix + topic.name,
                encoder.value(message.row),
                message.row["source_id"].encode(),
                partition=message.edge % self.deployment.partitions,
            )
            self._producer.poll(0)

    def _told(self, records: Iterable[Told]) -> None:
        """IT tells its context and its events."""
        for topic, row in records:
            encoder = self._encoders.setdefault(topic.name, Encoder(topic))
            key = str(row[topic.key]).encode()
            self._producer.produce(self.deployment.prefix + topic.name, encoder.value(row), key)
        self._producer.poll(0)

    def produce_aborted(self, count: int) -> None:
        """Readings of the present, in a transaction that is aborted."""
        if self._aborting is None:
            own = {"transactional.id": f"{self.deployment.prefix}aborting"}
            self._aborting = Producer({**self._config, **own})
            self._aborting.init_transactions(60)
        self._aborting.begin_transaction()
        for number in range(count):
            edge = number % EDGES
            row = {"source_id": f"edge-{edge}", "address": f"bulk-{edge}-0", "value_double": ABORTED}
            self._aborting.produce(
                self.deployment.prefix + topology.RAW_READING.name,
                self._raw.value({**row, "source_time": _now_us() + number}),
                f"edge-{edge}".encode(),
                partition=edge % self.deployment.partitions,
            )
        self._aborting.flush()
        self._aborting.abort_transaction(60)

    def account(self) -> Account:
        """Where every reading ended; waits for the last corrections of windows."""
        log = expected.Log()
        decode = Decoder(topology.READING).row
        for _, value, offset in self.deployment.read(topology.READING.name):
            log.add(offset, decode(value))
        readings, done, plant = log.frame(), Counter(self.plant.done), self.plant
        faults = expected.unequal(readings, expected.sent(plant.tracks.values(), plant.ancient))
        wanted = expected.payloads(plant.tracks, log.chosen, plant.end_us)
        latest, wrong, duplicates = self._windows(wanted, done)
        faults += [f"a window is not what the reference says: {wrong}"] if wrong else []
        late = [Decoder(topology.LATE).row(value) for _, value, _ in self.deployment.read(topology.LATE.name)]
        if sorted((row["signal_id"], expected.microseconds(row["event_time"])) for row in late) != sorted(
            plant.ancient
        ):
            faults.append(f"{len(late)} readings on the late topic, {len(plant.ancient)} were too late")
        wrong_alerts, repeated = self._alerts(done)
        faults += wrong_alerts
        inside = readings.filter(pl.col("time") < plant.end_us, pl.col("time") >= plant.begin_us)
        copies, rejected = done["retransmitted_readings"], len(self.deployment.read(topology.REJECTED.name))
        done |= Counter({"standby": log.standby, "failovers": log.duty.failovers, "beyond_horizon": len(late)})
        return Account(
            readings_in=sum(len(track.time) for track in plant.tracks.values())
            + len(plant.ancient) + copies + done["garbage"],
            closed=sum(row["count"] + row["count_bad"] for key, row in latest.items() if key[1] == 10)
            + len(late) + expected.repeats(inside, log.chosen) + log.standby + copies + rejected,
            open=readings.filter(pl.col("time") >= plant.end_us).height,
            duplicates=duplicates + repeated,
            aborted_seen=readings.filter(pl.col("value") == ABORTED).height,
            faults=tuple(faults),
            done=done,
        )  # fmt: skip

    def _windows(
        self, wanted: dict[Window, Payload], done: Counter[str]
    ) -> tuple[dict[Window, dict[str, Any]], str, int]:
        """The latest windows once they are as wanted, else how they differ after COMPLETE_S; revisions told twice."""
        decode = Decoder(topology.WINDOW).row
        deadline = time.monotonic() + COMPLETE_S
        while True:
            rows = [decode(value) for _, value, _ in self.deployment.read(topology.WINDOW.name)]
            found = expected.latest_windows(rows, self.plant.end_us)
            wrong = difference(found, wanted)
            if not wrong or time.monotonic() > deadline:
                break
            time.sleep(1.0)
        told = [row for row in rows if expected.microseconds(row["window_end"]) <= self.plant.end_us]
        revisions = Counter((row["window_id"], row["revision"]) for row in told)
        revised = sum(row["revision"] > 1 for row in told)
        logs = [path.read_text("utf-8") for path in self.deployment.folder.glob("window-*.log")]
        look_backs = {what: sum(text.count(f'"look-back {what}"') for text in logs) for what in ("begins", "ended")}
        done |= Counter({"windows": len(found), "revisions": revised, "look_backs": look_backs["ended"]})
        done["look_backs_begun"] = look_backs["begins"]
        return found, wrong, sum(number - 1 for number in revisions.values())

    def _alerts(self, done: Counter[str]) -> tuple[list[str], int]:
        """What is wrong with alerts, after as much time as their corrections may take; revisions told twice."""
        decode, deadline = Decoder(topology.ALERT).row, time.monotonic() + CORRECTED_S
        while True:
            rows = [decode(value) for _, value, _ in self.deployment.read(topology.ALERT.name)]
            alerts = alarms.by_id(rows)
            wrong, counts = alarms.faults(alerts, self.plant.over())
            wrong += labels(alerts, self.office, ACTIVITIES)
            wrong += self._incidents(counts)
            if not wrong or time.monotonic() > deadline:
                break
            time.sleep(1.0)
        done |= counts | self.office.done
        seen = Counter((row["alert_id"], row["revision"]) for row in rows)
        return wrong, sum(count - 1 for count in seen.values())

    def _incidents(self, counts: Counter[str]) -> list[str]:
        """What is wrong with incidents; how many there are."""
        read = self.deployment.read
        told = [Decoder(topology.INCIDENT).row(value) for _, value, _ in read(topology.INCIDENT.name)]
        evidence = [Decoder(topology.EVIDENCE).row(value) for _, value, _ in read(topology.EVIDENCE.name)]
        counts |= Counter(evidence=len(evidence), incidents=len({row["incident_id"] for row in told}))
        counts["incident_revisions"] = len(told)
        repeated = Counter((row["incident_id"], row["revision"]) for row in told)
        twice = [f"incident {key} is told {number} times" for key, number in repeated.items() if number > 1]
        return twice + wrong_incidents(told, evidence, self.office, LINKS.read_text("utf-8"))


def _now_us() -> int:
    return time.time_ns() // 1000
