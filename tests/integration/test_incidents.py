"""Incidents through a real broker: one service that dies while it works, and a subscriber that comes late."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from streams import topology
from tests.chaos.deployment import ROOT, Deployment
from tests.chaos.services import Decoder, Encoder
from tests.integration import harness

pytestmark = pytest.mark.timeout(240)

SECOND_US: Final = 1_000_000
BASE_US: Final = time.time_ns() // 1000 - 60 * SECOND_US
SITE: Final = "site-7"
LINKS: Final = ROOT / "streams" / "rules" / "incidents" / "links.toml"
Row = dict[str, Any]


def links(folder: Path) -> Path:
    """The shipped links with seconds in place of half an hour."""
    text = re.sub(r"(?m)^(quiet_s|within_s) = \d+$", lambda line: f"{line[1]} = 3", LINKS.read_text("utf-8"))
    path = folder / "links.toml"
    path.write_text(text, "utf-8")
    return path


def alert(name: str, asset: str, begin_s: float, end_s: float | None = None, revision: int = 1) -> Row:
    """Evidence of an alert, seconds after BASE_US."""
    begin, end = (None if at is None else BASE_US + round(at * SECOND_US) for at in (begin_s, end_s))
    row: Row = {
        "evidence_id": f"alert:{name}",
        "kind": "alert",
        "revision": revision,
        "site": SITE,
        "type": f"rule-{name}",
    }
    row |= {"event_time": end or begin, "begin_time": begin, "end_time": end, "detection_time": begin}
    row |= {"ingest_time": begin, "state": "cleared" if end else "active", "alert_kind": "alarm", "priority": "high"}
    return row | {"work_center": "line-7", "asset_id": asset, "asset_path": f"acme/{SITE}/hall/line-7/{asset}"}


def send(target: Deployment, topic: topology.Topic, key: str, rows: Sequence[Row]) -> None:
    """Records of one key."""
    encoder = Encoder(topic)
    producer = Producer({"bootstrap.servers": target.bootstrap, "log_level": 0})
    for row in rows:
        producer.produce(target.prefix + topic.name, encoder.value(row), key.encode(), partition=0)
    assert producer.flush(30) == 0


def current(target: Deployment) -> dict[str, Row | None]:
    """What a subscriber that comes now finds on the compacted topic: the last of each key, None where it is deleted."""
    settings = {"bootstrap.servers": target.bootstrap, "group.id": f"{target.prefix}late", "log_level": 0}
    consumer = Consumer({**settings, "isolation.level": "read_committed", "enable.partition.eof": True})
    consumer.assign([TopicPartition(target.prefix + topology.INCIDENT_CURRENT.name, 0, 0)])
    decode = Decoder(topology.INCIDENT_CURRENT).row
    found: dict[str, Row | None] = {}
    while (message := consumer.poll(30)) is not None and not message.error():
        value = message.value()
        found[(message.key() or b"").decode()] = None if value is None else decode(value)
    consumer.close()
    return found


def brief(rows: Sequence[Row]) -> list[tuple[str, str, list[str]]]:
    """State, reason and members, in the order told."""
    return [(row["state"], row["reason"], [name.removeprefix("alert:") for name in row["members"]]) for row in rows]


def test_incidents_survive_the_worker_and_a_late_subscriber_sees_what_is_open(bootstrap: str, tmp_path: Path) -> None:
    """Each revision is told once over two kills; context that comes late is one more; what is closed is deleted."""
    target = harness.deploy(bootstrap, tmp_path, ("correlate",), incident_links_file=links(tmp_path))

    def incidents() -> list[Row]:
        return harness.rows(target, topology.INCIDENT)

    def told(count: int) -> None:
        harness.until(lambda: len(incidents()) >= count, f"{count} revisions, not {brief(incidents())}")

    try:
        harness.start(target, "correlate")
        send(target, topology.EVIDENCE, SITE, [alert("a", "pump", 0), alert("b", "fan", 1)])
        told(2)
        target.kill("correlate-0")
        again = [alert("a", "pump", 0), alert("c", "pump", 2), alert("b", "fan", 1, 5, revision=2)]
        send(target, topology.EVIDENCE, SITE, again)
        target.start("correlate", 0)
        told(4)
        harness.until(lambda: any(row["state"] == "closed" for row in incidents()), "the fan's to close")
        order = {"order_id": "wo-7", "site": SITE, "asset_id": "pump", "valid_from": BASE_US, "kind": "corrective"}
        order |= {"status": "started", "work_center": "line-7", "started_at": BASE_US, "started_at_precision": "exact"}
        before = len(incidents())
        send(target, topology.WORK_ORDER, "wo-7", [order])
        told(before + 1)
        target.kill("correlate-0")
        target.start("correlate", 0)
        send(target, topology.EVIDENCE, SITE, [alert("d", "motor", 40)])
        told(before + 2)
        rows, late = incidents(), current(target)
    finally:
        target.stop()
    by_incident: dict[str, list[Row]] = {}
    for row in rows:
        by_incident.setdefault(row["incident_id"], []).append(row)
    for revisions in by_incident.values():
        assert [row["revision"] for row in revisions] == list(range(1, len(revisions) + 1))
        assert [row["supersedes"] for row in revisions] == [None, *range(1, len(revisions))]
    pump, fan, motor = by_incident.values()
    assert brief(pump) == [
        ("open", "opened", ["a"]),
        ("open", "updated", ["a", "c"]),
        ("open", "context", ["a", "c"]),
    ]
    assert pump[-1]["work_orders"] == ["wo-7"]
    assert brief(fan)[-1] == ("closed", "closed", ["b"])
    assert brief(motor) == [("open", "opened", ["d"])]
    open_ = {pump[0]["incident_id"]: ["a", "c"], motor[0]["incident_id"]: ["d"], fan[0]["incident_id"]: None}
    found = {name: row and [member.removeprefix("alert:") for member in row["members"]] for name, row in late.items()}
    assert found == open_
