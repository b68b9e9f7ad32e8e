"""What docs/incidents.md says is so: names, states, verdicts, and where its links lead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from streams import topology
from streams.agents.correlate import BUNDLED
from streams.core.correlate import lifecycle
from streams.core.correlate.links import parse
from streams.core.times import SECOND_US
from streams.core.verdict import Policy
from streams.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "incidents.md"
WORDS = {
    "expected",
    "possible",
    "expired",
    "none",
    "exact",
    "day",
    "typed_later",
    "absent",
    "context",
    "verdict",
    "mttr_iso",
    "mttr_smrp",
}
OTHERS = {"isolation.level=read_committed", "it.*", "person-...", "activities", "plantweave_open_incidents"}


@pytest.fixture(scope="module")
def text() -> str:
    """The page."""
    return PAGE.read_text(encoding="utf-8")


def names(part: Any) -> Iterator[str]:
    """The fields of a contract, those of records inside it too."""
    if isinstance(part, list):
        for each in part:
            yield from names(each)
    elif isinstance(part, dict):
        for field in part.get("fields", ()):
            yield field["name"]
            yield from names(field["type"])
        yield from names(part.get("items"))


def test_the_names_on_the_page_exist(text: str) -> None:
    """Whatever it sets in code is a field, topic, service, setting, state, reason or file."""
    contracts = [json.loads(path.read_text()) for path in (ROOT / "schemas").glob("[0-9]*/*.avsc")]
    known = {name for contract in contracts for name in names(contract)} | WORDS | OTHERS
    known |= {topic.name for topic in topology.topics()} | {stage.name for stage in topology.STAGES}
    known |= {PREFIX + field.name.upper() for field in fields(Settings)}
    known |= {told for told, _ in lifecycle.TRANSITIONS.values()} | {why for _, why in lifecycle.TRANSITIONS.values()}
    used = set(re.findall(r"`([^`]+)`", text)) - known
    assert {name for name in used if not (ROOT / name).exists()} == set()


def test_every_state_of_an_incident_is_explained(text: str) -> None:
    """The table of states has those of the life cycle, and no other."""
    table = text.split("| state | means |")[1].split("\n\n", maxsplit=1)[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == {told for told, _ in lifecycle.TRANSITIONS.values()}


def test_its_numbers_are_those_of_the_code(text: str) -> None:
    """Half an hour of quiet, and standing orders from 72 hours on."""
    assert parse(BUNDLED.read_text(encoding="utf-8")).quiet_us == 1800 * SECOND_US
    assert Policy().standing_us == 72 * 3600 * SECOND_US
    assert "half an hour" in text
    assert "72 hours" in text


def test_its_links_lead_somewhere(text: str) -> None:
    """Files that it links to exist."""
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert [target for target in targets if not (PAGE.parent / target).exists()] == []
