"""The alert stage as timelines: readings at so many seconds, transitions at so many seconds. Levels, rates, states."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.core.alert.row import ALERT
from streams.core.alert.stage import Alert
from streams.core.frames import BIRTH
from streams.core.stage import Moment
from tests.core.alert_scene import BAD, HOT, SIGNALS, T0, UNCERTAIN, R, Task, frame, rule, seconds, told


def test_a_lone_reading_beyond_the_limit_alerts_in_its_own_step() -> None:
    """Nothing is waited for: the first reading ever, alone in its chunk, is announced at once."""
    task = Task([HOT], SIGNALS)
    (alert,) = task.feed(R(0, "a", 92.4), now=0.3)
    assert (alert["state"], alert["value"], alert["limit"], alert["revision"]) == ("active", 92.4, 85.0, 1)
    assert alert["alert_id"] == f"hot|a|{T0}"
    assert seconds(alert["detection_time"]) == 0.3
    assert alert["evidence"] == ["ot.reading.v1/3/0"]
    assert alert["annunciated"]


def test_the_limit_itself_is_allowed() -> None:
    """A condition begins above the limit, not at it."""
    assert not Task([HOT], SIGNALS).feed(R(0, "a", 85.0))


def test_inside_the_deadband_an_alert_stands_and_none_begins() -> None:
    """With a deadband of 5 an alert ends at 80; a value of 82 before it began means nothing."""
    task = Task([rule(condition="high = 85.0\ndeadband = 5.0")], SIGNALS)
    rows = task.feed(R(0, "a", 82.0), R(1, "a", 86.0), R(2, "a", 82.0), R(3, "a", 80.0), R(4, "a", 84.0))
    assert told(rows) == [("active", 1.0), ("cleared", 3.0)]


def test_a_low_limit_is_a_limit() -> None:
    """A rule with both limits fires on either side and names the one that was passed."""
    task = Task([rule(condition="high = 85.0\nlow = 10.0")], SIGNALS)
    rows = task.feed(R(0, "a", 9.0), R(1, "a", 50.0), R(2, "a", 86.0))
    assert [(row["state"], row["limit"]) for row in rows] == [("active", 10.0), ("cleared", 10.0), ("active", 85.0)]


def test_a_rate_is_taken_over_steps_and_not_between_neighbours() -> None:
    """Noise within a step of 5 s is no trend; a rise of 10 in 5 s is 120 per min, in that unit."""
    task = Task([rule(condition='high = 60.0\nper = "min"\nover_s = 5.0', type='"rate_of_change"')], SIGNALS)
    assert not task.feed(R(0, "a", 20.0), R(0.1, "a", 24.0), R(0.2, "a", 19.0), R(5, "a", 20.0))
    (alert,) = task.feed(R(10, "a", 30.0))
    assert (alert["value"], alert["unit"], alert["limit"]) == (120.0, "Cel/min", 60.0)


def test_a_birth_is_no_change() -> None:
    """A value that a source announces again after its restart starts a rate anew; as a level it counts."""
    steep = rule("steep", 'high = 60.0\nper = "min"\nover_s = 5.0', type='"rate_of_change"')
    task = Task([HOT, steep], SIGNALS)
    rows = task.feed(R(0, "a", 20.0), R(5, "a", 90.0, flags=BIRTH), R(10, "a", 91.0))
    assert [(row["rule_id"], row["state"]) for row in rows] == [("hot", "active")]


def test_a_state_holds_through_its_other_names() -> None:
    """Two labels of one rule are one condition; the label that stood when it fired is in the record."""
    fault = rule("fault", 'states = ["fault", "estop"]\non_delay_s = 5.0', type='"state"', select='role = "state"')
    task = Task([fault], SIGNALS)
    rows = task.feed(R(0, "m", "running"), R(10, "m", "fault"), R(13, "m", "estop"), R(30, "m", "running"))
    assert [(row["state"], seconds(row["event_time"]), row["value_string"]) for row in rows] == [
        ("active", 15.0, "estop"),
        ("cleared", 30.0, "running"),
    ]


def test_bad_readings_change_nothing_and_lower_the_coverage() -> None:
    """A bad 20 neither clears nor begins; of 10 s that the condition lasted, 4 were unknown."""
    task = Task([HOT], SIGNALS)
    task.feed(R(0, "a", 90.0), R(2, "a", 20.0, quality=BAD))
    task.restart()
    (row,) = task.feed(R(6, "a", 90.0), R(10, "a", 20.0))
    assert (row["state"], row["coverage"]) == ("cleared", pytest.approx(0.6))
    assert not task.feed(R(11, "b", 90.0, quality=BAD))


def test_uncertain_readings_count_and_the_alert_says_so() -> None:
    """A value outside the instrument's range is uncertain, and is what an alarm is for."""
    (alert,) = Task([HOT], SIGNALS).feed(R(0, "a", 900.0, quality=UNCERTAIN))
    assert alert["quality"] == "uncertain"
    assert "of uncertain quality" in alert["message"]


def test_a_reading_nobody_watches_leaves_only_the_time_of_its_source() -> None:
    """A signal without rules costs no state of its own; where in the log readings are is noted for all together."""
    task = Task([HOT], SIGNALS)
    result = task.alert.step("ot.reading.v1", frame([R(0, "m", "running")]), task.state, task.context, Moment(T0))
    assert set(result.changes) == {"source", "index", "since"}


def test_output_has_the_columns_of_its_contract() -> None:
    """`ops.alert.v1` rows have the fields of the schema file, no more and no fewer."""
    path = Path(__file__).parents[2] / "schemas" / "40-alert" / "ops.alert.v1.avsc"
    assert sorted(ALERT.names()) == sorted(field["name"] for field in json.loads(path.read_text())["fields"])


def test_another_topic_is_an_error_of_the_caller() -> None:
    """Only `ot.reading.v1` is read."""
    with pytest.raises(ValueError, match=r"reads ot\.reading\.v1"):
        Alert([HOT]).step("ot.window.v1", frame([R(0, "a", 1.0)]), {}, SIGNALS, Moment(T0))
