"""What several orders repaired within one incident: each is a failure that counts, or it is said why it does not."""

from __future__ import annotations

from typing import Any

from streams import topology
from tests.core.correlate_scene import Run, alert, context
from tests.core.incident_scene import ASSETS, at, order, say

FIRST = order("W1", released_at=1, arrived_at=2, finished_at=10)
AGAIN = order("W2", released_at=16, arrived_at=17, finished_at=25, failure_mode="worn")
MEMBERS = (alert("a", 0, 10, asset="filler"), alert("b", 15, 25, asset="filler"))


def kpis(run: Run) -> list[tuple[Any, ...]]:
    return [
        (row["kpi"], row["failure_events"], row["excluded_events"], row["value"])
        for row in run.records[topology.KPI.name]
    ]


def test_what_failed_again_is_a_failure_of_its_own() -> None:
    """The second order has the clocks of what began after the first repair, with its place and failure mode."""
    said = say(*MEMBERS, work_order=[FIRST, AGAIN])
    assert (said["repaired_source"], said["down_s"]) == ("work_order:W1", 600)
    (found,) = said["repairs"]
    assert (found["work_order"], found["asset_id"], found["failure_mode"]) == ("W2", "filler", "worn")
    assert (found["fault_at"], found["arrived_at"], found["repaired_at"]) == (at(15), at(17), at(25))
    assert (found["down_s"], found["repair_s"], found["excluded"]) == (600, 480, None)


def test_another_machine_is_a_failure_of_its_own() -> None:
    """The capper that stood because of the filler has its own order: counted there, from its own begin."""
    capper = order("W2", asset_id="capper", released_at=5, arrived_at=6, finished_at=30)
    said = say(MEMBERS[0], alert("c", 4, 30, asset="capper"), work_order=[FIRST, capper])
    (found,) = said["repairs"]
    assert (found["work_unit"] or found["asset_id"], found["fault_at"], found["down_s"]) == ("capper", at(4), 1560)


def test_two_orders_on_one_failure_are_one() -> None:
    """What was worked on at the same time is one failure: the other order is told, and why it does not count."""
    electric = order("W2", released_at=3, arrived_at=4, finished_at=12)
    (found,) = say(MEMBERS[0], work_order=[FIRST, electric])["repairs"]
    assert (found["fault_at"], found["down_s"], found["repair_s"]) == (None, None, None)
    assert found["excluded"] == "no failure of its own"


def test_a_clock_that_is_not_exact_excludes() -> None:
    """Known by the day only: no times, and the reason is told. An order that did nothing yet is none."""
    day = order("W2", "day", released_at=16, finished_at=25)
    (found,) = say(*MEMBERS, work_order=[FIRST, day])["repairs"]
    assert (found["fault_at"], found["down_s"], found["excluded"]) == (at(15), None, "a clock is absent or not exact")
    assert say(*MEMBERS, work_order=[FIRST, order("W2", released_at=16, status="released")])["repairs"] == []


def test_every_repair_is_counted_or_excluded() -> None:
    """Two repairs within one incident are two failure events; one known by the day is counted as excluded."""
    for again, expected in ((AGAIN, (1, 0)), (order("W2", "day", released_at=16, finished_at=25), (0, 1))):
        run = Run()
        run.context = context(1, asset=ASSETS, work_order=[FIRST, {**again, "failure_mode": None}])
        run.give(*MEMBERS)
        run.rest()
        assert len(run.living()) == 1
        counted, excluded = expected
        assert kpis(run) == [("mttr_iso", 1 + counted, excluded, 600), ("mttr_smrp", 1 + counted, excluded, 480)]


def test_an_order_counts_where_it_repaired() -> None:
    """An order that begins just after an incident, and repairs the next, is the failure of that one."""
    run = Run()
    late = order("W2", released_at=30, arrived_at=55, finished_at=70)
    run.context = context(1, asset=ASSETS, work_order=[FIRST, late])
    run.give(MEMBERS[0], alert("n", 50, 70, asset="filler"))
    run.rest()
    assert len(run.living()) == 2
    assert kpis(run) == [("mttr_iso", 2, 0, 900), ("mttr_smrp", 2, 0, 690)]
