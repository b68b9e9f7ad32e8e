"""Rules and dictionary that change while alerts stand, as timelines."""

from __future__ import annotations

import pytest

from tests.core.alert_scene import HOT, SIGNALS, T0, R, S, Task, context, rule, seconds, signal, told


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


UNIT_CHANGES = [signal("a", valid_to=T0 + 10 * S), signal("a", valid_from=T0 + 10 * S, unit="K"), signal("b")]


@pytest.mark.parametrize(
    "after",
    [[R(12, "a", 300.0)], [R(12, "b", 20.0)], [R(12, "b", 20.0), R(9, "a", 91.0), R(9.5, "a", 20.0)]],
    ids=["own", "neighbour", "too late"],
)
@pytest.mark.parametrize("cut", [False, True])
def test_an_alert_ends_where_its_rule_watches_the_signal_no_longer(after: list[R], cut: bool) -> None:
    """At 10 s, when the signal's own readings or its source pass that time; what comes after is nobody's."""
    task = Task([HOT], context(UNIT_CHANGES))
    chunks = [[R(1, "a", 90.0)], *([reading] for reading in after)] if cut else [[R(1, "a", 90.0), *after]]
    rows = [row for chunk in chunks for row in task.feed(*chunk)]
    assert told(rows) == [("active", 1.0), ("cleared", 10.0)]
    assert (rows[1]["reason"], seconds(rows[1]["end_time"]), rows[1]["revision"]) == ("signal_removed", 10.0, 2)
    task.restart()
    assert not task.feed(R(30, "a", 300.0))
    assert not task.tick(100, caught_up_since=0)


def test_in_silence_an_alert_ends_where_its_rule_watches_the_signal_no_longer() -> None:
    """The source is gone with the change: time itself passes, and a delay that runs beyond it announces nothing."""
    slow = rule("slow", "high = 85.0\non_delay_s = 60.0")
    task = Task([HOT, slow], context(UNIT_CHANGES))
    task.feed(R(1, "a", 90.0), now=1)
    assert not task.tick(8, caught_up_since=0)
    (row,) = task.tick(13, caught_up_since=0)
    assert (row["rule_id"], row["reason"], seconds(row["event_time"])) == ("hot", "signal_removed", 10.0)
    assert not task.tick(500, caught_up_since=0)
