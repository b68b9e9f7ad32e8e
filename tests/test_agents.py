"""Services made from settings: the files that the settings name, and their faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.agents import kpi, service_factory
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
