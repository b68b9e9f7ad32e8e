"""`route` on a real broker: what four topics tell of sites, in one topic, by site, once each whatever dies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from streams import topology
from tests.chaos.deployment import Deployment
from tests.chaos.services import Decoder, Encoder
from tests.integration import harness

pytestmark = pytest.mark.timeout(240)

PARTITIONS: Final = 2
SITES: Final = tuple(f"site-{number}" for number in range(7))
ROUNDS: Final = 3
# By round: most are flows, as in life.
COUNTS: Final = {topology.FLOW: 6000, topology.ACCESS: 300, topology.RAW_ALARM: 200, topology.ALERT: 100}
KINDS: Final = {topology.FLOW: "flow", topology.ACCESS: "access", topology.RAW_ALARM: "alarm", topology.ALERT: "alert"}
# Of the alerts of a round so many are made by sequences.
SEQUENCES: Final = 5
BASE_US: Final = 1_700_000_000_000_000
Row = dict[str, Any]


class Told(NamedTuple):
    """One record of evidence as a subscriber sees it."""

    partition: int
    key: str
    row: Row


def record(topic: topology.Topic, number: int) -> Row:
    """A record of an input; alerts come in two revisions of one id, one after another."""
    at, site = BASE_US + number, SITES[number % len(SITES)]
    if topic is topology.FLOW:
        return {
            "flow_id": f"f{number}",
            "site": site,
            "event_time": at,
            "service": "s7comm",
            "source_address": "10.0.0.1",
        }
    if topic is topology.ACCESS:
        return {"access_id": f"l{number}", "site": site, "event_time": at, "kind": "logon", "user": "person-x"}
    if topic is topology.RAW_ALARM:
        return {"alarm_id": f"e{number}", "source_id": "plc", "site": site, "event_time": at, "code": "E7"}
    site = SITES[number // 2 % len(SITES)]
    row: Row = {"alert_id": f"a{number // 2}", "revision": number % 2 + 1, "reason": "opened", "site": site}
    row |= {"kind": "alarm", "state": "active", "rule_id": "r", "rule_version": 1, "work_center": f"line-{number // 2}"}
    row |= {"event_time": at, "begin_time": at, "detection_time": at, "message": "m"}
    return row | {"origin": "sequence" if number % COUNTS[topology.ALERT] < SEQUENCES else "computed"}


def send(target: Deployment, round_: int) -> None:
    """One round of everything, and of each topic one record that is none."""
    producer = Producer(
        {"bootstrap.servers": target.bootstrap, "log_level": 0, "queue.buffering.max.messages": 200_000}
    )
    for topic, count in COUNTS.items():
        encoder = Encoder(topic)
        for number in range(round_ * count, (round_ + 1) * count):
            row = record(topic, number)
            place = (number // 2) % PARTITIONS
            producer.produce(target.prefix + topic.name, encoder.value(row), str(row[topic.key]).encode(), place)
        producer.produce(target.prefix + topic.name, b"no record", b"key", round_ % PARTITIONS)
    assert producer.flush(30) == 0


def evidence(target: Deployment) -> Iterator[Told]:
    """All committed evidence, by partition in the order of the log."""
    settings = {"bootstrap.servers": target.bootstrap, "group.id": f"{target.prefix}reader", "log_level": 0}
    decode = Decoder(topology.EVIDENCE).row
    for partition in range(PARTITIONS):
        consumer = Consumer({**settings, "isolation.level": "read_committed", "enable.partition.eof": True})
        consumer.assign([TopicPartition(target.prefix + topology.EVIDENCE.name, partition, 0)])
        while (message := consumer.poll(30)) is not None and not message.error():
            yield Told(partition, (message.key() or b"").decode(), decode(message.value() or b""))
        consumer.close()


@pytest.fixture(scope="module")
def target(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Three rounds through one worker, killed once it has told something, once while it reads; all of it processed."""
    deployment = harness.deploy(bootstrap, tmp_path_factory.mktemp("route"), ("route",), PARTITIONS)

    def opened() -> int:
        return sum(line["message"] == "task open" for line in harness.log_lines(deployment, "route-0"))

    for round_ in range(ROUNDS):
        deployment.start("route", 0)
        harness.until(lambda round_=round_: opened() == PARTITIONS * (round_ + 1), "its tasks")  # type: ignore[misc]
        send(deployment, round_)
        if round_ == 0:
            harness.until(lambda: deployment.read(topology.EVIDENCE.name), "evidence")
        if round_ < ROUNDS - 1:
            deployment.kill("route-0")
    assert deployment.settle(60) == 0
    yield deployment
    deployment.stop()


@pytest.fixture(scope="module")
def told(target: Deployment) -> list[Told]:
    """The evidence of all rounds."""
    return list(evidence(target))


def test_each_record_is_evidence_once(told: list[Told]) -> None:
    """Over two kills: every flow, logon, alarm and revision of an alert, and none of them twice; what sequences made is
    left out. Each names its own record.
    """
    found = Counter((one.row["evidence_id"], one.row["revision"]) for one in told)
    wanted: Counter[tuple[str, int]] = Counter()
    for topic, count in COUNTS.items():
        for number in range(ROUNDS * count):
            row = record(topic, number)
            id_ = next(iter(row.values()))
            wanted[f"{KINDS[topic]}:{id_}", row.get("revision", 1)] += row.get("origin") != "sequence"
    assert found == +wanted
    coordinates = [one.row["evidence"] for one in told]
    assert len({names[0] for names in coordinates if len(names) == 1}) == len(told)


def test_a_site_is_in_one_partition_and_revisions_are_in_order(told: list[Told]) -> None:
    """Evidence is keyed by its site: all of a site meets in one task, and a correction comes after what it corrects."""
    places: dict[str, set[int]] = defaultdict(set)
    revisions: dict[str, list[int]] = defaultdict(list)
    for one in told:
        assert one.key == one.row["site"]
        places[one.key].add(one.partition)
        if one.row["kind"] == "alert":
            revisions[one.row["evidence_id"]].append(one.row["revision"])
    assert set(places) == set(SITES)
    assert {len(found) for found in places.values()} == {1}
    assert len({place for found in places.values() for place in found}) == PARTITIONS
    assert all(found in ([1, 2], [2]) for found in revisions.values())


def test_what_is_no_record_is_rejected_by_topic(target: Deployment) -> None:
    """One of each input and round, with its coordinates, once."""
    rows = harness.rows(target, topology.REJECTED)
    found = Counter((row["topic"], row["reason"]) for row in rows)
    assert found == {(topic.name, "undecodable"): ROUNDS for topic in COUNTS}
    assert len({(row["topic"], row["partition"], row["offset"]) for row in rows}) == len(rows)
