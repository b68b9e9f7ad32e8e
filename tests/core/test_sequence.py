"""What sequences tell, case by case."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.core.sequence.rule import Sequence
from streams.core.stage import Moment
from tests.core.sequence_scene import (
    A_THEN_B,
    DAY,
    SECOND,
    T0,
    Row,
    Run,
    absent,
    alarm,
    asset,
    change,
    context,
    frame,
    logon,
    order,
    seconds,
    sequence,
    step,
)

SCHEMAS = Path(__file__).parents[2] / "schemas"
ANY = f'{A_THEN_B}\norder = "any"'


def lasts(rule: Sequence, *rows: Row) -> list[float]:
    """Seconds of the last steps of what stands after these rows, whatever else comes."""
    run = Run(rule)
    run.give(*rows)
    run.tick(7200)
    return sorted((row["event_time"] - T0) / SECOND for row in run.standing().values())


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([alarm("a", 0), alarm("b", 60)], [60]),
        ([alarm("a", 0), alarm("b", 61)], []),
        ([alarm("b", 0), alarm("a", 1)], []),
        ([alarm("a", 5), alarm("b", 5)], [5]),  # one instant: nobody knows which was first
        ([alarm("a", 0), alarm("a", 1), alarm("b", 2)], [2]),
        ([alarm("a", 0), alarm("b", 2), alarm("b", 3)], [2, 3]),
        ([alarm("a", 0), alarm("b", 2, asset="fan")], []),
        ([alarm("a", 0, asset=None), alarm("b", 2, asset=None)], []),  # nobody knows whether these are one
        ([alarm("a", 0), alarm("b", 2, site="site-2")], []),
        ([alarm("a", 0, state="cleared"), alarm("b", 2)], []),
        ([alarm("a", 0, state="active"), alarm("b", 2)], [2]),
        ([alarm("a", 0, kind="flow"), alarm("b", 2)], []),
    ],
)
def test_one_follows_the_other_in_time_at_the_same_asset(rows: list[Row], found: list[float]) -> None:
    """Every last step that completes a sequence is an alert."""
    assert lasts(sequence(), *rows) == found


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([alarm("a", 0), alarm("b", 60)], [60]),
        ([alarm("b", 0), alarm("a", 60)], [60]),
        ([alarm("b", 0), alarm("a", 61)], []),
        ([alarm("b", 5), alarm("a", 5)], [5]),
        ([alarm("a", 0), alarm("a", 5)], []),
    ],
)
def test_in_any_order(rows: list[Row], found: list[float]) -> None:
    """Both must be there, whichever was last."""
    assert lasts(sequence(ANY), *rows) == found


def test_a_step_may_ask_for_several() -> None:
    """Three of `a`, of which none counts twice, then `b`."""
    rule = sequence(A_THEN_B, step("a", "count = 3"), step("b"))
    assert lasts(rule, *(alarm("a", at) for at in (0, 1, 70, 71)), alarm("b", 60), alarm("b", 80), alarm("b", 61)) == []
    assert lasts(rule, *(alarm("a", 1, name=name) for name in "xyz"), alarm("b", 2)) == [2]


def test_evidence_is_one_step_only() -> None:
    """What fits two steps is not followed by itself."""
    rule = sequence(A_THEN_B, step("a"), step("[ab]".replace("[ab]", "?")).replace('name = "?"', 'name = "either"'))
    assert lasts(rule, alarm("a", 0)) == []
    assert lasts(rule, alarm("a", 0), alarm("a", 1)) == [1]


@pytest.mark.parametrize(
    ("relation", "first", "second", "found"),
    [
        ("work_unit", {"work_center": "l", "work_unit": "u"}, {"work_center": "l", "work_unit": "u"}, True),
        ("work_unit", {"work_center": "l", "work_unit": "u"}, {"work_center": "k", "work_unit": "u"}, False),
        ("ancestor", {"asset_path": "s/l"}, {"asset_path": "s/l/u"}, True),
        ("ancestor", {"asset_path": "s/l/u/"}, {"asset_path": "s/l"}, True),
        ("ancestor", {"asset_path": "s/l"}, {"asset_path": "s/l"}, True),
        ("ancestor", {"asset_path": "s/l/u"}, {"asset_path": "s/l/v"}, False),
        ("ancestor", {"asset_path": "s/li"}, {"asset_path": "s/line"}, False),
        ("zone", {"zone": "z"}, {"zone": "z"}, True),
        ("zone", {"zone": "z"}, {"zone": "y"}, False),
        ("zone", {"zone": None}, {"zone": None}, False),
        ("actor", {"actors": ["p", "q"]}, {"actors": ["q", "r"]}, True),
        ("actor", {"actors": ["p"]}, {"actors": ["r"]}, False),
        ("actor", {"actors": []}, {"actors": []}, False),
        ("address", {"source_address": "10.0.0.1"}, {"source_address": "10.0.0.1"}, True),
        ("address", {"source_address": "10.0.0.1"}, {"source_address": "10.0.0.2"}, False),
        ("site", {}, {}, True),
        ("site", {}, {"site": "site-2"}, False),
    ],
)
def test_steps_are_related_by_what_the_rule_says(relation: str, first: Row, second: Row, found: bool) -> None:
    """And by nothing else: here each step is at an asset of its own."""
    rule = sequence(f'relation = "{relation}"\nwithin_s = 60')
    rows = [alarm("a", 0, **{"asset": "a-1", **first}), alarm("b", 5, **{"asset": "b-1", **second})]
    assert lasts(rule, *rows) == ([5] if found else [])


@pytest.mark.parametrize(
    ("when", "at", "found"),
    [
        ('when = "between"', 0, False),
        ('when = "between"', 10, False),
        ('when = "between"', -1, True),
        ('when = "between"', 11, True),
        ('when = "before"\nwithin_s = 30', -30, False),
        ('when = "before"\nwithin_s = 30', -31, True),
        ('when = "before"\nwithin_s = 30', 0, True),
        ('when = "after"\nwithin_s = 30', 40, False),
        ('when = "after"\nwithin_s = 30', 41, True),
        ('when = "after"\nwithin_s = 30', 10, True),
    ],
)
def test_what_must_be_absent(when: str, at: float, found: bool) -> None:
    """`c` between a (0 s) and b (10 s), before a or after b; at another asset it is of no matter."""
    rule = sequence(A_THEN_B, step("a"), step("b"), absent("c", when))
    rows = [alarm("a", 0), alarm("b", 10)]
    assert lasts(rule, *rows, alarm("c", at)) == ([10] if found else [])
    assert lasts(rule, *rows, alarm("c", at, asset="fan")) == [10]


def test_that_nothing_follows_is_told_once_it_is_known() -> None:
    """When event time has come so far, by evidence or by time alone; what comes later retracts it."""
    rule = sequence(A_THEN_B, step("a"), absent("c", 'when = "after"\nwithin_s = 300'))
    run = Run(rule)
    assert run.give(alarm("a", 0)) == []
    assert run.give(alarm("x", 299, asset="fan")) == []
    assert seconds(run.give(alarm("x", 300, asset="fan"))) == [(0, "active")]
    assert [(row["state"], row["reason"]) for row in run.give(alarm("c", 200))] == [("retracted", "late")]
    silent = Run(rule)
    silent.give(alarm("a", 0))
    assert silent.tick(290) == []
    assert seconds(silent.tick(20)) == [(0, "active")]
    assert silent.tick(1000) == []


def test_late_evidence_brings_and_takes() -> None:
    """Within a week; what is later is counted."""
    run = Run(sequence(A_THEN_B, step("a"), step("b"), absent("c", 'when = "between"')))
    assert run.give(alarm("b", 60), alarm("x", 604_400)) == []
    assert seconds(run.give(alarm("a", 10))) == [(60, "active")]
    assert [(row["state"], row["reason"]) for row in run.give(alarm("c", 20))] == [("retracted", "late")]
    run.give(alarm("a", 604_900), alarm("b", 604_910), alarm("b", 604_920))
    assert run.give(alarm("a", 50)) == []
    assert run.counts["sequence_left_out", "late"] == 1


def test_what_is_late_does_not_depend_on_chunks() -> None:
    """A chunk may hold months: each row is compared with what came before it."""
    far = alarm("x", 700_000)
    backlog, late = Run(sequence()), Run(sequence())
    assert seconds(backlog.give(alarm("a", 0), alarm("b", 5), far)) == [(5, "active")]
    assert late.give(far, alarm("a", 0), alarm("b", 5)) == []
    assert late.counts["sequence_left_out", "late"] == 2


def test_a_nearer_step_is_told_as_a_revision() -> None:
    """The alert names the steps that are nearest, whenever they came; a repeat of what is known says nothing."""
    run = Run(sequence())
    run.give(alarm("a", 0), alarm("b", 60))
    (row,) = run.give(alarm("a", 30))
    assert (row["revision"], row["reason"], row["evidence"]) == (2, "late", ["it/0/a@30@pump", "it/0/b@60@pump"])
    assert run.give(alarm("a", 30), alarm("b", 60)) == []


def test_a_retracted_alert_is_no_step_any_longer() -> None:
    """Of a piece of evidence the highest revision holds, also where it comes first."""
    rule = sequence(A_THEN_B, step("a", kind="alert"), step("b"))
    fields: Row = {"kind": "alert", "state": "active"}
    run = Run(rule)
    run.give(alarm("a", 0, **fields), alarm("b", 5))
    assert seconds(run.give(alarm("a", 0, **{**fields, "state": "cleared", "revision": 2}))) == []
    assert seconds(run.give(alarm("a", 0, **{**fields, "state": "retracted", "revision": 3}))) == [(5, "retracted")]
    other = Run(rule)
    other.give(alarm("a", 0, **{**fields, "state": "retracted", "revision": 3}))
    assert other.give(alarm("a", 0, **fields), alarm("b", 5)) == []


def test_an_alert_is_when_it_began() -> None:
    """Its transitions come later, and move nothing."""
    rule = sequence(A_THEN_B, step("a", kind="alert"), step("b"))
    cleared: Row = {"kind": "alert", "state": "cleared", "begin_time": T0, "name": "a", "end_time": T0 + 100 * SECOND}
    assert lasts(rule, alarm("a", 100, **cleared), alarm("b", 50)) == [50]


TICKETED = "without = ['change']"


@pytest.mark.parametrize(
    ("ticket", "covers"),
    [
        ({}, True),
        ({"end": None}, True),
        ({"status": "closed"}, True),
        ({"status": "requested"}, False),
        ({"status": "cancelled"}, False),
        ({"asset_ids": ["fan"]}, False),
        ({"asset_ids": [], "asset_paths": ["acme/site-1/hall"]}, True),
        ({"asset_ids": [], "asset_paths": ["acme/site-1/ha"]}, False),
        ({"start": T0 + 6 * SECOND}, False),
        ({"end": T0 + 5 * SECOND}, False),
        ({"end": T0 + 4 * DAY}, False),  # a permission that is always there
        ({"activity": "setpoint"}, True),
        ({"activity": "firmware"}, False),
        ({"actors": ["somebody"]}, True),  # alarms name nobody
    ],
)
def test_a_change_ticket_covers_it_or_not(ticket: Row, covers: bool) -> None:
    """Newest version, interval, asset or what it is a part of, and activity where one is told."""
    rule = sequence(f"{A_THEN_B}\n{TICKETED}", top='activities = ["setpoint"]')
    run = Run(rule)
    run.context = context(1, change=[change("pump", -60, 3600, **ticket)])
    run.give(alarm("a", 0), alarm("b", 5))
    assert bool(run.standing()) is not covers


def test_a_ticket_for_what_the_asset_is_a_part_of_covers_it() -> None:
    """As the assets stood at the last step."""
    rule = sequence(f"{A_THEN_B}\n{TICKETED}")
    for path, covers in (("acme/site-1/hall", True), ("acme/site-1/hall/line-1/pump/seal", False)):
        run = Run(rule)
        run.context = context(1, change=[change("hall", -60, 3600)], asset=[asset("hall", path=path)])
        run.give(alarm("a", 0), alarm("b", 5))
        assert bool(run.standing()) is not covers


def test_a_ticket_names_who_may() -> None:
    """Somebody else's ticket covers nobody."""
    rule = sequence(f"{A_THEN_B}\n{TICKETED}", step("logon", kind="access"), step("b"), domain="security")
    for who, covers in (("anna", True), ("berta", False)):
        run = Run(rule)
        run.context = context(1, change=[change("pump", -60, 3600, actors=["anna"])])
        run.give(logon(who, 0, asset_id="pump"), alarm("b", 5))
        assert bool(run.standing()) is not covers


def test_a_late_ticket_retracts_and_its_cancellation_tells_again() -> None:
    """Days later too; each as a revision with the reason, and with the same priority all along."""
    run = Run(sequence(f"{A_THEN_B}\n{TICKETED}"))
    run.give(alarm("a", 0), alarm("b", 5))
    run.give(alarm("x", 5 * DAY / SECOND))
    told = change("pump", -60, 3600)
    assert [(row["state"], row["reason"]) for row in run.know(context(2, change=[told]))] == [("retracted", "context")]
    assert run.know(context(3, change=[told, change("fan", 0, 9, change_id="CHG-2")])) == []
    version = {**told, "status": "cancelled", "valid_from": 7}
    (row,) = run.know(context(4, change=[told, version]))
    assert (row["state"], row["reason"], row["revision"], row["priority"]) == ("active", "context", 3, "high")


def test_a_work_order_labels_and_lowers_nothing() -> None:
    """The alert stands, with its verdict; where the rule asks for no work order, there must be none."""
    there = context(1, work_order=[order("pump", -60, 3600, activity="repair")])
    for body, stands in ((A_THEN_B, True), (f"{A_THEN_B}\nwithout = ['work_order']", False)):
        run = Run(sequence(body))
        run.context = there
        run.give(alarm("a", 0), alarm("b", 5))
        assert [(row["verdict"], row["verdict_reference"], row["priority"]) for row in run.standing().values()] == (
            [("possible", "WO-1", "high")] if stands else []
        )


@pytest.mark.parametrize(
    ("work", "explains"),
    [
        ({}, True),
        ({"finished_at": T0 + 6 * SECOND}, False),
        ({"finished_at": T0 - 3595 * SECOND}, True),
        ({"finished_at": T0 - 3596 * SECOND}, False),
        ({"activity": "inspect"}, False),
        ({"text": "comp10"}, False),
        ({"status": "started"}, False),
        ({"asset_id": "fan"}, False),
        ({"finished_at_precision": "absent"}, False),
    ],
)
def test_finished_work_explains_where_the_rule_says_so(work: Row, explains: bool) -> None:
    """What was renewed an hour ago is not worn; by the newest version of the order."""
    unless = '[[unless]]\nactivity = "replace"\ntext = "COMP1"\nwithin_s = 3600'
    run = Run(sequence(A_THEN_B, step("a"), step("b"), unless))
    done = order("pump", -60, 5, status="finished", activity="replace", text="comp1")
    cancelled = order("pump", -60, 5, order_id="WO-2", activity="replace", text="comp1", status="finished")
    versions = [cancelled, {**cancelled, "status": "cancelled", "valid_from": 9}]
    run.context = context(1, work_order=[{**done, **work}, *versions])
    run.give(alarm("a", 0), alarm("b", 5))
    assert bool(run.standing()) is not explains


def test_steps_may_ask_for_the_model_of_an_asset() -> None:
    """As the assets say it at event time."""
    rule = sequence(A_THEN_B, step("a"), step("b", 'asset_model = ["M-1*", "m-2"]'))
    for model, found in (("M-10", True), ("M-2", True), ("M-3", False), (None, False)):
        run = Run(rule)
        run.context = context(1, asset=[asset("pump", model=model)])
        run.give(alarm("a", 0), alarm("b", 5))
        assert bool(run.standing()) is found


NEW = 'new = "actor"\nlearn_s = 100'


@pytest.mark.parametrize(
    ("before", "found"),
    [
        ([logon("other", 0)], [200]),
        ([], []),  # the site has been watched for no time
        ([logon("other", 101)], []),  # not for long enough
        ([logon("other", 0), logon("anna", 110)], []),
        ([logon("other", 0), logon("anna", 90)], [200]),  # too long ago
        ([logon("other", 0), logon("anna", 110, asset_id="plc")], [200]),  # new here
        ([logon("other", 0), logon("anna", 110, type="logoff")], [200]),
    ],
)
def test_new_is_who_was_not_seen_at_this_asset(before: list[Row], found: list[float]) -> None:
    """For as long as is learnt, of evidence of the same kind."""
    rule = sequence('relation = "asset"\nwithin_s = 60', step("logon", NEW, kind="access"), step("b"))
    assert lasts(rule, *before, logon("anna", 200), alarm("b", 200, asset="hmi")) == found


def test_late_evidence_makes_old_what_was_new() -> None:
    """And an earlier begin of the watch makes new what could not be judged."""
    rule = sequence('relation = "asset"\nwithin_s = 60', step("logon", NEW, kind="access"), step("b"))
    run = Run(rule)
    assert run.give(logon("anna", 200), alarm("b", 210, asset="hmi")) == []
    assert seconds(run.give(logon("other", 0))) == [(210, "active")]
    assert seconds(run.give(logon("anna", 140))) == [(210, "retracted")]


def test_a_log_of_long_ago_is_no_watching() -> None:
    """Logons of last year that are loaded today make nobody new: they are left out, and nothing was learnt of them."""
    rule = sequence('relation = "asset"\nwithin_s = 60', step("logon", NEW, kind="access"), step("b"))
    run = Run(rule)
    assert run.give(logon("anna", 700_000), alarm("b", 700_005, asset="hmi")) == []
    assert run.give(logon("other", 0)) == []
    assert run.give(logon("eve", 700_010), alarm("b", 700_015, asset="hmi")) == []
    assert run.counts["sequence_left_out", "late"] == 1


def test_who_comes_again_was_not_new_before() -> None:
    """A logon is not judged anew for a later one: what it was judged by lies further back than what is looked at."""
    rule = sequence('relation = "asset"\nwithin_s = 60', step("logon", NEW, kind="access"), step("b"))
    run = Run(rule)
    run.give(logon("other", 0), logon("anna", 300))
    assert run.give(logon("anna", 390), alarm("b", 395, asset="hmi")) == []
    assert run.give(logon("anna", 610)) == []
    assert run.give(logon("anna", 720), alarm("b", 725, asset="hmi")) != []


def test_what_comes_late_takes_no_match_beyond_it() -> None:
    """Late evidence of an account that is no logon changes nothing of what is new, nor of what that logon led to."""
    new = step("logon", NEW, kind="access")
    rule = sequence('relation = "address"\nwithin_s = 40', new, step("b"), name="rule")
    run = Run(rule)
    here: Row = {"asset": "hmi", "source_address": "10.0.0.1", "actors": ["anna"]}
    run.give(logon("other", 0, source_address="10.0.0.9"), logon("anna", 160))
    assert seconds(run.give(alarm("b", 196, **here))) == [(196, "active")]
    assert run.give(alarm("b", 112, **here)) == []
    assert seconds(run.standing().values()) == [(196, "active")]


def test_what_evidence_does_not_say_of_its_place_the_assets_say() -> None:
    """As of its event time: a logon names an address, an alarm its asset. A move is followed while steps are kept."""
    rule = sequence('relation = "zone"\nwithin_s = 60', step("logon", kind="access"), step("b"))
    hmi = asset("hmi", zone="cell", interfaces=["10.0.0.9"])
    run = Run(rule)
    run.give(logon("anna", 0, asset_id=None, target_address="10.0.0.9"), alarm("b", 5, asset_path=None))
    assert run.standing() == {}
    assert seconds(run.know(context(2, asset=[hmi, asset("pump", zone="cell")]))) == [(5, "active")]
    moved = [asset("pump", zone="cell", valid_to=T0), asset("pump", zone="yard", valid_from=T0)]
    assert seconds(run.know(context(3, asset=[hmi, *moved]))) == [(5, "retracted")]


def test_what_is_told_names_steps_place_owner_and_response() -> None:
    """One sentence, evidence of all steps, origin `sequence`; the asset's owner answers where it has one."""
    rule = sequence(f"{A_THEN_B}\n{TICKETED}", step("a", "count = 2"), step("b"))
    run = Run(rule)
    run.context = context(1, asset=[asset("pump", owner="mechanics", criticality="high")])
    (row,) = run.give(alarm("a", 0), alarm("a", 1), alarm("b", 5, tenant="acme"))
    assert row["message"] == (
        "A then B at acme/site-1/hall/line-1/pump: a (2 times) 2026-09-21 14:13:20 UTC, "
        "then b 2026-09-21 14:13:25 UTC; no change ticket covers it; mechanics: look."
    )
    assert row["evidence"] == ["it/0/a@0@pump", "it/0/a@1@pump", "it/0/b@5@pump"]
    told = (
        "origin",
        "kind",
        "domain",
        "state",
        "reason",
        "rule_id",
        "rule_version",
        "work_center",
        "criticality",
        "tenant",
    )
    assert [row[name] for name in told] == [
        *("sequence", "alert", "process", "active", "sequence_complete", "rule", 1, "line-1", "high", "acme"),
    ]
    assert row["begin_time"] == row["event_time"] == row["end_time"] == T0 + 5 * SECOND


@pytest.mark.parametrize("file", ["40-alert/ops.alert.v1.avsc", "60-route/ops.evidence.v1.avsc"])
def test_what_is_told_fits_the_contracts(file: str) -> None:
    """Exactly their fields, and nothing missing where they ask for something."""
    run = Run(sequence())
    outcome = run.part.step(frame([alarm("a", 0), alarm("b", 5)]), run.state, run.context, Moment(run.now_us))
    told = outcome.alerts if "alert" in file else outcome.evidence
    fields = json.loads((SCHEMAS / file).read_text("utf-8"))["fields"]
    assert sorted(told.columns) == sorted(field["name"] for field in fields)
    needed = [field["name"] for field in fields if "null" not in field["type"]]
    assert told.select(needed).null_count().sum_horizontal().to_list() == [0]


def test_a_backlog_does_not_ring_but_an_intrusion_does() -> None:
    """What was over before it was known is told as historical."""
    for domain, rings in (("process", False), ("security", True)):
        run = Run(sequence(domain=domain))
        (row,) = run.give(alarm("a", 0), alarm("b", 5, historical=True))
        assert (row["historical"], row["annunciated"]) == (True, rings)


def test_sequences_are_no_steps_of_sequences() -> None:
    """A rule that would match what it tells does not go round in circles."""
    rule = sequence(A_THEN_B, step("a"), step("*").replace('name = "*"', 'name = "any"').replace("alarm", "alert"))
    run = Run(rule)
    run.give(alarm("a", 0), alarm("x", 5, kind="alert", state="active"), alarm("rule", 6, kind="alert", state="active"))
    assert seconds(run.standing().values()) == [(5, "active")]


def test_a_deprecated_rule_is_not_evaluated() -> None:
    """It stays on file."""
    rule = sequence()
    run = Run(type(rule)(**{**vars(rule), "status": "deprecated"}))
    assert run.give(alarm("a", 0), alarm("b", 5)) == []


def test_a_worker_that_dies_repeats_and_forgets_nothing() -> None:
    """What was not committed is done again; what was is not told twice."""
    run = Run(sequence())
    run.give(alarm("a", 0))
    run.give(alarm("b", 5), lost=True)
    assert seconds(run.give(alarm("b", 5))) == [(5, "active")]
    run.restart()
    assert run.give(alarm("b", 5)) == []
    assert run.tick() == []


def test_memory_is_bounded_by_the_rule() -> None:
    """Evidence that no chain can need goes, and matches that no context will change; one row of a pair stays."""
    rule = sequence(A_THEN_B, step("logon", 'new = "actor"\nlearn_s = 864000', kind="access"), step("b"))
    run = Run(rule, lateness_us=600 * SECOND, horizon_us=DAY)
    run.give(logon("other", 0))
    run.give(*(logon("anna", 90_000 + at) for at in range(50)))
    run.give(logon("eve", 900_000), alarm("b", 900_010, asset="hmi"))
    assert seconds(run.standing().values()) == [(900_010, "active")]
    run.give(alarm("b", 921_000, asset="hmi"))
    kept = run.state["sequence_evidence"]
    assert sorted(kept["evidence_id"]) == [
        *("access:anna@90049@logon", "access:eve@900000@logon", "alarm:b@921000@hmi"),
    ]
    run.give(logon("anna", 925_000), alarm("b", 925_001, asset="hmi"))
    assert len(run.latest()) == 1
    run.give(alarm("b", 1_900_000, asset="hmi"))
    assert run.state["sequence_match"].height == 0
    assert run.state["sequence_evidence"].height == 1


def test_a_time_that_cannot_be_is_left_out() -> None:
    """A source's clock in the year 5000 does not make all others late."""
    run = Run(sequence())
    run.give(alarm("a", 0), alarm("x", 3e9 * 30), alarm("x", -3e9))
    assert seconds(run.give(alarm("b", 5))) == [(5, "active")]
    assert run.counts["sequence_left_out", "impossible_time"] == 2
