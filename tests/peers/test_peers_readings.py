"""What users of other systems complain of: quality and time lost on the way in, one bad value that costs its
neighbours, retransmits that end in a quarantine.

Each test has the situation of a complaint, which it cites, on our `validate`, and on who computes with its readings.
"""

from __future__ import annotations

from typing import Any

from streams.core.frames import BAD, GOOD, HISTORICAL, UNCERTAIN
from tests.core.alert_scene import R, Task, context, signal
from tests.core.silence_scene import BAD_QUALITY, FROZEN, MISSING, every, rang
from tests.core.silence_scene import run as time_passes
from tests.core.validate_run import NOW, RAW_BATCH, RAW_READING, Run, S, record
from tests.core.validate_run import signal as entry
from tests.simulation.reference import SECOND, Reading, Signal
from tests.simulation.window_run import T0, version
from tests.simulation.window_run import Run as WindowRun
from tests.simulation.window_run import context as window_context

DICTIONARY = [entry(name, name) for name in ("a", "b", "c")]
MEASURED = Signal("a", period=SECOND, lengths=(10,))


def batch(offset: int, **fields: Any) -> tuple[str, dict[str, Any]]:
    """Three metrics of one message, each with a time, a quality and a flag of its own."""
    own = {
        "boot_id": "b1",
        "sequence": 7,
        "address": ["a", "b", "c"],
        "source_time": [NOW - 3 * S, NOW - 2 * S, NOW - S],
        "value_double": [1.0, 2.0, 3.0],
        "quality_raw": [192, 64, 0],
        "quality_scheme": "opcda",
        "historical": [True, False, False],
    }
    return record(RAW_BATCH, offset, **own | fields)


def window_of(readings: list[Reading], until_s: int) -> list[dict[str, Any]]:
    """The windows of ten seconds of `a`; its node lives until `until_s`."""
    run = WindowRun(context=window_context([version(MEASURED)]))
    run.step([*readings, *(Reading("closing", "edge-1", T0 + at * SECOND, 0.0) for at in range(until_s))])
    return [row for row in run.windows if row["signal_id"] == "a"]


def test_each_metric_keeps_its_own_time_quality_and_flag() -> None:
    """benthos-umh's Sparkplug input: per-metric time and quality were lost, the message's stood for all. Here every
    metric of a message has its own, and the code it was sent with.
    """
    told = Run(DICTIONARY).step(batch(1)).readings
    assert [(row["signal_id"], row["event_time"], row["quality"], row["quality_raw"]) for row in told] == [
        ("a", NOW - 3 * S, GOOD, 192),
        ("b", NOW - 2 * S, UNCERTAIN, 64),
        ("c", NOW - S, BAD, 0),
    ]
    assert [row["flags"] & HISTORICAL for row in told] == [HISTORICAL, 0, 0]


def test_one_bad_status_code_costs_nobody_else_a_reading() -> None:
    """StreamPipes #3283: where a single field has a bad status code the full event is discarded. Here it passes as bad
    and its neighbours as they are, also beside a field that cannot be read at all.
    """
    run = Run(DICTIONARY).step(batch(1, quality_raw=[192, 0, 192], historical=None))
    assert [(row["value_double"], row["quality"]) for row in run.readings] == [(1.0, GOOD), (2.0, BAD), (3.0, GOOD)]
    run = Run(DICTIONARY).step(batch(1, value_double=[1.0, None, 3.0], quality_raw=[192, 192, 192]))
    assert [row["signal_id"] for row in run.readings] == ["a", "c"]
    assert [(reason, address) for reason, *_, address in run.rejects] == [("no_value", "b")]


def test_a_bad_value_enters_no_statistic() -> None:
    """StreamPipes #3283, the other way round: what is bad is not taken for good either."""
    sent = [(1, 10.0, GOOD), (3, 1e9, BAD), (5, 20.0, GOOD)]
    readings = [Reading("a", "edge-1", T0 + at * SECOND, value, quality=quality) for at, value, quality in sent]
    window = window_of(readings, 20)[0]
    assert (window["count"], window["count_bad"], window["min"], window["max"]) == (2, 1, 10.0, 20.0)
    assert window["share_bad"] == 0.2


def test_a_controller_that_is_unplugged_does_not_stay_good() -> None:
    """UA-EdgeTranslator #50: with the PLC unplugged quality stayed Good. Here a value that is not told again
    stands for two and a half periods; then its time is unknown, and the signal is missing.
    """
    windows = window_of([Reading("a", "edge-1", T0 + at * SECOND, 20.0) for at in range(15)], 40)
    assert [(row["share_good"], row["duration_unknown_s"]) for row in windows] == [(1.0, 0.0), (0.65, 3.5)]
    plant = context([signal("a", period_ms=1000), signal("b", period_ms=1000)])
    rows = time_passes(Task([MISSING], plant), [*every("a", 0, 15), *every("b", 0, 60)], 60)
    assert rang(rows) == [("missing", "a")]


def test_a_gateway_that_repeats_what_it_knows_is_seen_through() -> None:
    """UA-EdgeTranslator #50 again, where the gateway repeats the last value as Good: standing still for longer than any
    sensor of a running machine does it is told as frozen, and a status that does turn bad as a bad sensor.
    """
    plant = context(
        [
            signal("a", period_ms=1000, work_unit="filler"),
            signal("b", period_ms=1000, work_unit="filler"),
            signal("m", role="state", unit=None, reporting="on_change", work_unit="filler"),
        ]
    )
    repeated = [R(0, "m", "running"), *every("a", 0, 15), *every("a", 16, 60, 15.0), *every("b", 0, 60)]
    assert rang(time_passes(Task([FROZEN, MISSING], plant), repeated, 60)) == [("frozen", "a")]
    bad = [*every("a", 0, 15), *every("a", 16, 60, 15.0, quality=BAD), *every("b", 0, 60)]
    assert rang(time_passes(Task([BAD_QUALITY, MISSING], plant), bad, 60)) == [("bad-quality", "a")]


def test_retransmits_fill_no_quarantine() -> None:
    """Ignition's store and forward: data that was sent twice collided on (tag, timestamp) and filled a quarantine until
    a person stepped in. Here a batch that comes again is dropped and counted, in whichever chunk; nothing is rejected.
    """
    run = Run(DICTIONARY).step(batch(1)).step(batch(2), batch(3)).step(batch(4, sequence=8, value_double=[4.0] * 3))
    assert [row["value_double"] for row in run.readings] == [1.0, 2.0, 3.0, 4.0, 4.0, 4.0]
    assert run.counts["repeats", "batch"] == 2
    assert not run.rejects


def test_readings_that_collide_on_tag_and_time_need_no_person() -> None:
    """Ignition's quarantine again, for readings without a batch number: the same is one reading, another value of the
    same instant is decided by the source's sequence, and both are counted; the window is as if it had come once.
    """
    run = Run(DICTIONARY)
    for offset in range(3):
        run.step(record(RAW_READING, offset, address="a", value_double=1.0, sequence=5))
    assert (len(run.readings), run.rejects) == (3, [])
    plain = [Reading("a", "edge-1", T0 + at * SECOND, float(at), sequence=at) for at in range(10)]
    again = [*plain, *plain[3:6], Reading("a", "edge-1", T0 + 4 * SECOND, 99.0, sequence=3)]
    once, twice = (
        [{name: value for name, value in row.items() if name != "emitted_at"} for row in window_of(readings, 40)]
        for readings in (plain, again)
    )
    assert once == twice
