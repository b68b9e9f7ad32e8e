"""Local times: what each stamp of a zone's year means in UTC, and where that is in doubt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.validate import zones
from tests.core import reference_clock, reference_validate
from tests.core.validate_run import RAW_READING, Run, S, feed, record, signal

HOUR = 3600 * S
MINUTE = 60 * S
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BERLIN, NEW_YORK, KOLKATA, LORD_HOWE = "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"


def us(text: str) -> int:
    """Microseconds of a time of day, as if it were UTC."""
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def in_utc(zone: str | None, wall: int, seen: int | None = None, *, historical: bool = False) -> tuple[int, bool]:
    frame = pl.DataFrame(
        {"source_time": [wall], "reference": [seen], "historical": [historical]},
        schema={"source_time": pl.Int64, "reference": pl.Int64, "historical": pl.Boolean},
    )
    row = zones.to_utc(frame, pl.Series([zone], dtype=pl.String)).row(0, named=True)
    return row["source_time"], row["ambiguous"]


@pytest.mark.parametrize(
    ("zone", "wall", "utc", "doubt"),
    [
        (BERLIN, "2026-07-01 12:00", "2026-07-01 10:00", False),
        (BERLIN, "2026-01-15 12:00", "2026-01-15 11:00", False),
        # Spring: 02:00 becomes 03:00 on 29 March 2026.
        (BERLIN, "2026-03-29 01:59:59", "2026-03-29 00:59:59", False),
        (BERLIN, "2026-03-29 02:00", "2026-03-29 01:00", True),
        (BERLIN, "2026-03-29 02:59:59", "2026-03-29 01:59:59", True),
        (BERLIN, "2026-03-29 03:00", "2026-03-29 01:00", False),
        # Autumn: 03:00 becomes 02:00 on 25 October 2026.
        (BERLIN, "2026-10-25 01:59:59", "2026-10-24 23:59:59", False),
        (BERLIN, "2026-10-25 02:00", "2026-10-25 00:00", True),
        (BERLIN, "2026-10-25 02:59:59", "2026-10-25 00:59:59", True),
        (BERLIN, "2026-10-25 03:00", "2026-10-25 02:00", False),
        # 8 March and 1 November 2026, at 2 o'clock.
        (NEW_YORK, "2026-03-08 01:59:59", "2026-03-08 06:59:59", False),
        (NEW_YORK, "2026-03-08 02:30", "2026-03-08 07:30", True),
        (NEW_YORK, "2026-03-08 03:00", "2026-03-08 07:00", False),
        (NEW_YORK, "2026-11-01 00:59:59", "2026-11-01 04:59:59", False),
        (NEW_YORK, "2026-11-01 01:30", "2026-11-01 05:30", True),
        (NEW_YORK, "2026-11-01 02:00", "2026-11-01 07:00", False),
        # No summer time; a half hour; and a summer time of half an hour (5 April and 4 October 2026).
        (KOLKATA, "2026-03-29 02:30", "2026-03-28 21:00", False),
        (LORD_HOWE, "2026-04-05 01:45", "2026-04-04 14:45", True),
        (LORD_HOWE, "2026-10-04 02:15", "2026-10-03 15:45", True),
        (None, "2026-10-25 02:30", "2026-10-25 02:30", False),
        # No local times: they stay, to be judged as what they say.
        (BERLIN, "1899-12-31 23:59:59", "1899-12-31 23:59:59", False),
        (BERLIN, "2200-01-01 00:00:01", "2200-01-01 00:00:01", False),
    ],
)
def test_the_days_on_which_clocks_are_set(zone: str | None, wall: str, utc: str, doubt: bool) -> None:
    """Without anyone who saw the reading: twice is the earlier, never is by the clock before it was set."""
    assert in_utc(zone, us(wall)) == (us(utc), doubt)


@pytest.mark.parametrize("stamp", [2**63 - 1, -(2**63)])
def test_the_ends_of_64_bits_are_no_local_times(stamp: int) -> None:
    """Nothing overflows, nothing is raised."""
    assert in_utc(BERLIN, stamp) == (stamp, False)


@pytest.mark.parametrize(
    ("seen", "historical", "utc"),
    [
        ("2026-10-25 00:30:01", False, "00:30"),  # the later one would lie in the future
        ("2026-10-25 01:29:30", False, "01:30"),  # clocks may differ by a minute
        ("2026-10-25 01:30:01", False, "01:30"),
        ("2026-10-25 02:00", False, "01:30"),
        ("2026-10-25 02:00:01", False, "00:30"),  # seen late: which one is not known
        ("2026-10-25 09:00", False, "00:30"),
        ("2026-10-25 01:30:01", True, "00:30"),  # sent out of a buffer
    ],
)
def test_who_saw_the_reading_tells_the_two_hours_apart(seen: str, historical: bool, utc: str) -> None:
    """A live reading of the repeated hour is read as the hour in which it was seen, and marked all the same."""
    assert in_utc(BERLIN, us("2026-10-25 02:30"), us(seen), historical=historical) == (us(f"2026-10-25 {utc}"), True)


def test_a_source_in_local_time_lives_through_the_autumn_night_without_a_gap() -> None:
    """A reading a minute from 01:30 to 03:30 on the wall: event times go on by a minute, 120 readings are marked."""
    first = us("2026-10-24 23:30")
    sent = []
    for number in range(180):
        seen = first + number * MINUTE
        local = seen + (2 * HOUR if seen < us("2026-10-25 01:00") else HOUR)
        times = {"source_time": local, "gateway_time": seen, "_time": seen}
        sent.append(record(RAW_READING, number, address="X", value_double=1.0, **times))
    rows = [signal("x", "X", time_zone=BERLIN)]
    for cuts in (set[int](), {50, 100, 101}):
        run = feed(Run(rows), sent, cuts)
        assert [row["event_time"] for row in run.readings] == [first + number * MINUTE for number in range(180)]
        assert [row["flags"] for row in run.readings] == [0] * 30 + [32] * 120 + [0] * 30
        assert run.counts["local_time", "ambiguous"] == 120
        assert not run.rows("ops.alert.v1")


def test_each_signal_has_the_zone_of_its_version() -> None:
    """Two zones and none in one source; a zone that comes with a version holds from its begin."""
    begin = us("2026-07-01 00:00")
    rows = [
        signal("b", "B", time_zone=BERLIN),
        signal("n", "N", time_zone=NEW_YORK),
        signal("u", "U"),
        signal("v", "V"),
        signal("v", "V", valid_from=begin, time_zone=BERLIN),
    ]
    noon = us("2026-07-01 12:00")
    seen = {"value_double": 1.0, "_time": noon + 5 * HOUR}
    run = Run(rows).step(
        *(record(RAW_READING, n, address=name, source_time=noon, **seen) for n, name in enumerate("BNUV")),
        record(RAW_READING, 9, address="V", source_time=begin - 12 * HOUR, **seen),
        record(RAW_READING, 10, address="B", source_time=None, **seen),
    )
    hours = [(row["event_time"] - noon) // HOUR for row in run.readings]
    assert hours == [-2, 4, 0, -2, -24, 5]
    assert [row["flags"] for row in run.readings] == [0, 0, 0, 0, 0, 16]


def test_a_zone_that_nobody_knows_is_counted_and_read_as_utc() -> None:
    """Once per version of the dictionary, as a fault of its own; the readings pass with their stamps as they are."""
    rows = [signal("x", "X", time_zone="Europe/Bielefeld"), signal("y", "Y", time_zone=BERLIN), signal("z", "Z")]
    time = us("2026-07-01 12:00")
    run = Run(rows)
    for number in range(2):
        run.step(record(RAW_READING, number, address="X", value_double=1.0, source_time=time, _time=time))
    assert run.counts["context_faults", "unknown_time_zone"] == 1
    assert [row["event_time"] for row in run.readings] == [time, time]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["B", "N", "K", "U"]),
            st.sampled_from(["2026-03-29 02:00", "2026-10-25 02:00", "2026-11-01 01:00", "2026-03-08 02:00"]),
            st.integers(-90, 150),
            st.sampled_from([None, 0, 20, 45, 300]),
            st.booleans(),
        ),
        min_size=1,
        max_size=20,
    ),
    st.sets(st.integers(0, 20)),
)
def test_any_stamps_around_the_changes_are_read_as_the_reference_reads_them(
    drawn: list[tuple[str, str, int, int | None, bool]], cuts: set[int]
) -> None:
    """The standard library's zones say the same, in any order and any split."""
    rows = [
        signal(name, name, time_zone=zone) for name, zone in zip("BNKU", (BERLIN, NEW_YORK, KOLKATA, None), strict=True)
    ]
    sent: list[tuple[str, dict[str, Any]]] = []
    for number, (address, change, minutes, delay, historical) in enumerate(drawn):
        wall = us(change) + minutes * MINUTE
        seen = None if delay is None else wall + 8 * HOUR if address == "N" else wall + delay * MINUTE
        times = {"source_time": wall, "gateway_time": seen, "_time": us("2026-12-01 00:00"), "historical": historical}
        sent.append(record(RAW_READING, number, address=address, value_double=1.0, **times))
    run = feed(Run(rows), sent, cuts)
    expected = reference_validate.validate(sent, rows, us("2026-12-01 00:00"))
    assert run.readings == expected.readings
    for address, change, minutes, _, _ in drawn:
        wall, zone = (
            us(change) + minutes * MINUTE,
            dict(zip("BNKU", (BERLIN, NEW_YORK, KOLKATA, None), strict=True))[address],
        )
        for seen in (None, wall - HOUR, wall - 2 * HOUR, wall + 5 * HOUR):
            assert in_utc(zone, wall, seen) == reference_clock.utc_of(wall, zone, seen, historical=False)
