"""The life of incidents in the stage: what opens, joins, parts and ends them, told as a timeline."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams import topology
from streams.core.correlate.group import incident_id
from streams.core.correlate.tables import EVIDENCE, INCIDENT
from streams.core.sequence.rule import load
from streams.core.stage import Moment
from tests.core.correlate_scene import DAY, HOUR, LINKS, MINUTE, SITE, T0, Row, Run, alert, asset, context, event, frame
from tests.core.kpi_run import ROOT, schema


def identity(name: str) -> str:
    return incident_id(SITE, f"alert:{name}")


def brief(rows: list[Row]) -> list[tuple[Any, ...]]:
    """State, reason and members of what was told."""
    return [(row["state"], row["reason"], [name.split(":")[1] for name in row["members"]]) for row in rows]


def test_columns_are_the_contracts() -> None:
    """What enters and leaves has the columns of the topics, in their order."""
    assert schema(topology.EVIDENCE.schema_path) == EVIDENCE
    names = [name for name in INCIDENT.names() if name != "causes"]
    assert [name for name in _fields(topology.INCIDENT.schema_path) if name != "causes"] == names
    assert _fields(topology.INCIDENT.schema_path) == _fields(topology.INCIDENT_CURRENT.schema_path)


def _fields(path: str) -> list[str]:
    return [field["name"] for field in json.loads((ROOT / "schemas" / path).read_text("utf-8"))["fields"]]


def test_another_topic_is_refused() -> None:
    """A stage that is wired wrongly says so."""
    run = Run()
    with pytest.raises(ValueError, match="reads ops"):
        run.stage.step(topology.ALERT.name, frame([alert("a", 0)]), run.state, run.context, Moment(T0))


def test_an_incident_opens_is_updated_and_closes() -> None:
    """One alert; its end; half an hour of quiet, as other evidence of the site shows. Each is a revision."""
    run = Run()
    assert brief(run.give(alert("a", 0))) == [("open", "opened", ["a"])]
    assert brief(run.give(alert("a", 0, 10, revision=2))) == [("open", "updated", ["a"])]
    assert run.give(event("l", 40)) == []  # the allowed disorder has not passed
    assert brief(run.give(event("m", 41))) == [("closed", "closed", ["a"])]
    (last,) = run.latest().values()
    assert (last["incident_id"], last["revision"], last["supersedes"]) == (identity("a"), 3, 2)
    assert (last["begin_time"], last["end_time"]) == (T0, T0 + 10 * MINUTE)
    assert run.records[topology.INCIDENT_CURRENT.name] == run.told()


def test_it_closes_by_time_alone_once_all_is_read() -> None:
    """In processing time since the last evidence, where nothing is left to read; not while a backlog is."""
    run = Run()
    run.give(alert("a", 0, 10))
    assert run.tick(29) == []
    assert brief(run.tick(42)) == [("closed", "closed", ["a"])]
    assert run.tick(1000) == []


def test_what_stands_never_closes() -> None:
    """A year of quiet ends no alert."""
    run = Run()
    run.give(alert("a", 0))
    assert run.tick(365 * DAY / MINUTE) == []


def test_a_repeat_within_the_quiet_time_opens_no_other() -> None:
    """Three hours long, then again after 20 minutes: one incident. After 40 minutes: another."""
    run = Run()
    run.give(alert("a", 0, 180, rule="hot", asset=None, signal_id="t"))
    assert brief(run.give(alert("b", 200, 210, rule="hot", asset=None, signal_id="t"))) == [
        ("open", "updated", ["a", "b"])
    ]
    assert ("open", "opened", ["c"]) in brief(run.give(alert("c", 250, rule="hot", asset=None, signal_id="t")))


def test_what_stands_for_days_pulls_nothing_in() -> None:
    """Another rule on the same machine, two days later, is an incident of its own."""
    run = Run()
    run.give(alert("a", 0))
    assert brief(run.give(alert("b", 2880))) == [("open", "opened", ["b"])]


def test_a_late_member_opens_it_again() -> None:
    """What was closed is open again while the late one stands."""
    run = Run()
    run.give(alert("a", 0, 5))
    run.rest()
    assert brief(run.give(alert("b", 10))) == [("open", "reopened", ["a", "b"])]
    assert brief(run.give(alert("b", 10, 12, revision=2))) == [("closed", "closed", ["a", "b"])]


def test_two_become_one_and_are_two_again() -> None:
    """A late alert between them merges the later into the earlier; once it is retracted, they part again."""
    run = Run()
    run.give(alert("a", 0), alert("c", 50))
    told = run.give(alert("b", 25))
    assert brief(told) == [("open", "updated", ["a", "b", "c"]), ("merged", "merged", ["c"])]
    assert told[1]["merged_into"] == identity("a")
    assert told[1]["message"] == f"Incident {identity('c')} is a part of incident {identity('a')}."
    told = run.give(alert("b", 25, revision=2, state="retracted"))
    assert brief(told) == [("open", "updated", ["a"]), ("open", "split", ["c"])]
    assert (told[1]["split_from"], told[1]["merged_into"]) == (identity("a"), None)


def test_a_part_that_was_never_told_is_split_off() -> None:
    """Members that leave an incident for one of their own name the one that they leave."""
    run = Run()
    run.give(alert("a", 0), alert("b", 25), alert("c", 50))
    told = run.give(alert("b", 25, revision=2, state="retracted"))
    assert brief(told) == [("open", "updated", ["a"]), ("open", "split", ["c"])]
    assert [row["split_from"] for row in told] == [None, identity("a")]


def test_an_earlier_member_takes_over() -> None:
    """An incident is known by its first member, so that the order of arrival makes no difference."""
    run = Run()
    run.give(alert("b", 10))
    told = run.give(alert("a", 0))
    assert brief(told) == [("open", "opened", ["a", "b"]), ("merged", "merged", ["b"])]
    assert (told[0]["incident_id"], told[1]["merged_into"]) == (identity("a"), identity("a"))


def test_a_second_one_of_the_same_instant_renames_nothing() -> None:
    """Of two that began at once the one that was known first names the incident, whichever comes first."""
    first, second = alert("z", 0), alert("a", 0, detection_time=T0 + 5 * MINUTE)
    run, other = Run(), Run()
    run.give(first)
    assert brief(run.give(second)) == [("open", "updated", ["a", "z"])]
    other.give(second)
    assert brief(other.give(first))[-1] == ("merged", "merged", ["a"])
    assert run.living() == other.living()
    assert run.living().keys() == {identity("z")}


def test_it_is_retracted_and_told_again() -> None:
    """Late readings show that the alert was none; later ones that it was."""
    run = Run()
    run.give(alert("a", 0))
    assert brief(run.give(alert("a", 0, revision=2, state="retracted"))) == [("retracted", "retracted", ["a"])]
    assert brief(run.give(alert("a", 0, revision=3))) == [("open", "reopened", ["a"])]


def test_what_began_and_ended_unseen_is_closed_at_once() -> None:
    """A backlog of two hours ago: one revision, closed."""
    run = Run()
    run.give(event("l", 200))
    assert brief(run.give(alert("a", 0, 5, historical=True, annunciated=False))) == [("closed", "closed", ["a"])]


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"annunciated": False}, False),
        ({"annunciated": False, "historical": True}, True),
        ({"annunciated": False, "cause_alert_id": "z"}, True),
        ({"state": "retracted"}, False),
        ({"domain": "security"}, True),
        ({"domain": "it"}, False),
    ],
)
def test_which_alerts_make_an_incident(fields: Row, counts: bool) -> None:
    """Those that somebody was called for, that were over before, or that another explains."""
    assert bool(Run().give(alert("a", 0, **fields))) is counts


def test_logons_and_flows_alone_make_none() -> None:
    """They are looked at beside alerts only."""
    assert Run().give(event("l", 0, asset_id="pump"), event("f", 0, "flow", asset_id="pump")) == []


@pytest.mark.parametrize(
    ("first", "second", "one"),
    [
        ({"asset": "pump"}, {"asset": "pump", "at": 30}, True),
        ({"asset": "pump"}, {"asset": "pump", "at": 30.1}, False),
        ({"asset": "pump", "work_unit": "u"}, {"asset": "motor", "work_unit": "u", "at": 30}, True),
        ({"asset": None, "work_unit": "u"}, {"asset": None, "work_unit": "u", "work_center": "line-2"}, False),
        ({"asset": "pump", "work_unit": ""}, {"asset": "motor", "work_unit": ""}, False),
        ({"asset": "pump"}, {"asset": "pump/seal", "at": 15}, True),
        ({"asset": "pump"}, {"asset": "pump/seal", "at": 15.1}, False),
        ({"asset": "pump"}, {"asset": "pumps/seal"}, False),
        ({"asset": "hall", "asset_path": "acme/site-1/hall", "work_center": None}, {"asset": "pump"}, False),
        ({"asset": None, "domain": "telemetry", "source_id": "e"}, {"asset": None, "domain": "telemetry",
         "members": ["d", "e"], "at": 5}, True),
        ({"asset": None, "domain": "telemetry", "source_id": "e"}, {"asset": None, "source_id": "e"}, False),
        ({"asset": None}, {"asset": None, "cause_alert_id": "a", "at": 300}, True),
        ({"asset": None, "end": 5}, {"asset": None, "cause_alert_id": "a", "at": 300}, False),
        ({"asset": "pump"}, {"asset": "pump", "site": "site-2"}, False),
        ({"asset": None}, {"asset": None}, False),
    ],
)  # fmt: skip
def test_what_is_linked(first: Row, second: Row, one: bool) -> None:
    """Each kind of relation, within its span and beyond it, whichever of the two comes first."""

    def made(name: str, fields: Row) -> Row:
        fields = dict(fields)
        return alert(name, fields.pop("at", 0), fields.pop("end", None), **fields)

    for order in (1, -1):
        run = Run()
        for row in [made("a", first), made("b", second)][::order]:
            run.give(row)
        assert len(run.living()) == (1 if one else 2)


def test_neighbours_in_the_process_flow_are_one() -> None:
    """Where the filler feeds the capper, and not before that holds; ten minutes, up or down, parts included."""
    run = Run()
    flow = {"feeds": ["capper"], "valid_from": T0 + 100 * MINUTE}
    run.context = context(asset=[asset("filler"), asset("filler", **flow), asset("capper")])
    run.give(alert("a", 0, 1, asset="filler"), alert("b", 5, 6, asset="capper"))
    run.give(alert("c", 200, 201, asset="capper"), alert("d", 209, 210, asset="filler/valve"))
    assert sorted(row["members"] for row in run.living().values()) == [["alert:a"], ["alert:b"], ["alert:c", "alert:d"]]


def test_a_flow_that_is_told_later_joins_what_it_links() -> None:
    """By the timer; taken back, they part again. Both are told once."""
    run = Run()
    run.give(alert("a", 0, asset="filler"), alert("b", 5, asset="capper"))
    run.tick()
    run.context = context(2, asset=[asset("filler", feeds=["capper"]), asset("capper")])
    assert [state for state, _, _ in brief(run.tick())] == ["open", "merged"]
    run.context = context(3, asset=[asset("filler"), asset("capper")])
    assert [reason for _, reason, _ in brief(run.tick())] == ["context", "split"]
    assert run.tick() == []


def test_context_that_comes_late_is_told_once_and_as_such() -> None:
    """A work order typed days later; a worker that dies over it neither forgets nor repeats it."""
    run = Run()
    run.give(alert("a", 0, 30))
    run.rest()
    order = {"order_id": "wo-1", "site": SITE, "asset_id": "pump", "status": "finished", "valid_from": T0 + 3 * DAY}
    order |= {"started_at": T0 + 5 * MINUTE, "finished_at": T0 + 25 * MINUTE, "kind": "corrective"}
    order |= {"started_at_precision": "exact", "finished_at_precision": "exact"}
    run.context = context(2, work_order=[order], asset=[asset("pump")])
    run.tick(lost=True)
    (told,) = run.tick()
    assert (told["reason"], told["work_orders"]) == ("context", ["wo-1"])
    run.restart()
    assert run.rest() == []


def test_retransmits_tell_nothing() -> None:
    """The same again, an older revision after a newer, and the same from elsewhere in the log."""
    run = Run()
    run.give(alert("a", 0), event("l", -1))
    run.give(alert("a", 0, 10, revision=2))
    again = {**alert("a", 0, 10, revision=2), "ingest_time": T0 + DAY, "evidence": ["ops.alert.v1/0/99"]}
    assert run.give(alert("a", 0), again, event("l", -1), {**event("l", -1), "ingest_time": T0 + DAY}) == []


def test_it_was_detected_when_it_was_first_told() -> None:
    """An alert's revision says when that was made; whatever comes first, the earliest of all counts."""
    rows = [alert("a", 0, 10, revision=3, detection_time=T0 + 11), alert("a", 0, detection_time=T0 + 5)]
    rows += [alert("a", 0, revision=2, detection_time=0)]
    for order in (1, -1):
        run = Run()
        for row in rows[::order]:
            run.give(row)
        assert run.state["evidence"].select("revision", "detection_time").rows() == [(3, T0 + 5)]


def test_alarms_end_with_what_clears_them() -> None:
    """The first `cleared` of the same source and code after it, in whatever order they come."""
    rows = [
        event("1", 0, "alarm", state="active", source_id="plc", asset_id="pump"),
        event("2", 3, "alarm", state="cleared", source_id="plc", asset_id="pump"),
        event("3", 4, "alarm", state="cleared", source_id="plc", asset_id="pump"),
        event("4", 1, "alarm", state="cleared", source_id="other", asset_id="pump"),
    ]
    for order in (1, -1):
        run = Run()
        for row in rows[::order]:
            run.give(row)
        (last,) = run.living().values()
        assert (last["members"], last["end_time"]) == (["alarm:1"], T0 + 3 * MINUTE)


def test_an_alarm_without_an_end_is_over_at_once() -> None:
    """An error of which no end is told."""
    run = Run()
    run.give(event("1", 0, "alarm", source_id="plc", asset_id="pump"))
    assert [state for state, _, _ in brief(run.rest())] == ["closed"]


def test_masses_of_flows_are_bounded_and_counted() -> None:
    """Five of the same an hour, fifty of one source; the earliest, whatever comes first."""
    rows = [event(f"{n:03}", n / 10, "flow", source_address="x", target_address="y") for n in range(8)]
    rows += [event(f"{n:03}", n / 100 + 2, "flow", source_address="x", target_address=f"z{n}") for n in range(100, 160)]
    for order in (1, -1):
        run = Run()
        for row in rows[::order]:
            run.give(row)
        kept = run.state["evidence"]["evidence_id"].sort().to_list()
        assert kept == [f"flow:{n:03}" for n in [*range(5), *range(100, 145)]]
        assert run.counts["left_out", "flow"] == len(rows) - 50


def test_what_is_beyond_the_horizon_goes_and_is_counted() -> None:
    """Closed incidents with their evidence, and what stands unheard; what comes later of that time is refused."""
    run = Run(horizon_us=2 * DAY)
    run.give(alert("a", 0, 10), alert("s", 0, asset="motor"), event("l", 0))
    run.give(alert("b", 4 * DAY / MINUTE, asset="fan"))
    assert sorted(run.state["evidence"]["evidence_id"]) == ["alert:b"]
    assert run.give(alert("a", 0, 10), alert("c", 1, 2)) == []
    assert run.counts["beyond_horizon", "evidence"] == 2
    run.give(alert("d", 7 * DAY / MINUTE, asset="fan"))
    assert run.state["incident"]["incident_id"].sort().to_list() == sorted(map(identity, "bd"))


def test_the_horizon_does_not_depend_on_chunks() -> None:
    """A chunk of a replay may hold a year: what is late is late by what came before it, not by what comes after."""
    rows = [alert("a", 0, 10), alert("b", 4 * DAY / MINUTE, 4 * DAY / MINUTE + 1, asset="fan")]
    one, two = Run(horizon_us=2 * DAY), Run(horizon_us=2 * DAY)
    one.give(*rows)
    for row in rows:
        two.give(row)
    one.rest()
    two.rest()
    assert one.living() == two.living()
    assert {identity("a"), identity("b")} == one.living().keys()
    assert ("beyond_horizon", "evidence") not in one.counts
    one.give(alert("c", 0, 10))
    assert one.counts["beyond_horizon", "evidence"] == 1


def test_a_clock_ahead_closes_nothing() -> None:
    """Event time later than its record counts as that: a logon of the year 2100 does not end the present."""
    run = Run()
    run.give(alert("a", 0, 10))
    assert run.give({**event("l", 10_000_000), "ingest_time": T0 + 12 * MINUTE}) == []


def test_what_a_sequence_tells_is_evidence_too() -> None:
    """Logons alone make no incident; the alert that they are a sequence does, at once, and both are written."""
    name = "failed-logons-then-success.toml"
    run = Run(sequences=load({name: (LINKS.parents[1] / "sequences" / name).read_text("utf-8")}))
    run.context = context(asset=[asset("pump", interfaces=["10.0.0.1"])])
    ends = {"source_address": "10.0.0.66", "target_address": "10.0.0.1"}
    tries = [event(str(n), n / 60, type="failed_logon", **ends) for n in range(5)]
    assert run.give(*tries) == []
    run.give(event("in", 1, **ends))
    run.rest()
    (alarm,) = run.records[topology.ALERT.name]
    (incident,) = run.living().values()
    assert (incident["members"], incident["state"]) == ([f"alert:{alarm['alert_id']}"], "closed")
    assert run.give(*tries, event("in", 1, **ends)) == []


def test_repair_times_follow_closed_incidents() -> None:
    """Told by the timer after a close, once; told anew when a closed incident changes."""
    run = Run()
    run.give(alert("a", 0, 30))
    run.rest()
    before = len(run.records[topology.KPI.name])
    assert before > 0
    assert {row["revision"] for row in run.records[topology.KPI.name]} == {1}
    run.rest()
    assert len(run.records[topology.KPI.name]) == before
    run.give(alert("a", 0, revision=2, state="retracted"))
    run.tick()
    again = run.records[topology.KPI.name][before:]
    assert {(row["revision"], row["supersedes"], row["failure_events"]) for row in again} == {(2, 1, 0)}


def test_a_month_that_is_over_is_final() -> None:
    """Told once more when the site's clock passes its end, with that reason; not again after that."""
    run = Run()
    run.give(alert("a", 0, 30))
    run.rest()
    told = run.records[topology.KPI.name]
    assert {row["final"] for row in told} == {False}
    before, minutes = len(told), (told[0]["period_end"] - T0) / MINUTE
    run.give(event("l", minutes + 2))
    run.tick()
    assert {(row["final"], row["reason"], row["revision"]) for row in told[before:]} == {(True, "final", 2)}
    before = len(told)
    run.tick()
    assert len(told) == before > 0


def test_open_incidents_are_a_gauge_by_site() -> None:
    """Of every site that was heard of, also where none is open."""
    run = Run()

    def told() -> dict[str, int]:
        return dict(run.stage.timer(run.state, run.context, Moment(run.now_us)).gauges)

    run.give(alert("a", 0), alert("b", 0, asset="fan"), event("l", 0, site="site-2"))
    assert told() == {f"open_incidents/{SITE}": 2, "open_incidents/site-2": 0}
    run.give(alert("a", 0, 1, revision=2), event("m", 60))
    assert told() == {f"open_incidents/{SITE}": 1, "open_incidents/site-2": 0}


def test_an_hour_of_evidence_keeps_the_clock() -> None:
    """The watermark of a task is that of its slowest site, less the allowed disorder."""
    run = Run()
    rows = [alert("a", 60), alert("b", 120, site="site-2")]
    result = run.stage.step(topology.EVIDENCE.name, frame(rows), run.state, run.context, Moment(T0))
    assert result.watermark_us == T0 + HOUR - MINUTE


def test_an_event_of_a_rule_opens_no_incident_and_is_near_to_one() -> None:
    """A setpoint changes at every changeover; beside an alert it is a candidate for the cause, until retracted."""
    run = Run()
    changed = alert("s", 0, 1, rule="setpoint-changed", alert_kind="event", annunciated=False)
    assert run.give({**changed, "state": "active", "end_time": None}, {**changed, "revision": 2}) == []
    (opened,) = run.give(alert("a", 3))
    assert opened["members"] == ["alert:a"]
    assert [(one["kind"], one["reference"]) for one in opened["causes"]] == [
        ("ot_event", "alert:s"),
        ("first_out", "alert:a"),
    ]
    assert opened["causes"][0]["time"] == T0
    (told,) = run.give({**changed, "revision": 3, "state": "retracted", "event_time": T0 + 2 * HOUR})
    assert [one["kind"] for one in told["causes"]] == ["first_out"]


def test_an_event_that_is_known_late_is_near_all_the_same() -> None:
    """By its begin, though its delay ended long after the incident; an alarm of the same rule would be a member."""
    run = Run()
    run.give(alert("a", 3))
    late = alert("s", 0, 90, rule="setpoint-changed", alert_kind="event", annunciated=False, historical=True)
    (told,) = run.give(late)
    assert (told["members"], told["causes"][0]["reference"]) == (["alert:a"], "alert:s")
    run.give({**late, "revision": 2, "alert_kind": "alarm"})
    assert [row["members"] for row in run.living().values()] == [["alert:s", "alert:a"]]
