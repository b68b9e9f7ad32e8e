"""Replays a scenario through a real broker and the real services, each a process of its own, as in production."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from streams import topology
from streams.demo.feed import Feed
from streams.demo.processes import Fleet
from streams.kafka import topics
from streams.kafka.embedded.node import EmbeddedKafka, EmbeddedKafkaError
from streams.plant.publish import Publisher
from streams.settings import Settings
from tests.evaluation.scenario import ReplayFailure, Row, Scenario, latest

SERVICES: Final = ("validate", "kpi")
# The clocks of a recording say nothing of today's: its sources count as idle soon after the last reading.
SETTINGS: Final[Mapping[str, str | int]] = {"partitions": 2, "idle_after_ms": 3_000, "kpi_correction_horizon_s": 7_200}
LIMIT_S: Final = 300.0
# Corrections of finished periods are written at most every ten seconds; after this long without any, none is due.
QUIET_S: Final = 15.0
LOG_LINES: Final = 12


def replay(scenario: Scenario) -> dict[str, Row]:
    """The last revision of each KPI record. Raises ReplayFailure where a service ends or a record does not come."""
    with tempfile.TemporaryDirectory(prefix="plantweave-evaluate-") as folder:
        try:
            with EmbeddedKafka(Path(folder) / "kafka") as kafka:
                return _run(scenario, {**SETTINGS, "bootstrap_servers": kafka.bootstrap}, Path(folder))
        except EmbeddedKafkaError as why:
            raise ReplayFailure(str(why)) from why


def _run(scenario: Scenario, given: Mapping[str, str | int], folder: Path) -> dict[str, Row]:
    settings = Settings.load({f"PLANTWEAVE_{name.upper()}": str(value) for name, value in given.items()})
    topics.create(settings)
    publisher = Publisher(settings)
    for topic, rows in scenario.context.items():
        publisher.send(topic, rows)
    _deliver(publisher)
    fleet, feed = Fleet(folder), Feed(settings)
    try:
        for name in SERVICES:
            fleet.start(name, ["worker", name], given)
        publisher.send(topology.RAW_READING.name, scenario.readings)
        _deliver(publisher)
        return _collect(feed, fleet, scenario, folder)
    finally:
        feed.close()
        fleet.stop()


def _deliver(publisher: Publisher) -> None:
    if (fault := publisher.flush()) is not None:
        raise ReplayFailure(fault)


def _collect(feed: Feed, fleet: Fleet, scenario: Scenario, folder: Path) -> dict[str, Row]:
    """Read until every awaited record is final and nothing more comes."""
    began = heard = time.monotonic()
    written: list[Row] = []
    missing = set(scenario.awaited)
    while missing or time.monotonic() - heard < QUIET_S:
        records = [dict(row) for topic, row in feed.poll(0.5) if topic == topology.KPI.name]
        if records:
            heard = time.monotonic()
            written += records
            missing -= {record["kpi_id"] for record in records if record["final"]}
        if (dead := fleet.dead) is not None:
            lines = "\n".join(dead.last_lines())
            raise ReplayFailure(f"the service {dead.name} ended by itself; the end of its log:\n{lines}")
        if time.monotonic() - began > LIMIT_S:
            text = f"after {LIMIT_S:.0f} s {len(missing)} records are not final, such as {min(missing, default='none')}"
            raise ReplayFailure(
                f"{text}; {len(written)} records came. Services and the end of their logs:\n{_told(fleet, folder)}"
            )
    return latest(written)


def _told(fleet: Fleet, folder: Path) -> str:
    """State, lag and last log lines of each service: what to look at where nothing comes."""
    lines = [f"{line.name}: {line.state}, lag {line.lag}" for line in fleet.lines]
    for name in SERVICES:
        lines += [
            f"--- {name}",
            *(folder / f"{name}.log").read_text("utf-8", errors="replace").splitlines()[-LOG_LINES:],
        ]
    return "\n".join(lines)
