"""Rules on changes as timelines: what is a change, when it is over, what is said of it, what late readings change."""

from __future__ import annotations

import pytest

from streams.core.alert.rule import Rule
from tests.core.alert_scene import R, Task, context, rule, seconds, signal, told

SETPOINT = 'role = "setpoint"\nunit = "mL"'
SIGNALS = context(
    [signal(name, role="setpoint", unit="mL", name="fill setpoint", reporting="on_change") for name in ("p", "q")]
    + [signal("beat")]
)


def changes(condition: str = "off_delay_s = 10.0", **fields: str) -> Rule:
    """A rule on changes of setpoints."""
    return rule("set", condition, **{"type": '"change"', "select": SETPOINT, "title": '"Setpoint changed"', **fields})


def task(condition: str = "off_delay_s = 10.0", **fields: str) -> Task:
    """The stage with one such rule."""
    return Task([changes(condition, **fields)], SIGNALS)


def p(*points: tuple[float, float], flags: int = 0) -> list[R]:
    """Readings of the setpoint."""
    return [R(at, "p", value, flags=flags) for at, value in points]


def test_a_change_is_told_at_once_and_is_over_at_once() -> None:
    """It begins and ends at its reading; told as over when the delay has passed, here with the time of its source."""
    run = task()
    rows = run.feed(*p((0, 330.0), (5, 330.0), (10, 500.0)))
    assert told(rows) == [("active", 10.0)]
    assert (rows[0]["value"], rows[0]["limit"], rows[0]["end_time"]) == (500.0, 330.0, None)
    (over,) = run.feed(R(22, "beat", 1.0))
    assert (over["state"], seconds(over["begin_time"]), seconds(over["end_time"])) == ("cleared", 10.0, 10.0)
    assert (over["value"], seconds(over["event_time"])) == (500.0, 20.0)


def test_the_delay_passes_with_time_where_nothing_comes() -> None:
    """A setpoint that is sent on change may never be sent again."""
    run = task()
    run.feed(*p((0, 330.0), (10, 500.0)))
    assert run.tick(15, caught_up_since=10) == []
    assert told(run.tick(30, caught_up_since=10)) == [("cleared", 20.0)]


def test_what_follows_within_the_delay_is_the_same_change() -> None:
    """Its end moves, and what it was changed from stays; what follows later is another one."""
    run = task()
    rows = run.feed(*p((0, 330.0), (10, 400.0), (15, 450.0), (24, 500.0), (34, 510.0), (60, 510.0)))
    assert told(rows) == [("active", 10.0), ("cleared", 34.0), ("active", 34.0), ("cleared", 44.0)]
    assert [(row["limit"], row["value"], seconds(row["end_time"])) for row in rows] == [
        (330.0, 400.0, None),
        (330.0, 500.0, 24.0),
        (500.0, 510.0, None),
        (500.0, 510.0, 34.0),
    ]


def test_without_a_delay_each_change_is_an_alert() -> None:
    """Told and over in one step."""
    rows = task("off_delay_s = 0.0").feed(*p((0, 330.0), (10, 400.0), (11, 330.0)))
    assert told(rows) == [("active", 10.0), ("cleared", 10.0), ("active", 11.0), ("cleared", 11.0)]


@pytest.mark.parametrize(("value", "expected"), [(330.0, []), (500.0, [("active", 10.0)])])
def test_what_is_announced_after_a_restart_counts_by_its_value(value: float, expected: list[tuple[str, float]]) -> None:
    """The same value is no change; another one was set while nobody saw it, or by the restart itself."""
    run = task()
    run.feed(*p((0, 330.0)))
    run.restart()
    assert told(run.feed(*p((10, value), flags=4))) == expected


def test_the_first_reading_of_all_is_no_change() -> None:
    """Nothing was before it; nor are bad readings, which say nothing, and texts anything."""
    run = task()
    assert run.feed(*p((0, 330.0)), R(1, "p", 500.0, 2), R(2, "p", "off"), *p((3, 330.0))) == []


def test_small_steps_add_up() -> None:
    """Measured against what was told last: whoever moves a setpoint in steps that are each too small is seen."""
    run = task("by = 5.0\noff_delay_s = 0.0")
    rows = run.feed(*p((0, 330.0), (1, 333.0), (2, 328.0), (3, 335.0), (4, 336.0), (5, 332.0), (6, 330.0)))
    assert [(row["state"], row["limit"], row["value"]) for row in rows[::2]] == [
        ("active", 330.0, 336.0),
        ("active", 336.0, 330.0),
    ]
    # Further from each other than from what was told.
    assert run.feed(*p((7, 326.0), (8, 334.0))) == []


def test_a_change_in_a_backlog_rings_nobody() -> None:
    """It is recorded, and said to have been; one of the present that belongs to it is annunciated."""
    run = task()
    rows = run.feed(*p((0, 330.0), (10, 400.0), (40, 400.0)), now=500)
    assert [(row["annunciated"], row["historical"]) for row in rows] == [(False, False), (False, True)]
    assert rows[0]["message"].endswith("; told late, nobody was called.")
    assert not run.feed(*p((480, 400.0)), now=500)
    assert [row["annunciated"] for row in run.feed(*p((490, 330.0)), now=500)] == [True]


def test_the_sentence_says_from_what_to_what() -> None:
    """And when, where, and what to do; of a change in steps from when to when."""
    rows = task().feed(*p((0, 330.0), (10, 400.0), (15, 500.0), (60, 500.0)))
    assert [row["message"] for row in rows] == [
        "Fill setpoint was changed from 330 ml to 400 ml at 10:00:10 UTC at line-1; maintenance: cool it.",
        "Fill setpoint is 500 ml after its change from 330 ml from 10:00:10 UTC to 10:00:15 UTC at line-1.",
    ]


def test_an_event_calls_nobody() -> None:
    """Neither by its flag nor in its words; that it is an event of now and not of the past is still told."""
    rows = task(kind='"event"').feed(*p((0, 330.0), (10, 400.0), (60, 400.0)))
    assert [(row["kind"], row["annunciated"], row["historical"]) for row in rows] == [("event", False, False)] * 2
    assert rows[0]["message"] == "Fill setpoint was changed from 330 ml to 400 ml at 10:00:10 UTC at line-1."
    past = task(kind='"event"').feed(*p((0, 330.0), (10, 400.0), (60, 400.0)), now=500)
    assert [(row["annunciated"], row["historical"]) for row in past] == [(False, False), (False, True)]
    assert past[0]["message"] == rows[0]["message"]


def test_it_does_not_matter_where_the_stream_is_cut() -> None:
    """One chunk, or each reading alone with a restart before it."""
    readings = p((0, 330.0), (10, 400.0), (15, 400.0), (18, 500.0), (60, 500.0), (61, 330.0))
    whole, single = task(), task()
    rows = whole.feed(*readings)
    for number, reading in enumerate(readings):
        single.restart()
        single.feed(reading._replace(record=number))
    assert [(row["alert_id"], row["state"], row["event_time"], row["limit"]) for row in single.rows] == [
        (row["alert_id"], row["state"], row["event_time"], row["limit"]) for row in rows
    ]


def _late(*late: tuple[float, float]) -> Task:
    """330, then 500 from second 100 on, told; then late readings, looked at again."""
    run = task("off_delay_s = 0.0")
    run.feed(*p((0, 330.0), (100, 500.0), (200, 500.0)))
    run.feed(*p(*late), now=201)
    if run.state["waiting"].height:
        run.look_back(210)
    return run


def standing(run: Task) -> list[tuple[float | None, float]]:
    """Begin, and what it was changed from, of what stands told."""
    rows = run.state["told"].filter(run.state["told"]["state"] != "retracted").sort("begin_time").rows(named=True)
    return [(seconds(row["begin_time"]), row["limit"]) for row in rows]


def test_late_readings_that_agree_are_not_looked_at() -> None:
    """An edge that sends an hour of the same setpoint late costs nothing, whatever was changed before and after."""
    run = task("off_delay_s = 0.0")
    run.feed(*p((0, 330.0), (100, 500.0), (200, 500.0)))
    run.feed(*p(*((at, 330.0) for at in range(1, 100, 7)), *((at, 500.0) for at in range(101, 200, 7))), now=201)
    assert not run.state["waiting"].height


def test_a_late_reading_adds_two_changes() -> None:
    """There and back, before the one that was told."""
    assert standing(_late((50, 400.0), (60, 330.0))) == [(50.0, 330.0), (60.0, 400.0), (100.0, 330.0)]


def test_a_late_reading_moves_a_change() -> None:
    """It was set earlier than was told: the first telling is retracted, as nothing changed at that time."""
    run = _late((50, 500.0))
    assert standing(run) == [(50.0, 330.0)]
    assert [row["reason"] for row in run.rows if row["state"] == "retracted"] == ["retracted"]


def test_a_late_reading_changes_what_it_was_changed_from() -> None:
    """The told change is one from another value now, which is a revision of it."""
    run = _late((50, 400.0))
    assert standing(run) == [(50.0, 330.0), (100.0, 400.0)]
    (row,) = (row for row in run.rows if row["reason"] == "late" and seconds(row["begin_time"]) == 100.0)
    assert row["limit"] == 400.0
    assert "from 400 ml" in row["message"]
    assert row["message"].endswith("corrected by late readings: it was changed from another value.")


def test_a_change_before_all_that_the_log_holds_is_not_forgotten() -> None:
    """What was set days ago is known by what was told since: a late reading of it brings nothing about."""
    run = task("off_delay_s = 0.0")
    day = 86_400.0
    run.feed(*p((0, 330.0)))
    run.log.clear()
    run.feed(*p((5 * day, 500.0), (5 * day + 100, 500.0)))
    run.feed(*p((5 * day - 60, 330.0)), now=5 * day + 101)
    assert not run.state["waiting"].height
    run.feed(*p((5 * day - 30, 400.0)), now=5 * day + 102)
    run.look_back(5 * day + 120)
    assert standing(run) == [(5 * day - 30, 330.0), (5 * day, 400.0)]


def test_the_next_change_is_measured_from_what_late_readings_left() -> None:
    """Of two values of the last instant the one that came first counts: it is what the next one is compared with."""
    run = task("off_delay_s = 0.0")
    run.feed(*p((0, 330.0)), R(100, "p", 400.0, sequence=9), R(100, "p", 330.0, sequence=1))
    run.look_back(110)
    assert told(run.feed(*p((120, 400.0)))) == []
    assert standing(run) == [(100.0, 330.0)]


def test_of_several_values_at_one_instant_the_change_is_one_from_before_it() -> None:
    """Whatever else was said of that instant: 330 was before it, and the alert goes on."""
    rows = task("off_delay_s = 0.0").feed(*p((0, 330.0), (10, 400.0), (10, 500.0)))
    assert [(row["limit"], row["value"], row["revision"]) for row in rows] == [
        (330.0, 400.0, 1),
        (330.0, 400.0, 2),
        (330.0, 500.0, 3),
        (330.0, 500.0, 4),
    ]


def test_another_first_reading_is_what_the_first_change_was_from() -> None:
    """Within the tolerance of the one that was there, but of a higher sequence, and so the one that counts."""
    run = task("by = 5.0\noff_delay_s = 0.0")
    run.feed(R(0, "p", 330.0, sequence=1), R(10, "p", 500.0, sequence=2))
    run.feed(R(0, "p", 334.0, sequence=3), now=11)
    run.look_back(20)
    assert standing(run) == [(10.0, 334.0)]


def test_after_a_correction_the_same_instant_goes_on_with_its_revision() -> None:
    """An earlier change was retracted, and this one corrected; what is said of its instant then is the next."""
    run = task("off_delay_s = 0.0")
    run.feed(*p((5, 330.0)), R(10, "p", 330.0, sequence=12), R(10, "p", 500.0, sequence=6))
    run.feed(R(12, "p", 338.0, sequence=5))
    run.look_back(20)
    run.feed(R(12, "p", 500.0, sequence=1), now=21)
    rows = [row for row in run.rows if row["alert_id"].endswith("12000000")]
    assert [row["revision"] for row in rows] == [1, 2, 3, 4, 5]
    assert run.state["told"].filter(run.state["told"]["alert_id"] == rows[0]["alert_id"])["revision"].to_list() == [5]
