"""The alert stage as timelines: readings at so many seconds, transitions at so many seconds."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from streams.core.alert.output import ALERT
from streams.core.alert.stage import Alert
from streams.core.frames import BIRTH, HISTORICAL
from streams.core.stage import Moment
from tests.core.alert_scene import T0, R, S, Task, context, frame, rule, seconds, signal, told

BAD, UNCERTAIN = 2, 1
SIGNALS = context([signal("a"), signal("b"), signal("far", source_id="other"), signal("m", role="state", unit=None)])
HOT = rule()
HOT_5S = rule(condition="high = 85.0\ndeadband = 5.0\non_delay_s = 5.0\noff_delay_s = 4.0")


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


def test_a_late_reading_is_counted_and_changes_nothing() -> None:
    """A retransmitted high value from before does not bring a cleared alert back, also after a restart."""
    task = Task([HOT], SIGNALS)
    task.feed(R(0, "a", 90.0), R(5, "a", 20.0))
    task.restart()
    assert not task.feed(R(0, "a", 90.0))
    assert task.counts["late", "hot"] == 1


def test_one_stamp_far_ahead_does_not_silence_a_signal() -> None:
    """A stamp 2 h ahead of its arrival counts as a minute ahead; what comes after that minute is no longer late."""
    task = Task([HOT], SIGNALS)
    ahead = frame([R(7200, "a", 20.0)]).with_columns(ingest_time=pl.lit(T0))
    result = task.alert.step("ot.reading.v1", ahead, task.state, task.context, Moment(T0))
    times = result.changes["signal"].upsert
    assert times is not None
    assert times["last_time"].to_list() == [T0 + 60 * S]


def test_a_flicker_within_one_instant_is_revisions_of_one_alert() -> None:
    """Sources with a coarse clock send several values with one stamp: the id is the same, the revision goes on."""
    rows = Task([HOT], SIGNALS).feed(R(1, "a", 90.0), R(1, "a", 20.0), R(1, "a", 91.0))
    assert [(row["alert_id"], row["revision"], row["state"]) for row in rows] == [
        (f"hot|a|{T0 + S}", 1, "active"),
        (f"hot|a|{T0 + S}", 2, "cleared"),
        (f"hot|a|{T0 + S}", 3, "active"),
    ]


def test_what_ended_in_a_backlog_is_recorded_and_does_not_ring() -> None:
    """Two hours later, from a backlog: both transitions are written, neither annunciated, the end says historical."""
    rows = Task([HOT], SIGNALS).feed(R(0, "a", 90.0), R(60, "a", 20.0), now=7200)
    assert [(row["state"], row["annunciated"], row["historical"]) for row in rows] == [
        ("active", False, False),
        ("cleared", False, True),
    ]


def test_what_a_backlog_leaves_standing_rings_once() -> None:
    """The first reading of the present that still says so annunciates it, as a further revision of the same alert."""
    task = Task([HOT], SIGNALS)
    (recorded,) = task.feed(R(0, "a", 90.0, flags=HISTORICAL), R(1, "a", 90.0, flags=HISTORICAL))
    task.restart()
    rows = task.feed(R(2, "a", 91.0), R(3, "a", 92.0), R(4, "a", 20.0))
    assert not recorded["annunciated"]
    assert [(row["revision"], row["state"], row["reason"], row["annunciated"], row["historical"]) for row in rows] == [
        (2, "active", "still_active", True, False),
        (3, "cleared", "condition_cleared", True, False),
    ]
    assert {row["alert_id"] for row in rows} == {recorded["alert_id"]}


def test_what_stands_after_a_backlog_rings_without_another_reading() -> None:
    """An on-change signal stays silent while nothing changes: once all is read and the source is quiet, it rings."""
    task = Task([HOT], SIGNALS)
    task.feed(R(0, "a", 90.0), now=7200)
    assert not task.tick(7204, caught_up_since=7200)
    assert not task.tick(7300, caught_up_since=None)
    (row,) = task.tick(7205, caught_up_since=7200)
    assert (row["reason"], row["annunciated"], row["value"]) == ("still_active", True, 90.0)
    assert not task.tick(7206, caught_up_since=7200)


def test_a_delay_that_passed_in_the_past_does_not_ring_either() -> None:
    """Pending when the worker went down: what its delay brings about hours later belongs to the past."""
    task = Task([HOT_5S], SIGNALS)
    task.feed(R(0, "a", 90.0), now=0)
    rows = task.feed(R(60, "a", 90.0), R(70, "a", 20.0), R(80, "a", 20.0), now=7200)
    assert [(row["state"], row["annunciated"]) for row in rows] == [("active", False), ("cleared", False)]


def test_other_limits_close_what_the_old_ones_opened() -> None:
    """After a change of the condition the alert is cleared, and the next reading is judged by the new limits."""
    task = Task([HOT], SIGNALS)
    task.feed(R(0, "a", 90.0))
    task.restart([rule(condition="high = 88.0", version="2")])
    (closed,) = task.tick(1, caught_up_since=None)
    assert (closed["state"], closed["reason"], closed["revision"]) == ("cleared", "rule_changed", 2)
    (alert,) = task.feed(R(2, "a", 90.0))
    assert (alert["rule_version"], alert["limit"], alert["revision"]) == (2, 88.0, 1)


def test_other_words_close_nothing() -> None:
    """A new version with the same condition keeps the alert, which is cleared under the new version."""
    task = Task([HOT], SIGNALS)
    task.feed(R(0, "a", 90.0))
    task.restart([rule(version="2", response='"cool it, gently"')])
    assert not task.tick(1, caught_up_since=None)
    (row,) = task.feed(R(2, "a", 20.0))
    assert (row["reason"], row["rule_version"]) == ("condition_cleared", 2)


@pytest.mark.parametrize("gone", ["removed", "deprecated"])
def test_a_rule_that_goes_clears_what_it_had_opened(gone: str) -> None:
    """Removed from the folder or marked deprecated: the alert ends with the reason, and its state is forgotten."""
    task = Task([HOT], SIGNALS)
    task.feed(R(0, "a", 90.0))
    other = rule("other")
    task.restart([other] if gone == "removed" else [other, rule(status='"deprecated"')])
    (row,) = task.feed(R(1, "b", 20.0))
    assert (row["state"], row["reason"], row["kind"], row["priority"]) == ("cleared", "rule_removed", "alarm", "high")
    task.tick(2, caught_up_since=None)
    assert not task.state["condition"].height


def test_a_signal_that_leaves_the_dictionary_is_forgotten() -> None:
    """Its alert ends as signal_removed; a dictionary that is empty altogether is not believed."""
    task = Task([HOT], SIGNALS)
    task.feed(R(0, "a", 90.0), R(0, "b", 20.0))
    task.context = context([], version=2)
    assert not task.tick(1, caught_up_since=None)
    task.context = context([signal("b")], version=3)
    (row,) = task.tick(2, caught_up_since=None)
    assert (row["reason"], row["context_missing"]) == ("signal_removed", ["signal", "asset", "production_order"])
    task.tick(3, caught_up_since=None)
    assert task.state["signal"]["signal_id"].to_list() == ["b"]


def test_a_rule_watches_a_signal_as_of_event_time() -> None:
    """From 10 s on the signal is published in another unit: the rule in Cel no longer applies."""
    versions = [signal("a", valid_to=T0 + 10 * S), signal("a", valid_from=T0 + 10 * S, unit="K")]
    task = Task([HOT], context(versions))
    assert told(task.feed(R(1, "a", 90.0), R(2, "a", 20.0), R(11, "a", 300.0))) == [("active", 1.0), ("cleared", 2.0)]


def test_a_reading_nobody_watches_leaves_only_the_time_of_its_source() -> None:
    """A signal without rules costs no state of its own."""
    task = Task([HOT], SIGNALS)
    result = task.alert.step("ot.reading.v1", frame([R(0, "m", "running")]), task.state, task.context, Moment(T0))
    assert set(result.changes) == {"source"}


def test_output_has_the_columns_of_its_contract() -> None:
    """`ops.alert.v1` rows have the fields of the schema file, no more and no fewer."""
    path = Path(__file__).parents[2] / "schemas" / "40-alert" / "ops.alert.v1.avsc"
    assert sorted(ALERT.names()) == sorted(field["name"] for field in json.loads(path.read_text())["fields"])


def test_another_topic_is_an_error_of_the_caller() -> None:
    """Only `ot.reading.v1` is read."""
    with pytest.raises(ValueError, match=r"reads ot\.reading\.v1"):
        Alert([HOT]).step("ot.window.v1", frame([R(0, "a", 1.0)]), {}, SIGNALS, Moment(T0))
