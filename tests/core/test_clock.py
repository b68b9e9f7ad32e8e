"""Clocks of sources: what is evidence of a skew, who is re-timed, and who is not."""

from __future__ import annotations

import pytest

from streams.core.validate.skew import ClockConfig
from tests.core.clock_scene import HOUR, SIGNALS, YEAR, alerts, off, second, steadily
from tests.core.validate_run import DAY, NOW, RAW_BATCH, Run, S, record


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


def test_limits_that_contradict_each_other_are_named() -> None:
    """Every fault in one message."""
    with pytest.raises(ValueError, match=r"span_s: set a positive number; readings: set at least 2; end_s: set less"):
        ClockConfig(begin_s=30, end_s=30, readings=1, span_s=0)
