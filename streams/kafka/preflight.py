"""What must be so before a worker joins. Enters: settings and a service. Leaves: its origin, or what is unfit."""

from __future__ import annotations

import logging

from streams import topology
from streams.core.stage import Corrector
from streams.kafka import topics
from streams.kafka.service import Service
from streams.kafka.state import Origin
from streams.settings import Settings

log = logging.getLogger(__name__)


def check(settings: Settings, service: Service) -> tuple[Origin, dict[str, int]]:
    """Where the service's state comes from, and the partition count of every topic by full name.

    Raises `TopicFault`, and KafkaException where the broker cannot tell (yet).
    """
    prefix = settings.topic_prefix
    inputs = [prefix + topic.name for topic in service.reads]
    state = prefix + topology.state_topic(service.name)
    outputs = [prefix + topic.name for topic in service.writes]
    context = [prefix + topic.name for topic in service.context]
    counts = topics.partitions(settings, [*inputs, state, *outputs, *context])
    number = topics.check_co_partitioning(service.name, {name: counts[name] for name in inputs}, (state, counts[state]))
    if isinstance(service.core, Corrector):
        check_retention(settings, service.core.topic)
    cluster, ids = topics.identify(settings, inputs)
    return Origin(cluster, ids, number, service.name), counts


def check_retention(settings: Settings, name: str) -> None:
    """Raise `TopicFault` where the topic `name` forgets readings that corrections may still need.

    Where the broker does not tell, or sizes decide on what is kept, that is only warned of.
    """
    full, needed_s = settings.topic_prefix + name, settings.correction_horizon_s
    try:
        kept = topics.configuration(settings, full)
    except topics.Refused as why:
        log.warning("%s: retention not known (%s); corrections need the last %d s of it", full, why, needed_s)
        return
    if "compact" in kept.get("cleanup.policy", ""):
        raise topics.TopicFault(
            f"{full} is compacted, which removes readings: set cleanup.policy=delete on it "
            f"(kafka-configs.sh --alter --topic {full} --add-config cleanup.policy=delete)."
        )
    kept_ms = int(kept.get("retention.ms", "-1"))
    if 0 <= kept_ms < needed_s * 1000:
        raise topics.TopicFault(
            f"{full} keeps readings for {kept_ms // 1000} s (retention.ms={kept_ms}), and corrections reach back "
            f"{needed_s} s: raise it (kafka-configs.sh --alter --topic {full} --add-config "
            f"retention.ms={topology.topic(name).retention_ms}), or set PLANTWEAVE_CORRECTION_HORIZON_S to at most "
            f"{kept_ms // 1000}."
        )
    if int(kept.get("retention.bytes", "-1")) >= 0:
        log.warning(
            "%s: retention.bytes=%s may remove readings that corrections need; -1 lets time alone decide",
            full,
            kept["retention.bytes"],
        )
