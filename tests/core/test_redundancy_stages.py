"""Redundant gateways in the stages that compute: alerts and KPIs go on when the primary falls silent."""

from __future__ import annotations

from typing import Any

import pytest

from streams.core.context import Context
from streams.core.kpi.stage import Kpi
from streams.core.stage import Moment
from tests.core import kpi_run as kpi
from tests.core.alert_scene import HOT, R, Task, context, frame, seconds, signal, told
from tests.core.reference_kpi import MINUTE
from tests.core.test_redundancy import Task as Selecting

PAIR = context([signal("a"), signal("a2", source_id="edge2", redundant_of="a")])


def backup(at: float, value: float) -> R:
    """A reading of the standby."""
    return R(at, "a2", value, source="edge2")


def test_a_standby_alerts_only_while_it_is_on_duty() -> None:
    """What a standby measures beyond the limit is no alert until it takes over, then of the primary's signal."""
    task = Task([HOT], PAIR)
    assert task.feed(R(0, "a", 80.0), backup(0.5, 95.0), R(5, "a", 80.0), backup(5.5, 95.0)) == []
    task.restart()
    (row,) = task.feed(backup(15.5, 95.0))
    assert (row["signal_id"], row["state"], seconds(row["event_time"])) == ("a", "active", 15.5)
    assert told(task.feed(R(16, "a", 80.0), backup(16.5, 96.0), backup(17.5, 80.0))) == [("cleared", 17.5)]
    assert (task.counts["redundancy", "standby"], task.counts["redundancy", "failover"]) == (3, 1)


STANDBYS = tuple(
    {"signal_id": f"spare.{name}", "role": role, "source_id": "edge-2", "redundant_of": f"filler.{name}"}
    for name, role in (("state", "state"), ("good", "good_counter"), ("reject", "reject_counter"))
)


def minutes(begin: int, end: int, prefix: str, source: str, skew_us: int = 0) -> list[dict[str, Any]]:
    """What one gateway tells each minute from eight o'clock on: a fault from 30 to 40, 36 good and 4 rejected items."""
    items = []
    for minute in range(begin, end):
        at = kpi.EIGHT + minute * MINUTE + skew_us
        label = "fault" if 30 <= minute < 40 else "running"
        items += [kpi.state(at, label), kpi.good(at, 36 * minute), kpi.reject(at, 4 * minute)]
    return [{**item, "signal_id": item["signal_id"].replace("filler", prefix), "source_id": source} for item in items]


def hour(*items: dict[str, Any]) -> dict[str, Any]:
    """The hour's KPI record after these readings, by event time."""
    dictionary = kpi.signals(*kpi.STANDARD, *STANDBYS)
    run = kpi.Run(kpi.context(dictionary, orders=[kpi.ORDER], calendar=[kpi.SHIFT]))
    run.step(*sorted(items, key=lambda item: int(item["event_time"])))
    return run.latest[f"oee|{kpi.HOUR_EIGHT}"]


def test_items_and_states_go_on_with_the_standby() -> None:
    """Items are counted once by two gateways, and go on with the standby when the primary dies at 45 minutes."""
    alone = hour(*minutes(0, 90, "filler", "edge-1"))
    spare = minutes(0, 90, "spare", "edge-2", skew_us=100_000)
    both = hour(*minutes(0, 90, "filler", "edge-1"), *spare)
    dying = hour(*minutes(0, 46, "filler", "edge-1"), *spare)
    elements = ("pq", "gq", "rq", "apt_s", "adot_s", "unknown_s")
    assert [both[name] for name in elements] == [alone[name] for name in elements]
    assert (alone["gq"], alone["rq"], alone["adot_s"], alone["unknown_s"]) == (36 * 59, 4 * 59, 600, 0)
    # The primary's last word of minute 45 stands until then; the standby's next one is that of minute 46.
    assert dying["unknown_s"] == pytest.approx(60.1)
    assert dying["apt_s"] == pytest.approx(alone["apt_s"] - 60.1)


def test_alert_and_kpi_agree_on_who_is_on_duty() -> None:
    """From the same log in different chunks the stages remember the same duties, those of the selection alone."""
    log = [R(n, "a", 80.0) for n in range(20)] + [backup(n + 0.5, 81.0) for n in range(60)]
    log = sorted(log + [R(n, "a", 80.0) for n in range(40, 90)], key=lambda one: one.at)
    alert, alone = Task([HOT], PAIR), Selecting()
    alert.feed(*log[:37])
    alert.feed(*log[37:])
    chunk = frame(log)
    stage = Kpi(kpi.policy())
    state = {table.name: table.empty() for table in stage.tables}
    names = {
        "it.production_order.v1": kpi.rows(kpi.ORDER_COLUMNS, []),
        "it.calendar.v1": kpi.rows(kpi.CALENDAR_COLUMNS, []),
    }
    everything = Context({**PAIR.frames, **names}, 1)
    made = stage.step("ot.reading.v1", chunk, state, everything, Moment(kpi.NOW, kpi.NOW))
    selected = alone.redundancy.select(chunk, alone.state, PAIR)
    duty = selected.changes["duty"].upsert
    assert duty is not None
    assert duty.height == 3
    assert alert.state["duty"].equals(duty)
    changed = made.changes["duty"].upsert
    assert changed is not None
    assert changed.equals(duty)
