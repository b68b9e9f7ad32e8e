"""Who tells of a unit, and which of several readings of one instant counts: lines, bad values, births."""

from __future__ import annotations

from itertools import groupby, permutations
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.frames import BAD, BIRTH, FORCED, HISTORICAL
from streams.core.kpi.readings import READINGS, distinct, telling
from tests.core.kpi_run import EIGHT, NOW, SECOND, STANDARD, Run, context, good, signals, state
from tests.core.reference_kpi import MINUTE

COUNTER = 1
READ = ["event_us", "sequence", "value_long", "quality", "source_id", "flags", "ingest_us"]


def oven(at: int, **fields: Any) -> dict[str, Any]:
    """A reading of the other line, by the source of the first."""
    return {"signal_id": "oven", "work_center": "line-2", "event_time": at, "value_double": 1.0, **fields}


@pytest.mark.parametrize("role", ["measurement", "good_counter"])
def test_a_source_of_two_lines_tells_of_each_what_it_sends_to_it(role: str) -> None:
    """The task of one line writes nothing of a unit of the other, though one source sends to both."""
    other = {"signal_id": "oven", "role": role, "work_center": "line-2", "work_unit": "oven"}
    run = Run(context(signals(*STANDARD, other)))
    run.step(oven(EIGHT), oven(EIGHT + 10 * MINUTE, value_double=5.0))
    run.timer(NOW + 7200 * SECOND)
    assert {record["kpi_id"].split("|")[1] for record in run.records} == ({"oven"} if role != "measurement" else set())


def test_what_a_source_sends_to_another_line_is_no_life_of_a_unit() -> None:
    """A state is unknown while its source sends to another line only: whether both lines share a task is no matter."""
    other = {"signal_id": "oven", "role": "good_counter", "work_center": "line-2", "work_unit": "oven"}
    run = Run(context(signals(*STANDARD, other)))
    run.step(
        state(EIGHT, "running"),
        state(EIGHT + 10 * MINUTE, "running"),
        *(oven(EIGHT + minute * MINUTE) for minute in range(0, 61, 5)),
    )
    run.timer(NOW + 7200 * SECOND)
    record = run.latest["availability|filler|hour|2026-01-01T08:00:00Z"]
    assert (record["apt_s"], record["unknown_s"]) == (600, 3000)


@pytest.mark.parametrize(
    "wins", [{"quality": BAD}, {"flags": BIRTH}, {"value_long": None, "value_double": float("nan")}]
)
def test_a_reading_that_counts_nothing_hides_what_it_wins_over(wins: dict[str, Any]) -> None:
    """At one instant the highest sequence wins as in windows, also where it is bad or a birth; so in every order."""
    contested = EIGHT + 50 * MINUTE
    items = [
        good(EIGHT, 0),
        good(contested, 100, sequence=1),
        good(contested, 100, **{"sequence": 2, **wins}),
        good(EIGHT + 70 * MINUTE, 150),
        state(EIGHT, "running"),
        state(EIGHT + 125 * MINUTE, "running"),
    ]
    for order in list(permutations(items[:4]))[::5]:
        run = Run(context())
        for item in [*order, *items[4:]]:
            run.step(item)
        run.timer(NOW + 7200 * SECOND)
        made = [run.latest[f"oee|filler|hour|2026-01-01T0{hour}:00:00Z"]["gq"] for hour in (8, 9)]
        assert made == [0, 150]


readings = st.fixed_dictionaries(
    {
        "event_us": st.integers(0, 2),
        "sequence": st.sampled_from([None, 1, 2]),
        "value_long": st.sampled_from([None, 5, 2**60, 2**60 + 1]),
        "quality": st.sampled_from([0, 1, BAD]),
        "source_id": st.sampled_from(["edge-1", "edge-2"]),
        "flags": st.sampled_from([0, 0, FORCED, HISTORICAL, BIRTH]),
        "ingest_us": st.integers(0, 3),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(readings, max_size=12), st.randoms())
def test_the_winner_of_each_instant_counts_if_it_tells_something(items: list[dict[str, Any]], chance: Any) -> None:
    """Of a counter's readings those are left that win their instant by the plain order and tell a number of now."""

    def rank(item: dict[str, Any]) -> Any:
        sequence, value = (-1 if item[name] is None else item[name] for name in ("sequence", "value_long"))
        plain = [not item["flags"] & flag for flag in (HISTORICAL, BIRTH, FORCED)]
        return (sequence, value, item["quality"], item["source_id"], *plain)

    chance.shuffle(items)
    rows = [{"signal_id": "c", "work_unit": "u", "role": COUNTER, **item} for item in items]
    found = distinct(telling(pl.DataFrame(rows, schema=READINGS)))
    by_time = [list(same) for _, same in groupby(sorted(items, key=lambda i: i["event_us"]), lambda i: i["event_us"])]
    highest: list[dict[str, Any]] = [max(same, key=rank) for same in by_time]
    received = [min(item["ingest_us"] for item in same) for same in by_time]
    won = [{**one, "ingest_us": first} for one, first in zip(highest, received, strict=True)]
    told = [one for one in won if one["value_long"] is not None and one["quality"] != BAD and one["flags"] != BIRTH]
    assert found.select(READ).to_dicts() == told
