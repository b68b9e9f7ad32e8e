"""The life of a skew: when it begins, moves and ends, and what is told of it."""

from __future__ import annotations

from streams.core.alert.row import ALERT
from tests.core.clock_scene import HOUR, SIGNALS, alerts, off, second, steadily
from tests.core.validate_run import NOW, RAW_READING, Run, S, context


def test_the_alert_comes_once_and_says_what_where_since_and_what_to_do() -> None:
    """One record when it begins, one when it ends, with the columns of the contract, keyed by the source's line."""
    run = Run(SIGNALS)
    for number in range(300):
        run.step(second(number, HOUR + 7 * S if number < 200 else 0, source_id="edge-2"))
    begin, end = run.rows("ops.alert.v1")
    assert run.out["ops.alert.v1"][0].schema == ALERT
    assert begin["alert_id"] == end["alert_id"] == f"builtin.clock_skew|edge-2|{NOW}"
    assert [(row["revision"], row["supersedes"], row["previous_state"]) for row in (begin, end)] == [
        (1, None, None),
        (2, 1, "active"),
    ]
    assert (begin["source_id"], begin["members"], begin["annunciated"]) == ("edge-2", [], True)
    assert (begin["kind"], begin["rule_id"], begin["work_center"]) == ("alert", "builtin.clock_skew", "line-2")
    assert (begin["site"], begin["tenant"], begin["unit"], begin["limit"]) == ("hall", "acme", "s", 60.0)
    assert (begin["begin_time"], begin["event_time"], begin["end_time"]) == (NOW, NOW + 19 * S, None)
    assert begin["evidence"] == [f"{RAW_READING}/3/19"]
    assert begin["message"] == (
        "Clock of source edge-2 at line-2 is 1 h ahead of the time at which its readings are seen, since 14:13:20 UTC: "
        "they are re-timed as estimates; set the clock of the source (UTC, from a time server), or give its signals "
        "their time_zone if it sends local time."
    )
    assert end["end_time"] == end["event_time"] == NOW + 211 * S
    assert end["message"] == (
        "Clock of source edge-2 at line-2 is right again after 3 min 31 s: its own stamps are taken as they are."
    )
    assert not run.state["clock"].height


def test_between_the_limits_nothing_begins_and_nothing_ends() -> None:
    """Hysteresis: 45 s begin no skew, and do not end one that began with 90 s; 20 s do."""
    run = Run(SIGNALS).step(*steadily(range(100), 45 * S))
    assert not alerts(run)
    run.step(*steadily(range(100, 200), 90 * S), *steadily(range(200, 300), 45 * S))
    assert [state for state, _, _ in alerts(run)] == ["active"]
    assert off(run)[-1] == 0
    run.step(*steadily(range(300, 400), 20 * S))
    assert [state for state, _, _ in alerts(run)] == ["active", "cleared"]
    assert off(run)[-1] == 20 * S


def test_a_clock_that_is_set_right_is_believed_at_once() -> None:
    """Right stamps pass while the last samples still say otherwise; ones of the wrong clock are still corrected."""
    sent = [*steadily(range(40), HOUR), second(40), second(41, HOUR), second(42)]
    run = Run(SIGNALS).step(*sent)
    assert off(run)[-3:] == [0, 0, 0]
    assert [row["flags"] for row in run.readings[-3:]] == [0, 16, 0]


def test_a_drifting_clock_is_one_skew() -> None:
    """The offset follows in steps of 5 s, counted, without further alerts."""
    sent = [second(number, 2 * 60 * S + number * S // 10) for number in range(400)]
    run = Run(SIGNALS).step(*sent)
    assert len(alerts(run)) == 1
    assert 5 <= run.counts["clocks", "moved"] <= 8
    assert max(abs(one) for one in off(run)[100:]) < 10 * S


def test_a_source_that_leaves_the_dictionary_is_forgotten_and_its_alert_cleared() -> None:
    """At the next timer, on the line where it was raised; a source that stays keeps its state."""
    sent = [*steadily(range(40), HOUR, source_id="edge-2"), *steadily(range(40, 80), HOUR)]
    run = Run(SIGNALS).step(*sent)
    run.context = context(SIGNALS[:1])
    run.timer(NOW + 100 * S).timer(NOW + 101 * S)
    assert [(state, source) for state, source, _ in alerts(run)] == [
        ("active", "edge-2"),
        ("active", "edge-1"),
        ("cleared", "edge-2"),
    ]
    cleared = run.rows("ops.alert.v1")[-1]
    assert (cleared["work_center"], cleared["reason"], cleared["revision"]) == ("line-2", "signal_removed", 2)
    assert cleared["message"].endswith("no longer judged after 39 s, as the dictionary has none of its signals.")
    assert run.counts["clocks", "forgotten"] == 1
    assert run.state["clock"]["source_id"].to_list() == ["edge-1"]
