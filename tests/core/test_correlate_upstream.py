"""Which evidence upstream is a candidate for the cause: that of the same incident, as far as links join it."""

from __future__ import annotations

from pathlib import Path

import streams
from streams.core.correlate.links import Links, parse
from tests.core.correlate_scene import LINKS, Row, Run, alert, context
from tests.core.incident_scene import ASSETS

CAUSES = Path(streams.__file__).parent / "rules" / "incidents" / "causes.toml"


def upstream(*rows: Row, links: Links | None = None) -> list[list[str]]:
    """The candidates upstream of each incident, by its begin."""
    run = Run(links)
    run.context = context(1, asset=ASSETS)
    run.give(*rows)
    found = sorted(run.living().values(), key=lambda row: row["begin_time"])
    return [[cause["reference"] for cause in row["causes"] if cause["kind"] == "upstream"] for row in found]


def test_upstream_reaches_over_the_chain_of_one_incident() -> None:
    """The head of a chain is found two steps up and 14 min before, as each link of it is shorter than 10 min."""
    at = [alert("a", 0, asset="depalletizer"), alert("b", 8, asset="filler"), alert("c", 14, asset="capper")]
    assert upstream(*at) == [["alert:a"]]


def test_other_incidents_are_no_candidates() -> None:
    """11 min before on the neighbour, and two steps up with nothing between: another incident, and the file says so."""
    eleven = (alert("a", 0, asset="depalletizer"), alert("b", 11, asset="filler"))
    assert upstream(*eleven) == [[], []]
    assert upstream(alert("a", 0, asset="depalletizer"), alert("c", 3, asset="capper")) == [[], []]
    assert "of other incidents are not looked at" in CAUSES.read_text("utf-8")
    wider = LINKS.read_text("utf-8").replace('kind = "flow"\nwithin_s = 600', 'kind = "flow"\nwithin_s = 900')
    assert upstream(*eleven, links=parse(wider)) == [["alert:a"]]
