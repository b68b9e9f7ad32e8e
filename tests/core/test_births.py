"""A birth announces again what stands, after a restart of the edge: no alert, no item and no stop comes of it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.frames import BIRTH
from tests.core import alert_scene as scene
from tests.core import kpi_run as kpi
from tests.core.alert_scene import HOT, HOT_5S, SIGNALS, R, Task, rule, told

STOPPED = rule("stopped", 'states = ["fault"]', type='"state"', select='role = "state"')


def test_a_birth_of_a_standing_alert_announces_nothing() -> None:
    """An alert that stands stays as it is, and one that is pending keeps its begin, when the edge restarts."""
    task = Task([HOT, STOPPED], SIGNALS)
    assert told(task.feed(R(0, "a", 90.0), R(0, "m", "fault"))) == [("active", 0), ("active", 0)]
    task.restart()
    assert task.feed(R(60, "a", 90.0, flags=BIRTH), R(60, "m", "fault", flags=BIRTH)) == []
    assert told(task.feed(R(61, "a", 80.0), R(61, "m", "running"))) == [("cleared", 61), ("cleared", 61)]
    pending = Task([HOT_5S], SIGNALS)
    pending.feed(R(0, "a", 90.0), R(3, "a", 90.0, flags=BIRTH))
    (row,) = pending.feed(R(5, "a", 90.0))
    assert (scene.seconds(row["begin_time"]), scene.seconds(row["event_time"])) == (0, 5)


def again(items: list[dict[str, Any]], places: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """`items` with births of what stood: (place in the log, seconds after the reading there)."""
    births = []
    for place, seconds in places:
        at = items[place]["event_time"] + seconds * kpi.SECOND
        standing: dict[str, dict[str, Any]] = {}
        for item in items:
            if item["event_time"] <= at:
                standing[item["signal_id"]] = item
        births += [{**item, "event_time": at, "flags": BIRTH} for item in standing.values()]
    return sorted(items + births, key=lambda item: int(item["event_time"]))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 59)), max_size=4))
def test_births_change_no_kpi(places: list[tuple[int, int]]) -> None:
    """Whenever an edge restarts and announces states and counters again, every KPI and element stays the same."""
    items = sorted(kpi.morning(), key=lambda item: int(item["event_time"]))
    context = kpi.context(orders=[kpi.ORDER], calendar=[kpi.SHIFT])
    plain, restarted = kpi.Run(context), kpi.Run(context)
    plain.step(*items)
    restarted.step(*again(items, places))
    untold = {"emitted_at", "revision", "supersedes", "first_ingest_us"}

    def payload(run: kpi.Run) -> dict[str, dict[str, Any]]:
        rows = run.latest.items()
        return {name: {field: value for field, value in row.items() if field not in untold} for name, row in rows}

    assert payload(restarted) == payload(plain)
