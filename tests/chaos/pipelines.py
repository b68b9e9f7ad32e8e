"""What chaos is let loose on: a deployment that is fed and, at the end, accounts for every reading.

`TwoHop`: the two trivial services of `two_hop.py`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from streams.kafka import topics
from streams.kafka.state import Reader
from streams.settings import Settings
from tests.chaos.deployment import ROOT, Deployment
from tests.chaos.two_hop import Count

ASSETS = 12
STATE = {"cleanup.policy": "delete", "retention.ms": "-1"}


@dataclass(frozen=True)
class Account:
    """Where readings ended: in closed windows (or told otherwise), in open ones; windows that were published twice;
    aborted ones seen; what else is wrong; how often what was done to the readings, and came of it.
    """

    readings_in: int
    closed: int
    open: int
    duplicates: int
    aborted_seen: int
    faults: tuple[str, ...] = ()
    done: Mapping[str, int] = field(default_factory=dict)

    @property
    def accounted(self) -> int:
        """Readings found."""
        return self.closed + self.open


class Pipeline(Protocol):
    """A fed deployment."""

    deployment: Deployment
    services: tuple[str, ...]

    def produce(self, count: int, skip_partitions: frozenset[int] = frozenset()) -> None:
        """Send the next readings, about `count` of them, none to the partitions named."""
        ...

    def produce_aborted(self, count: int) -> None:
        """Send readings in a transaction that is aborted: nobody may ever count them."""
        ...

    def finish(self) -> None:
        """Nothing more is produced: send what is still held back."""
        ...

    def account(self) -> Account:
        """Count every reading; call it when the lag is 0."""
        ...


class TwoHop:
    """Numbered readings through `relay` and `count`."""

    services: tuple[str, ...] = ("relay", "count")

    def __init__(self, bootstrap: str, prefix: str, folder: Path, partitions: int = 4) -> None:
        script = str(ROOT / "tests" / "chaos" / "two_hop.py")
        self.deployment = Deployment(
            bootstrap,
            prefix,
            folder,
            commands={name: (sys.executable, script, name) for name in self.services},
            inputs={"relay": ("two.in.v1",), "count": ("two.mid.v1",)},
            partitions=partitions,
            # A small threshold, so that a short run takes snapshots and deletes records before them, too.
            settings={"snapshot_min_bytes": 4_096},
        )
        settings = Settings(bootstrap_servers=bootstrap, topic_prefix=prefix, partitions=partitions)
        names = ("two.in.v1", "two.mid.v1", "two.out.v1")
        state = [NewTopic(f"{prefix}plantweave.{name}.state.v1", partitions, 1, config=STATE) for name in self.services]
        topics.create(settings, [NewTopic(prefix + name, partitions, 1) for name in names] + state)
        self.sent = 0
        self._skipped = 0
        self._config = {"bootstrap.servers": bootstrap, "linger.ms": 5, "log_level": 0, "message.timeout.ms": 120_000}
        self._producer = Producer({**self._config, "enable.idempotence": True})
        self._aborting: Producer | None = None

    def produce(self, count: int, skip_partitions: frozenset[int] = frozenset()) -> None:
        """Numbered readings, round robin over assets; an asset's partition is its number modulo the partitions."""
        sent = 0
        while sent < count:
            number = self.sent + self._skipped
            partition = number % ASSETS % self.deployment.partitions
            if partition in skip_partitions:
                self._skipped += 1
                continue
            self._send(self._producer, number, partition)
            self.sent += 1
            sent += 1
        self._producer.flush()

    def _send(self, producer: Producer, number: int, partition: int) -> None:
        asset = f"asset-{number % ASSETS}"
        row = {"asset": asset, "ts": (number // ASSETS) * 100, "id": number}
        topic = self.deployment.prefix + "two.in.v1"
        producer.produce(topic, json.dumps(row).encode(), asset.encode(), partition=partition)
        producer.poll(0)

    def produce_aborted(self, count: int) -> None:
        """Readings of an asset that must never be seen."""
        if self._aborting is None:
            own = {"transactional.id": f"{self.deployment.prefix}aborting", "message.timeout.ms": 60_000}
            self._aborting = Producer({**self._config, **own})
            self._aborting.init_transactions(60)
        self._aborting.begin_transaction()
        topic = self.deployment.prefix + "two.in.v1"
        for number in range(count):
            row = {"asset": "aborted", "ts": (self.sent // ASSETS) * 100, "id": -number - 1}
            self._aborting.produce(topic, json.dumps(row).encode(), b"x", partition=number % self.deployment.partitions)
        self._aborting.flush()
        self._aborting.abort_transaction(60)

    def finish(self) -> None:
        """Nothing is held back."""

    def account(self) -> Account:
        """Sum of closed windows, and of the open ones in the state topic."""
        rows = [json.loads(value) for _, value, _ in self.deployment.read("two.out.v1")]
        seen = Counter((row["asset"], row["minute"]) for row in rows)
        readers = {number: Reader(Count.tables) for number in range(self.deployment.partitions)}
        for number, value, _ in self.deployment.read("plantweave.count.state.v1"):
            readers[number].add(value)
        tables = [reader.restored.tables["window"] for reader in readers.values()]
        aborted = sum(row["n"] for row in rows if row["asset"] == "aborted")
        aborted += sum(int(table.filter(table["asset"] == "aborted")["n"].sum()) for table in tables)
        return Account(
            readings_in=self.sent,
            closed=sum(row["n"] for row in rows),
            open=sum(int(table["n"].sum()) for table in tables),
            duplicates=sum(count - 1 for count in seen.values()),
            aborted_seen=aborted,
        )
