"""Cause candidates: what is one, how much it weighs, in which order they are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import streams
from streams.core.correlate.weights import DEFAULT, WeightFaults, parse
from tests.core.correlate_scene import SECOND, Row, alert, event
from tests.core.incident_scene import ASSETS, at, change, order, say

FILE = Path(streams.__file__).parent / "rules" / "incidents" / "causes.toml"


def found(said: dict[str, Any], kind: str) -> list[Row]:
    """The candidates of a kind."""
    return [cause for cause in said["causes"] if cause["kind"] == kind]


def one(said: dict[str, Any], kind: str) -> Row:
    """The only candidate of a kind."""
    (cause,) = found(said, kind)
    return cause


def test_first_out_grows_with_its_lead() -> None:
    """At once, and alone: half of weight * criticality; 30 s ahead three quarters; long ahead nearly all of it."""
    alone = one(say(alert("a", 0, criticality="high")), "first_out")
    assert (alone["confidence"], alone["reference"], alone["time"]) == (0.35, "alert:a", at(0))
    for lead, share in ((0, 0.35), (0.5, 0.525), (10, 0.7)):
        said = say(alert("a", 0, criticality="high"), alert("b", lead, asset="capper"))
        assert one(said, "first_out")["confidence"] == share
        assert one(said, "first_out")["reference"] == "alert:a"
    assert one(say(alert("a", 0, criticality="odd")), "first_out")["confidence"] == round(0.35 * 0.85, 3)


def test_what_another_member_explains_is_not_first_out() -> None:
    """An alert that names its cause among the members is a consequence, even if it began earlier."""
    said = say(alert("a", 0, cause_alert_id="b"), alert("b", 1, rule="segment-down"))
    assert one(said, "first_out")["reference"] == "alert:b"
    assert one(say(alert("a", 0, cause_alert_id="elsewhere")), "first_out")["reference"] == "alert:a"


def test_upstream_goes_by_the_flow_as_of_event_time() -> None:
    """The depalletizer feeds the filler: its earlier alert is a candidate; not once it feeds it no longer."""
    members = alert("a", 0, asset="depalletizer"), alert("b", 5, asset="filler")
    cause = one(say(*members), "upstream")
    assert (cause["reference"], cause["asset_id"], cause["confidence"]) == ("alert:a", "depalletizer", 0.4)
    assert cause["evidence"] == ["alert:a", "alert:b"]
    assert "which feeds Filler, 5 min earlier" in cause["text"]
    moved = {**ASSETS[1], "valid_from": at(4), "feeds": []}
    assert found(say(*members, asset=[*ASSETS, moved]), "upstream") == []
    assert found(say(*members, asset=[*ASSETS, {**moved, "valid_from": at(6)}]), "upstream") == [cause]


def test_upstream_is_earlier_and_not_much_earlier() -> None:
    """Not what begins at once or later, nor what began 16 minutes before."""
    for begins in ((5, 5), (6, 5), (0, 16)):
        said = say(alert("a", begins[0], asset="depalletizer"), alert("b", begins[1], asset="filler"))
        assert found(said, "upstream") == []


def test_of_a_chain_only_the_head_is_upstream() -> None:
    """Depalletizer, filler, capper one after the other: the filler was itself fed by what failed."""
    said = say(alert("a", 0, asset="depalletizer"), alert("b", 1, asset="filler"), alert("c", 2, asset="capper"))
    assert one(said, "upstream")["reference"] == "alert:a"


def test_two_steps_up_weigh_less() -> None:
    """Depalletizer before capper, with nothing of the filler between: * 0.8."""
    cause = one(say(alert("a", 0, asset="depalletizer"), alert("c", 5, asset="capper")), "upstream")
    assert (cause["confidence"], "over 2 steps" in cause["text"]) == (0.32, True)


def test_a_part_is_fed_as_its_machine_is() -> None:
    """The filler's valve stands where the filler does in the flow; a machine's own part is not upstream of it."""
    assert one(say(alert("a", 0, asset="depalletizer"), alert("b", 5, asset="filler/valve")), "upstream")
    assert found(say(alert("a", 0, asset="filler/valve"), alert("b", 5, asset="filler")), "upstream") == []


def test_a_cycle_in_the_flow_ends() -> None:
    """The capper that feeds the filler back: what began first is upstream, and the search ends."""
    loop = [*ASSETS[:-1], {**ASSETS[-1], "feeds": ["filler"]}]
    said = say(alert("a", 0, asset="capper"), alert("b", 5, asset="filler"), asset=loop)
    assert one(said, "upstream")["reference"] == "alert:a"


def test_alarms_that_are_near_are_upstream_too() -> None:
    """An alarm of the depalletizer that is no member, told twice: one candidate."""
    near = [
        event(name, time, "alarm", state=state, asset_id="depalletizer", source_id="plc")
        for name, time, state in (("x", -6, "cleared"), ("y", -5, "acknowledged"))
    ]
    cause = one(say(alert("b", 0, asset="filler"), near=near), "upstream")
    assert (cause["reference"], cause["confidence"]) == ("alarm:y", 0.4)


@pytest.mark.parametrize(
    ("fields", "confidence"),
    [
        ({"remote": True}, 0.6),
        ({"remote": False}, 0.42),
        ({"remote": None}, 0.42),
        ({"type": "privilege"}, 0.54),
        ({"type": "failed_logon", "remote": True}, 0.24),
        ({"type": "attempt"}, 0.3),
        ({"type": "badge"}, 0.3),
        ({"kind": "flow", "type": "s7comm"}, 0.36),
        ({"type": "logoff"}, None),
        ({"asset_id": "filler/plc", "remote": True}, 0.54),
        ({"asset_id": "line-1", "remote": True}, 0.36),
        ({"asset_id": "capper", "remote": True}, None),
        ({"asset_id": None, "remote": True}, None),
    ],
)
def test_what_was_done_over_the_network(fields: Row, confidence: float | None) -> None:
    """Remote logons weigh most, failed ones little; on the asset more than on its machine, on that more than above."""
    said = say(alert("a", 0, asset="filler"), near=[{**event("l", 0), "asset_id": "filler", **fields}])
    assert [cause["confidence"] for cause in found(said, "it_event")] == ([] if confidence is None else [confidence])


def recorded(name: str, minutes: float, **fields: Any) -> Row:
    """An event that a rule recorded on the filler, with the delay of its rule."""
    told = {"rule": "setpoint-changed", "alert_kind": "event", "annunciated": False, "asset": "filler", **fields}
    return {**alert(name, minutes, minutes, **told), "event_time": at(minutes)}


@pytest.mark.parametrize(
    ("minutes", "fields", "confidence"),
    [
        (0, {}, 0.6),
        (-15, {}, 0.3),
        (-30, {}, 0.15),
        (-31, {}, None),
        (1, {}, None),
        (0, {"asset": "filler/valve"}, 0.54),
        (0, {"asset": None, "work_unit": "filler"}, 0.54),
        (0, {"asset": None}, 0.36),
        (0, {"asset": "capper"}, None),
    ],
)
def test_a_setpoint_that_was_changed_shortly_before(minutes: float, fields: Row, confidence: float | None) -> None:
    """It weighs as a remote logon does, less on the machine or the line than on the asset; it fades and ends."""
    said = say(alert("a", 0, asset="filler", work_unit="filler"), near=[recorded("s", minutes, **fields)])
    assert [cause["confidence"] for cause in found(said, "ot_event")] == ([] if confidence is None else [confidence])


def test_the_setpoints_of_an_order_are_one_candidate() -> None:
    """Three at once or one after the other: told by the last, with all of them as evidence."""
    near = [recorded(name, minutes) for name, minutes in (("s", -5), ("t", -4), ("u", -4))]
    cause = one(say(alert("a", 0, asset="filler"), near=near), "ot_event")
    assert cause["text"] == "3 times: setpoint changed on filler, the last 4 min before"
    assert (cause["reference"], cause["evidence"]) == ("alert:t", ["alert:s", "alert:t", "alert:u"])
    single = one(say(alert("a", 0, asset="filler"), near=near[:1]), "ot_event")
    assert single["text"] == "Setpoint changed on filler, 5 min before"
    atonce = one(say(alert("a", -5, asset="filler"), near=near[:1]), "ot_event")
    assert atonce["text"] == "Setpoint changed on filler, at the same time"


def test_it_events_fade_and_end() -> None:
    """Half after 15 minutes, none after more than 30, none that came after the evidence of its asset."""
    for time, confidence in ((-15, [0.3]), (-30, [0.15]), (-31, []), (1, [])):
        near = [event("l", time, remote=True, asset_id="filler")]
        assert [c["confidence"] for c in found(say(alert("a", 0, asset="filler"), near=near), "it_event")] == confidence


def test_the_same_again_is_one_candidate() -> None:
    """Twelve failed logons of one address are told once, by the last, with ten ids; another address is another."""
    near = [
        event(f"l{n:02}", -3 + n / 10, type="failed_logon", remote=True, asset_id="filler", source_address="192.0.2.9")
        for n in range(12)
    ]
    other = event("m", -4, type="failed_logon", remote=True, asset_id="filler", source_address="192.0.2.8")
    causes = found(say(alert("a", 0, asset="filler"), near=[*near, other]), "it_event")
    assert [cause["reference"] for cause in causes] == ["access:l11", "access:m"]
    assert causes[0]["evidence"] == [f"access:l{n:02}" for n in range(2, 12)]
    assert causes[0]["text"].startswith("12 times: remote failed logon from 192.0.2.9 to ")


def test_changes() -> None:
    """In force: the whole weight; ended six hours before: half; more than a day, not yet, never approved: none."""
    for told, confidence in (
        (change("C", -60, 60), [0.7]),
        (change("C", -60, None), [0.7]),
        (change("C", -400, -360), [0.35]),
        (change("C", -1500, -1441), []),
        (change("C", 1, 60), []),
        (change("C", -60, 60, status="requested"), []),
        (change("C", -60, 60, status="cancelled"), []),
        (change("C", -60 * 73, 60), []),
        (change("C", -60, 60, asset_ids=["capper"]), []),
        (change("C", -60, 60, asset_ids=[], asset_paths=["acme/site-1"]), [0.42]),
        (change("C", -60, 60, site="elsewhere"), []),
    ):
        said = say(alert("a", 0, asset="filler", work_unit="filler"), change=[told])
        assert [cause["confidence"] for cause in found(said, "change")] == confidence


def test_work_that_was_finished_before() -> None:
    """On the asset or its machine, within a day; eight hours before weighs half, a day's clock half of that again."""
    for told, confidence in (
        (order(started_at=-60, finished_at=0), [0.6]),
        (order(started_at=-600, finished_at=-480), [0.3]),
        (order(started_at=-2000, finished_at=-1441), []),
        (order(started_at=-60, finished_at=1), []),
        (order(started_at=-60, status="started"), []),
        (order(started_at=-60, finished_at=0, status="cancelled"), []),
        (order(started_at=-60, finished_at=0, kind="standing"), []),
        (order(started_at=-60, finished_at=0, kind="preventive", asset_id="filler/valve"), [0.54]),
        (order(started_at=-60, finished_at=0, asset_id="line-1"), []),
        (order(started_at=-60, finished_at=0, asset_id="capper"), []),
        (order(precision="typed_later", started_at=-60, finished_at=0), [0.3]),
        (order(precision="day", started_at=-1440 - 480), [0.15]),
        (order(precision="day", started_at=-60), []),
    ):
        said = say(alert("a", 0, asset="filler", work_unit="filler"), work_order=[told])
        assert [cause["confidence"] for cause in found(said, "work_order")] == confidence


def test_the_newest_version_of_an_order_speaks() -> None:
    """Cancelled later, written after the fact: it is no candidate, whichever version is read first."""
    first, last = order(started_at=-60, finished_at=0), order(status="cancelled", valid_from=at(500))
    for told in ([first, last], [last, first]):
        assert found(say(alert("a", 0, asset="filler"), work_order=told), "work_order") == []


def test_five_are_told_the_most_likely_first() -> None:
    """Ranks count from 1; of equals the kind, then the id decides."""
    changes = [change(f"C{n}", -60, 60) for n in (3, 1, 2)]
    near = [event(f"l{n}", -n, remote=True, asset_id="filler", source_address=f"10.0.0.{n}") for n in range(4)]
    said = say(alert("a", 0, asset="filler"), near=near, change=changes)
    assert [(c["rank"], c["reference"]) for c in said["causes"]] == list(
        enumerate(("C1", "C2", "C3", "access:l0", "access:l1"), 1)
    )


def test_the_shipped_file_says_what_holds_without_one() -> None:
    """Whoever copies the file and changes a number changes that number alone."""
    assert parse(FILE.read_text("utf-8")) == DEFAULT


def test_weights_are_the_files() -> None:
    """A plant that reaches two seconds back, and trusts upstream evidence wholly."""
    text = FILE.read_text("utf-8").replace("within_s = 900", "within_s = 2").replace("weight = 0.8", "weight = 1.0")
    members = alert("a", 0, asset="depalletizer"), alert("b", 1 / 60, asset="filler")
    assert one(say(*members, weights=parse(text)), "upstream")["confidence"] == round(0.5 ** (1 / 300), 3)
    assert members[1]["begin_time"] - members[0]["begin_time"] == SECOND
    later = alert("b", 3 / 60, asset="filler")
    assert found(say(members[0], later, weights=parse(text)), "upstream") == []


def test_every_fault_of_the_file_is_listed() -> None:
    """Missing, unknown, out of its limits, not a number: each by its name, with what to do."""
    text = FILE.read_text("utf-8")
    for old, new in (
        ("version = 2", "version = true"),
        ("most = 5", "most = 2.5"),
        ("step = 0.8", "step = 1.5"),
        ("steps = 3", "steps = 0"),
        ("imprecise = 0.5", "unprecise = 0.5"),
        ("lead_s = 30", 'lead_s = "30"'),
        ("[repair]", "[repairs]"),
        ("flow = 0.6", "flow = nan"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(WeightFaults) as caught:
        parse(text)
    named = [fault.split(":")[0] for fault in caught.value.faults]
    expected = ["repairs", "version", "told.most", "first_out.lead_s", "upstream.step", "upstream.steps"]
    assert named == [*expected, "work_order.unprecise", "work_order.imprecise", "event.flow", "repair"]
    with pytest.raises(WeightFaults, match="not TOML"):
        parse("[")
