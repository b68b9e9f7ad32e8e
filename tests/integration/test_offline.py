"""An edge node that was offline for hours, on a real broker: what it kept leads to what it would have led to.

`window` holds one minute in memory here, so hours are told again by reading `ot.reading.v1` once more; it is killed and
loses its broker in the middle of that.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer

from streams import topology
from streams.kafka.embedded.node import EmbeddedKafka
from tests.chaos import alarms, expected
from tests.chaos.deployment import ROOT, Deployment
from tests.chaos.services import Encoder
from tests.integration import harness
from tests.simulation.reference import Payload, Reading, Signal, Window
from tests.simulation.window_run import difference

pytestmark = pytest.mark.timeout(300)

SECOND_US: Final = 1_000_000
HOUR_S: Final = 3600
STEP_S: Final = 5
TAGS: Final = 8
BATCH: Final = 60  # steps in a batch
END_S: Final = 7 * HOUR_S
DARK_S: Final = (HOUR_S // 2, END_S - HOUR_S // 2)
SETTINGS: Final[dict[str, Any]] = {
    "correction_memory_s": 60,
    "correction_horizon_s": 8 * HOUR_S,
    "idle_after_ms": 4000,
    "idle_after_by_source": "edge-1=100",  # dark as soon as it says nothing
    "rules_dir": ROOT / "tests" / "chaos" / "rules",
}
OVER_S: Final = (3 * HOUR_S, 3 * HOUR_S + 1800)  # an excursion within the dark
STANDING_S: Final = END_S - 600


@dataclass
class Plant:
    """Two edge nodes of one line; `alarm-1` is high in OVER_S and from STANDING_S on. Times in s from `base_us` on."""

    target: Deployment
    base_us: int = field(default_factory=lambda: (time.time_ns() // 60_000_000_000 * 60 - END_S) * SECOND_US)
    sent: dict[str, list[Reading]] = field(default_factory=dict)
    garbage: int = 0
    sequence: int = 0

    def __post_init__(self) -> None:
        self._encoder = Encoder(topology.RAW_BATCH)
        self._producer = Producer({"bootstrap.servers": self.target.bootstrap, "log_level": 0})
        common: dict[str, Any] = {"period_ms": STEP_S * 1000, "unit": "Cel", "window_lengths_s": [60]}
        names = [(edge, f"{what}-{edge}") for edge in (1, 2) for what in ("alarm", *(f"tag-{n}" for n in range(TAGS)))]
        rows = [{**common, "signal_id": name, "source_id": f"edge-{edge}", "address": name} for edge, name in names]
        harness.write_dictionary(self.target, rows)

    def send(self, edge: int, begin_s: int, end_s: int, *, historical: bool = False, garbage: bool = False) -> None:
        """What an edge node has read from `begin_s` up to `end_s`, in batches; `garbage` between them is no record."""
        topic = self.target.prefix + topology.RAW_BATCH.name
        for first in range(begin_s, end_s, BATCH * STEP_S):
            steps = range(first, min(first + BATCH * STEP_S, end_s), STEP_S)
            self._producer.produce(topic, self._batch(edge, steps, historical=historical), b"edge", partition=0)
            if garbage:
                for name in (topology.RAW_BATCH.name, topology.READING.name):
                    self._producer.produce(self.target.prefix + name, b"no record", b"line-1", partition=0)
                    self.garbage += 1
        assert self._producer.flush(30) == 0

    def _batch(self, edge: int, steps: Sequence[int], *, historical: bool) -> bytes:
        readings = []
        for step in steps:
            high = edge == 1 and (OVER_S[0] <= step < OVER_S[1] or step >= STANDING_S)
            values = {f"alarm-{edge}": 95.0 if high else 20.0}
            values |= {f"tag-{number}-{edge}": float((step // STEP_S * 7 + number) % 97) for number in range(TAGS)}
            for name, value in values.items():
                at = self.base_us + step * SECOND_US
                one = Reading(name, f"edge-{edge}", at, value, sequence=self.sequence, historical=historical)
                self.sent.setdefault(name, []).append(one)
                readings.append(one)
        row = {
            "source_id": f"edge-{edge}",
            "boot_id": "1",
            "sequence": self.sequence,
            "address": [one.signal for one in readings],
            "source_time": [one.time for one in readings],
            "value_double": [one.value for one in readings],
            "historical": [historical] * len(readings),
        }
        self.sequence += 1
        return self._encoder.value(row)

    def wanted(self) -> dict[Window, Payload]:
        """What the windows must say that end 2 minutes before the end."""
        end_us = self.base_us + (END_S - 120) * SECOND_US
        told: dict[Window, Payload] = {}
        for name, readings in self.sent.items():
            signal = Signal(name, period=STEP_S * SECOND_US, lengths=(60,))
            told |= expected.of_signal(signal, readings, readings[-1], end_us)
        return told

    def found(self) -> dict[Window, dict[str, Any]]:
        """The same windows as they were last told."""
        end_us = self.base_us + (END_S - 120) * SECOND_US
        rows = harness.rows(self.target, topology.WINDOW)
        return expected.latest_windows(rows, end_us)

    def until_dark_is_told(self) -> None:
        """Wait until `window` has passed the hours in which edge-1 was dark."""
        before = ("tag-0-2", 60, self.base_us + (DARK_S[1] - 600) * SECOND_US)
        harness.until(lambda: before in self.found(), "the windows of edge-2 while edge-1 is dark")
        assert ("tag-0-1", 60, before[2]) not in self.found()

    def until_right(self) -> None:
        """Wait until all windows are as if nothing had happened."""
        wanted = self.wanted()
        wrong = [""]

        def right() -> bool:
            wrong[0] = difference(self.found(), wanted)
            return not wrong[0]

        deadline = time.monotonic() + 120
        harness.until(lambda: right() or time.monotonic() > deadline, "an answer", 150)
        assert wrong[0] == ""


def begin(target: Deployment, *services: str) -> Plant:
    """Services at work on a plant whose edge-1 went dark hours ago, and whose other node went on."""
    plant = Plant(target)
    harness.start(target, *services)
    plant.send(1, 0, DARK_S[0])
    harness.until(lambda: target.settle(0) == 0, "all positions to reach the end")
    plant.send(2, 0, END_S)
    return plant


def look_backs(target: Deployment, what: str) -> int:
    """How many look-backs the log of `window` tells of."""
    return sum(line["message"] == f"look-back {what}" for line in harness.log_lines(target, "window-0"))


def test_hours_offline_leave_no_trace(bootstrap: str, tmp_path: Path) -> None:
    """The same windows as without the outage; what was over is historical and rang nobody, what stands rang once."""
    target = harness.deploy(bootstrap, tmp_path, ("validate", "window", "alert"), **SETTINGS)
    try:
        plant = begin(target, "validate", "window", "alert")
        plant.until_dark_is_told()
        plant.send(1, *DARK_S, historical=True)
        plant.send(1, DARK_S[1], END_S)
        plant.until_right()
        name = f"chaos-high|alarm-1|{plant.base_us + STANDING_S * SECOND_US}"

        def rung() -> bool:
            alerts = alarms.by_id(harness.rows(target, topology.ALERT))
            return alarms.rings(alerts.get(name, [])) == 1

        harness.until(rung, "somebody to be called for what stands")
        harness.until(lambda: target.settle(0) == 0, "all positions to reach the end")
        alerts = alarms.by_id(harness.rows(target, topology.ALERT))
        assert look_backs(target, "ended") >= 1
    finally:
        target.stop()
    over = alerts[f"chaos-high|alarm-1|{plant.base_us + OVER_S[0] * SECOND_US}"]
    assert [(row["state"], row["annunciated"]) for row in over] == [("active", False), ("cleared", False)]
    assert over[-1]["historical"]
    assert harness.microseconds(over[-1]["end_time"]) == plant.base_us + OVER_S[1] * SECOND_US
    assert alarms.rings(alerts[name]) == 1


def test_a_look_back_survives_what_can_happen_to_it(tmp_path: Path) -> None:
    """Its worker is killed in the middle of it, then the broker restarted, with what is no record in between."""
    with EmbeddedKafka(tmp_path / "kafka") as broker:
        target = harness.deploy(broker.bootstrap, tmp_path, ("validate", "window"), **SETTINGS)
        try:
            plant = begin(target, "validate", "window")
            plant.until_dark_is_told()
            plant.send(1, *DARK_S, historical=True, garbage=True)
            harness.until(lambda: look_backs(target, "begins") > 0, "a look-back")
            target.kill("window-0")
            before = look_backs(target, "begins")
            target.start("window", 0)
            harness.until(lambda: look_backs(target, "begins") > before, "another one")
            broker.restart()
            plant.send(1, DARK_S[1], END_S)
            plant.until_right()
            rejected = len(target.read(topology.REJECTED.name))
        finally:
            target.stop()
    # What is no record was told once, though it was read more than once.
    assert rejected == plant.garbage
