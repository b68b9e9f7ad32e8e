"""The sentence of an incident: what, where, since, why, who, do next."""

from __future__ import annotations

from typing import Any

import pytest

from streams.core.correlate.sentence import sure
from tests.core.correlate_scene import Row, alert, event
from tests.core.incident_scene import LEAD, change, order, say

FILLER: Row = {"asset": "filler", "work_unit": "filler", "criticality": "high"}
DEPALLETIZER: Row = {"asset": "depalletizer", "work_unit": "depalletizer"}
SINCE = "2026-09-21 14:13:20 UTC"


def text(*members: Row, near: tuple[Row, ...] = (), **told: Any) -> str:
    """The sentence."""
    return str(say(*members, near=near, operator_position=[LEAD], **told)["message"])


def test_what_stands() -> None:
    """What, where, since, who, do next; one alert alone is no cause of itself."""
    assert text(alert("a", 0, rule="bowl-pressure-low", response="check the bowl's supply valve", **FILLER)) == (
        f"Bowl pressure low on Filler (line-1), since {SINCE}; filling/shift-lead: check the bowl's supply valve."
    )


def test_it_begins_with_what_people_are_called_for() -> None:
    """The highest priority; the cause follows as a candidate, and what to do is said of what that points to."""
    jam = alert("a", 0, rule="machine-fault", priority="low", response="clear the jam", **DEPALLETIZER)
    waits = alert("b", 0.7, rule="machine-waiting", priority="high", response="wait", **FILLER)
    assert text(jam, waits) == (
        f"Machine waiting and 1 more on Filler (line-1), since {SINCE}; likely cause: upstream: machine fault on "
        "Depalletizer, which feeds Filler, 42 s earlier; filling/shift-lead: clear the jam."
    )


def test_what_was_repaired() -> None:
    """How long it took, under which order, and what to do if it comes back."""
    clocks: Row = {"arrived_at": 12, "finished_at": 41, "verified_at": 50, "status": "verified"}
    said = text(
        alert("a", 0, 42, rule="bearing-hot", response="check the grease.", **FILLER), work_order=[order(**clocks)]
    )
    assert said == (
        f"Bearing hot on Filler (line-1), from {SINCE} for 42 min; work order WO-1 is verified, repaired after 41 min; "
        "if it comes back, filling/shift-lead: check the grease."
    )


def test_what_came_back_after_its_repair() -> None:
    """It begins with what stands; the first repair did not last, and the order for the second is told, too."""
    first: Row = {"released_at": 2, "arrived_at": 4, "finished_at": 10, "verified_at": 11, "status": "verified"}
    hot = alert("a", 0, 11, rule="bearing-hot", priority="high", **FILLER)
    again = alert("b", 15, rule="bearing-hot", priority="medium", response="check the grease", **FILLER)
    orders = [order(**first), order("WO-2", released_at=16, arrived_at=20, status="arrived")]
    said = text(hot, again, work_order=orders)
    assert said.startswith(f"Bearing hot and 1 more on Filler (line-1), since {SINCE};")
    assert "work order WO-1 is verified, repaired after 10 min, but it is back since 14:28:20 UTC;" in said
    assert "; work order WO-2 has somebody there;" in said
    assert "is back" not in text(hot, work_order=orders[:1])
    elsewhere = alert("d", 15, rule="bearing-hot", asset="capper", work_unit="capper")
    assert "is back" not in text(
        hot, elsewhere, alert("e", 15, rule="machine-waiting", **FILLER), work_order=orders[:1]
    )
    waits = alert("c", 3, rule="machine-waiting", priority="low", **FILLER)
    assert text(hot, waits).startswith("Machine waiting and 1 more")


def test_what_feeds_others_is_not_upstream_of_itself() -> None:
    """The machine that the sentence begins with is a cause of what stands behind it."""
    hot = alert("a", 0, rule="bearing-hot", priority="high", **FILLER)
    waits = alert("b", 0.5, rule="machine-waiting", asset="capper", work_unit="capper")
    assert "likely cause: bearing hot on Filler, which feeds Capper, 30 s earlier" in text(hot, waits)


def test_what_was_planned() -> None:
    """The order comes before any cause; a label that ended says so."""
    told: Row = {"verdict_by": "work_order", "verdict_reference": "WO-7", "response": "", **FILLER}
    assert "; expected: work order WO-7; filling/shift-lead." in text(alert("a", 0, verdict="expected", **told))
    assert "; possibly work order WO-7;" in text(alert("a", 0, verdict="possible", **told))
    assert "; work order WO-7 explained it, and is over;" in text(alert("a", 0, verdict="expired", **told))


def test_a_change_before() -> None:
    """Half an hour before, called by what it weighs."""
    said = text(alert("a", 0, rule="glue-cold", **FILLER), change=[change("CHG-12", -90, -30, activity="setpoint")])
    assert "; likely cause: change CHG-12 (setpoint) ended 30 min before;" in said


def test_logons_name_addresses_and_no_account() -> None:
    """A pseudonym is for those who investigate, not for a sentence that goes round."""
    near = event(
        "l",
        -4,
        remote=True,
        asset_id="filler/plc",
        asset_name="Filler controller",
        source_address="10.9.0.3",
        actors=["p-1234"],
    )
    said = text(alert("a", 0, rule="setpoint-changed", **FILLER), near=(near,))
    assert "; possible cause: remote logon from 10.9.0.3 to Filler controller, 4 min before;" in said
    assert "p-1234" not in said


def test_alarms_of_sources() -> None:
    """Code and text of the source; what is not called by a name is called by its id."""
    said = text(
        event("x", 0, "alarm", state="active", type="E42", message="Cap jam.", asset_id="capper", source_id="plc")
    )
    assert said.startswith(f"Alarm E42 (Cap jam) on Capper (line-1), since {SINCE};")
    said = text(event("x", 0, "alarm", state="active", type="E42", source_id="plc-3", message=""))
    assert said.startswith(f"Alarm E42 on plc-3, since {SINCE};")
    assert text(alert("a", 0, asset=None)).startswith(f"Rule a on line-1, since {SINCE};")


def test_what_nobody_was_called_for() -> None:
    """Over before it was known."""
    said = text(alert("a", 0, 3, historical=True, annunciated=False, **FILLER))
    assert said.endswith("; if it comes back, filling/shift-lead: Look; told late, nobody was called.")


@pytest.mark.parametrize(
    ("confidence", "word"),
    [(1.0, "likely"), (0.6, "likely"), (0.59, "possible"), (0.35, "possible"), (0.34, "weak"), (0.0, "weak")],
)
def test_confidence_in_a_word(confidence: float, word: str) -> None:
    """Three words."""
    assert sure(confidence) == word
