"""The invariant of incidents: which live, and what they say, is a function of evidence and context alone.

Alerts with their corrections, alarms, logons, flows and versions of context come in any order and split, some twice;
workers die with steps that were not committed, and new ones go on. In the end the outcome is that of a plain
computation over everything at once (`reference_correlate`). How it came about (revision, reason, split_from) is not.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.correlate.describe import describe
from tests.core.correlate_scene import DAY, MINUTE, SITE, T0, Row, Run, alert, asset, context, event, links
from tests.core.reference_correlate import incidents, unheard

ASSETS = ("filler", "filler/valve", "capper", "labeller")
TIMES = st.integers(0, 60).map(lambda step: step * 6.0)
ADDRESSES = st.sampled_from(("10.0.0.1", "10.0.0.2", "192.0.2.7", None))


@st.composite
def alerts(draw: st.DrawFn, number: int) -> list[Row]:
    """The revisions of one alert."""
    begin = draw(TIMES)
    placed = draw(st.booleans())  # the others have to do with each other by their rules only
    fields: Row = {
        "asset": draw(st.sampled_from(ASSETS)) if placed else None,
        "work_unit": draw(st.sampled_from(("u1", "u2", None))) if placed else None,
        "domain": draw(st.sampled_from(("process", "process", "telemetry", "security"))),
        "source_id": draw(st.sampled_from(("edge-1", "edge-2", None))),
        "rule": draw(st.sampled_from(("hot", "slow"))),
        "signal_id": draw(st.sampled_from(("t", "t", None))),
        "cause_alert_id": draw(st.sampled_from((None, None, "0", "1"))),
        "priority": draw(st.sampled_from(("low", "high"))),
        "alert_kind": draw(st.sampled_from(("alarm", "alert", "event"))),
        "site": draw(st.sampled_from((SITE, SITE, SITE, "site-2"))),
    }
    found = []
    for revision in range(1, draw(st.integers(1, 3)) + 1):
        end = draw(st.none() | st.integers(0, 20).map(lambda step, begin=begin: begin + step * 6.0))  # type: ignore[misc]
        state = {"state": "retracted"} if draw(st.integers(0, 5)) == 0 else {}
        called = {"annunciated": draw(st.booleans()), "historical": draw(st.booleans())}
        found.append(alert(str(number), begin, end, revision=revision, **fields, **called, **state))
        begin += draw(st.sampled_from((0.0, 0.0, -20.0, 8.0)))
    return found


@st.composite
def others(draw: st.DrawFn, number: int) -> list[Row]:
    """A logon, a flow or a transition of an alarm."""
    kind = draw(st.sampled_from(("access", "flow", "alarm")))
    if kind == "alarm":
        told: Row = {"source_id": "plc", "asset_id": draw(st.sampled_from(ASSETS[:2]))}
        state = draw(st.sampled_from(("active", "active", "cleared", "cleared", "acknowledged", "event")))
        return [event(str(number), draw(TIMES), kind, state=state, **told)]
    told = {
        "source_address": draw(ADDRESSES),
        "target_address": draw(ADDRESSES),
        "actors": draw(st.sampled_from(([], ["p"]))),
    }
    return [event(str(number), draw(TIMES), kind, **told)]


@st.composite
def versions(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    """Assets with addresses and a process flow, and orders, some of them in two versions."""
    assets = []
    for number, name in enumerate(ASSETS):
        for since in draw(st.sampled_from(((0,), (0, T0 + 90 * MINUTE)))):
            feeds = draw(st.sampled_from(([], ["capper"], ["labeller", "filler"])))
            faces = draw(st.sampled_from(([], [f"10.0.0.{number + 1}"])))
            zone = draw(st.sampled_from(("cell", "office")))
            assets.append(
                asset(name, valid_from=since, feeds=feeds, interfaces=faces, zone=zone, owner=f"team-{number}")
            )
    orders = []
    for number in range(draw(st.integers(0, 2))):
        began = T0 + draw(st.integers(0, 200)) * MINUTE
        order = {
            "order_id": f"wo-{number}",
            "site": SITE,
            "asset_id": draw(st.sampled_from(ASSETS)),
            "valid_from": began,
        }
        order |= {"status": draw(st.sampled_from(("planned", "started", "finished"))), "kind": "corrective"}
        clocks = {"started_at": began, "arrived_at": began + MINUTE, "finished_at": began + 40 * MINUTE}
        orders.append(
            {**order, **clocks, **{f"{clock}_precision": "exact" for clock in clocks}, "work_center": "line-1"}
        )
    return {"asset": assets, "work_order": orders}


@st.composite
def evidence(draw: st.DrawFn) -> list[Row]:
    """All that is ever told."""
    count = draw(st.integers(1, 9))
    rows = [row for number in range(count) for row in draw(alerts(number))]
    return rows + [row for number in range(draw(st.integers(0, 8))) for row in draw(others(number))]


@settings(max_examples=80, deadline=None)
@given(evidence(), versions(), st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_incidents_are_a_function_of_evidence_and_context(
    rows: list[Row], told: dict[str, list[dict[str, Any]]], chance: Any, small: bool, known: bool
) -> None:
    """Any order, split, repeat, restart and loss, context at any time: the same incidents, word for word.

    Forty days on what still stands was let go, the rest is as it was told, and nothing of it is kept.
    """
    made = links(span_s=3600, members=3) if small else links()
    arriving = rows + chance.sample(rows, len(rows) // 3)
    chance.shuffle(arriving)
    run = Run(made)
    version = 1
    if known:  # from the start, so that nothing is looked at again for its sake
        run.context = context(version, **told)
    while arriving:
        chunk, arriving = arriving[: (size := chance.randint(1, 5))], arriving[size:]
        happens = chance.randint(0, 5)
        if happens == 0:
            run.give(*chunk, lost=True)
        elif happens == 1:
            run.restart()
        elif happens == 2 and not known:
            version += 1
            some = {name: [row for row in of if chance.random() < 0.6] for name, of in told.items()}
            run.context = context(version, **some)
            run.tick(lost=chance.random() < 0.3)
        elif happens == 3:
            run.tick(chance.choice((1, 45, 200)))
        run.give(*chunk)
    if not known:
        run.context = context(version + 1, **told)
    run.rest()
    expected = incidents(rows, run.context, made, describe)
    assert run.living() == expected
    run.give(*(event("far", 40 * DAY / MINUTE, site=site) for site in (SITE, "site-2")))
    assert run.living() == unheard(expected, 35)
    assert {name: run.state[name].height for name in ("evidence", "member")} == {"evidence": 2, "member": 0}
