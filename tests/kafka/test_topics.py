"""Topics as the deployment creates them: they fit together, for any topology."""

from __future__ import annotations

import pytest

from streams import topology
from streams.agents import service_factory
from streams.kafka import topics
from streams.settings import Settings

SETTINGS = Settings(topic_prefix="hall-1.", partitions=5)
WANTED = {topic.topic: topic for topic in topics.wanted(SETTINGS)}


@pytest.mark.parametrize("stage", topology.STAGES, ids=lambda stage: stage.name)
def test_a_stages_inputs_and_state_are_co_partitioned(stage: topology.Stage) -> None:
    """All inputs of a stage and its state topic are created with one partition count: partition n of each goes to the
    task n. Where it remembers anything they share what they are keyed by, so that what belongs together meets.
    """
    state = SETTINGS.topic_prefix + topology.state_topic(stage.name)
    names = [SETTINGS.topic_prefix + topic.name for topic in stage.reads]
    inputs = {name: WANTED[name].num_partitions for name in names}
    assert len(inputs) == len(stage.reads) > 0
    assert topics.check_co_partitioning(stage.name, inputs, (state, WANTED[state].num_partitions)) == 5
    remembers = bool(service_factory(stage.name)(SETTINGS).core.tables)
    assert len({topic.key for topic in stage.reads}) == 1 or not remembers


def test_every_topic_is_created_once() -> None:
    """Public topics and one state topic per stage, all with the deployment's prefix."""
    names = [topic.name for topic in topology.topics()] + [topology.state_topic(s.name) for s in topology.STAGES]
    assert sorted(WANTED) == sorted(SETTINGS.topic_prefix + name for name in names)
    assert len(topics.wanted(SETTINGS)) == len(WANTED)


def test_unequal_counts_are_refused_by_name() -> None:
    """The fault lists every topic with its count, and what to do."""
    with pytest.raises(topics.TopicFault, match=r"a has 6, b has 5, s has 6\. .*one PLANTWEAVE_PARTITIONS"):
        topics.check_co_partitioning("validate", {"a": 6, "b": 5}, ("s", 6))


@pytest.mark.parametrize("stage", topology.STAGES, ids=lambda stage: stage.name)
def test_every_stage_can_tell_what_it_rejects(stage: topology.Stage) -> None:
    """The topology declares the topic of rejects as an output of every service that decodes records."""
    assert topology.REJECTED in stage.writes
