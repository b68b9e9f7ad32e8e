"""What each source does to the watermark, as gauges and as rows."""

from __future__ import annotations

import polars as pl

from streams.core.frames import ID
from streams.core.stage import Moment
from streams.core.times import NEVER_US
from streams.core.window.standing import SLOWEST, STATUSES, gauges, standings
from streams.core.window.watermark import SOURCE, Patience, Sources
from tests.simulation.reference import SECOND
from tests.simulation.window_run import T0

PATIENCE = Patience(2 * SECOND, 10 * SECOND, 60 * SECOND)


def table(*rows: tuple[str, float, float, float, float | None]) -> pl.DataFrame:
    """Source, highest event time, last seen, last logged, begin of its backlog (s)."""
    made = [
        [name, *(NEVER_US if second is None else T0 + round(second * SECOND) for second in seconds)]
        for name, *seconds in rows
    ]
    frame = pl.DataFrame(made, schema=SOURCE.schema.names(), orient="row")
    return frame.with_columns(pl.col("source_id").cast(ID))


SCENE = table(
    ("ahead", 100, 100, 100, None),
    ("slowest", 90, 100, 100, None),
    ("silent in the log", 40, 100, 89, None),
    ("silent by the clock", 50, 89, 99, None),
    ("backlog", 10, 100, 100, 95),
)
WATERMARK = T0 + 88 * SECOND
NOW = Moment(T0 + 100 * SECOND, T0)


def test_every_source_is_told_with_what_it_does() -> None:
    """By status, the slowest first: who holds, who is ahead, who is released by which clock, who delivers a backlog."""
    found = standings(SCENE, WATERMARK, NOW, PATIENCE)
    assert [(one.source_id, one.status) for one in found] == [
        ("slowest", "holding"),
        ("ahead", "ahead"),
        ("silent in the log", "released"),
        ("silent by the clock", "released"),
        ("backlog", "backlog"),
    ]
    assert found[0].max_event_time == T0 + 90 * SECOND
    assert [one.backlog_since for one in found] == [None, None, None, None, T0 + 95 * SECOND]


def test_before_a_task_has_caught_up_only_the_log_tells_of_silence() -> None:
    """What was last processed 11 s ago may have said something since that waits to be read."""
    found = standings(SCENE, WATERMARK, Moment(NOW.now_us), PATIENCE)
    status = {one.source_id: one.status for one in found}
    assert status["silent by the clock"] == "holding"
    assert status["silent in the log"] == "released"


def test_a_source_is_judged_by_its_own_limits() -> None:
    """A disorder of 12 s: it is what the watermark waits for; an idle limit of 20 s: it is not released."""
    own = Patience(2 * SECOND, 10 * SECOND, 0, {"ahead": 12 * SECOND}, {"silent in the log": 20 * SECOND})
    status = {one.source_id: one.status for one in standings(SCENE, WATERMARK, NOW, own)}
    assert (status["ahead"], status["silent in the log"]) == ("holding", "holding")


def test_gauges_count_and_rank_the_living_ones() -> None:
    """Numbers by status; event times of the slowest living sources by rank; no name anywhere."""
    found = gauges(Sources.of(SCENE), WATERMARK, NOW, PATIENCE)
    counts = {name: found[f"sources_{name}"] for name in STATUSES}
    assert counts == {"holding": 1, "ahead": 1, "released": 2, "backlog": 1}
    ranks = {name: (time - T0) // SECOND for name, time in found.items() if name.startswith("slowest")}
    assert ranks == {"slowest_source_1": 90, "slowest_source_2": 100}


def test_gauges_are_bounded_and_told_of_nobody_as_well() -> None:
    """However many sources there are; without any all numbers are 0."""
    many = table(*((f"edge-{number}", 100 + number, 100, 100, None) for number in range(50)))
    found = gauges(Sources.of(many), WATERMARK, NOW, PATIENCE)
    assert [name for name in found if name.startswith("slowest")] == [f"slowest_source_{n + 1}" for n in range(SLOWEST)]
    assert found["slowest_source_1"] == T0 + 100 * SECOND
    assert set(gauges(Sources.of(SOURCE.empty()), NEVER_US, NOW, PATIENCE).values()) == {0}
