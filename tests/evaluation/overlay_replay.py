"""Plays an overlay through validate, alert, route and correlate. Leaves: what they wrote.

`through_broker`: a real broker and the services as processes, as in production; `through_core`: without a broker.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from streams import topology
from streams.demo.feed import Feed
from streams.demo.processes import Fleet
from streams.kafka import topics
from streams.kafka.clients import librdkafka
from streams.kafka.embedded.node import EmbeddedKafka, EmbeddedKafkaError
from streams.load.publish import NotSent, publish
from streams.plant.publish import Publisher
from streams.settings import Settings
from tests.evaluation.overlay_context import Overlay
from tests.evaluation.overlay_plant import SITE
from tests.evaluation.replay_broker import log_ends
from tests.evaluation.scenario import SECOND_US, ReplayFailure, Row
from tests.pictures.chain import Chain

SERVICES: Final = ("validate", "alert", "route", "correlate")
# Every topic that a service or the loader writes.
WRITTEN: Final = tuple(
    {
        topic.name: topic
        for name in SERVICES
        for topic in (*topology.stage(name).writes, topology.ACCESS, topology.WORK_ORDER)
    }.values()
)
WATCHED: Final = (
    topology.ACCESS,
    topology.READING,
    topology.REJECTED,
    topology.ALERT,
    topology.EVIDENCE,
    topology.INCIDENT,
    topology.KPI,
)
# Days of the overlay pass in seconds: with a day's horizon, late batches would be beyond it before they are looked at.
SETTINGS: Final[Mapping[str, str | int]] = {
    "partitions": 2,
    "site": SITE,
    "idle_after_ms": 3_000,
    "commit_interval_ms": 50,
    "correction_horizon_s": 7 * 86_400,
}
LIMIT_S: Final = 240.0
# So long after the last record, with nothing left to read, nothing more is due: an alert that stands at the end of what
# is old rings when nothing more has come for 5 s.
QUIET_S: Final = 8.0


@dataclass
class Played:
    """Rows by topic in the order written, the raw bytes of each topic that was written, readings sent and accepted.

    A reading that is sent twice counts once.
    """

    rows: dict[str, list[Row]] = field(default_factory=dict)
    raw: dict[str, list[bytes]] = field(default_factory=dict)
    sent: int = 0
    repeated: int = 0
    accepted: int = 0
    _seen: set[tuple[str, int]] = field(default_factory=set)

    def send(self, batch: Row) -> None:
        """Count a batch."""
        known = (batch["boot_id"], batch["sequence"])
        if known in self._seen:
            self.repeated += len(batch["address"])
        else:
            self._seen.add(known)
            self.sent += len(batch["address"])

    @property
    def validated(self) -> int:
        """Readings that `validate` is done with."""
        return self.accepted + len(self.rows.get(topology.REJECTED.name, ()))


Play = Callable[[Overlay], Played]


def through_core(overlay: Overlay) -> Played:
    """The services on the overlay's own clock, in this process."""
    with tempfile.TemporaryDirectory(prefix="plantweave-overlay-") as folder:
        chain = Chain(overlay.context, SERVICES[1:], site=SITE, rules_dir=str(_rules(overlay, Path(folder))))
        played = Played(rows=chain.out)
        for step in overlay.steps:
            records = [] if step.records is None else step.records.to_dicts()
            if step.topic == topology.WORK_ORDER.name:
                chain.know({step.topic: records})
            for row in records if step.topic == topology.ACCESS.name else ():
                chain.event(step.now_us, step.topic, **row)
                played.rows[step.topic].append(row)
            for row in step.rows:
                played.send(row)
                chain.send(step.now_us, **row)
            chain.tick(step.now_us)
        for after_s in (60, 3600, 3660):
            chain.tick(overlay.steps[-1].now_us + after_s * SECOND_US)
    played.accepted = sum(frame.height for frame in chain.log)
    played.raw = {name: [json.dumps(row, default=str).encode() for row in rows] for name, rows in chain.out.items()}
    return played


def through_broker(overlay: Overlay) -> Played:
    """The services as processes on an embedded broker. Raises ReplayFailure where one ends, or the time is over."""
    with tempfile.TemporaryDirectory(prefix="plantweave-overlay-") as folder:
        try:
            with EmbeddedKafka(Path(folder) / "kafka") as kafka:
                own = {"bootstrap_servers": kafka.bootstrap, "rules_dir": str(_rules(overlay, Path(folder)))}
                return _run(overlay, {**SETTINGS, **own}, Path(folder))
        except (EmbeddedKafkaError, NotSent) as why:
            raise ReplayFailure(str(why)) from why


def _rules(overlay: Overlay, folder: Path) -> Path:
    rules = folder / "rules"
    rules.mkdir()
    for name, text in overlay.rules.items():
        (rules / name).write_text(text, "utf-8")
    return rules


def _run(overlay: Overlay, given: Mapping[str, str | int], folder: Path) -> Played:
    settings = Settings.load({f"PLANTWEAVE_{name.upper()}": str(value) for name, value in given.items()})
    topics.create(settings)
    publisher = Publisher(settings)
    for topic, rows in overlay.context.items():
        publisher.send(topic, rows)
    _deliver(publisher)
    fleet, feed = Fleet(folder), Feed(settings, WATCHED)
    try:
        for name in SERVICES:
            fleet.start(name, ["worker", name], given)
        played = _collect(overlay, settings, publisher, fleet, feed)
        played.raw = _raw(settings)
        return played
    except ReplayFailure as why:
        raise ReplayFailure(f"{why}\n{log_ends(folder, SERVICES)}") from why
    finally:
        feed.close()
        fleet.stop()


def _deliver(publisher: Publisher) -> None:
    if (fault := publisher.flush()) is not None:
        raise ReplayFailure(fault)


def _collect(overlay: Overlay, settings: Settings, publisher: Publisher, fleet: Fleet, feed: Feed) -> Played:
    """Send step by step, each when the readings before are validated; read until nothing more comes."""
    played, steps = Played({topic.name: [] for topic in WATCHED}), list(overlay.steps)[::-1]
    began = heard = time.monotonic()
    while steps or time.monotonic() - heard < QUIET_S or any(line.lag != 0 for line in fleet.lines):
        if steps and played.validated >= played.sent:
            step = steps.pop()
            if step.records is not None:
                publish(settings, topology.topic(step.topic), step.records)
            publisher.send(step.topic, step.rows)
            _deliver(publisher)
            for batch in step.rows:
                played.send(batch)
            heard = time.monotonic()
        for topic, row in feed.poll(0.05):
            heard = time.monotonic()
            if topic == topology.READING.name:
                played.accepted += len(row["signal"])
            else:
                played.rows[topic].append(dict(row))
        if (dead := fleet.dead) is not None:
            raise ReplayFailure(f"the service {dead.name} ended by itself")
        if time.monotonic() - began > LIMIT_S:
            states = ", ".join(f"{line.name} {line.state} (lag {line.lag})" for line in fleet.lines)
            raise ReplayFailure(f"after {LIMIT_S:.0f} s {len(steps)} steps are left; {states}")
    return played


def _raw(settings: Settings) -> dict[str, list[bytes]]:
    """Keys and values of all that was written, as they are, by topic."""
    own: dict[str, Any] = {
        "group.id": "plantweave-overlay",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
    }
    consumer = Consumer({**librdkafka(settings), **own})
    places = [
        TopicPartition(settings.topic_prefix + topic.name, partition, OFFSET_BEGINNING)
        for topic in WRITTEN
        for partition in range(settings.partitions)
    ]
    consumer.assign(places)
    found: dict[str, list[bytes]] = {topic.name: [] for topic in WRITTEN}
    left = len(places)
    try:
        while left:
            for message in consumer.consume(1000, 0.5):
                error = message.error()
                if error is None:
                    topic = (message.topic() or "").removeprefix(settings.topic_prefix)
                    found[topic].append((message.key() or b"") + b"\n" + (message.value() or b""))
                elif error.code() == KafkaError._PARTITION_EOF:
                    left -= 1
                else:
                    raise ReplayFailure(f"what was written cannot be read: {error.str()}")
    finally:
        consumer.close()
    return found
