"""Topics on the cluster: created from the topology, checked against it. Enters: settings; leaves: topics, or faults."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import ConfigResource, NewTopic

from streams import topology
from streams.kafka.clients import admin
from streams.settings import Settings

CONTEXT_HORIZON_MS: Final = 35 * topology.DAY_MS
RAW_FOLDER: Final = topology.RAW_READING.folder
TIMEOUT_S: Final = 20.0
NOT_FOR_US: Final = frozenset(
    {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.UNSUPPORTED_VERSION}
)
# State is kept until a snapshot covers it; DeleteRecords removes it then, never time.
STATE_CONFIG: Final = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "segment.bytes": str(64 << 20),
}


class TopicFault(RuntimeError):
    """Topics that are missing or unfit; the text names all of them and what to do."""


class Refused(RuntimeError):
    """The broker does not let us see what we asked for."""


def config(topic: topology.Topic) -> dict[str, str]:
    """Broker settings of a public topic."""
    if topic.ends:
        # Only the last of a key counts. Who was away for less than the retention still learns what has ended.
        return {"cleanup.policy": "compact", "delete.retention.ms": str(topic.retention_ms)}
    if topic.cleanup == "compact":
        # Versions of an entity share its key: they stay for the context horizon before compaction may drop them.
        return {"cleanup.policy": "compact", "min.compaction.lag.ms": str(CONTEXT_HORIZON_MS)}
    found = {"cleanup.policy": "delete", "retention.ms": str(topic.retention_ms)}
    if topic.folder == RAW_FOLDER:
        # The record's time is when it came: an edge with a wrong clock must not decide on its retention, nor on what
        # is too far ahead.
        found["message.timestamp.type"] = "LogAppendTime"
    return found


def wanted(settings: Settings) -> list[NewTopic]:
    """Every topic of the deployment: public ones and the services' state topics."""
    topics = [
        NewTopic(
            settings.topic_prefix + topic.name, settings.partitions, settings.replication_factor, config=config(topic)
        )
        for topic in topology.topics()
    ]
    for stage in topology.STAGES:
        name = settings.topic_prefix + topology.state_topic(stage.name)
        topics.append(NewTopic(name, settings.partitions, settings.replication_factor, config=STATE_CONFIG))
    return topics


def create(settings: Settings, topics: Iterable[NewTopic] | None = None) -> list[str]:
    """Create what is missing; returns the names created. Existing topics stay as they are."""
    created: list[str] = []
    faults: list[str] = []
    client = admin(settings)
    for name, future in client.create_topics(list(topics or wanted(settings)), operation_timeout=TIMEOUT_S).items():
        try:
            future.result(TIMEOUT_S)
            created.append(name)
        except KafkaException as why:
            if why.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                faults.append(f"{name}: {why.args[0].str()}")
    if faults:
        raise TopicFault("topics not created: " + "; ".join(faults))
    if created:
        wait_for(settings, created)
    return created


def wait_for(settings: Settings, names: Iterable[str]) -> None:
    """Return once the cluster's metadata has all of them."""
    missing, deadline = set(names), time.monotonic() + TIMEOUT_S
    client = admin(settings)
    while missing and time.monotonic() < deadline:
        missing -= set(client.list_topics(timeout=TIMEOUT_S).topics)
        if missing:
            time.sleep(0.05)
    if missing:
        raise TopicFault(f"topics do not appear in the cluster's metadata: {sorted(missing)}")


def partitions(settings: Settings, names: Iterable[str]) -> dict[str, int]:
    """Partition counts of these topics (full names).

    Raises `TopicFault` with those that are missing, KafkaException where the broker cannot tell (yet).
    """
    found = admin(settings).list_topics(timeout=TIMEOUT_S).topics
    names = list(names)
    missing = []
    for name in names:
        error = found[name].error if name in found else None
        if name not in found or (error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART):
            missing.append(name)
        elif error is not None:
            raise KafkaException(error)
    if missing:
        raise TopicFault(f"topics are missing: {', '.join(missing)}. Create them with `plantweave topics create`.")
    return {name: len(found[name].partitions) for name in names}


def identify(settings: Settings, names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Cluster id and topic ids: a topic that was deleted and made anew has another id."""
    client = admin(settings)
    names = list(names)
    cluster = client.describe_cluster(request_timeout=TIMEOUT_S).result(TIMEOUT_S)
    described = client.describe_topics(TopicCollection(names), request_timeout=TIMEOUT_S)
    ids: dict[str, str] = {}
    for name, future in described.items():
        ids[name] = str(future.result(TIMEOUT_S).topic_id)
    return str(cluster.cluster_id), ids


def configuration(settings: Settings, name: str) -> dict[str, str]:
    """Broker settings of a topic (full name), its own and the broker's defaults.

    Raises `Refused` where these may not be seen, KafkaException where the broker cannot tell (yet).
    """
    client = admin(settings)
    (future,) = client.describe_configs([ConfigResource("topic", name)], request_timeout=TIMEOUT_S).values()
    try:
        return {entry.name: str(entry.value) for entry in future.result(TIMEOUT_S).values()}
    except KafkaException as why:
        if why.args[0].code() in NOT_FOR_US:
            raise Refused(why.args[0].str()) from why
        raise


def check_co_partitioning(service: str, inputs: Mapping[str, int], state: tuple[str, int]) -> int:
    """The partition count that all inputs and the state topic share; `TopicFault` where they differ."""
    counts = set(inputs.values()) | {state[1]}
    if len(counts) != 1:
        listed = ", ".join(f"{name} has {count}" for name, count in [*inputs.items(), state])
        raise TopicFault(
            f"{service}: all inputs and the state topic need the same number of partitions, but {listed}. "
            "Make the topics anew with one PLANTWEAVE_PARTITIONS."
        )
    return counts.pop()


def reset_state(settings: Settings, service: str) -> None:
    """Empty the state topic of a service: delete its records up to the end. Its workers must be stopped."""
    from confluent_kafka import OFFSET_END, TopicPartition

    name = settings.topic_prefix + topology.state_topic(service)
    count = partitions(settings, [name])[name]
    client = admin(settings)  # held until the answers are there: with the client its requests end
    places = [TopicPartition(name, number, OFFSET_END) for number in range(count)]
    for future in client.delete_records(places).values():
        future.result(TIMEOUT_S)
