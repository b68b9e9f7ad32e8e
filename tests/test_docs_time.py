"""What docs/time.md says is so: its settings, the names that it uses, and its examples, run on real records."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from streams import topology
from streams.core.alert.late.sentence import CORRECTIONS
from streams.core.counters import REFUSED
from streams.core.frames import AMBIGUOUS_TIME, BIRTH, ESTIMATED_TIME
from streams.core.validate import configuration
from streams.core.validate.clock_alert import RULE_ID
from streams.core.window.revise import CLOSED_BY_WATERMARK, CLOSED_IDLE, CONFIRMED, LATE, RETRACTED
from streams.core.window.standing import STATUSES
from streams.kafka.metrics import Metrics
from streams.settings import NOT_FIELDS, PREFIX, Settings
from tests.pictures import rests

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "time.md"
REASONS = {CLOSED_BY_WATERMARK, CLOSED_IDLE, LATE, CONFIRMED, RETRACTED, *CORRECTIONS}
# Names of Kafka's, the command line's and the make file's own.
OTHERS = {"isolation.level=read_committed", "plantweave lag", "make pictures", "impossible_time"}
KPI_REASONS = {"update", "final", "late", "context"}


@pytest.fixture(scope="module")
def text() -> str:
    """The page."""
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def windows() -> list[dict[str, Any]]:
    """Windows of a run in which one is revised."""
    return rests.run().out[topology.WINDOW.name]


def example(text: str, name: str) -> str:
    """The code below the mark of an example."""
    found = re.search(rf"<!-- example: {name} -->\n```[a-z]+\n(.*?)```", text, re.DOTALL)
    assert found, f"no example {name}"
    return found.group(1)


def test_the_settings_have_the_defaults_that_the_page_says(text: str) -> None:
    """Each row of the table names a setting, and its default."""
    rows = re.findall(rf"^\| `{PREFIX}([A-Z_]+)` \| (\S+) \|", text, re.MULTILINE)
    told = {name.lower(): "" if default == "empty" else default for name, default in rows}
    assert len(told) >= 10
    assert told == {name: str(getattr(Settings(), name)) for name in told}
    used = {name.lower() for name in re.findall(rf"{PREFIX}([A-Z_]+)", text)} - {"config"}
    assert used == told.keys(), "the table has every setting that the page speaks of"


def test_the_names_on_the_page_are_those_of_the_contracts(text: str) -> None:
    """Whatever the page sets in code is a field, topic, metric, setting, rule, reason, file or command that exists."""
    contracts = [json.loads(path.read_text()) for path in (ROOT / "schemas").glob("[0-9]*/*.avsc")]
    known = {field["name"] for contract in contracts for field in contract["fields"]} | REASONS | KPI_REASONS | OTHERS
    known |= {topic.name for topic in topology.topics()} | {RULE_ID, REFUSED[1]}
    known |= {PREFIX + field.name.upper() for field in fields(Settings)} | NOT_FIELDS
    known |= {path.stem for path in (ROOT / "streams" / "rules").glob("*.toml")}
    known |= set(re.findall(r"# TYPE (\S+)", Metrics().text().decode())) | {"status", "rank", "outcome"}
    known |= {f"{configuration.RULE}{fault}" for fault in ("two_sources", "<fault>")}
    known |= {f"flags {flag}" for flag in (BIRTH, ESTIMATED_TIME, AMBIGUOUS_TIME)}
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    used = set(re.findall(r"`([^`]+)`", prose))
    unknown = {name for name in used - known if not re.fullmatch(r"edge-\S+", name) and not (ROOT / name).exists()}
    assert unknown == set()
    assert all(status in prose for status in STATUSES)


def test_its_links_lead_somewhere(text: str) -> None:
    """Files that it links to exist, and so do the headings of its table of contents."""
    targets = re.findall(r"\]\(([^)]+)\)", text)
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in re.findall(r"^#+ .+", text, re.MULTILINE)
    }
    assert [target for target in targets if target.startswith("#") and target[1:] not in headings] == []
    assert [target for target in targets if target[0] != "#" and not (PAGE.parent / target).exists()] == []


def test_keeping_the_highest_revision_works_as_shown(text: str, windows: list[dict[str, Any]]) -> None:
    """The Python of the page keeps each window's last revision, also where records are read again."""
    scope: dict[str, Any] = {}
    exec(example(text, "keep"), scope)  # noqa: S102  # the page's own example is what is tested
    table: dict[str, dict[str, Any]] = {}
    assert all(scope["keep"](table, record) for record in windows)
    assert not any(scope["keep"](table, record) for record in windows)
    assert table == {record["window_id"]: record for record in windows}
    assert max(record["revision"] for record in windows) > 1


def test_the_query_works_as_shown(text: str, windows: list[dict[str, Any]]) -> None:
    """The SQL of the page takes each window once, in its highest revision, and tells the mean over known time."""
    names = (
        "window_id",
        "revision",
        "signal_id",
        "length_s",
        "integral",
        "duration_good_s",
        "duration_uncertain_s",
        "increment",
    )
    query = example(text, "sql").replace("length_s = 10", "length_s = 60")
    with sqlite3.connect(":memory:") as base:
        base.execute(f"CREATE TABLE windows ({', '.join(names)})")
        places = ", ".join("?" for _ in names)
        rows = [tuple(record[name] for name in names) for record in windows]
        base.executemany(f"INSERT INTO windows VALUES ({places})", rows)  # noqa: S608  # names of our own
        found = {signal: (mean, counted) for signal, mean, counted in base.execute(query)}
    base.close()
    assert found["motor-current"] == (pytest.approx(8.0), None)
    assert found["glue-level"] == (pytest.approx(5.0), None)
