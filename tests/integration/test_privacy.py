"""Names of persons on a real broker: what the loader, and what others write; every byte of every topic is looked at.

All services run, on records of producers that know nothing of pseudonyms and put a name into every personal field.
Their outputs are looked through as sent, states once more as unpacked, and so are their logs.
"""

from __future__ import annotations

import io
import json
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from streams import topology
from streams.kafka.persons import IDENTITY, TEXT, personal
from tests.chaos.deployment import ROOT, Deployment
from tests.chaos.services import Encoder
from tests.core.alert_scene import RULE
from tests.integration import harness

pytestmark = pytest.mark.timeout(400)

# Names that are nowhere by chance.
LOADED: Final = ("Zebulon.Quixote", "Yolanda Xanthippe", "Wilfriede-Notebook", "Vxbroken Person")
# What others write: a name of its own for each personal field, and one in records that cannot be read.
FIELDS: Final = {
    (topic, name): f"Ulfilas.Foreign-{number:02}"
    for number, (topic, name) in enumerate(
        (topic.name, name)
        for topic in topology.topics()
        for mark in (IDENTITY, TEXT)
        for name in personal(topic.name, mark)
    )
}
BROKEN: Final = "Ulfilas.Foreign-in-a-broken-record"
FOREIGN: Final = b"ulfilas.foreign"
SERVICES: Final = tuple(stage.name for stage in topology.STAGES)
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


def send(target: Deployment, topic: topology.Topic, row: dict[str, Any], broken: bytes = b"") -> None:
    """A record by a producer that knows nothing of pseudonyms; with `broken` behind it, it cannot be read."""
    names = {field: [name] if field == "actors" else name for (of, field), name in FIELDS.items() if of == topic.name}
    value = Encoder(topic).value({"site": SITE, **names, **row}) + broken
    producer = Producer({"bootstrap.servers": target.bootstrap, "log_level": 0})
    producer.produce(target.prefix + topic.name, value, str(row[topic.key]).encode(), partition=0)
    assert producer.flush(30) == 0


def everything(target: Deployment) -> Iterator[tuple[str, bytes]]:
    """Keys, values and headers of every topic of the deployment, states and what was aborted included."""
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
                value, own = message.value() or b"", name.removeprefix(target.prefix)
                yield own, b"\0".join([message.key() or b"", value, repr(message.headers()).encode()])
                if value.startswith(b"PWS1"):
                    yield own, unpacked(value)
    consumer.close()


def unpacked(value: bytes) -> bytes:
    """The rows of a state record, which holds them compressed: part head (20 bytes), length of the header, header,
    Arrow streams one after the other.
    """
    assert struct.unpack_from(">II", value, 12) == (0, 1), "a state of this test is one record"
    length = struct.unpack_from(">I", value, 20)[0]
    at, found = 24 + length, list[Any]()
    for entry in json.loads(value[24:at])["entries"]:
        for size in (entry[part] for part in ("upsert", "delete") if part in entry):
            found.append(pl.read_ipc_stream(io.BytesIO(value[at : at + size])).to_dicts())
            at += size
    assert at == len(value)
    return repr(found).encode()


def deploy(bootstrap: str, folder: Path) -> Deployment:
    """All services, with a rule on readings and one on logons."""
    rules = folder / "rules"
    (rules / "sequences").mkdir(parents=True)
    (rules / "hot.toml").write_text(RULE.replace("[select]", 'activities = ["repair"]\n[select]'), "utf-8")
    guessed = "failed-logons-then-success.toml"
    shutil.copy(ROOT / "streams" / "rules" / "sequences" / guessed, rules / "sequences" / guessed)
    target = harness.deploy(bootstrap, folder / "deployment", SERVICES, rules_dir=rules)
    signal = {"role": "measurement", "unit": "Cel", "source_id": "edge", "work_unit": "filler", "site": SITE}
    wrong = {**signal, "signal_id": "wrong", "address": "w", "factor": 0.0}
    counter = {**signal, "signal_id": "count", "address": "c", "role": "good_counter", "unit": "1"}
    harness.write_dictionary(target, [{**signal, "signal_id": "s", "address": "t"}, wrong, counter])
    place = {"site": SITE, "work_center": "line-1", "work_unit": "filler", "path": "e/s/line-1/filler"}
    send(target, topology.ASSET, {"asset_id": "filler", "name": "Filler", "valid_from": 0, **place})
    return target


def others_write(target: Deployment) -> None:
    """Orders, tickets, logons and leases with names, and readings that make alerts of what they concern."""
    now = time.time_ns() // 1000
    clocks = {"started_at": now - 600_000_000, "started_at_precision": "exact", "valid_from": 0}
    order = {"order_id": "f", "asset_id": "filler", "status": "started", "activity": "repair", **clocks}
    ticket = {
        "change_id": "f",
        "asset_ids": ["filler"],
        "status": "active",
        "start": now - 600_000_000,
        "valid_from": 0,
    }
    ticket |= {"end": now + 3_600_000_000, "activity": "program"}
    logon = {"event_time": now, "source_address": "10.0.0.66", "target_asset_id": "filler"}
    lease = {"flow_id": "f", "event_time": now, "source_address": "10.0.0.66"}
    behind = BROKEN.encode()
    for topic, row in ((topology.WORK_ORDER, order), (topology.CHANGE, ticket), (topology.FLOW, lease)):
        send(target, topic, row)
        send(target, topic, {**row, topic.key: "broken"}, behind)
    for number in range(6):
        kind = "failed_logon" if number < 5 else "logon"
        send(target, topology.ACCESS, {**logon, "access_id": f"f{number}", "kind": kind})
    send(target, topology.ACCESS, {**logon, "access_id": "broken", "kind": "logon"}, behind)
    for address, value in (("t", 90.0), ("c", 1.0), ("c", 2.0)):
        reading = {"source_id": "edge", "address": address, "source_time": time.time_ns() // 1000}
        send(target, topology.RAW_READING, {**reading, "value_double": value})


def clear_names(ports: dict[str, int]) -> dict[tuple[str, str], int]:
    """Counted clear names by service and topic."""
    return {
        (service, sample.labels["label"]): round(sample.value)
        for service, at in ports.items()
        for sample in harness.metrics(at)[1]
        if sample.name == "plantweave_events_total" and sample.labels["kind"] == "clear_name"
    }


def test_no_clear_name_reaches_a_topic_but_the_one_that_its_own_producer_wrote_it_to(
    bootstrap: str, tmp_path: Path
) -> None:
    """Logons, orders, changes, leases loaded: no name anywhere. Names that others wrote stay where they wrote them."""
    target = deploy(bootstrap, tmp_path)
    key = tmp_path / "key"
    assert harness.run(target, "privacy", "key", str(key)).returncode == 0
    said = "".join(load(target, tmp_path, kind, key) for kind in MAPPINGS)
    others_write(target)
    try:
        started = {service: target.start(service, 0) for service in SERVICES}

        def told() -> dict[str, str]:
            return {row["rule_id"]: row["verdict_reference"] for row in harness.rows(target, topology.ALERT)}

        rules = {"hot", "builtin.configuration.bad_scale", "failed-logons-then-success"}
        harness.until(lambda: rules <= told().keys(), "alerts of validate, alert and correlate", 120.0)
        harness.until(lambda: harness.rows(target, topology.INCIDENT), "an incident")
        harness.until(lambda: target.settle(60) == 0, "all to be read")
        counted = clear_names({service: harness.port(target, name) for service, name in started.items()})
        alerts = told()
    finally:
        target.stop()
    found = list(everything(target))
    states = {topology.state_topic(name) for name in SERVICES}
    written = {"ops.alert.v1", "ops.evidence.v1", "ops.incident.v1", "ot.reading.v1", "ot.reading.rejected.v1"}
    assert states | written | {"it.access.v1", "it.work_order.v1"} <= {name for name, _ in found}
    names = {name.encode().lower() for name in LOADED} | {b"zebulon", b"yolanda"}
    assert [name for name, value in found if any(part in value.lower() for part in names)] == []
    where = {name for name, value in found if FOREIGN in value.lower()}
    assert where == {topic for topic, _ in FIELDS}
    for (topic, _), name in FIELDS.items():
        assert any(of == topic and name.encode() in value for of, value in found), f"{name} was written to {topic}"
    logs = b"".join(log.read_bytes().lower() for log in target.folder.glob("*.log"))
    assert b"clear names were written to" in logs
    assert [part for part in (*names, FOREIGN) if part in logs + said.encode().lower()] == []
    assert (alerts["hot"], alerts["builtin.configuration.bad_scale"]) == ("f", "f")
    services = ("validate", "alert", "correlate")
    of_context = {(name, topic.name): 1 for name in services for topic in (topology.WORK_ORDER, topology.CHANGE)}
    assert counted == {**of_context, ("route", "it.access.v1"): 6}
    evidence = {row["evidence_id"]: row for row in harness.rows(target, topology.EVIDENCE)}
    assert evidence["access:f5"]["actors"] == []
    assert len(evidence["access:access-1"]["actors"]) == 1
