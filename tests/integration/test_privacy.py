"""Names of persons on a real broker: what the loader, and what others write; every byte of every topic is looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from streams import topology
from tests.chaos.deployment import Deployment
from tests.chaos.services import Encoder
from tests.integration import harness

pytestmark = pytest.mark.timeout(240)

# Names that are nowhere by chance.
LOADED: Final = ("Zebulon.Quixote", "Yolanda Xanthippe", "Wilfriede-Notebook", "Vxbroken Person")
FOREIGN: Final = "Ulfilas.Foreign"
SITE: Final = "site-1"
AT_US: Final = 1_767_323_045_000_000
AT: Final = "2026-01-02T03:04:05Z"
MAPPINGS: Final = {
    "access": """access_id = { column = "id" }
event_time = { column = "at", format = "iso" }
kind = { value = "logon" }
user = { column = "who" }
target_asset_id = { value = "filler" }
""",
    "work_order": """order_id = { column = "id" }
asset_id = { value = "filler" }
status = { value = "started" }
started_at = { column = "at", format = "iso" }
text = { column = "text" }
actors = { column = "who", split = ";" }
""",
    "change": """change_id = { column = "id" }
asset_ids = { value = "filler" }
status = { value = "active" }
start = { column = "at", format = "iso" }
text = { column = "text" }
actors = { column = "who", split = ";" }
""",
    "flow": """flow_id = { column = "id" }
event_time = { column = "at", format = "iso" }
host_name = { column = "host" }
""",
}


def load(target: Deployment, folder: Path, kind: str, key: Path) -> str:
    """Load two rows that name persons, one of them twice wrong; all that the command says and reports."""
    site = f'site = {{ value = "{SITE}" }}\n'
    (folder / f"{kind}.toml").write_text(
        f'kind = "{kind}"\n[file]\nformat = "jsonl"\n[fields]\n{site}{MAPPINGS[kind]}', "utf-8"
    )
    row = {"id": f"{kind}-1", "at": AT, "who": LOADED[0], "text": f"ask {LOADED[1]}", "host": LOADED[2]}
    bad = [json.dumps(row | {"id": "x", "at": "never"}), f'{{"who": "{LOADED[3]}"', f'["{LOADED[3]}"]']
    (folder / f"{kind}.jsonl").write_text("\n".join([json.dumps(row), *bad]), "utf-8")
    words = ["context", "load", kind, str(folder / f"{kind}.jsonl"), "--mapping", str(folder / f"{kind}.toml")]
    report = folder / f"{kind}.report"
    done = harness.run(target, *words, "--report", str(report), pseudonym_key_file=key)
    assert done.returncode == 3, done.stderr
    told = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    assert [line["row"] for line in told] == [2, 3, 4]
    assert all(set(line) == {"row", "field", "value", "problem", "remedy"} for line in told)
    return done.stdout + done.stderr


def send(target: Deployment, topic: topology.Topic, row: dict[str, Any]) -> None:
    """A record by a producer that knows nothing of pseudonyms."""
    producer = Producer({"bootstrap.servers": target.bootstrap, "log_level": 0})
    producer.produce(target.prefix + topic.name, Encoder(topic).value(row), str(row[topic.key]).encode(), partition=0)
    assert producer.flush(30) == 0


def everything(target: Deployment) -> Iterator[tuple[str, bytes]]:
    """Keys and values of every topic of the deployment, states and what was aborted included."""
    consumer = Consumer(
        {
            "bootstrap.servers": target.bootstrap,
            "group.id": f"{target.prefix}scan",
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    topics = {
        name: told for name, told in consumer.list_topics(timeout=30).topics.items() if name.startswith(target.prefix)
    }
    for name, told in topics.items():
        for partition in told.partitions:
            consumer.assign([TopicPartition(name, partition, 0)])
            while (message := consumer.poll(30)) is not None and not message.error():
                yield name.removeprefix(target.prefix), (message.key() or b"") + b"\0" + (message.value() or b"")
    consumer.close()


def test_no_clear_name_reaches_a_topic_but_the_one_that_its_own_producer_wrote_it_to(
    bootstrap: str, tmp_path: Path
) -> None:
    """Logons, orders, changes, leases loaded: no name anywhere. A name that another wrote stays where he wrote it."""
    target = harness.deploy(bootstrap, tmp_path / "deployment", ("route", "correlate"))
    key = tmp_path / "key"
    assert harness.run(target, "privacy", "key", str(key)).returncode == 0
    said = "".join(load(target, tmp_path, kind, key) for kind in MAPPINGS)
    target.start("route", 0)
    target.start("correlate", 0)
    send(
        target, topology.ACCESS, {"access_id": "f", "site": SITE, "event_time": AT_US, "kind": "logon", "user": FOREIGN}
    )
    order = {"order_id": "f", "site": SITE, "asset_id": "filler", "actors": [FOREIGN], "text": FOREIGN}
    send(target, topology.WORK_ORDER, order | {"started_at": AT_US, "status": "started"})
    alert = {"alert_id": "a", "revision": 1, "reason": "opened", "site": SITE, "origin": "computed", "kind": "alarm"}
    alert |= {"state": "active", "rule_id": "r", "rule_version": 1, "work_center": "line-1", "asset_id": "filler"}
    alert |= {"event_time": AT_US, "begin_time": AT_US, "detection_time": AT_US, "message": "m", "priority": "high"}
    send(target, topology.ALERT, alert)
    harness.until(lambda: target.read(topology.INCIDENT.name), "an incident")
    assert target.settle(60) == 0
    evidence = {row["evidence_id"]: row for row in harness.rows(target, topology.EVIDENCE)}
    target.stop()
    assert evidence["access:f"]["actors"] == []
    assert len(evidence["access:access-1"]["actors"]) == 1
    found = list(everything(target))
    assert {"it.access.v1", "it.work_order.v1", "ops.evidence.v1", "ops.incident.v1"} <= {name for name, _ in found}
    told = {name.encode().lower() for name in LOADED} | {part.encode().lower() for part in ("zebulon", "yolanda")}
    assert [name for name, value in found if any(part in value.lower() for part in told)] == []
    with_foreign = {name for name, value in found if FOREIGN.encode().lower() in value.lower()}
    assert with_foreign == {"it.access.v1", "it.work_order.v1"}
    assert not any(part.decode() in said.lower() for part in told)
