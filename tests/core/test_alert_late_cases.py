"""What late readings correct, case by case, as timelines: what had been told, what comes late, what is told then."""

from __future__ import annotations

from typing import Any

import pytest

from streams.core.frames import HISTORICAL
from streams.core.stage import Corrector, Moment
from tests.core.alert_scene import BAD, HOT, HOT_5S, SIGNALS, T0, R, S, Task, context, rule, seconds, signal

END = R(300, "b", 20.0)  # the source goes on: every delay has passed


def late(*first: R, then: tuple[R, ...], rules: Any = (HOT_5S,), first_now: float = 300, now: float = 302) -> Task:
    """A task that was told of `first` in time, of `then` late, and has looked back; `rows`: what it told at last."""
    task = Task(list(rules), SIGNALS)
    task.feed(*first, now=first_now)
    task.feed(*then, now=now)
    task.rows = []
    if task.state["waiting"].height:
        task.look_back(now + 2)
        assert not task.state["waiting"].height
    return task


def said(task: Task) -> list[tuple[Any, ...]]:
    """(begin, end, revision, state, reason, annunciated, historical) of what was told."""
    return [
        (seconds(r["begin_time"]), seconds(r["end_time"]), r["revision"], r["state"], r["reason"], r["annunciated"],
         r["historical"])
        for r in task.rows
    ]  # fmt: skip


def test_an_excursion_that_came_and_went_unseen_is_recorded() -> None:
    """Nobody is called for what was over when it became known: both transitions, historical, with detection beside."""
    task = late(R(0, "a", 20.0), R(200, "a", 20.0), END, then=(R(50, "a", 90.0), R(70, "a", 20.0)))
    assert said(task) == [(50, None, 1, "active", "late", False, False), (50, 70, 2, "cleared", "late", False, True)]
    assert [seconds(row["event_time"]) for row in task.rows] == [55, 74]
    assert {seconds(row["detection_time"]) for row in task.rows} == {304}
    assert [row["value"] for row in task.rows] == [90.0, 20.0]
    assert task.rows[0]["evidence"] == ["ot.reading.v1/3/3"]
    assert task.rows[0]["message"] == (
        "A was 90 °C (limit 85 °C) from 10:00:50 UTC on at line-1; told late, nobody was called; late readings show it."
    )


def test_an_earlier_begin_is_a_revision_of_the_same_alert() -> None:
    """The id is that of the first telling; begin_time says what is known now, the sentence what had been told."""
    task = late(R(0, "a", 20.0), R(250, "a", 90.0), R(280, "a", 20.0), END, then=(R(240, "a", 90.0),))
    assert said(task) == [(240, 280, 3, "cleared", "late", True, False)]
    (row,) = task.rows
    assert (row["supersedes"], row["previous_state"]) == (2, "cleared")
    assert row["alert_id"].endswith(str(row["begin_time"] + 10_000_000))
    assert row["message"].endswith(
        "after 40 s at line-1; corrected by late readings: it began at 10:04:00 UTC, not 10:04:10 UTC."
    )


def test_an_earlier_end_is_a_revision() -> None:
    """The end that a late reading shows takes the place of the one that was told."""
    task = late(R(250, "a", 90.0), R(280, "a", 20.0), END, then=(R(270, "a", 70.0),))
    assert said(task) == [(250, 270, 3, "cleared", "late", True, False)]
    assert task.rows[0]["message"].endswith("it ended at 10:04:30 UTC, not 10:04:40 UTC.")


def test_what_never_was_is_retracted() -> None:
    """A reading between begin and active time that says otherwise: people who were called are told so."""
    task = late(R(250, "a", 90.0), R(280, "a", 20.0), END, then=(R(253, "a", 70.0),))
    assert said(task) == [(250, 280, 3, "retracted", "retracted", True, False)]
    assert task.rows[0]["message"] == (
        "A at line-1: alarm 'Too hot', told from 10:04:10 UTC to 10:04:40 UTC, is retracted: late readings show that "
        "its condition did not hold, or not for its delay; maintenance, who was called for it, need not respond to it."
    )


def test_two_that_are_one_go_on_under_the_first_id() -> None:
    """The condition was back within the off-delay: the second is part of the first, which says so."""
    task = late(
        R(200, "a", 90.0), R(220, "a", 20.0), R(225, "a", 90.0), R(280, "a", 20.0), END, then=(R(222, "a", 90.0),),
        first_now=230,
    )  # fmt: skip
    merged, first = sorted(task.rows, key=lambda row: row["state"], reverse=True)
    assert (merged["state"], merged["reason"], merged["cause_alert_id"]) == ("retracted", "merged", first["alert_id"])
    assert (seconds(first["begin_time"]), seconds(first["end_time"]), first["revision"]) == (200, 280, 3)


def test_one_that_was_two_keeps_its_longer_part() -> None:
    """The other part is an alert of its own, explained by the first where people had been called for it."""
    task = late(R(200, "a", 90.0), R(230, "a", 90.0), R(290, "a", 20.0), END, then=(R(215, "a", 20.0),), first_now=240)
    assert said(task) == [
        (200, None, 1, "active", "late", False, False),
        (200, 215, 2, "cleared", "late", False, False),
        (230, 290, 3, "cleared", "late", True, False),
    ]
    assert {row["cause_alert_id"] for row in task.rows[:2]} == {task.rows[2]["alert_id"]}
    assert len({row["alert_id"] for row in task.rows}) == 2


def test_what_stands_at_present_is_annunciated_once() -> None:
    """The last reading, inside the deadband, means "still": the late one says what. Later readings ring no more."""
    task = late(R(200, "a", 20.0), R(290, "a", 82.0), END, then=(R(285, "a", 90.0),))
    assert said(task) == [(285, None, 1, "active", "late", True, False)]
    task.rows = []
    task.feed(R(301, "a", 90.0), now=305)
    task.tick(310, caught_up_since=300)
    task.feed(R(310, "a", 20.0), R(320, "b", 1.0), now=320)
    assert said(task) == [(285, 310, 2, "cleared", "condition_cleared", True, False)]


def test_a_begin_is_corrected_while_the_alert_stands() -> None:
    """The live condition takes over begin and revision: what follows is told of the same alert."""
    task = late(R(200, "a", 20.0), R(280, "a", 90.0), END, then=(R(270, "a", 90.0),))
    assert said(task) == [(270, None, 2, "active", "late", True, False)]
    task.rows = []
    task.restart()
    task.feed(R(310, "a", 20.0), R(320, "b", 1.0), now=320)
    assert said(task) == [(270, 310, 3, "cleared", "condition_cleared", True, False)]


def test_an_alert_whose_own_time_was_added_to_says_that_it_stands() -> None:
    """A late reading inside an ended alert that agrees with it: one revision confirms it."""
    task = late(R(250, "a", 90.0), R(280, "a", 20.0), END, then=(R(260, "a", 95.0), R(265, "a", 95.0)))
    assert said(task) == [(250, 280, 3, "cleared", "stands", True, False)]
    assert task.rows[0]["message"].endswith("; late readings of that time confirm it.")


def test_a_reading_that_comes_after_others_had_let_a_delay_pass_corrects_it() -> None:
    """It is no older than the last of its own signal, but than what was told meanwhile."""
    task = late(R(280, "a", 90.0), END, then=(R(283, "a", 20.0),))
    assert said(task) == [(280, 283, 3, "retracted", "retracted", True, False)]


@pytest.mark.parametrize(
    "reading",
    [R(150, "a", 20.0), R(190, "a", 82.0), R(220, "a", 95.0, BAD), R(255, "a", 95.0), R(299, "a", 20.0)],
    ids=[
        "inside limits",
        "deadband between alerts",
        "bad",
        "agrees with an open alert",
        "after a begin on another signal",
    ],
)
def test_ordinary_disorder_causes_no_look_back(reading: R) -> None:
    """Late readings that cannot change what was told are counted, and nothing is read again."""
    task = Task([HOT_5S], SIGNALS)
    task.feed(R(200, "a", 20.0), R(250, "a", 90.0), R(300, "a", 90.0), now=300)
    if reading.at > 250:
        reading = reading._replace(value=95.0)
    task.feed(reading, now=301)
    assert not task.state["waiting"].height
    assert not task.state["heard"].height


def test_the_look_back_waits_until_no_more_come_but_not_for_ever() -> None:
    """Two seconds without a further late reading, or fifteen after the first."""
    task = Task([HOT], SIGNALS)
    task.feed(R(200, "a", 20.0), now=200)

    def due(now: float) -> bool:
        return task.alert.due(task.state, Moment(T0 + round(now * S)))

    assert isinstance(task.alert, Corrector)
    assert not due(201)
    for at in range(7):
        task.feed(R(100 + at, "a", 90.0), now=201 + 2 * at)
        assert not due(202 + 2 * at)
    assert due(216.5)
    task.look_back(216.5)
    assert not due(300)


def test_what_the_log_no_longer_holds_is_counted() -> None:
    """Nothing is corrected by half: where the log begins later than what is needed, the pair is counted."""
    task = Task([HOT], SIGNALS)
    task.feed(R(0, "a", 20.0), R(5000, "a", 20.0, record=5000), now=5000)
    task.feed(R(100, "a", 90.0), now=5001)
    assert not task.look_back(5004, begin=2048)
    assert task.counts["corrections", "unavailable"] == 1
    assert not task.state["waiting"].height


def test_what_is_older_than_the_horizon_is_counted() -> None:
    """A reading from before the correction horizon begins no look-back."""
    task = Task([HOT], SIGNALS, horizon_us=3600 * 1_000_000)
    task.feed(R(9000, "a", 20.0), now=9000)
    task.feed(R(0, "a", 90.0), now=9001)
    assert task.counts["corrections", "beyond_horizon"] == 1
    assert not task.state["waiting"].height


def test_only_the_part_of_the_log_that_matters_is_read() -> None:
    """Around the late reading, up to the next one that says that all is as it was told: not the hours after."""
    task = Task([HOT_5S], SIGNALS)
    task.feed(*(R(at * 10, "a", 20.0, record=at * 100) for at in range(1000)), now=10_000)
    task.feed(R(5006, "a", 90.0, record=100_000), now=10_001)
    rows = task.look_back(10_004)
    assert [row["state"] for row in rows] == []
    assert task.reread <= 200
    task.feed(R(5003, "a", 90.0, record=100_001), R(5008, "a", 90.0, record=100_002), now=10_005)
    assert [row["state"] for row in task.look_back(10_008)] == ["active", "cleared"]


def test_it_is_read_on_while_less_should_stand_than_was_told() -> None:
    """A late end inside a long alert: the next reading that says that it holds comes half an hour later."""
    task = late(
        R(1000, "a", 90.0), R(4000, "a", 90.0), R(5000, "a", 20.0), R(9000, "b", 20.0), then=(R(2000, "a", 20.0),),
        first_now=9000, now=9001,
    )  # fmt: skip
    assert {
        (seconds(row["begin_time"]), seconds(row["end_time"])) for row in task.rows if row["state"] == "cleared"
    } == {
        (1000, 2000),
        (4000, 5000),
    }


def test_a_late_reading_of_a_rate_counts_where_it_is_the_first_of_its_step() -> None:
    """It is measured from the step before, and the next one from it; what follows live is measured from there, too."""
    steep = rule("steep", 'high = 10.0\nper = "s"\nover_s = 10.0', type='"rate_of_change"')
    first = (R(2, "a", 0.0), R(12, "a", 20.0), R(25, "a", 40.0), R(32, "a", 60.0), R(34, "b", 0.0))
    task = Task([steep], SIGNALS)
    task.feed(*first, now=34)
    task.feed(R(27, "a", 500.0), R(31, "a", 62.0), now=35)
    assert not task.state["waiting"].height, "no first of a step, or no remarkable rate"
    task.feed(R(20.5, "a", 150.0), now=36)
    rows = task.look_back(39)
    assert [(seconds(r["begin_time"]), seconds(r["end_time"]), r["state"], r["value"]) for r in rows] == [
        (20.5, None, "active", pytest.approx(130 / 10)),
        (20.5, 31, "cleared", pytest.approx(-88 / 10.5)),
    ]


def test_what_may_yet_be_the_alert_that_was_told_is_decided_later() -> None:
    """The condition ended and began again, but not for its on-delay so far: it is told once that has passed."""
    task = Task([HOT_5S], SIGNALS)
    task.feed(R(0, "a", 90.0), R(300, "a", 91.0), R(302, "b", 1.0), now=302)
    told = task.rows[-1]
    assert not task.feed(R(303, "a", 92.0), R(200, "a", 20.0), now=303)
    assert not task.look_back(306)
    assert task.state["waiting"].height
    task.feed(R(308, "b", 1.0), now=308)
    rows = task.look_back(323)
    assert [(seconds(r["begin_time"]), seconds(r["end_time"]), r["state"]) for r in rows] == [
        (0, None, "active"),
        (0, 200, "cleared"),
        (300, None, "active"),
    ]
    assert rows[2]["alert_id"] == told["alert_id"] == rows[0]["cause_alert_id"]


def test_the_anchor_of_a_rate_is_taken_over_without_a_look_back() -> None:
    """A late first reading of the last step is what the next rate is measured from."""
    steep = rule("steep", 'high = 10.0\nper = "s"\nover_s = 10.0', type='"rate_of_change"')
    task = Task([steep], SIGNALS)
    task.feed(R(2, "a", 0.0), R(12, "a", 20.0), R(25, "a", 100.0), now=25)
    task.feed(R(21, "a", 40.0), now=26)
    assert not task.state["waiting"].height
    (row,) = task.feed(R(31, "a", 150.0), now=31)
    assert row["value"] == pytest.approx(110 / 10)
    other = Task([steep], SIGNALS)
    other.feed(R(2, "a", 0.0), R(12, "a", 20.0), R(25, "a", 100.0), now=25)
    other.feed(R(21, "a", 500.0), now=26)
    assert other.state["waiting"].height, "its own rate is remarkable"


def test_readings_that_come_while_the_log_is_read_count() -> None:
    """The end comes during the look-back: what was found late is told as it is then, and nobody is called."""
    deadband = rule(condition="high = 85.0\ndeadband = 5.0")
    task = Task([deadband], SIGNALS)
    task.feed(R(200, "a", 82.0), R(300, "a", 84.0), now=300)
    task.feed(R(250, "a", 90.0), now=301)
    rows = task.look_back(304, between=(R(303, "a", 20.0),))
    assert [(seconds(r["begin_time"]), seconds(r["end_time"]), r["state"]) for r in rows] == [
        (250, None, "active"),
        (250, 303, "cleared"),
    ]
    assert not any(row["annunciated"] for row in rows)


def test_another_rule_is_not_judged_backwards() -> None:
    """A rule that has other limits since says nothing of readings from before it had them."""
    task = Task([HOT], SIGNALS)
    task.feed(R(200, "a", 20.0), now=200)
    task.restart([rule(condition="high = 60.0")])
    task.feed(R(300, "a", 20.0), now=300)
    task.feed(R(150, "a", 70.0), now=301)
    assert task.counts["corrections", "other_rule"] == 1
    assert not task.state["waiting"].height


def test_a_conflict_is_won_by_the_last_of_the_source() -> None:
    """Two values for one instant: the higher source sequence holds, also where the other had been alerted."""
    task = late(R(200, "a", 90.0, sequence=1), R(280, "a", 20.0, sequence=3), END, rules=(HOT,),
                then=(R(200, "a", 70.0, sequence=2),))  # fmt: skip
    assert said(task) == [(200, 280, 3, "retracted", "retracted", False, False)]


@pytest.mark.parametrize("sequences", [(1, 2), (2, 1)])
def test_a_conflict_about_the_present_is_looked_at(sequences: tuple[int, int]) -> None:
    """Two values for the last instant: live the later one in the log counts, in the end the last of the source."""
    first, second = sequences
    task = late(R(200, "b", 0.0), then=(R(299, "a", 90.0, sequence=first), R(299, "a", 20.0, sequence=second)),
                rules=(HOT,))  # fmt: skip
    task.feed(R(310, "b", 0.0), now=310)
    (row,) = task.state["told"].rows(named=True)
    assert (row["state"], row["annunciated"]) == (("retracted", True) if second > first else ("active", True))


def test_redundant_gateways_are_selected_as_they_were() -> None:
    """What a standby tells that was not on duty corrects nothing, though the log holds it."""
    known = context([signal("a"), signal("a2", source_id="other", redundant_of="a"), signal("b")])
    task = Task([HOT], known)
    task.feed(R(0, "a", 20.0), R(0, "a2", 20.0, source="other"), R(100, "a", 20.0), R(100, "a2", 99.0, source="other"))
    task.feed(R(200, "a", 20.0), R(50, "a2", 99.0, source="other"), now=201)
    assert not task.state["waiting"].height
    task.feed(R(60, "a", 90.0), R(70, "a", 20.0), now=202)
    rows = task.look_back(205)
    assert [(seconds(r["begin_time"]), seconds(r["end_time"])) for r in rows] == [(60, None), (60, 70)]


def test_a_backlog_does_not_ring_while_more_of_it_comes() -> None:
    """An edge that sends what is new first: what its buffer says was standing hours ago may end in the next batch."""
    task = Task([HOT], SIGNALS)
    task.feed(R(21_600, "b", 20.0), now=21_600)
    task.feed(R(9_000, "a", 90.0), now=21_601)
    assert not task.tick(21_603, caught_up_since=21_000)
    task.feed(R(12_000, "a", 20.0), R(21_601, "b", 20.0), now=21_604)
    task.tick(21_612, caught_up_since=21_000)
    assert [(r["state"], r["annunciated"], r["historical"]) for r in task.rows] == [
        ("active", False, False),
        ("cleared", False, True),
    ]


@pytest.mark.parametrize(("newest_first", "flags"), [(False, 0), (True, HISTORICAL)])
def test_six_hours_offline_give_what_no_outage_gives(*, newest_first: bool, flags: int) -> None:
    """Begin, active time and end of every alert are those of a run without the outage, whichever comes first; nobody is
    called for what was over by then.
    """
    readings = [R(at * 60.0, "a", 95.0 if 60 <= at < 90 or 340 <= at < 350 or at >= 358 else 20.0) for at in range(361)]
    live, before = Task([HOT_5S], SIGNALS, backlog_us=2**60), Task([HOT_5S], SIGNALS)
    live.feed(*(reading for r in readings for reading in (r, R(r.at + 30, "b", 1.0))))
    first, buffer, newest = readings[:10], [r._replace(flags=flags) for r in readings[10:-1]], readings[-1:]
    before.feed(*first, now=first[-1].at)
    now = 360 * 60.0
    if newest_first:
        before.feed(*newest, now=now)
    for at in range(0, len(buffer), 100):
        now += 1
        before.feed(*buffer[at : at + 100], now=now)
        if before.state["waiting"].height and at == 200:
            before.look_back(now + 20)
    if not newest_first:
        before.feed(*newest, now=now)
    before.feed(R(now + 30, "b", 1.0), now=now + 30)
    if before.state["waiting"].height:
        before.look_back(now + 40)
    before.tick(now + 50, caught_up_since=now)
    assert _final(before) == _final(live)
    assert len(_final(before)) == 3
    by_id = {row["alert_id"]: row for row in before.rows}
    assert [seconds(row["begin_time"]) for row in by_id.values() if row["annunciated"]] == [358 * 60]
    rang = [row["reason"] for row in before.rows if row["annunciated"]]
    assert set(rang) <= {"condition_active", "still_active", "late"}
    assert sum(reason != "late" for reason in rang) == 1
    assert sorted(row["historical"] for row in by_id.values() if row["state"] != "retracted") == [False, True, True]


def _final(task: Task) -> set[tuple[Any, ...]]:
    rows = task.state["told"].rows(named=True)
    return {(r["begin_time"], r["active_time"], r["end_time"]) for r in rows if r["state"] != "retracted"}
