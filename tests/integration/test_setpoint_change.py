"""A setpoint that is changed after a new remote logon: from the reading to the alert, through a real broker."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer

from streams import topology
from tests.chaos.deployment import Deployment
from tests.chaos.services import Encoder
from tests.integration import harness

pytestmark = pytest.mark.timeout(240)

S: Final = 1_000_000
NOW: Final = int(time.time()) * S
DAY: Final = 86_400 * S
SITE: Final = "site-1"
SEQUENCE: Final = "setpoint-change-after-new-remote-logon"
TECHNICIAN, STRANGER = "person-" + "a" * 16, "person-" + "b" * 16
Row = dict[str, Any]


def write(target: Deployment, topic: topology.Topic, key: str, row: Mapping[str, Any]) -> None:
    """One record, committed by the broker."""
    producer = Producer({"bootstrap.servers": target.bootstrap, "log_level": 0})
    producer.produce(target.prefix + topic.name, Encoder(topic).value({"site": SITE, **row}), key.encode(), partition=0)
    assert producer.flush(30) == 0


def readings(target: Deployment, signal: str, *points: tuple[int, float]) -> None:
    """Validated readings (event time, value) of one setpoint of line-1."""
    count = len(points)
    row = {
        "work_center": "line-1", "signals": [signal], "sources": ["edge-1"], "signal": [0] * count,
        "source": [0] * count, "quality": [0] * count, "event_time": [time_us for time_us, _ in points],
        "value_double": [value for _, value in points], "ingest_time": int(time.time() * S),
    }  # fmt: skip
    write(target, topology.READING, "line-1", row)


def logon(target: Deployment, user: str, at_us: int) -> None:
    """A remote logon to the operator station of the line."""
    name = f"{user}/{at_us}"
    row = {"access_id": name, "event_time": at_us, "kind": "logon", "user": user, "remote": True}
    write(target, topology.ACCESS, name, {**row, "target_asset_id": "hmi-1"})


def context(target: Deployment) -> None:
    """A filler and its operator station in one zone, a packer in another; each machine has a setpoint."""
    for asset, zone in (("filler", "cell"), ("hmi-1", "cell"), ("packer", "dock")):
        place = {"path": f"acme/{SITE}/hall/line-1/{asset}", "work_center": "line-1", "work_unit": asset}
        write(target, topology.ASSET, asset, {"asset_id": asset, "name": asset, "zone": zone, **place})
    common = {"source_id": "edge-1", "role": "setpoint", "unit": "mL", "site": SITE}
    signals = [
        {"signal_id": f"{asset}-setpoint", "address": asset, "asset_id": asset, "work_unit": asset, **common}
        for asset in ("filler", "packer")
    ]
    harness.write_dictionary(target, signals)


def of_rule(rows: Sequence[Row], rule: str) -> list[Row]:
    """The alerts of one rule."""
    return [row for row in rows if row["rule_id"] == rule]


def test_a_reading_and_a_logon_become_the_alert_of_the_sequence(bootstrap: str, tmp_path: Path) -> None:
    """Only the change in the zone of the logon, and only after an account not seen there for a week; the change
    itself calls nobody, and is a candidate for the cause in the incident of the sequence.
    """
    target = harness.deploy(bootstrap, tmp_path, ("alert", "route", "correlate"))

    def alerts() -> list[Row]:
        return harness.rows(target, topology.ALERT)

    def recorded() -> int:
        return len({row["alert_id"] for row in of_rule(alerts(), "setpoint-changed")})

    try:
        context(target)
        harness.start(target, "alert", "route", "correlate")
        for ago_us in (8 * DAY, 2 * DAY):  # the site is watched from the first on
            logon(target, TECHNICIAN, NOW - ago_us)
        for signal in ("filler-setpoint", "packer-setpoint"):
            readings(target, signal, (NOW - 3600 * S, 330.0), (NOW - 1800 * S, 330.0))
        logon(target, TECHNICIAN, NOW - 1500 * S)
        readings(target, "filler-setpoint", (NOW - 1400 * S, 400.0))
        harness.until(lambda: recorded() == 1, "the change of somebody who is known")
        logon(target, STRANGER, NOW - 600 * S)
        readings(target, "packer-setpoint", (NOW - 400 * S, 500.0))
        readings(target, "filler-setpoint", (NOW - 300 * S, 500.0))
        harness.until(lambda: of_rule(alerts(), SEQUENCE), "the sequence")
        harness.until(lambda: harness.rows(target, topology.INCIDENT), "its incident")
        told, incidents = alerts(), harness.rows(target, topology.INCIDENT)
    finally:
        target.stop()
    changes = of_rule(told, "setpoint-changed")
    assert {(row["kind"], row["annunciated"]) for row in changes} == {("event", False)}
    first = {row["signal_id"]: (row["limit"], row["value"]) for row in changes if row["state"] == "active"}
    assert first == {"packer-setpoint": (330.0, 500.0), "filler-setpoint": (400.0, 500.0)}
    (row,) = of_rule(told, SEQUENCE)
    assert (row["state"], row["asset_id"], row["zone"], row["actors"]) == ("active", "filler", "cell", [STRANGER])
    assert (harness.microseconds(row["begin_time"]), row["annunciated"]) == (NOW - 300 * S, True)
    last = incidents[-1]
    assert last["members"] == [f"alert:{row['alert_id']}"]
    assert {cause["kind"] for cause in last["causes"]} >= {"first_out", "ot_event"}
    assert {one["members"][0] for one in incidents} == set(last["members"])
