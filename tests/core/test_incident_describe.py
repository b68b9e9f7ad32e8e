"""What an incident says besides causes and clocks: where, who, what it touches, what explains it."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.correlate.describe import describe
from streams.core.correlate.tables import INCIDENT
from tests.core.correlate_scene import MINUTE, Row, alert, asset, context, event
from tests.core.incident_scene import ASSETS, LEAD, at, change, evidence, order, production, say

# What the stage says: how it came about.
OF_STAGE = {
    *(
        "incident_id",
        "revision",
        "supersedes",
        "reason",
        "state",
        "event_time",
        "detection_time",
        "merged_into",
        "split_from",
    ),
}


def test_it_says_all_that_the_stage_does_not() -> None:
    """The fields of the contract, as JSON takes them, of the types of the columns."""
    said = say(
        alert("a", 0, asset="filler"),
        near=[event("l", -1, remote=True, asset_id="filler")],
        change=[change("C", -9, 9)],
    )
    assert said.keys() == set(INCIDENT) - OF_STAGE
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    row = {**dict.fromkeys(INCIDENT), **said}
    assert pl.DataFrame([row], schema=INCIDENT, orient="row").select(said.keys()).to_dicts() == [said]


def test_where_it_is() -> None:
    """Lines and assets in the order of their first members; the place is that of the first that has an asset."""
    said = say(
        alert("a", 0, asset=None, work_center="line-1"),
        alert("b", 1, asset="filler/valve"),
        alert("c", 2, asset="capper"),
        alert("d", 3, asset="filler/valve", work_center="line-2"),
    )
    assert (said["work_centers"], said["assets"]) == (["line-1", "line-2"], ["filler/valve", "capper"])
    assert said["asset_path"] == "acme/site-1/hall/line-1/filler/valve"
    assert (said["members"], said["member_count"]) == ([f"alert:{name}" for name in "abcd"], 4)
    assert said["evidence"] == [f"ops.alert.v1/0/{name}" for name in "abcd"]
    assert "asset" in said["context_missing"]


def test_alarms_of_sources_learn_their_place() -> None:
    """They name an asset only: path, line, machine and owner are those of the asset when it began."""
    moved = {**asset("filler", valid_from=at(5)), "path": "acme/site-1/hall/line-2/filler", "work_center": "line-2"}
    for begin, line in ((0, "line-1"), (5, "line-2"), (6, "line-2")):
        said = say(event("x", begin, "alarm", state="active", asset_id="filler"), asset=[*ASSETS, moved])
        assert (said["work_centers"], said["asset_path"]) == ([line], f"acme/site-1/hall/{line}/filler")
        assert said["owner"] == ("packaging" if line == "line-1" else None)
        assert "asset" not in said["context_missing"]


def test_who_answers() -> None:
    """The position with the longest path; without positions the one that the alert names; the owner is the asset's."""
    said = say(alert("a", 0, asset="filler/valve", position="told"), operator_position=[LEAD])
    assert (said["position"], "operator_position" in said["context_missing"]) == ("filling/shift-lead", False)
    said = say(alert("a", 0, asset="filler/valve", position="told"))
    assert (said["position"], "operator_position" in said["context_missing"]) == ("told", True)
    assert said["owner"] == "packaging"  # the valve has none, the filler above it has


def test_when_it_is_over() -> None:
    """Something stands: no end. Else the last end, also of what has no duration."""
    assert say(alert("a", 0, 5), alert("b", 1))["end_time"] is None
    said = say(alert("a", 0, 5), alert("b", 1, 2), event("x", 3, "alarm", state="event"))
    assert (said["begin_time"], said["end_time"]) == (at(0), at(5))


def test_priority_is_the_highest() -> None:
    """Also of a security member whose verdict is that it was expected."""
    calm = alert(
        "a", 0, priority="critical", domain="security", verdict="expected", verdict_reference="C", verdict_by="change"
    )
    assert say(calm, alert("b", 1, priority="low"))["priority"] == "critical"
    assert say(alert("b", 1, priority="odd"), alert("c", 1, priority="low"))["priority"] == "low"


def test_historical_and_annunciated() -> None:
    """Historical if all were over before they were known; those that rang are named."""
    over = {"historical": True, "annunciated": False}
    said = say(alert("a", 0, 1, **over), alert("b", 1, 2, **over))
    assert (said["historical"], said["annunciated_members"]) == (True, [])
    said = say(alert("a", 0, 1, **over), alert("b", 1))
    assert (said["historical"], said["annunciated_members"]) == (False, ["alert:b"])


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ("e", "expected"), ("ee", "expected"), ("ep", "possible"), ("pp", "possible"), ("en", "none"), ("n", "none"),
        ("ex", "expired"), ("xx", "expired"), ("px", "none"), ("pn", "none"), ("xn", "none"),
    ],
)  # fmt: skip
def test_the_verdict_is_what_all_agree_on(verdicts: str, whole: str) -> None:
    """Expected, possible, none, expired (x) of each member; who was not called has no voice, unless nobody was."""
    words = {"e": "expected", "p": "possible", "n": "none", "x": "expired"}

    def told(number: int, letter: str, **fields: Any) -> Row:
        known: Row = {
            "verdict_by": "work_order",
            "verdict_reference": f"{letter}{number}",
            "verdict_until": at(90 - number),
        }
        return alert(str(number), number, verdict=words[letter], **(known if letter != "n" else {}), **fields)

    members = [told(number, letter) for number, letter in enumerate(verdicts)]
    silent = told(9, "n", annunciated=False, historical=True)
    said = say(*members, silent)
    assert said["verdict"] == whole
    if whole == "none":
        assert (said["verdict_by"], said["verdict_reference"], said["verdict_until"]) == (None, None, None)
    else:
        last = max(number for number, letter in enumerate(verdicts) if words[letter] == whole)
        assert (said["verdict_reference"], said["verdict_until"]) == (f"{verdicts[last]}{last}", at(90 - last))
    quiet = [{**member, "annunciated": False} for member in members]
    assert say(*quiet)["verdict"] == whole


def test_orders_that_ran() -> None:
    """On the members' lines and machines between begin and end, by their newest version."""
    orders = [
        production("P1", -60, 0), production("P2", -60, 1), production("P3", 4, product="lemonade"),
        production("P4", 6), production("P5", 0, 9, status="cancelled"), production("P6", 0, 9, work_center="line-2"),
        production("P7", 0, 9, work_unit="capper"), production("P8", 0, 9, work_unit="filler"),
        production("P9", 0, 9), production("P9", 7, 9, valid_from=1), production("P0", -9, 9, site="elsewhere"),
    ]  # fmt: skip
    said = say(alert("a", 0, 5, asset="filler"), production_order=orders)
    assert (said["orders"], said["products"]) == (["P2", "P8", "P3"], ["cola", "lemonade"])
    standing = say(alert("a", 0, asset="filler"), production_order=orders)
    assert standing["orders"] == ["P2", "P8", "P3", "P4", "P9"]
    assert "production_order" in say(alert("a", 0, 5), production_order=orders[:1])["context_missing"]


def test_work_and_changes_of_the_time() -> None:
    """On its assets, their machine and what stands above; neither cancelled nor standing, nor over when it began."""
    work = [
        order("W1", started_at=-60, finished_at=1, asset_id="line-1"), order("W2", started_at=-60, finished_at=0),
        order("W3", started_at=5, finished_at=9, kind="preventive"),
        order("W4", started_at=6, finished_at=9, kind="preventive"),
        order("W5", started_at=1, finished_at=2, status="cancelled"),
        order("W6", started_at=1, finished_at=2, kind="standing"),
        order("W7", planned_start=-60, planned_end=60, status="planned"), order("W8", status="planned"),
        order("W9", started_at=1, finished_at=2, asset_id="capper"),
    ]  # fmt: skip
    changes = [change("C1", -9, 1), change("C2", -9, 0), change("C3", 5, 9), change("C4", 6, 9)]
    said = say(alert("a", 0, 5, asset="filler", work_unit="filler"), work_order=work, change=changes)
    assert (said["work_orders"], said["changes"]) == (["W1", "W7", "W3"], ["C1", "C3"])


def test_work_that_is_planned_is_not_at_work() -> None:
    """Work that was released days ahead begins when it is planned; what is planned for later than anything that is
    known of an incident that stands is not told yet.
    """
    planned: Row = {"kind": "preventive", "status": "released", "released_at": -600}
    work = [
        order("W1", planned_start=100, planned_end=160, **planned),
        order("W2", planned_start=3, planned_end=60, **planned),
        order("W3", planned_start=-90, planned_end=-30, **planned),
        order("W4", planned_start=100, planned_end=160, released_at=-9, started_at=2, kind="preventive"),
        order("W5", planned_start=100, planned_end=160, released_at=4, status="released"),
    ]
    over = say(alert("a", 0, 5, asset="filler", work_unit="filler"), work_order=work)
    assert over["work_orders"] == ["W4", "W2", "W5"]
    stands = say(alert("a", 0, asset="filler"), alert("b", 4, asset="filler"), work_order=work)
    assert stands["work_orders"] == ["W4", "W2", "W5"]
    assert say(alert("a", 0, asset="filler"), work_order=work)["work_orders"] == ["W4", "W5"]


def test_whose_failure_it_is() -> None:
    """The machine by its work unit; of what the order repairs, else where it began."""
    names = ("failed_work_center", "failed_work_unit", "failed_asset_id")
    members = alert("a", 0, 5, asset="depalletizer"), alert("b", 1, 6, asset="filler/valve", work_unit="machine-7")
    said = say(*members)
    assert [said[name] for name in names] == ["line-1", "depalletizer", "depalletizer"]
    said = say(*members, work_order=[order(asset_id="filler/valve", released_at=2, finished_at=6)])
    assert [said[name] for name in names] == ["line-1", "machine-7", "filler/valve"]
    nowhere = say(alert("a", 0, 5, asset=None, work_center=None))
    assert [nowhere[name] for name in names] == [None, None, None]


def test_kpis_of_the_hours() -> None:
    """The hours in which each machine's members began, stood or ended; of many the newest 24."""
    said = say(
        alert("a", 0, 110, asset="filler", work_unit="filler"),
        alert("b", 50, asset="capper", work_unit="capper"),
        alert("c", 50, asset=None),
    )
    hours = {"filler": ("14", "15", "16"), "capper": ("15",)}
    expected = {f"oee/line-1/{unit}/2026-09-21T{hour}:00:00Z" for unit, told in hours.items() for hour in told}
    assert (set(said["kpis"]), len(said["kpis"])) == (expected, 4)
    long = say(alert("a", 0, 60 * 24 * 40, asset="filler", work_unit="filler"))["kpis"]
    assert (len(long), long[-1]) == (24, "oee/line-1/filler/2026-10-31T14:00:00Z")


def test_signals_that_are_not_known_are_named() -> None:
    """What the alert looked up and did not find; what this looks up itself it says itself."""
    said = say(alert("a", 0, asset="filler", context_missing=["signal", "asset", "production_order"]))
    assert said["context_missing"] == ["operator_position", "production_order", "signal", "work_order"]


MINUTES = st.integers(-40, 40)
NAMES = st.sampled_from(("depalletizer", "filler", "filler/valve", "filler/plc", "capper", "line-1", None))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Row], list[Row], dict[str, list[Row]]]:
    """Members, what is near, and context, each entity in one or two versions."""
    kinds = st.sampled_from(("logon", "failed_logon", "logoff"))
    members = [
        alert(
            f"m{n}",
            draw(MINUTES),
            draw(st.none() | st.just(90)),
            asset=draw(NAMES),
            criticality=draw(st.sampled_from(("high", None))),
        )
        for n in range(draw(st.integers(1, 4)))
    ]
    near = [
        event(f"e{n}", draw(MINUTES), asset_id=draw(NAMES), type=draw(kinds), remote=draw(st.booleans()))
        for n in range(draw(st.integers(0, 5)))
    ]
    near += [
        event(f"k{n}", draw(MINUTES), "alarm", asset_id=draw(NAMES), state="acknowledged", source_id="plc")
        for n in range(draw(st.integers(0, 3)))
    ]
    told: dict[str, list[Row]] = {"asset": [*ASSETS, {**ASSETS[1], "valid_from": at(0), "feeds": []}]}
    told["work_order"] = [
        order(
            f"W{n % 3}",
            valid_from=n,
            asset_id=draw(NAMES),
            started_at=(start := draw(MINUTES)),
            finished_at=start + draw(MINUTES),
        )
        for n in range(draw(st.integers(0, 5)))
    ]
    told["change"] = [
        change(f"C{n % 2}", draw(MINUTES), draw(MINUTES), valid_from=n) for n in range(draw(st.integers(0, 4)))
    ]
    told["production_order"] = [
        production(f"P{n % 2}", draw(MINUTES), valid_from=n) for n in range(draw(st.integers(0, 3)))
    ]
    told["operator_position"] = [LEAD, {**LEAD, "position_id": "other"}]
    return members, near, told


@settings(max_examples=150, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_row_order_makes_no_difference(world: tuple[list[Row], list[Row], dict[str, list[Row]]], chance: Any) -> None:
    """The same words whatever the order of near evidence and context; confidences are in 0..1 and fall."""
    members, near, told = world
    said = describe(evidence(members), evidence(near), context(1, **told))
    for rows in (near, *told.values()):
        chance.shuffle(rows)
    mixed = pl.concat([evidence([row]) for row in near]) if near else evidence([])
    assert describe(evidence(members), mixed, context(1, **told)) == said
    confidences = [cause["confidence"] for cause in said["causes"]]
    assert all(0 < confidence <= 1 for confidence in confidences)
    assert confidences == sorted(confidences, reverse=True)
    assert [cause["rank"] for cause in said["causes"]] == list(range(1, len(confidences) + 1))
    assert all(cause["time"] <= max(row["begin_time"] for row in members) for cause in said["causes"])
    for name in ("down_s", "repair_s"):
        assert said[name] is None or said[name] >= 0
    assert said["message"].endswith(".")
    assert "\n" not in said["message"]


def test_what_happened_days_ago_is_not_asked_of_what_came_after() -> None:
    """A logon after the last member, or hours before the first, changes no word."""
    member = alert("a", 0, asset="filler")
    far = [event(name, time, remote=True, asset_id="filler") for name, time in (("x", -300), ("y", 300))]
    assert say(member, near=far) == say(member)
    assert far[0]["event_time"] == at(0) - 300 * MINUTE
