"""How far event time has come: by source, by task, in silence."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from streams.core.stage import Change, Moment, apply
from streams.core.times import NEVER_US
from streams.core.window.signals import codes
from streams.core.window.watermark import SOURCE, Patience, Progress, Sources, idle, progress
from tests.simulation.reference import SECOND, Reading
from tests.simulation.window_run import T0, frame

PATIENCE = Patience(disorder_us=2 * SECOND, idle_us=10 * SECOND, horizon_us=60 * SECOND)


def chunk(*sent: tuple[str, float], logged_s: float = 0) -> pl.DataFrame:
    """Readings (source, event time in s) appended to the log at one time (s)."""
    made = [Reading("signal", source, T0 + round(second * SECOND), 1.0) for source, second in sent]
    return frame(made, 0, T0 + round(logged_s * SECOND))


class Task:
    """The part of a task's state that watermarks need."""

    def __init__(self, patience: Patience = PATIENCE) -> None:
        self.patience = patience
        self.table = SOURCE.empty()
        self.watermark_us = NEVER_US

    def take(self, rows: pl.DataFrame, now_s: float = 0) -> Progress:
        """One chunk."""
        code, before = codes(rows["source_id"]), Sources.of(self.table)
        time, logged = rows["event_time"].to_numpy(), rows["_time"].to_numpy()
        after = before.after(code, time, logged, T0 + round(now_s * SECOND), self.watermark_us, self.patience)
        made = progress(before, after, code, time, logged, self.watermark_us, self.patience)
        self.table = apply(SOURCE, self.table, Change(upsert=after.rows(rows["source_id"], code)))
        self.watermark_us = made.watermark_us
        return made

    @property
    def watermark_s(self) -> float:
        """The watermark in s after the begin."""
        return (self.watermark_us - T0) / SECOND

    def idle_s(self, now_s: float, caught_up_s: float = 0) -> float:
        """What the timer finds, in s after the begin."""
        moment = Moment(T0 + round(now_s * SECOND), T0 + round(caught_up_s * SECOND))
        return (idle(Sources.of(self.table), self.watermark_us, moment, self.patience) - T0) / SECOND


def test_a_source_is_known_by_its_highest_times() -> None:
    """Highest event time and append time, the processing time of its last chunk; others stay as they were."""
    task = Task()
    task.take(chunk(("a", 5), ("a", 3), ("b", 4), logged_s=1), now_s=2)
    task.take(chunk(("a", 4), logged_s=7), now_s=8)
    rows = {row["source_id"]: row for row in task.table.to_dicts()}
    told = {name: [(rows[name][column] - T0) // SECOND for column in SOURCE.schema.names()[1:4]] for name in "ab"}
    assert told == {"a": [5, 8, 7], "b": [4, 2, 1]}
    assert {row["backlog_since"] for row in rows.values()} == {NEVER_US}


def test_the_slowest_living_source_holds_the_watermark() -> None:
    """Two sources at 50 and 20: the task is at 18; when the slow one goes on, so does the task."""
    task = Task()
    task.take(chunk(("b", 20), ("a", 20), ("a", 50)))
    assert task.watermark_s == 18
    task.take(chunk(("b", 45)))
    assert task.watermark_s == 43


def test_the_watermark_never_goes_back() -> None:
    """A source that turns up with old readings holds further progress, and takes none back."""
    task = Task()
    task.take(chunk(("a", 50)))
    task.take(chunk(("b", 10)))
    assert task.watermark_s == 48
    task.take(chunk(("a", 90)))
    assert task.watermark_s == 48


def test_a_source_silent_in_the_log_is_released() -> None:
    """10 s of append time without the slow source: the other decides alone. 10 s exactly still wait."""
    task = Task()
    task.take(chunk(("b", 20), ("a", 20), logged_s=0))
    task.take(chunk(("a", 40), logged_s=10))
    assert task.watermark_s == 18
    task.take(chunk(("a", 41), logged_s=10.1))
    assert task.watermark_s == 39


def test_only_what_came_too_late_for_the_readings_before_it_is_beyond() -> None:
    """In one chunk: a reading 61 s behind what came before it is beyond the horizon, one that came earlier is not."""
    task = Task()
    made = task.take(chunk(("a", 10), ("a", 100), ("a", 37.9), ("a", 38)))
    assert made.beyond is not None
    assert made.beyond.tolist() == [False, False, True, False]
    assert ((made.at - T0) / SECOND).tolist() == [8, 98, 98, 98]


def test_the_timer_releases_silent_sources() -> None:
    """Seen 10 s ago still holds, longer ago does not; before the task had caught up does not count as silence."""
    task = Task()
    task.take(chunk(("b", 20), ("a", 20)), now_s=0)
    task.take(chunk(("a", 50), logged_s=5), now_s=5)
    assert task.idle_s(10) == 18
    assert task.idle_s(11) == 48
    assert task.idle_s(11, caught_up_s=4) == 18


def test_where_all_are_silent_time_goes_on() -> None:
    """From the slowest of the sources that were alive last, by the time since: never before the idle limit."""
    task = Task()
    task.take(chunk(("b", 49), ("a", 50)), now_s=0)
    assert task.idle_s(10) == 47
    assert task.idle_s(30) == 49 + 30 - 2
    assert task.idle_s(30, caught_up_s=25) == 47
    assert task.idle_s(40, caught_up_s=25) == 49 + 15 - 2


def test_a_source_released_long_ago_decides_nothing() -> None:
    """A clock a year ahead or behind that fell silent before the others does not move the task when they do."""
    for strange in (-365 * 86_400, 365 * 86_400):
        task = Task()
        task.take(chunk(("a", 1), ("strange", strange)), now_s=0)
        task.take(chunk(("a", 50), logged_s=20), now_s=20)
        assert task.idle_s(40) == 50 + 20 - 2


def test_the_timer_does_nothing_before_the_task_has_caught_up() -> None:
    """Nor where no source has been seen."""
    task = Task()
    assert idle(Sources.of(task.table), NEVER_US, Moment(T0, T0), PATIENCE) == NEVER_US
    task.take(chunk(("a", 50)))
    assert idle(Sources.of(task.table), task.watermark_us, Moment(T0 + 10**12, None), PATIENCE) == task.watermark_us


def test_each_source_has_its_own_disorder() -> None:
    """At the same event times the source with 30 s of disorder is behind the other, and the task with it."""
    task = Task(replace(PATIENCE, disorder_of={"radio": 30 * SECOND, "never seen": 900 * SECOND}))
    task.take(chunk(("radio", 100), ("a", 100)))
    assert task.watermark_s == 70
    task.take(chunk(("a", 140), ("radio", 131)))
    assert task.watermark_s == 101
    assert task.idle_s(30) == 131 + 30 - 30, "where all are silent, each goes on from its own mark"


def test_what_a_source_may_be_late_decides_what_is_beyond() -> None:
    """A reading 80 s behind the highest is beyond a horizon of 60 s, and not where its source may be 30 s late."""
    sent = (("radio", 100), ("radio", 20))
    late = Task().take(chunk(*sent))
    assert late.beyond is not None
    assert late.beyond.tolist() == [False, True]
    assert Task(replace(PATIENCE, disorder_of={"radio": 30 * SECOND})).take(chunk(*sent)).beyond is None


def test_each_source_is_released_after_its_own_limit() -> None:
    """In the log and by the timer: `slow` may be silent for 60 s, the others for 10 s."""
    patience = replace(PATIENCE, idle_of={"slow": 60 * SECOND})
    task = Task(patience)
    task.take(chunk(("slow", 5), ("b", 20), ("a", 20)), now_s=0)
    task.take(chunk(("a", 40), logged_s=11), now_s=11)
    assert task.watermark_s == 3, "b is released, slow holds"
    task.take(chunk(("a", 80), logged_s=61), now_s=61)
    assert task.watermark_s == 78
    timer = Task(patience)
    timer.take(chunk(("slow", 5), ("a", 20)), now_s=0)
    timer.take(chunk(("a", 40), logged_s=9), now_s=9)
    assert timer.idle_s(59) == 3
    assert timer.idle_s(61) == 5 - 2 + 52, "all are silent: time goes on from the slowest that was alive last"


def returned() -> Task:
    """Two sources; `b` is silent for an hour and then delivers what it kept."""
    task = Task()
    task.take(chunk(("a", 0), ("b", 0)))
    task.take(chunk(("a", 3600), logged_s=3600), now_s=3600)
    assert task.watermark_s == 3598
    task.take(chunk(("b", 1), logged_s=3601), now_s=3601)
    return task


def test_a_source_that_delivers_a_backlog_holds_nobody_back() -> None:
    """Neither in the log nor by the timer, for as long as it is behind by more than its limit."""
    task = returned()
    task.take(chunk(("b", 1800), ("a", 3602), logged_s=3602), now_s=3602)
    assert task.watermark_s == 3600
    task.take(chunk(("b", 1900), logged_s=3605), now_s=3605)
    assert task.idle_s(3606) == 3600
    task.take(chunk(("b", 2000), logged_s=3640), now_s=3640)
    assert task.idle_s(3642) == 3602 + 40 - 2, "a is silent: time goes on from it, whatever b still delivers"


def test_a_source_that_has_caught_up_holds_again() -> None:
    """Within its limit of the watermark it counts, and waits for nobody else to tell so."""
    task = returned()
    task.take(chunk(("b", 3591), logged_s=3602), now_s=3602)
    task.take(chunk(("a", 3700), logged_s=3603), now_s=3603)
    assert task.watermark_s == 3598, "b stands at 3589, 9 s behind: it holds"
    task.take(chunk(("b", 3650), logged_s=3604), now_s=3604)
    assert task.watermark_s == 3648


def test_a_source_that_returns_with_the_present_is_no_backlog() -> None:
    """Silent for an hour and then as far as the others: it holds at once."""
    task = Task()
    task.take(chunk(("a", 0), ("b", 0)))
    task.take(chunk(("a", 3600), logged_s=3600))
    task.take(chunk(("b", 3599), logged_s=3601))
    task.take(chunk(("a", 3700), logged_s=3602))
    assert task.watermark_s == 3598
    assert task.table["backlog_since"].max() == NEVER_US


def test_where_only_backlogs_are_alive_the_watermark_stays() -> None:
    """It neither goes back nor follows them before they have reached it."""
    task = returned()
    task.take(chunk(("b", 1800), logged_s=3700), now_s=3700)
    assert task.watermark_s == 3598
    task.take(chunk(("b", 3650), logged_s=3701), now_s=3701)
    assert task.watermark_s == 3648


def test_a_backlog_does_not_decide_what_is_beyond() -> None:
    """In one chunk with it: a reading 1000 s behind what its own source said before is beyond a horizon of 60 s."""
    made = returned().take(chunk(("b", 2), ("a", 5000), ("a", 4000), logged_s=3602))
    assert made.beyond is not None
    assert made.beyond.tolist() == [True, False, True]
    assert ((made.at - T0) / SECOND).tolist() == [3598, 4998, 4998]


def test_a_backlog_is_known_after_a_restart() -> None:
    """The state table holds since when it is delivered: the next chunk, in another process, does not hold."""
    task = returned()
    since = dict(zip(task.table["source_id"].to_list(), task.table["backlog_since"].to_list(), strict=True))
    assert since == {"a": NEVER_US, "b": T0 + 3601 * SECOND}
    again = Task()
    again.table, again.watermark_us = SOURCE.empty().vstack(task.table), task.watermark_us
    again.take(chunk(("b", 2), ("a", 3700), logged_s=3602))
    assert again.watermark_s == 3698


def by_hand(sent: list[tuple[str, int]]) -> tuple[list[float], list[bool]]:
    """Watermark that each reading leaves, and whether it was beyond the horizon: one reading after the other."""
    latest: dict[str, int] = {}
    mark = float("-inf")
    marks, beyond = [], []
    for source, second in sent:
        latest[source] = max(second, latest.get(source, second))
        mark = max(mark, min(latest.values()) - 2)
        marks.append(mark)
        beyond.append(second < mark - 60)
    return marks, beyond


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 200)), min_size=1, max_size=30), st.integers(0, 30))
def test_chunks_make_no_difference(sent: list[tuple[str, int]], cut: int) -> None:
    """Cut anywhere, the readings leave the watermark, and are beyond it, as if they had come one by one."""
    marks, beyond = by_hand(sent)
    task = Task()
    found: list[bool] = []
    for part in (sent[:cut], sent[cut:]):
        if part:
            made = task.take(chunk(*part))
            found += [False] * len(part) if made.beyond is None else made.beyond.tolist()
    assert task.watermark_s == marks[-1]
    assert found == beyond
