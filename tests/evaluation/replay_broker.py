"""Replays a scenario through a real broker and the real services, each a process of its own, as in production."""

from __future__ import annotations

import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from streams import topology
from streams.demo.feed import Feed
from streams.demo.processes import Fleet
from streams.kafka import topics
from streams.kafka.embedded.broker import HOST
from streams.kafka.embedded.node import EmbeddedKafka, EmbeddedKafkaError
from streams.plant.publish import Publisher
from streams.settings import Settings
from tests.evaluation.scenario import IDS, WINDOW_HORIZON_S, Outcome, ReplayFailure, Row, Scenario, latest

# The clocks of a recording say nothing of today's: its sources count as idle soon after the last reading.
SETTINGS: Final[Mapping[str, str | int]] = {
    "partitions": 2,
    "idle_after_ms": 3_000,
    "kpi_correction_horizon_s": 7_200,
    "correction_horizon_s": WINDOW_HORIZON_S,
}
LIMIT_S: Final = 300.0
# Corrections of finished periods are written at most every ten seconds; after this long without any, none is due.
# Windows that memory still holds are revised at once, older ones when nothing more has come for them for some seconds.
QUIET_S: Final = {"kpi": 15.0, "window": 15.0}
# Readings for windows come in so many parts, each when the one before is validated: else one chunk would hold them all,
# and nothing would ever be late.
PARTS: Final = {"kpi": 1, "window": 6}
OUTPUT: Final = {"kpi": topology.KPI, "window": topology.WINDOW}
# As `Result.counts` names what has a metric of its own.
LATE: Final = {"revised": "readings/late", "beyond_horizon": "readings/beyond_horizon"}
LOG_LINES: Final = 12


def replay(scenario: Scenario) -> Outcome:
    """The last revision of each record, and what became of the readings.

    Raises ReplayFailure where a service ends or an awaited record does not come.
    """
    with tempfile.TemporaryDirectory(prefix="plantweave-evaluate-") as folder:
        try:
            with EmbeddedKafka(Path(folder) / "kafka") as kafka:
                return _run(scenario, {**SETTINGS, "bootstrap_servers": kafka.bootstrap}, Path(folder))
        except EmbeddedKafkaError as why:
            raise ReplayFailure(str(why)) from why


def _run(scenario: Scenario, given: Mapping[str, str | int], folder: Path) -> Outcome:
    settings = Settings.load({f"PLANTWEAVE_{name.upper()}": str(value) for name, value in given.items()})
    topics.create(settings)
    publisher = Publisher(settings)
    for topic, rows in scenario.context.items():
        publisher.send(topic, rows)
    _deliver(publisher)
    wanted = (topology.READING, topology.REJECTED, topology.LATE, OUTPUT[scenario.stage])
    fleet, feed = Fleet(folder), Feed(settings, wanted)
    try:
        for name in ("validate", scenario.stage):
            fleet.start(name, ["worker", name], given)
        written = _collect(feed, fleet, scenario, publisher, folder)
        return _outcome(scenario.stage, written, _counts(fleet))
    finally:
        feed.close()
        fleet.stop()


def _deliver(publisher: Publisher) -> None:
    if (fault := publisher.flush()) is not None:
        raise ReplayFailure(fault)


def _outcome(stage: str, written: Mapping[str, list[Row]], counts: Mapping[str, int]) -> Outcome:
    return Outcome(
        records=latest(written[OUTPUT[stage].name], stage),
        accepted=sum(len(row["signal"]) for row in written[topology.READING.name]),
        rejected=Counter(row["reason"] for row in written[topology.REJECTED.name]),
        late=written[topology.LATE.name],
        counts=counts,
    )


def _counts(fleet: Fleet) -> dict[str, int]:
    """What all services counted, by "kind/label", from their pages of metrics."""
    found: Counter[str] = Counter()
    for port in fleet.ports.values():
        with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as page:
            families = text_string_to_metric_families(page.read().decode())
            samples = [sample for family in families for sample in family.samples]
        for name, labels, value, *_ in samples:
            if name == "plantweave_events_total":
                found[f"{labels['kind']}/{labels['label']}"] += int(value)
            elif name == "plantweave_late_readings_total" and labels["outcome"] in LATE:
                found[LATE[labels["outcome"]]] += int(value)
    return dict(found)


def _parts(scenario: Scenario) -> list[list[Row]]:
    """The readings in parts, the last one first."""
    size = -(-len(scenario.readings) // PARTS[scenario.stage]) or 1
    return [scenario.readings[at : at + size] for at in range(0, len(scenario.readings), size)][::-1]


def _validated(written: Mapping[str, list[Row]]) -> int:
    """Readings that `validate` is done with."""
    return sum(len(row["signal"]) for row in written[topology.READING.name]) + len(written[topology.REJECTED.name])


def _collect(feed: Feed, fleet: Fleet, scenario: Scenario, publisher: Publisher, folder: Path) -> dict[str, list[Row]]:
    """Send the readings, and read until every awaited record is there (of kpi: final) and nothing more comes."""
    began = heard = time.monotonic()
    output, name, quiet_s = OUTPUT[scenario.stage].name, IDS[scenario.stage], QUIET_S[scenario.stage]
    written: dict[str, list[Row]] = {
        topic.name: [] for topic in (topology.READING, topology.REJECTED, topology.LATE, OUTPUT[scenario.stage])
    }
    missing, parts, sent = set(scenario.awaited), _parts(scenario), 0
    while parts or missing or time.monotonic() - heard < quiet_s or any(line.lag for line in fleet.lines):
        if parts and _validated(written) >= sent:
            part = parts.pop()
            sent += len(part)
            publisher.send(topology.RAW_READING.name, part)
            _deliver(publisher)
        for topic, row in feed.poll(0.5):
            written[topic].append(dict(row))
            if topic == output:
                heard = time.monotonic()
                missing -= {row[name]} if row.get("final", True) else set()
        if (dead := fleet.dead) is not None:
            lines = "\n".join(dead.last_lines())
            raise ReplayFailure(f"the service {dead.name} ended by itself; the end of its log:\n{lines}")
        if time.monotonic() - began > LIMIT_S:
            text = f"after {LIMIT_S:.0f} s {len(missing)} records are missing, such as {min(missing, default='none')}"
            came = f"{text}; {len(written[output])} records came. Services and the end of their logs:"
            raise ReplayFailure(f"{came}\n{_told(fleet, scenario.stage, folder)}")
    return written


def _told(fleet: Fleet, stage: str, folder: Path) -> str:
    """State, lag and last log lines of each service: what to look at where nothing comes."""
    lines = [f"{line.name}: {line.state}, lag {line.lag}" for line in fleet.lines]
    return "\n".join([*lines, log_ends(folder, ("validate", stage))])


def log_ends(folder: Path, names: Sequence[str]) -> str:
    """The last lines of what these services logged, each below its name; nothing below one that never began."""
    lines: list[str] = []
    for name in names:
        path = folder / f"{name}.log"
        log = path.read_text("utf-8", errors="replace") if path.exists() else ""
        lines += [f"--- {name}", *log.splitlines()[-LOG_LINES:]]
    return "\n".join(lines)
