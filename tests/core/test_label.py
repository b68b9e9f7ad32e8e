"""Alerts are told anew when their context changes, as timelines: what came, what is said then, and why."""

from __future__ import annotations

from typing import Any

import pytest

from streams import topology
from streams.core.alert.stage import Alert
from streams.core.stage import Moment
from tests.core.alert_scene import HOT as PLAIN
from tests.core.alert_scene import R, Task, frame, seconds, signal
from tests.core.label_scene import (
    BEARING,
    HOT,
    PATH,
    World,
    asset,
    at,
    permit,
    plant,
    position,
    production,
    repair,
)
from tests.core.silence_scene import MISSING, OFFLINE, every, run

FACTS = ("alert_id", "state", "event_time", "begin_time", "end_time", "detection_time", "annunciated", "previous_state")


def standing(world: World) -> Task:
    """A task with one alert, told at T0."""
    task = Task([HOT], world.now)
    (row,) = task.feed(R(0, "a", 90.0))
    assert (row["revision"], row["reason"]) == (1, "condition_active")
    assert not task.tick(2, None)
    return task


def after(task: Task, world: World, topic: topology.Topic, record: dict[str, Any], now: float = 10) -> dict[str, Any]:
    """What is told of the alert, once, because of this record."""
    before = task.rows[-1]
    task.context = world.tell(topic, record)
    (row,) = task.tick(now, None)
    assert not task.tick(now + 5, None)
    assert (row["revision"], row["supersedes"]) == (before["revision"] + 1, before["revision"])
    assert {name: row[name] for name in FACTS} == {name: before[name] for name in FACTS}
    return row


@pytest.mark.parametrize(
    ("topic", "record", "field", "value"),
    [
        (topology.ASSET, asset(valid_from=at(-5), owner="electrics"), "owner", "electrics"),
        (topology.ASSET, asset(name="Filler A"), "asset_name", "Filler A"),
        (topology.SIGNAL, BEARING | {"name": "bearing 2"}, "signal_name", "bearing 2"),
        (topology.PRODUCTION_ORDER, production(), "order_id", "PO-1"),
        (topology.OPERATOR_POSITION, position("filling/lead", "e/s/hall"), "position", "filling/lead"),
    ],
)
def test_what_holds_labels_anew_for_the_reason_context(
    topic: topology.Topic, record: dict[str, Any], field: str, value: str
) -> None:
    """Asset, signal, order and position: a revision with the new label, once; the fact stays as it was told."""
    world = plant()
    row = after(standing(world), world, topic, record)
    assert (row["reason"], row[field], row["verdict"]) == ("context", value, "none")


@pytest.mark.parametrize(
    ("topic", "record"),
    [
        (topology.ASSET, asset(valid_from=at(5), path="e/s/hall/line-2/filler-1")),
        (topology.ASSET, asset("packer-1", work_unit="packer-1", path="e/s/hall/line-1/packer-1")),
        (topology.PRODUCTION_ORDER, production(begin=20)),
        (topology.WORK_ORDER, repair(begin=-100, end=-50)),
        (topology.WORK_ORDER, repair(asset_id="packer-1")),
        (topology.WORK_ORDER, repair(status="planned")),
    ],
)
def test_what_does_not_concern_an_alert_tells_nothing(topic: topology.Topic, record: dict[str, Any]) -> None:
    """A rename after the alert, other machines, orders of other times, an order that is only planned."""
    world = plant()
    task = standing(world)
    task.context = world.tell(topic, record)
    assert not task.tick(10, None)


def test_a_work_order_that_comes_is_revised_and_withdrawn() -> None:
    """It explains the alert when it comes, for longer when its end moves, and no more once it is cancelled."""
    world = plant()
    task = standing(world)
    row = after(task, world, topology.WORK_ORDER, repair())
    assert (row["reason"], row["verdict"], row["verdict_reference"]) == ("verdict", "expected", "WO-7")
    assert seconds(row["verdict_until"]) == 60
    assert "; expected: work order WO-7 (asset, time and activity repair match" in row["message"]
    assert row["message"].endswith("), until 10:01:00 UTC.")
    row = after(task, world, topology.WORK_ORDER, repair(end=600, valid_from=at(3)), 20)
    assert (row["reason"], row["verdict"], seconds(row["verdict_until"])) == ("verdict", "expected", 600)
    row = after(task, world, topology.WORK_ORDER, repair(status="cancelled", valid_from=at(4)), 30)
    assert (row["reason"], row["verdict"], row["verdict_reference"]) == ("verdict", "none", None)


def test_a_change_explains_too_and_an_order_above_is_only_possible() -> None:
    """The record says by what; an order on the line the filler stands in may have to do with it."""
    world = plant((topology.ASSET, asset("line-1", path="e/s/hall/line-1", work_unit=None)))
    task = standing(world)
    row = after(task, world, topology.WORK_ORDER, repair("WO-1", asset_id="line-1"))
    assert (row["verdict"], row["verdict_reference"]) == ("possible", "WO-1")
    assert "; possibly work order WO-1 (" in row["message"]
    row = after(task, world, topology.CHANGE, permit(), 20)
    assert (row["verdict"], row["verdict_by"], row["verdict_reference"]) == ("expected", "change", "CH-3")


def test_the_label_expires_when_the_source_passes_the_end_of_the_order() -> None:
    """The alert still stands at 61 s by its source's time: what explained it until 60 s explains it no longer, once."""
    world = plant((topology.WORK_ORDER, repair()))
    task = Task([HOT], world.now)
    (row,) = task.feed(R(0, "a", 90.0))
    assert row["verdict"] == "expected"
    task.feed(R(60, "a", 91.0))
    assert not task.tick(61, None)
    task.feed(R(61, "a", 91.0))
    task.restart()
    (row,) = task.tick(62, None)
    assert (row["reason"], row["verdict"], row["revision"]) == ("verdict", "expired", 2)
    assert "; work order WO-7 explained it until 10:01:00 UTC (" in row["message"]
    assert not task.tick(200, None)
    (row,) = task.feed(R(201, "a", 20.0))
    assert (row["state"], row["verdict"], row["revision"]) == ("cleared", "expired", 3)


def test_the_label_expires_in_silence() -> None:
    """A source that sends on change says by its silence that the alert stands."""
    world = plant((topology.WORK_ORDER, repair()))
    task = Task([HOT], world.now)
    task.feed(R(0, "a", 90.0), now=0)
    assert not task.tick(50, caught_up_since=-100)
    (row,) = task.tick(65, caught_up_since=-100)
    assert row["verdict"] == "expired"
    task.context = world.tell(topology.PRODUCTION_ORDER, production())
    assert [row["verdict"] for row in task.tick(70, caught_up_since=None)] == ["expired"]


def test_an_alert_that_ends_before_the_order_stays_expected() -> None:
    """It was over at 50 s, the order at 60 s: time that passes afterwards changes nothing."""
    task = Task([HOT], plant((topology.WORK_ORDER, repair())).now)
    rows = task.feed(R(0, "a", 90.0), R(50, "a", 20.0))
    task.feed(R(600, "a", 20.0))
    assert not task.tick(601, caught_up_since=0)
    assert [row["verdict"] for row in rows] == ["expected", "expected"]


def test_facts_go_on_counting_from_what_was_told_last() -> None:
    """The end of an alert that had been told anew twice is its fourth revision, with the labels of the present."""
    world = plant()
    task = standing(world)
    after(task, world, topology.WORK_ORDER, repair())
    after(task, world, topology.ASSET, asset(owner="electrics"), 20)
    (row,) = task.feed(R(30, "a", 20.0))
    assert (row["state"], row["revision"], row["supersedes"], row["reason"]) == ("cleared", 4, 3, "condition_cleared")
    assert (row["owner"], row["verdict"]) == ("electrics", "expected")


def test_what_is_over_is_told_anew_as_well_for_as_long_as_context_comes() -> None:
    """An order typed days later explains an alert that has long ended; after the horizon it does not."""
    day = 86_400.0
    world = plant()
    task = Task([HOT], world.now, label_horizon_us=round(5 * day * 1e6))
    task.feed(R(0, "a", 90.0), R(5, "a", 20.0))
    task.feed(R(4 * day, "a", 20.0))
    task.context = world.tell(topology.WORK_ORDER, repair())
    (row,) = task.tick(4 * day, None)
    assert (row["state"], row["verdict"], row["revision"]) == ("cleared", "expected", 3)
    task.feed(R(6 * day, "a", 20.0))
    task.tick(6 * day, None)
    task.context = world.tell(topology.WORK_ORDER, repair(status="cancelled"))
    assert not task.tick(6 * day + 5, None)
    assert not task.state["issued"].height


def test_a_repeat_after_a_kill_neither_repeats_nor_forgets() -> None:
    """Discarded before it was committed the label is told again, also by the same process; once committed, never."""
    world = plant()
    task = standing(world)
    task.context = world.tell(topology.WORK_ORDER, repair())
    lost = task.alert.timer(task.state, task.context, Moment(at(10)))
    assert lost.out["ops.alert.v1"].height == 1
    (row,) = task.tick(10.2, None)
    assert row["verdict"] == "expected"
    task.restart()
    assert not task.tick(20, None)
    assert not task.tick(30, None)


def test_a_missing_position_is_named_only_where_there_are_positions() -> None:
    """Nobody answers for the filler; and that there is no work order is nothing that is missing."""
    world = plant()
    task = standing(world)
    assert task.rows[-1]["context_missing"] == ["production_order"]
    row = after(task, world, topology.OPERATOR_POSITION, position("packing/lead", "e/s/hall/line-2"))
    assert (row["position"], row["context_missing"]) == (None, ["production_order", "position"])


def test_an_empty_dictionary_is_not_believed() -> None:
    """While there is none at all nothing is labelled anew."""
    world = plant()
    task = standing(world)
    task.context = World((topology.ASSET, asset(owner="electrics"))).now
    assert not task.tick(10, None)


def test_alerts_of_a_rule_that_is_gone_keep_what_explains_them() -> None:
    """The rule's file was removed: its alert ends, and still says that the repair explains it."""
    task = Task([HOT], plant((topology.WORK_ORDER, repair())).now)
    task.feed(R(0, "a", 90.0))
    task.restart([])
    (row,) = task.tick(5, None)
    assert (row["reason"], row["verdict"]) == ("rule_removed", "expected")


def test_a_rule_without_activities_is_possibly_explained() -> None:
    """Place and time match, and nothing says that a repair does such a thing."""
    (row,) = Task([PLAIN], plant((topology.WORK_ORDER, repair())).now).feed(R(0, "a", 90.0))
    assert (row["verdict"], row["domain"], row["actors"]) == ("possible", "process", [])


def test_alerts_on_silence_are_told_anew_too() -> None:
    """A missing signal and a node that is offline: evidence of telemetry, with the node's own asset."""
    periodic = {"reporting": "periodic", "period_ms": 1000}
    world = plant((topology.SIGNAL, BEARING | periodic), (topology.SIGNAL, signal("b", **periodic)))
    task = Task([MISSING, OFFLINE], world.now)
    rows = run(task, [*every("a", 0, 10), *every("b", 0, 40)], 120)
    assert [row["rule_id"] for row in rows] == ["missing", "source-offline"]
    task.context = world.tell(topology.ASSET, asset(owner="electrics"))
    task.context = world.tell(
        topology.ASSET, asset("edge", path="e/s/hall/cabinet", work_unit=None, owner="automation")
    )
    told = {row["rule_id"]: row for row in task.tick(130, None)}
    assert [(row["owner"], row["domain"]) for row in told.values()] == [
        ("electrics", "telemetry"),
        ("automation", "telemetry"),
    ]
    assert "edge node edge" in told["source-offline"]["message"]
    assert told["missing"]["unit"] == "s"


def test_without_transitions_a_chunk_leaves_labels_alone() -> None:
    """A step with alerts that stand, and with a context that changed, touches no table of labels."""
    world = plant()
    task = standing(world)
    context = world.tell(topology.WORK_ORDER, repair())
    result = task.alert.step("ot.reading.v1", frame([R(5, "a", 91.0)], 9), task.state, context, Moment(at(5)))
    assert not {"issued", "compared"} & set(result.changes)


def test_comparisons_keep_a_pause() -> None:
    """Two changes of the context within a second are one comparison: the second is looked at after the pause."""
    world = plant()
    task = standing(world)
    task.context = world.tell(topology.ASSET, asset(owner="electrics"))
    assert len(task.tick(10, None)) == 1
    task.context = world.tell(topology.ASSET, asset(owner="hydraulics"))
    assert not task.tick(10.5, None)
    assert [row["owner"] for row in task.tick(11.1, None)] == ["hydraulics"]


def test_tasks_of_one_worker_do_not_share_what_they_compared() -> None:
    """The stage is one object for all tasks of a service; each tells its own alerts anew."""
    world = plant()
    tasks = [standing(world), standing(world)]
    tasks[1].alert = tasks[0].alert
    context = world.tell(topology.ASSET, asset(owner="electrics"))
    out = [
        task.alert.timer(task.state, context, Moment(at(10), None, number)).out["ops.alert.v1"]["owner"].to_list()
        for number, task in enumerate(tasks)
    ]
    assert out == [["electrics"], ["electrics"]]


def test_the_path_is_that_of_the_time_of_the_alert() -> None:
    """A machine without an asset of its signal belongs to what stood there then, not to what stood there once."""
    world = plant()
    world.tell(topology.ASSET, asset(valid_from=at(-100), path="e/s/hall/store/filler-1", work_unit=None))
    world.tell(topology.ASSET, asset("filler-9", valid_from=at(-100), path="e/s/hall/line-1/filler-9"))
    (row,) = Task([HOT], world.now).feed(R(0, "a", 90.0))
    assert (row["asset_id"], row["asset_path"]) == ("filler-9", "e/s/hall/line-1/filler-9")
    assert PATH not in row["message"]


def test_the_stage_has_the_tables_of_labels() -> None:
    """What was told survives a restart only as a table."""
    assert {"issued", "compared"} <= {table.name for table in Alert([HOT]).tables}


def test_an_order_that_exchanges_the_asset_still_explains_the_alert_at_its_end() -> None:
    """The alert began at the asset that the order names; when it clears another stands there, and that is told."""
    world = plant((topology.WORK_ORDER, repair()))
    world.tell(topology.ASSET, asset(valid_to=at(20)))
    world.tell(topology.ASSET, asset("filler-1b", valid_from=at(20), name="Filler 1b"))
    rows = Task([HOT], world.now).feed(R(0, "a", 90.0), R(30, "a", 20.0))
    assert [(row["state"], row["asset_id"], row["verdict"]) for row in rows] == [
        ("active", "filler-1", "expected"),
        ("cleared", "filler-1b", "expected"),
    ]


def test_a_rename_of_what_stands_above_does_not_take_the_label_away() -> None:
    """Both paths are those of the begin of the alert."""
    line = asset("line-1", path="e/s/hall/line-1", work_unit=None)
    world = plant((topology.ASSET, line), (topology.WORK_ORDER, repair(asset_id="line-1")))
    for row in (asset(path="e/s/hall-2/line-1/filler-1"), line | {"path": "e/s/hall-2/line-1"}):
        world.tell(topology.ASSET, row | {"valid_from": at(20)})
    rows = Task([HOT], world.now).feed(R(0, "a", 90.0), R(30, "a", 20.0))
    assert [(row["asset_path"].split("/")[2], row["verdict"]) for row in rows] == [
        ("hall", "possible"),
        ("hall-2", "possible"),
    ]
