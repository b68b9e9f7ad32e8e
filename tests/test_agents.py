"""Services made from settings: the files that the settings name, and their faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.agents import correlate, kpi, service_factory
from streams.core.correlate.links import LinkFaults
from streams.core.correlate.weights import DEFAULT, WeightFaults
from streams.core.kpi.policy import PolicyError
from streams.settings import Settings
from streams.topology import STAGES, Stage


def test_the_kpi_policy_is_the_file_that_is_named(tmp_path: Path) -> None:
    """Without a file it is the bundled one."""
    assert kpi.policy(Settings()).label == "iso22400@1"
    file = tmp_path / "ours.toml"
    file.write_text(kpi.BUNDLED.read_text("utf-8").replace('id = "iso22400"', 'id = "ours"'))
    assert kpi.policy(Settings(kpi_policy_file=str(file))).label == "ours@1"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"version = true", r"id: .*version: .*states: "), (b"\xff", r"can't decode"), (None, r"No such file")],
)
def test_a_kpi_policy_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    """The file, everything that is wrong in it, and the setting that names it."""
    file = tmp_path / "ours.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PolicyError, match=rf"ours\.toml: .*{said}.*PLANTWEAVE_KPI_POLICY_FILE"):
        kpi.service(Settings(kpi_policy_file=str(file)))


def test_the_links_of_incidents_are_the_file_that_is_named(tmp_path: Path) -> None:
    """Without a file they are the bundled ones; every fault of a file is told with its path."""
    assert correlate.links(Settings()).quiet_us == 1_800_000_000
    file = tmp_path / "ours.toml"
    file.write_text(correlate.BUNDLED.read_text("utf-8").replace("quiet_s = 1800", "quiet_s = 3600"))
    assert correlate.links(Settings(incident_links_file=str(file))).quiet_us == 3_600_000_000
    file.write_text("quiet_s = 1")
    with pytest.raises(LinkFaults, match=r"ours\.toml: span_s: .*; .*ours\.toml: link: give at least one"):
        correlate.links(Settings(incident_links_file=str(file)))
    file.write_bytes(b"\xff")
    with pytest.raises(LinkFaults, match=r"ours\.toml: .*decode.*PLANTWEAVE_INCIDENT_LINKS_FILE"):
        correlate.links(Settings(incident_links_file=str(file)))


def test_the_weights_of_causes_are_the_file_that_is_named(tmp_path: Path) -> None:
    """Without a file they are the bundled ones; every fault of a file is told with its path."""
    assert correlate.weights(Settings()) == DEFAULT
    file = tmp_path / "ours.toml"
    file.write_text(correlate.CAUSES.read_text("utf-8").replace("most = 5", "most = 3"))
    assert correlate.weights(Settings(incident_causes_file=str(file))).count("told", "most") == 3
    file.write_text("version = 1")
    with pytest.raises(WeightFaults, match=r"ours\.toml: .*; .*ours\.toml: "):
        correlate.weights(Settings(incident_causes_file=str(file)))
    file.write_bytes(b"\xff")
    with pytest.raises(WeightFaults, match=r"ours\.toml: .*decode.*PLANTWEAVE_INCIDENT_CAUSES_FILE"):
        correlate.weights(Settings(incident_causes_file=str(file)))


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_stage_of_the_topology_is_a_service(stage: Stage) -> None:
    """It reads, writes and looks up what the topology says, and nothing else."""
    service = service_factory(stage.name)(Settings())
    assert (service.name, service.reads, service.writes, service.context) == (
        stage.name,
        stage.reads,
        stage.writes,
        stage.context,
    )
