"""What the docs say of the topology is what the topology says."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams import diagram, topology

ROOT = Path(__file__).parents[1]


def test_the_readme_shows_the_topology_as_it_is() -> None:
    """Diagram and tables in README.md are those made from streams/topology.py (`make docs` writes them)."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert diagram.fill(text) == text
    assert all(f"<!-- {name} -->" in text for name in diagram.PARTS)


def test_every_service_and_topic_is_drawn() -> None:
    """The flow has a node per topic and per service, and an arrow per edge."""
    flow = diagram.flow()
    edges = sum(len(stage.reads) + len(stage.writes) + len(stage.context) for stage in topology.STAGES)
    assert flow.count("-->") + flow.count("-.->") == edges
    assert all(f'"{topic.name}"' in flow for topic in topology.topics())


def test_the_docs_command_repairs_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m streams.diagram` makes what lies between the marks anew, and leaves the rest; 1 without a README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    readme = tmp_path / "README.md"
    monkeypatch.setattr(diagram, "README", readme)
    assert diagram.main() == 1
    readme.write_text(text.replace("validate --> ot_reading_v1\n", ""), encoding="utf-8")
    assert diagram.main() == 0
    assert readme.read_text(encoding="utf-8") == text
