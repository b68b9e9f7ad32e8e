"""Alerts that `validate` tells itself: whose asset it is, what is missing, what explains them, and all of it anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from streams import topology
from tests.core.clock_scene import HOUR, second, steadily
from tests.core.label_scene import PATH, World, asset, permit, position, production, repair
from tests.core.validate_run import NOW, Run, S, signal

SIGNAL = signal("x", "X", work_unit="filler-1", name="bearing temperature")
FAULTY = {**SIGNAL, "factor": 0.0}
EDGE = asset(
    "edge-1", path="e/s/hall/line-1/edge-1", name="Edge 1", owner="it-ot", work_unit=None, criticality="medium"
)
BEGUN = NOW - 600 * S
WORK: dict[str, Any] = {"started_at": BEGUN, "planned_end": NOW + HOUR}
OWN = ("owner", "asset_id", "asset_path", "criticality", "zone", "position", "order_id")
PERMIT = permit(activity="program") | {"start": BEGUN, "end": NOW + HOUR}
Row = dict[str, Any]


def run(world: World, *rows: Row) -> Run:
    """The stage with this dictionary and what else is told."""
    for row in rows:
        world.tell(topology.SIGNAL, row)
    found = Run([])
    found.context = world.now
    return found


def tell(run: Run, world: World, topic: topology.Topic, row: Mapping[str, Any], now_us: int) -> None:
    """Another record of context, and the seconds in which it is seen."""
    run.context = world.tell(topic, row)
    run.timer(now_us)


def alerts(run: Run) -> list[Row]:
    """What was told."""
    return run.rows(topology.ALERT.name)


def skewed(run: Run) -> Run:
    """The clock of edge-1 is an hour ahead."""
    return run.step(*steadily(range(60), HOUR))


def faulty(run: Run, begin_s: int = 0, seconds: int = 15) -> Run:
    """Seconds in which the dictionary is looked at."""
    for number in range(begin_s, begin_s + seconds):
        run.timer(NOW + number * S)
    return run


def test_a_wrong_clock_says_whose_node_it_is_and_which_order_explains_it() -> None:
    """The asset is the one whose id is the source's; the sentence begins as ever."""
    world = World((topology.ASSET, EDGE), (topology.PRODUCTION_ORDER, production(actual_start=BEGUN)),
                  (topology.OPERATOR_POSITION, position("network-desk", "e/s/hall")))  # fmt: skip
    world.tell(topology.WORK_ORDER, repair(asset_id="edge-1", activity="network", **WORK))
    (told,) = alerts(skewed(run(world, SIGNAL)))
    place = ("it-ot", "edge-1", EDGE["path"], "medium", "cell-1", "network-desk", "PO-1")
    assert tuple(told[name] for name in OWN) == place
    assert (told["context_missing"], told["unit"], told["revision"]) == ([], "s", 1)
    assert (told["verdict"], told["verdict_by"], told["verdict_reference"]) == ("expected", "work_order", "WO-7")
    assert told["message"].startswith("Clock of source edge-1 at line-1 is 1 h ahead of the time")
    assert "; it concerns e/s/hall/line-1/edge-1, of it-ot; expected: work order WO-7 (asset, time" in told["message"]


def test_what_is_not_known_of_a_wrong_clock_is_named() -> None:
    """No asset, no order, no position: nothing is guessed, and the verdict is told."""
    (told,) = alerts(skewed(run(World((topology.OPERATOR_POSITION, position("desk", "elsewhere"))), SIGNAL)))
    assert told["context_missing"] == ["asset", "production_order", "position"]
    assert (told["verdict"], told["owner"], told["asset_id"]) == ("none", None, "edge-1")


def test_a_signal_that_cannot_be_used_still_says_whose_it_is() -> None:
    """The row is none to the services; its machine leads to the asset, and the missing signal is named."""
    world = World((topology.ASSET, asset()), (topology.CHANGE, PERMIT))
    (told,) = alerts(faulty(run(world, FAULTY)))
    assert (told["rule_id"], told["signal_name"]) == ("builtin.configuration.bad_scale", "bearing temperature")
    assert (told["asset_id"], told["asset_path"], told["owner"]) == ("filler-1", PATH, "mechanics")
    assert told["context_missing"] == ["signal", "production_order"]
    assert (told["verdict"], told["verdict_reference"]) == ("expected", "CH-3")
    (told,) = alerts(faulty(run(World((topology.ASSET, asset("pump"))), {**FAULTY, "asset_id": "pump"})))
    assert told["asset_id"] == "pump"


def test_context_that_comes_late_tells_alerts_anew_once_over_restarts() -> None:
    """An asset is a revision `context`, an order `verdict`, its cancellation another; the end is the next revision."""
    world = World()
    seen = skewed(run(world, SIGNAL))
    seen.timer(NOW + 70 * S)
    tell(seen, world, topology.ASSET, EDGE, NOW + 90 * S)
    order = repair(asset_id="edge-1", activity="network", **WORK)
    tell(seen, world, topology.WORK_ORDER, order, NOW + 110 * S)
    seen.stage = Run([]).stage
    seen.timer(NOW + 130 * S)
    tell(seen, world, topology.WORK_ORDER, {**order, "valid_from": 1, "status": "cancelled"}, NOW + 150 * S)
    tell(seen, world, topology.ASSET, {**EDGE, "owner": "nobody"}, NOW + 151 * S)
    assert len(alerts(seen)) == 4  # compared a second ago: readings do not wait for each change of context
    seen.step(*steadily(range(120, 240)))
    rows = alerts(seen)
    assert [(row["revision"], row["supersedes"], row["reason"], row["verdict"]) for row in rows] == [
        (1, None, "condition_active", "none"),
        (2, 1, "context", "none"),
        (3, 2, "verdict", "expected"),
        (4, 3, "verdict", "none"),
        (5, 4, "condition_cleared", "none"),
    ]
    assert len({row["alert_id"] for row in rows}) == 1
    facts = ("state", "event_time", "begin_time", "detection_time", "value", "evidence", "annunciated")
    assert len({str([row[name] for name in facts]) for row in rows[:4]}) == 1
    assert seen.counts["relabelled", "verdict"] == 2


@pytest.mark.parametrize("wait_s", [HOUR // S - 60, HOUR // S + 60])
def test_an_order_that_is_over_no_longer_explains_a_clock_that_is_still_wrong(wait_s: int) -> None:
    """The alert stands with the time at which all was read, not with the wrong clock."""
    world = World((topology.ASSET, EDGE), (topology.WORK_ORDER, repair(asset_id="edge-1", activity="network", **WORK)))
    seen = skewed(run(world, SIGNAL))
    seen.timer(NOW + wait_s * S)
    assert [row["verdict"] for row in alerts(seen)] == ["expected", "expired"][: 1 + (wait_s * S > HOUR)]


def test_a_mended_dictionary_keeps_whose_signal_it_was() -> None:
    """Also where the row was deleted: the end says what the beginning said, under the same id."""
    world = World((topology.ASSET, asset()))
    seen = faulty(run(world, FAULTY))
    seen.context = run(world, {**signal("other", "O"), "valid_from": 0}).context
    frames = dict(seen.context.frames)
    frames[topology.SIGNAL.name] = frames[topology.SIGNAL.name].filter(signal_id="other")
    seen.context = type(seen.context)(frames, 9)
    raised, cleared = alerts(faulty(seen, 20, 30))
    assert (raised["alert_id"], raised["asset_id"]) == (cleared["alert_id"], cleared["asset_id"])
    assert (cleared["revision"], cleared["reason"], cleared["asset_path"]) == (2, "condition_cleared", PATH)


def test_chunks_that_tell_no_alert_change_nothing_of_labels() -> None:
    """No table of labels is touched by readings with a right clock."""
    seen = run(World((topology.ASSET, EDGE)), SIGNAL).step(second(0), second(1))
    assert not {"issued", "compared"} & {name for name, frame in seen.state.items() if frame.height}
