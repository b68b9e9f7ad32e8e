"""What users of other systems complain of: alarms with wrong times, lost, doubled, out of order, or never raised.

Each test has the situation of a complaint, which it cites, on our `alert`.
"""

from __future__ import annotations

import pytest

from tests.core.alert_scene import HOT, SIGNALS, R, Task, context, rule, seconds, signal
from tests.core.silence_scene import MISSING, OFFLINE, every, rang, run, told

HOURS = 3600


def test_an_alarm_of_a_buffered_batch_has_the_times_of_the_device() -> None:
    """ThingsBoard #8191, #6773, #14301: of an alarm that a device had buffered for an hour the end came from the moment
    of processing. Here begin, end and duration are event time, and the time of detection stands beside them.
    """
    task = Task([HOT], SIGNALS)
    rows = task.feed(R(0, "a", 20.0), R(60, "a", 90.0), R(960, "a", 20.0), now=6 * HOURS)
    begun, ended = rows
    assert (seconds(ended["begin_time"]), seconds(ended["end_time"])) == (60.0, 960.0)
    assert [seconds(row["detection_time"]) for row in rows] == [6.0 * HOURS] * 2
    assert "15 min" in ended["message"]
    assert (begun["annunciated"], ended["historical"]) == (False, True)


def test_a_condition_that_a_buffer_leaves_standing_is_annunciated_once() -> None:
    """The other side of ThingsBoard #8191: what a buffer leaves standing people hear of once, with its own begin."""
    task = Task([HOT], SIGNALS)
    task.feed(R(60, "a", 90.0), R(120, "a", 91.0), now=6 * HOURS)
    for later in range(1, 30):
        task.tick(6 * HOURS + later, caught_up_since=6 * HOURS)
        task.feed(R(6 * HOURS + later, "a", 92.0))
    rung = [row for row in task.rows if row["annunciated"]]
    assert [(row["state"], seconds(row["begin_time"])) for row in rung] == [("active", 60.0)]
    assert len({row["alert_id"] for row in task.rows}) == 1


@pytest.mark.parametrize("together", [True, False])
def test_the_alarms_of_a_batch_leave_in_their_order(together: bool) -> None:
    """ThingsBoard #8681: a device sends two hours of readings at once; of the four alarms in them the mails came in
    another order, and did not say when the value was read. Here the records of a line are in the order of event time,
    each transition naming the one it replaces, and each with the time of its reading.
    """
    hot = {10, 11, 40, 41, 70, 100, 101, 102}
    readings = [R(60 * minute, "a", 90.0 if minute in hot else 20.0) for minute in range(120)]
    task = Task([HOT], SIGNALS)
    for chunk in [readings] if together else [[reading] for reading in readings]:
        task.feed(*chunk, now=2 * HOURS)
        task.restart()
    times = [10, 12, 40, 42, 70, 71, 100, 103]
    assert told(task.rows) == [("cleared" if at % 2 else "active", 60.0 * time) for at, time in enumerate(times)]
    assert [(row["revision"], row["supersedes"]) for row in task.rows] == [(1, None), (2, 1)] * 4


def test_alarm_state_is_the_same_after_an_outage_of_the_broker() -> None:
    """Phoebus #2267: what went into alarm and recovered while Kafka was away never reached it, so servers and clients
    went on with different states. Here the state lies in the log: after an outage, whenever it began, every alarm has
    begun and ended as without it, and none rings twice.
    """
    readings = [R(at, name, 90.0 if (at // 20) % 2 else 20.0) for at in range(200) for name in ("a", "b")]
    steady = Task([HOT], SIGNALS)
    for at in range(0, 400, 2):
        steady.feed(*readings[at : at + 2])
    for began in (0, 50, 70, 130):
        task = Task([HOT], SIGNALS)
        for at in range(0, 2 * began, 2):
            task.feed(*readings[at : at + 2])
        task.restart()
        task.feed(*readings[2 * began :], now=HOURS)
        states = [
            {row["alert_id"]: (row["state"], row["begin_time"], row["end_time"]) for row in one.rows}
            for one in (task, steady)
        ]
        assert states[0] == states[1]
        rung = [row["alert_id"] for row in task.rows if row["annunciated"] and row["state"] == "active"]
        assert len(rung) == len(set(rung))


def test_an_alarm_that_stands_survives_a_restart() -> None:
    """Phoebus #2520: after a restart its alarm server starts over with what it finds then. Here a new worker goes on
    with a standing alarm: not raised again while the condition lasts, and cleared under the same identity.
    """
    task = Task([HOT], SIGNALS)
    (raised,) = task.feed(R(0, "a", 90.0))
    task.restart()
    assert task.feed(R(10, "a", 91.0)) == []
    task.restart()
    (cleared,) = task.feed(R(20, "a", 20.0))
    assert (cleared["alert_id"], cleared["state"], seconds(cleared["begin_time"])) == (raised["alert_id"], "cleared", 0)


def test_telemetry_that_stays_away_is_an_alarm() -> None:
    """ThingsBoard #12755: a device sends every 15 minutes; there was no alarm after 45 minutes without. Here there is
    one: at the minute, from the dictionary's period alone, and gone with the next reading.
    """
    plant = context([signal("a", period_ms=900_000), signal("b", period_ms=1000)])
    quarters = [*every("a", 0, 2700, step=900), *every("a", 9000, 9900, step=900)]
    rows = run(Task([MISSING], plant), [*quarters, *every("b", 0, 10_000)], 10_000, step=100)
    assert told(rows) == [("active", 2700.0 + 2700.0), ("cleared", 9000.0)]


def test_what_is_missing_is_told_apart() -> None:
    """ThingsBoard #12755 again: a signal that its node no longer sends is missing, by name; a node that sends nothing
    at all is offline, told once; and a machine that speaks on change only is neither, but its state may be an alarm.
    """
    stopped = rule("stopped", 'states = ["fault"]', type='"state"', select='role = "state"')
    plant = context(
        [
            *(signal(name, period_ms=1000) for name in ("a", "b")),
            *(signal(name, period_ms=1000, source_id="other") for name in ("c", "d")),
            signal("m", role="state", unit=None, reporting="on_change"),
        ]
    )
    gone = [*every("c", 0, 20, source="other"), *every("d", 0, 20, source="other")]
    readings = [*every("a", 0, 20), *every("b", 0, 100), *gone, R(5, "m", "fault")]
    rows = run(Task([MISSING, OFFLINE, stopped], plant), readings, 100)
    assert sorted(rang(rows)) == [("missing", "a"), ("source-offline", "other@line-1"), ("stopped", "m")]
