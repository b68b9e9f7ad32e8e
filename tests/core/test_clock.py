"""Clocks of sources: who is re-timed, who is not, and what is told."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.alert.output import ALERT
from streams.core.validate.clock import TABLE
from streams.core.validate.skew import ClockConfig
from streams.core.validate.stage import Validate, ValidateConfig
from tests.core import reference_clock, reference_validate
from tests.core.validate_run import DAY, NOW, RAW_BATCH, RAW_READING, Run, S, context, feed, record, signal

HOUR = 3600 * S
YEAR = 365 * DAY
SIGNALS = [signal("x", "X"), signal("y", "X", source_id="edge-2", work_center="line-2", tenant="acme")]
Record = tuple[str, dict[str, Any]]


def second(number: int, ahead: int = 0, **fields: Any) -> Record:
    """A reading that a gateway saw, and the broker stamped, in this second; its own clock is `ahead` of that."""
    seen = NOW + number * S
    given_ = {"source_time": seen + ahead, "gateway_time": seen, "_time": seen, "address": "X", "value_double": 1.0}
    return record(RAW_READING, number, **{**given_, **fields})


def steadily(numbers: Iterable[int], ahead: int = 0, **fields: Any) -> list[Record]:
    return [second(number, ahead, **fields) for number in numbers]


def off(run: Run) -> list[int]:
    """How far each reading's event time is from the time at which the broker saw it (us)."""
    return [row["event_time"] - row["ingest_time"] for row in run.readings]


def alerts(run: Run) -> list[tuple[str, str, float]]:
    return [(row["state"], row["alert_id"].split("|")[1], row["value"]) for row in run.rows("ops.alert.v1")]


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, 90 * S, YEAR, -NOW + 5 * S, 12 * YEAR])
def test_a_source_that_is_always_off_is_retimed_from_its_twentieth_reading_on(ahead: int) -> None:
    """An hour ahead or behind, a year ahead, in 1970, in 2038: event time is the gateway's, marked estimated (16)."""
    run = Run(SIGNALS).step(*steadily(range(40), ahead))
    impossible = ahead > DAY or ahead < -10 * YEAR
    assert off(run) == ([] if impossible else [ahead] * 19) + [0] * 21
    assert [row["flags"] for row in run.readings][-21:] == [16] * 21
    assert run.counts["rejects", "impossible_time"] == (19 if impossible else 0)
    assert run.counts["clocks", "retimed"] == 21
    assert alerts(run) == [("active", "edge-1", ahead / S)]


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


def test_an_isolated_impossible_stamp_is_rejected_under_good_and_under_skewed_clocks() -> None:
    """One reading a year ahead among good ones changes nothing for the others, nor among ones an hour ahead."""
    for ahead in (0, HOUR):
        sent = steadily(range(60), ahead)
        sent[30] = second(30, YEAR)
        run = Run(SIGNALS).step(*sent)
        assert run.counts["rejects", "impossible_time"] == 1
        assert len(run.readings) == 59
        assert off(run)[30:] == [0] * 29


def test_ahead_of_the_broker_is_a_skew_behind_it_is_a_delay() -> None:
    """Without gateway time: ahead is re-timed from the broker's append time, behind is left as it is, told nobody."""
    run = Run(SIGNALS).step(*steadily(range(40), HOUR, gateway_time=None))
    assert (off(run)[-1], len(alerts(run))) == (0, 1)
    run = Run(SIGNALS).step(*steadily(range(40), -HOUR, gateway_time=None))
    assert (set(off(run)), alerts(run)) == ({-HOUR}, [])


def test_a_backlog_is_no_skew() -> None:
    """Six hours of readings at once: sent as historical, seen by their gateway long ago, or drained fast."""
    late = {number: (21_600 - 20 * number) * S for number in range(1_000)}
    for fields in ("historical", "gateway", "drained"):
        sent = []
        for number, delay in late.items():
            gateway = {"gateway_time": NOW + number * S - delay} if fields == "gateway" else {}
            sent.append(second(number, -delay, historical=fields == "historical", **gateway))
        run = Run(SIGNALS).step(*sent)
        assert off(run) == [-delay for delay in late.values()], fields
        assert not alerts(run), fields


def test_batches_over_long_times_are_no_skew() -> None:
    """A source that sends every five minutes what it collected is not behind; nor is one bad stamp in each batch."""
    run = Run(SIGNALS)
    for number in range(100):
        seen = NOW + number * 300 * S
        times = [seen - (299 - place) * S for place in range(299)] + [seen + HOUR]
        arrays = {"address": ["X"] * 300, "source_time": times, "value_double": [1.0] * 300}
        run.step(record(RAW_BATCH, number, gateway_time=seen, _time=seen, **arrays))
    assert not alerts(run)
    assert run.counts["clocks", "retimed"] == 0


def test_a_stamp_that_stands_still_is_no_clock() -> None:
    """Values acquired hours ago and read again and again, and a constant in 1970, are neither re-timed nor told."""
    for stamp in (NOW - 3 * HOUR, 0):
        run = Run(SIGNALS).step(*steadily(range(200), source_time=stamp))
        assert not alerts(run)
        assert {row["event_time"] for row in run.readings} == ({stamp} if stamp else set())
        assert run.counts["rejects", "impossible_time"] == (0 if stamp else 200)


def test_a_gateway_that_is_wrong_itself_is_not_believed() -> None:
    """The source agrees with the broker: it stays as it is where its gateway is hours behind, ahead, or in 1970."""
    for gateway in (-HOUR, HOUR, -NOW):
        sent = [second(number, gateway_time=NOW + number * S + gateway) for number in range(60)]
        run = Run(SIGNALS).step(*sent)
        assert (set(off(run)), alerts(run)) == ({0}, [])


def test_births_are_no_evidence() -> None:
    """A gateway that starts again re-announces old values: their age is no skew."""
    run = Run(SIGNALS).step(*steadily(range(60), -HOUR, birth=True))
    assert not alerts(run)


def test_a_backlog_of_a_skewed_source_is_retimed_with_it() -> None:
    """Historical readings carry the same clock's stamps; what would come to lie in the future is left alone."""
    run = Run(SIGNALS).step(*steadily(range(40), -HOUR))
    run.step(second(40, -5 * HOUR, historical=True), second(41, -600 * S, historical=True))
    assert off(run)[-2:] == [-4 * HOUR, -600 * S]


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_the_ends_of_64_bits_stay_impossible_under_any_offset(ahead: int) -> None:
    """Nothing overflows into a time that could be: they are rejected, though nobody says when they were seen."""
    ends = {"source_time": 2**63 - 1}, {"source_time": -(2**63)}
    odd = [second(40 + n, gateway_time=None, _time=-1, historical=n > 1, **ends[n % 2]) for n in range(4)]
    run = Run(SIGNALS).step(*steadily(range(40), ahead), *odd, second(50, ahead))
    assert (len(run.readings), run.counts["rejects", "impossible_time"]) == (41, 4)


def test_a_drifting_clock_is_one_skew() -> None:
    """The offset follows in steps of 5 s, counted, without further alerts."""
    sent = [second(number, 2 * 60 * S + number * S // 10) for number in range(400)]
    run = Run(SIGNALS).step(*sent)
    assert len(alerts(run)) == 1
    assert 5 <= run.counts["clocks", "moved"] <= 8
    assert max(abs(one) for one in off(run)[100:]) < 10 * S


def test_a_fast_source_is_watched_for_ten_seconds_too() -> None:
    """A thousand readings within a second say no more than a few: the skew begins when ten seconds have said so."""
    sent = []
    for number in range(15_000):
        seen = NOW + number * S // 1_000
        sent.append(second(number, source_time=seen + HOUR, gateway_time=seen, _time=seen))
    run = Run(SIGNALS).step(*sent)
    (alert,) = run.rows("ops.alert.v1")
    assert 10 * S <= alert["event_time"] - NOW <= 11 * S
    assert run.state["clock"]["references"].list.len().to_list() == [22]


def test_healthy_clocks_and_unknown_sources_cost_no_state() -> None:
    """A row exists only while a source the dictionary knows is off, or was off in one of its last samples."""
    run, rows = Run(SIGNALS), []
    unknown = steadily(range(30), HOUR, source_id="edge-9")
    for chunk in ([*steadily(range(30)), *unknown], [second(30, HOUR), *steadily(range(31, 52))], [second(52)]):
        run.step(*chunk)
        rows.append(run.state["clock"].height)
    assert rows == [0, 1, 0]


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


def test_limits_that_contradict_each_other_are_named() -> None:
    """Every fault in one message."""
    with pytest.raises(ValueError, match=r"span_s: set a positive number; readings: set at least 2; end_s: set less"):
        ClockConfig(begin_s=30, end_s=30, readings=1, span_s=0)


REGIMES = [0, 0, 20 * S, 45 * S, 70 * S, -70 * S, HOUR, HOUR + 4 * S, HOUR + 40 * S, -HOUR, 2 * YEAR, -NOW + HOUR]


def stamp(chance: random.Random, seen: int, ahead: int) -> int | None:
    jitter = chance.choice([0] * 8 + [chance.randint(-S, S), chance.randint(-40 * S, 0)])
    odd = [None, seen + YEAR, 0, 2**63 - 1, -(2**63), seen - 600 * S]
    return chance.choice(odd) if chance.random() < 0.05 else seen + ahead + jitter


def scenario(seed: int, length: int) -> list[Record]:
    """Two sources whose clocks change now and then, with jitter, delays, batches, births, outliers, missing times."""
    chance = random.Random(seed)
    seen, ahead, records = NOW, {"edge-1": 0, "edge-2": 0}, []
    for offset in range(length):
        source = chance.choice(["edge-1", "edge-1", "edge-2"])
        if chance.random() < 0.05:
            ahead[source] = chance.choice(REGIMES)
        seen += chance.choice([0, S // 10, S, S, 3 * S, -S])
        delay = chance.choice([0] * 20 + [S, 40 * S, 100 * S, HOUR])
        gateway = chance.choice([seen] * 20 + [None, None, None, seen + delay, seen - HOUR, seen + HOUR, 0, 2**63 - 1])
        common = {"source_id": source, "gateway_time": gateway, "_time": chance.choice([seen + delay] * 9 + [-1])}

        count = chance.randint(0, 12) if offset // 20 % 3 == 1 else None
        rare = [chance.random() < 0.05 for _ in range(2)]
        if count is None:
            fields = {"source_time": stamp(chance, seen, ahead[source]), "historical": rare[0], "birth": rare[1]}
            records.append(record(RAW_READING, offset, address="X", value_double=1.0, **common, **fields))
        else:
            arrays = {
                "address": [chance.choice(["X", "X", "X", "X", None, "?"]) for _ in range(count)],
                "source_time": [stamp(chance, seen, ahead[source]) for _ in range(count)],
                "value_double": [1.0] * count,
                "historical": [rare[0]] * count if rare[1] else None,
            }
            records.append(record(RAW_BATCH, offset, **common, **arrays))
    return records


def assert_as_the_reference_has_it(run: Run, records: list[Record], limits: reference_clock.Limits) -> None:
    """Readings, rejects, alerts and steps of the offset."""
    expected = reference_validate.validate(records, SIGNALS, NOW, limits=limits)
    assert run.readings == expected.readings
    assert Counter(run.rejects) == Counter(expected.rejects)
    told = [row for row in expected.clocks if row["kind"] != "moved"]
    states = {"begun": "active", "ended": "cleared"}
    assert alerts(run) == [(states[row["kind"]], row["source_id"], row["offset"] / S) for row in told]
    times = [(row["event_time"], row["begin_time"]) for row in run.rows("ops.alert.v1")]
    assert times == [(row["at"], row["begin"]) for row in told]
    assert run.counts["clocks", "moved"] == len(expected.clocks) - len(told)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32),
    st.sets(st.integers(0, 120), max_size=12),
    st.sampled_from([(2, 1), (3, 2), (5, 3), (20, 10)]),
)
def test_any_stream_in_any_split_gives_what_the_reference_gives(
    seed: int, cuts: set[int], shape: tuple[int, int]
) -> None:
    """A record-by-record program re-times and tells the same, wherever the stream is cut."""
    limits = reference_clock.Limits(readings=shape[0], span_s=shape[1])
    records = scenario(seed, 120)
    run = Run(SIGNALS, ValidateConfig(clock=ClockConfig(readings=shape[0], span_s=shape[1])))
    assert_as_the_reference_has_it(feed(run, records, cuts), records, limits)


def test_scenarios_have_turns() -> None:
    """The property above speaks of skews that begin and end, not of streams in which nothing happens."""
    turns: Counter[str] = Counter()
    for seed in range(20):
        limits = reference_clock.Limits(readings=3, span_s=2)
        expected = reference_validate.validate(scenario(seed, 120), SIGNALS, NOW, limits=limits)
        turns.update(row["kind"] for row in expected.clocks)
    assert turns["begun"] > 20
    assert turns["ended"] > 5
    assert turns["moved"] > 2


def test_a_restart_in_a_skew_goes_on_with_it() -> None:
    """All that a stage needs is in its table: a new one after every chunk says the same as one that stays."""
    sent = [*steadily(range(150), HOUR), *steadily(range(150, 250))]
    stays, starts = Run(SIGNALS).step(*sent), Run(SIGNALS)
    for begin in range(0, 250, 7):
        starts.stage = Validate()
        starts.step(*sent[begin : begin + 7])
    assert starts.readings == stays.readings
    assert starts.rows("ops.alert.v1") == stays.rows("ops.alert.v1")
    assert starts.state["clock"].schema == TABLE.schema
