"""On-delay and off-delay as timelines: what moves them on, and what does not."""

from __future__ import annotations

from tests.core.alert_scene import BAD, HOT_5S, SIGNALS, R, Task, rule, seconds, told


def test_an_on_delay_is_event_time_from_where_the_condition_began() -> None:
    """It fires at begin + on-delay, however late the reading comes that shows it, with the value it stood at then."""
    task = Task([HOT_5S], SIGNALS)
    assert not task.feed(R(0, "a", 86.0), R(3, "a", 88.0))
    (alert,) = task.feed(R(9, "a", 91.0))
    assert (seconds(alert["begin_time"]), seconds(alert["event_time"]), alert["value"]) == (0.0, 5.0, 88.0)
    assert alert["evidence"] == ["ot.reading.v1/3/0", "ot.reading.v1/3/1"]


def test_a_condition_shorter_than_the_on_delay_is_silent() -> None:
    """Back within the on-delay: nothing was ever announced, so nothing is cleared."""
    assert not Task([HOT_5S], SIGNALS).feed(R(0, "a", 86.0), R(4.9, "a", 79.0), R(20, "a", 70.0))


def test_other_readings_of_the_source_move_a_delay_on() -> None:
    """A lone reading above the limit fires once its source has come 5 s (and the disorder of 1 s) further."""
    task = Task([HOT_5S], SIGNALS)
    assert not task.feed(R(0, "a", 86.0))
    assert not task.feed(R(5.9, "b", 20.0))
    assert not task.feed(R(60, "far", 20.0, source="other"))
    assert told(task.feed(R(6, "b", 20.0, quality=BAD))) == [("active", 5.0)]


def test_in_silence_time_itself_moves_a_delay_on() -> None:
    """Without further readings it fires by the timer, counted from the last sight of the source; not while behind."""
    task = Task([HOT_5S], SIGNALS)
    task.feed(R(0, "a", 86.0), now=0.5)
    assert not task.tick(60, caught_up_since=None)
    assert not task.tick(6.4, caught_up_since=0.5)
    (alert,) = task.tick(6.5, caught_up_since=0.5)
    assert (seconds(alert["event_time"]), alert["value"]) == (5.0, 86.0)
    assert not task.tick(7.5, caught_up_since=0.5)


def test_time_spent_catching_up_is_no_silence() -> None:
    """A task that has just read all there was counts silence from then, not from its last sight of the source."""
    task = Task([HOT_5S], SIGNALS)
    task.feed(R(0, "a", 86.0), now=0.0)
    task.restart()
    assert not task.tick(101, caught_up_since=100)
    rows = task.tick(106, caught_up_since=100)
    # Recorded as of the past, and since it stands and nothing more comes, annunciated.
    assert [(row["reason"], row["annunciated"]) for row in rows] == [
        ("condition_active", False),
        ("still_active", True),
    ]


def test_an_off_delay_keeps_a_chattering_signal_one_alert() -> None:
    """Gone for less than the off-delay it is the same alert; gone for longer it ended when it went, not when told."""
    task = Task([rule(condition="high = 85.0\noff_delay_s = 4.0")], SIGNALS)
    rows = task.feed(
        R(0, "a", 90.0), R(1, "a", 80.0), R(3, "a", 90.0), R(5, "a", 80.0), R(8, "a", 79.0), R(12, "a", 70.0)
    )
    assert told(rows) == [("active", 0.0), ("cleared", 9.0)]
    assert (seconds(rows[1]["end_time"]), rows[1]["value"], rows[1]["supersedes"]) == (5.0, 79.0, 1)


def test_an_off_delay_ends_in_silence_too() -> None:
    """The timer clears what has been gone for long enough."""
    task = Task([rule(condition="high = 85.0\noff_delay_s = 4.0")], SIGNALS)
    task.feed(R(0, "a", 90.0), R(1, "a", 80.0), now=1)
    assert told(task.tick(7, caught_up_since=0)) == [("cleared", 5.0)]


def test_a_batch_is_heard_out_before_its_time_counts() -> None:
    """In a record with one signal after the other, the first signal's time does not pass for the second's delay."""
    task = Task([HOT_5S], SIGNALS)
    batch = [R(at, "b", 20.0, record=0) for at in range(20)]
    batch += [R(0, "a", 90.0, record=0), R(2, "a", 70.0, record=0), R(19, "a", 70.0, record=0)]
    assert not task.feed(*batch)
