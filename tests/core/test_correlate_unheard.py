"""What stands and is not heard of any more: let go, so that the state is bounded; months are told before that."""

from __future__ import annotations

from streams import topology
from streams.core.correlate.lifecycle import Told
from streams.core.correlate.tell import records
from tests.core.correlate_scene import DAY, MINUTE, Row, Run, alert, event

DAYS = DAY / MINUTE


def alarm(name: str, day: float, state: str = "active", **fields: object) -> Row:
    return event(name, day * DAYS, "alarm", state=state, source_id="plc", **{"asset_id": "pump", **fields})


def test_alarms_that_nobody_clears_are_let_go() -> None:
    """One a day for forty days: no more than the horizon's are open, and evidence is kept of no others."""
    run = Run(horizon_us=2 * DAY)
    most = 0
    for day in range(40):
        run.give(alarm(f"x{day}", day))
        most = max(most, run.state["evidence"].height, run.state["member"].height)
    assert most <= 4
    assert (run.state["incident"]["state"] == "open").sum() <= 4
    assert run.state["incident"].height <= 6
    gone = [row for row in run.told() if row["reason"] == "unheard"]
    assert len(gone) == run.counts["let_go", "incident"] >= 18
    assert sum(len(row["members"]) for row in gone) >= 36
    assert {(row["state"], row["end_time"]) for row in gone} == {("closed", None)}
    assert all("nothing was heard of it for 2 days" in row["message"] for row in gone)


def test_alerts_that_never_end_are_let_go_whatever_the_chunks() -> None:
    """Told as closed with that reason, in one chunk and in many; what comes again is another incident."""
    rows = [alert("s", 0), alert("t", 1, asset="motor"), alert("u", 40 * DAYS, asset="fan")]
    one, many = Run(), Run()
    one.give(*rows)
    for row in rows:
        many.give(row)
    assert one.living() == many.living()
    assert sorted(row["reason"] for row in many.told()) == [*["opened"] * 3, *["unheard"] * 2]
    assert one.state["evidence"]["evidence_id"].to_list() == ["alert:u"]
    many.give(alert("s2", 40 * DAYS + 1))
    assert sorted(row["members"] for row in many.living().values() if row["state"] == "open") == [
        ["alert:s2"],
        ["alert:u"],
    ]


def test_news_keeps_what_stands() -> None:
    """A revision within the horizon is news; one after it is refused, as what it would change was let go."""
    run = Run(horizon_us=2 * DAY)
    run.give(alert("s", 0))
    run.give(alert("s", 0, revision=2) | {"event_time": alert("s", 1.5 * DAYS)["begin_time"]})
    run.give(alert("u", 3 * DAYS, asset="fan"))
    assert "unheard" not in [row["reason"] for row in run.told()]
    run.give(alert("u2", 4 * DAYS, asset="fan"))
    assert [row["members"] for row in run.told() if row["reason"] == "unheard"] == [["alert:s"]]
    before = len(run.told())
    run.give(alert("s", 0, 4 * DAYS, revision=3))
    assert (len(run.told()), run.counts["beyond_horizon", "evidence"]) == (before, 1)


def test_an_end_after_the_horizon_is_none_whatever_the_chunks() -> None:
    """An alarm that is cleared 40 days later was let go by then, also where both are read at once."""
    rows = [alarm("a", 0), alarm("n", 39, asset_id="fan"), alarm("c", 40, "cleared")]
    one, many = Run(), Run()
    one.give(*rows)
    for row in rows:
        many.give(row)
    assert one.living() == many.living()
    assert {tuple(row["members"]): row["state"] for row in one.living().values()} == {
        ("alarm:a",): "closed",
        ("alarm:n",): "open",
    }


def test_a_leap_of_event_time_tells_months_first() -> None:
    """A hundred days between two timer calls: the month before is told, final, and then forgotten."""
    for rows in (
        [[alert("a", 0, 10)], [alert("b", 100 * DAYS, 100 * DAYS + 1)]],
        [[alert("a", 0, 10), alert("b", 100 * DAYS, 100 * DAYS + 1)]],
        [[alert("a", 0, 10)], *([event(f"l{day}", day * DAYS)] for day in range(1, 100)), [alert("b", 100 * DAYS)]],
    ):
        run = Run()
        for chunk in rows:
            run.give(*chunk)
        (first, *_) = [row for row in run.records[topology.KPI.name] if row["kpi"] == "mttr_iso"]
        assert (first["period_id"], first["final"], first["excluded_events"]) == ("2026-09", True, 1)
        assert "alert:a" not in run.state["evidence"]["evidence_id"].to_list()
        run.rest()
        told = [row for row in run.records[topology.KPI.name] if row["period_id"] == "2026-09"]
        assert [row["excluded_events"] for row in told] == [1, 1]


def test_what_a_release_without_repairs_told_can_be_written() -> None:
    """The field is a list that is never null in the contract."""
    (row,) = records([(Told("site-1", "i", 2, "closed", payload='{"message": "m."}'), "closed")], 0).to_dicts()
    assert row["repairs"] == []
