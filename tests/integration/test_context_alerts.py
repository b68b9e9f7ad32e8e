"""Context that comes late, through a real broker: alerts are told anew, once, also where workers die meanwhile."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer

from streams import topology
from tests.chaos.deployment import Deployment
from tests.chaos.services import Encoder
from tests.core.alert_scene import RULE
from tests.integration import harness

pytestmark = pytest.mark.timeout(240)

S: Final = 1_000_000
ALERTS: Final = 40
_SAME: Final = ("revision", "supersedes", "reason", "emitted_at")


def write(target: Deployment, topic: topology.Topic, key: str, row: Mapping[str, Any]) -> None:
    """One record of a context topic."""
    producer = Producer({"bootstrap.servers": target.bootstrap, "log_level": 0})
    producer.produce(target.prefix + topic.name, Encoder(topic).value(dict(row)), key.encode())
    assert producer.flush(30) == 0


def readings(target: Deployment, at_us: int, value: float) -> None:
    """One reading of every signal."""
    numbers = list(range(ALERTS))
    row = {
        "site": "site-1", "work_center": "line-1", "signals": [f"s{n}" for n in numbers], "sources": ["edge"],
        "signal": numbers, "source": [0] * ALERTS, "quality": [0] * ALERTS, "event_time": [at_us] * ALERTS,
        "ingest_time": int(time.time() * S), "value_double": [value] * ALERTS,
    }  # fmt: skip
    producer = Producer({"bootstrap.servers": target.bootstrap, "log_level": 0})
    value_bytes = Encoder(topology.READING).value(row)
    producer.produce(target.prefix + topology.READING.name, value_bytes, b"line-1", partition=0)
    assert producer.flush(30) == 0


def by_alert(target: Deployment) -> dict[str, list[dict[str, Any]]]:
    """What was told, alert by alert."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in harness.rows(target, topology.ALERT):
        found[row["alert_id"]].append(row)
    return found


def _until(row: Mapping[str, Any]) -> int | None:
    return None if row["verdict_until"] is None else harness.microseconds(row["verdict_until"])


def restart(target: Deployment) -> None:
    """Start the worker that was killed, and wait until it is ready."""

    def listening() -> int:
        return sum(line["message"] == "http" for line in harness.log_lines(target, "alert-0"))

    before = listening()
    target.start("alert", 0)
    harness.until(lambda: listening() > before, "its health page")
    at = harness.port(target, "alert-0")
    harness.until(lambda: harness.get(at, "/ready")[0] == 200, "alert to be ready")


def deploy(bootstrap: str, folder: Path) -> Deployment:
    """The alert service, with a filler and its signals."""
    rules = folder / "rules"
    rules.mkdir()
    (rules / "hot.toml").write_text(RULE.replace("[select]", 'activities = ["repair"]\n[select]'), encoding="utf-8")
    target = harness.deploy(bootstrap, folder / "work", ("alert",), rules_dir=rules)
    common = {"source_id": "edge", "role": "measurement", "unit": "Cel", "work_unit": "filler-1"}
    harness.write_dictionary(target, [{"signal_id": f"s{n}", "address": f"t{n}", **common} for n in range(ALERTS)])
    place = {"work_center": "line-1", "work_unit": "filler-1", "path": "e/s/line-1/filler-1"}
    write(target, topology.ASSET, "filler-1", {"asset_id": "filler-1", "name": "Filler", **place})
    return target


def test_labels_are_neither_repeated_nor_forgotten_where_workers_die(bootstrap: str, tmp_path: Path) -> None:
    """A repair is revised again and again, and each time the worker is killed a little later after that."""
    target = deploy(bootstrap, tmp_path)
    began = (int(time.time()) - 60) * S
    clocks = {"started_at": began - 600 * S, "started_at_precision": "exact", "planned_end_precision": "exact"}
    order = {"order_id": "WO-7", "asset_id": "filler-1", "status": "started", "activity": "repair", **clocks}
    try:
        harness.start(target, "alert")
        readings(target, began, 90.0)
        harness.until(lambda: len(by_alert(target)) == ALERTS, "the alerts")
        for number in range(6):
            end = began + (3600 + number) * S
            write(target, topology.WORK_ORDER, "WO-7", {**order, "valid_from": number, "planned_end": end})
            sent, wait_s = time.monotonic(), number * 0.15
            harness.until(lambda: time.monotonic() - sent >= wait_s, "the moment to kill")  # noqa: B023  called here
            target.kill("alert-0")
            restart(target)
        harness.until(lambda: all(_until(rows[-1]) == end for rows in by_alert(target).values()), "the last label")
        readings(target, began + 30 * S, 20.0)
        harness.until(lambda: all(rows[-1]["state"] == "cleared" for rows in by_alert(target).values()), "the ends")
    finally:
        target.stop()
    for rows in by_alert(target).values():
        assert [row["revision"] for row in rows] == list(range(1, len(rows) + 1))
        assert (rows[0]["verdict"], rows[-1]["verdict"]) == ("none", "expected")
        payloads = [{name: value for name, value in row.items() if name not in _SAME} for row in rows]
        assert all(before != after for before, after in pairwise(payloads))
        assert {row["reason"] for row in rows[1:-1]} == {"verdict"}
