"""Several gateways for one signal: who counts, when it changes, and that three services agree."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.context import Context
from streams.core.dictionary import SIGNAL
from streams.core.frames import COORDINATES, READING
from streams.core.redundancy import members
from streams.core.redundancy.selection import TABLES, Redundancy
from streams.core.stage import apply
from streams.core.validate.lookup import Lookup
from tests.core.reference_redundancy import Group, Told
from tests.core.validate_run import NOW, S, signal

LIMIT, FAILBACK = 10 * S, 30 * S
ROWS = [
    signal("temperature", "t", reporting="on_change", unit="Cel"),
    signal("b.temperature", "t", source_id="edge-2", redundant_of="temperature", reporting="on_change", unit="Cel"),
    signal("a.temperature", "t", source_id="edge-3", redundant_of="temperature", reporting="on_change", unit="Cel"),
    signal("other", "o", reporting="on_change", unit="Cel"),
]
PREFERENCE = ["temperature", "a.temperature", "b.temperature"]
PRIMARY, STANDBY, LAST = PREFERENCE


def dictionary(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """The frame of `it.signal.v1`."""
    return pl.DataFrame(list(rows), schema=SIGNAL)


class Task:
    """A stage's task that does nothing but select."""

    def __init__(self, rows: Sequence[dict[str, Any]] = ROWS, redundancy: Redundancy | None = None) -> None:
        self.redundancy = redundancy or Redundancy(LIMIT, FAILBACK)
        self.context = Context({"it.signal.v1": dictionary(rows)}, 1)
        self.state = {table.name: table.empty() for table in TABLES}
        self.counts: Counter[tuple[str, str]] = Counter()

    def take(self, *told: Told) -> list[tuple[int, str, int, float]]:
        """One chunk; leaves record, signal, event time and value of the readings that count."""
        rows = [
            {
                "site": "hall", "work_center": "line-1", "signal_id": one.signal, "source_id": f"of {one.signal}",
                "event_time": one.event, "ingest_time": one.ingest, "value_double": one.value, "quality": one.quality,
                "flags": 0, "_partition": 0, "_offset": one.record, "_time": one.ingest,
            }
            for one in told
        ]  # fmt: skip
        frame = pl.DataFrame(rows, schema={**READING, **COORDINATES})
        chosen = self.redundancy.select(frame, self.state, self.context)
        for table in TABLES:
            if table.name in chosen.changes:
                self.state[table.name] = apply(table, self.state[table.name], chosen.changes[table.name])
        self.counts.update(chosen.counts)
        assert chosen.frame.height == (len(told) if chosen.kept is None else chosen.kept.sum())
        assert chosen.frame.schema == frame.schema
        counted = chosen.frame.select(
            pl.col("_offset"), pl.col("signal_id").cast(pl.String), "event_time", "value_double"
        )
        return counted.rows()


def at(
    second: float, name: str = PRIMARY, quality: int = 0, record: int | None = None, event: float | None = None
) -> Told:
    """A reading received at `second`, by default of that time too; its value tells who sent it."""
    time = NOW + round(second * S)
    mine = time if event is None else NOW + round(event * S)
    return Told(time if record is None else record, name, mine, time, float(PREFERENCE.index(name)), quality)


def every(name: str, begin: float, end: float, step: float = 1.0) -> list[Told]:
    """Readings of one gateway, one a step."""
    count = round((end - begin) / step)
    return [at(begin + step * number, name) for number in range(count)]


def together(*parts: Iterable[Told]) -> list[Told]:
    """As the log has them: by receipt."""
    return sorted((one for part in parts for one in part), key=lambda one: one.record)


def senders(counted: list[tuple[int, str, int, float]]) -> list[tuple[float, float, str]]:
    """Who counted, as stretches of event time in s."""
    told = sorted(((time - NOW) / S, PREFERENCE[int(value)]) for _, _, time, value in counted)
    parts = [list(part) for _, part in itertools.groupby(told, key=lambda one: one[1])]
    return [(part[0][0], part[-1][0], part[0][1]) for part in parts]


def test_while_the_primary_speaks_no_standby_counts() -> None:
    """Of two gateways that send the same, only the primary's readings count, once each; the others are counted."""
    task = Task()
    counted = task.take(*together(every(PRIMARY, 0, 60), every(STANDBY, 0.4, 60.4)))
    assert senders(counted) == [(0, 59, PRIMARY)]
    assert task.counts == {("redundancy", "standby"): 60}


def test_after_the_limit_the_best_standby_takes_over_under_the_primarys_id() -> None:
    """A primary that falls silent is replaced by the first standby by id, whose readings carry the primary's id."""
    task = Task()
    counted = task.take(*together(every(PRIMARY, 0, 20), every(STANDBY, 0.4, 60.4), every(LAST, 0.2, 60.2)))
    assert senders(counted) == [(0, 19, PRIMARY), (29.4, 59.4, STANDBY)]
    assert {name for _, name, _, _ in counted} == {PRIMARY}
    assert task.counts["redundancy", "failover"] == 1


def test_the_primary_must_be_back_for_the_failback_time() -> None:
    """A returned primary counts again once it has been there for 30 s; one that stutters does not."""
    task = Task()
    stutter = [*every(PRIMARY, 40, 60), *every(PRIMARY, 80, 140)]
    counted = task.take(*together(every(PRIMARY, 0, 20), every(STANDBY, 0.4, 140.4), stutter))
    assert senders(counted) == [(0, 19, PRIMARY), (29.4, 109.4, STANDBY), (110, 139, PRIMARY)]
    assert (task.counts["redundancy", "failover"], task.counts["redundancy", "failback"]) == (1, 1)


def test_bad_readings_keep_nobody_on_duty() -> None:
    """A gateway that lost its device and sends bad values hands over like a silent one; until then they count."""
    task = Task()
    bad = [one._replace(quality=2) for one in every(PRIMARY, 20, 60)]
    counted = task.take(*together(every(PRIMARY, 0, 20), bad, every(STANDBY, 0.4, 60.4)))
    assert senders(counted) == [(0, 29, PRIMARY), (29.4, 59.4, STANDBY)]


def test_a_backlog_of_the_primary_does_not_count_beside_what_the_standby_told() -> None:
    """What the primary buffered while the standby was on duty stays out; what it sent late from before comes in."""
    task = Task()
    task.take(*together([one for one in every(PRIMARY, 0, 20) if one != at(15)], every(STANDBY, 0.4, 60.4)))
    buffered = [at(61 + number / 10, event=20 + number) for number in range(30)]
    assert senders(task.take(*buffered, at(64, event=15))) == [(15, 15, PRIMARY)]


def test_a_backlog_counts_where_nobody_else_told_anything() -> None:
    """An outage of all gateways ends with the primary's buffer: all of it counts."""
    task = Task()
    task.take(*together(every(PRIMARY, 0, 20), every(STANDBY, 0.4, 20.4)))
    assert senders(task.take(*(at(3600 + number / 10, event=20 + number) for number in range(90)))) == [
        (20, 109, PRIMARY)
    ]


def test_a_clock_that_is_ahead_does_not_make_the_others_look_silent() -> None:
    """A standby whose stamps lie a day ahead does not take over while the primary speaks."""
    task = Task()
    ahead = [one._replace(event=one.event + 86_400 * S) for one in every(STANDBY, 0.4, 60.4)]
    counted = task.take(*together(every(PRIMARY, 0, 60), ahead))
    assert senders(counted) == [(0, 59, PRIMARY)]


def test_a_slow_signal_is_given_two_and_a_half_periods() -> None:
    """With a reading a minute the limit is 150 s, not 10 s: the standby between them does not count."""
    rows = [{**row, "reporting": "periodic", "period_ms": 60_000} for row in ROWS]
    task = Task(rows)
    counted = task.take(*together(every(PRIMARY, 0, 600, 60), every(STANDBY, 30, 1230, 60)))
    assert senders(counted) == [(0, 540, PRIMARY), (750, 1170, STANDBY)]


def test_a_standby_alone_speaks_for_the_signal_from_the_beginning() -> None:
    """Where the primary was never heard the standby counts at once, its past included."""
    task = Task()
    assert senders(task.take(at(5, STANDBY), at(6, STANDBY, event=1))) == [(1, 5, STANDBY)]


def test_faulty_declarations_are_told_and_set_aside() -> None:
    """A standby of nothing, of a standby, of another line, role or unit counts on its own, with a fault each."""
    rows = [
        ROWS[0],
        ROWS[1],
        signal("of nothing", "1", redundant_of="nobody", unit="Cel"),
        signal("of a standby", "2", redundant_of="b.temperature", unit="Cel"),
        signal("of itself", "3", redundant_of="of itself", unit="Cel"),
        signal("elsewhere", "4", redundant_of="temperature", work_center="line-2", unit="Cel"),
        signal("another role", "5", redundant_of="temperature", role="state", unit="Cel"),
        signal("another unit", "6", redundant_of="temperature", unit="K"),
    ]
    faults = members.check(dictionary(rows))
    assert {fault.signal_id for fault in faults} == {row["signal_id"] for row in rows[2:]}
    assert {fault.kind for fault in faults} == {"bad_redundant_of"}
    assert Lookup(dictionary(rows)).faults == {"bad_redundant_of": 6}
    assert members.members(dictionary(rows))["signal_id"].to_list() == ["temperature", "b.temperature"]


def test_two_sources_of_one_signal_at_once_are_told() -> None:
    """A signal that two sources are to give at the same time is a fault; one that moves to another source is none."""

    def declared(*versions: tuple[str, int, int | None]) -> list[tuple[str, int, str]]:
        rows = [
            signal("x", "x", source_id=source, valid_from=begin, valid_to=end, unit="Cel")
            for source, begin, end in versions
        ]
        return [(fault.signal_id, fault.valid_from, fault.kind) for fault in members.check(dictionary(rows))]

    assert declared(("edge-1", 0, None), ("edge-2", 50, None), ("edge-3", 90, 100), ("edge-3", 95, None)) == []
    assert declared(("edge-1", 0, 50), ("edge-2", 50, None)) == []
    assert declared(("edge-1", 0, 51), ("edge-2", 50, None)) == [("x", 50, "two_sources")]
    assert declared(("edge-1", 50, None), ("edge-2", 50, None)) == [("x", 50, "two_sources")]


def test_without_standbys_nothing_is_touched() -> None:
    """Where no signal is redundant the chunk passes as it is, and nothing is remembered."""
    task = Task([ROWS[0]])
    task.take(at(1), at(2))
    assert [task.state[table.name].height for table in TABLES] == [0, 0]
    assert task.counts == {}


def test_who_was_on_duty_is_forgotten_behind_the_horizon() -> None:
    """However often the duty changes, what lies behind the horizon is not kept."""
    task = Task(redundancy=Redundancy(LIMIT, FAILBACK, horizon_us=600 * S))
    outages = [every(PRIMARY, begin, begin + 60) for begin in range(0, 6000, 120)]
    task.take(*together(*outages, every(STANDBY, 0.4, 6000.4)))
    assert task.counts["redundancy", "failover"] == 50
    assert 600 // 60 <= task.state["duty"].height <= 600 // 60 + 2


@st.composite
def logs(draw: st.DrawFn) -> list[Told]:
    """A log of three gateways and a signal of one: outages, disorder, bad values, wrong clocks, records of several."""
    told: list[Told] = []
    second, record = 0.0, 0
    silent: dict[str, float] = {}
    for _ in range(draw(st.integers(0, 60))):
        second += draw(st.sampled_from([0.0, 0.5, 1.0, 3.0, 9.0, 10.0, 10.5, 20.0]))
        record += draw(st.sampled_from([0, 1, 1, 2]))
        name = draw(st.sampled_from([*PREFERENCE, "other"]))
        if silent.get(name, 0.0) > second:
            continue
        if draw(st.integers(0, 9)) == 0:
            silent[name] = second + draw(st.sampled_from([11.0, 35.0, 60.0]))
        event = second - draw(st.sampled_from([0.0, 0.0, 0.0, 1.0, 12.0, 40.0, -20.0, -86_400.0]))
        quality = draw(st.sampled_from([0, 0, 0, 1, 2]))
        value = float(len(told))
        told.append(Told(record, name, NOW + round(event * S), NOW + round(second * S), value, quality))
    return told


@settings(deadline=None, max_examples=150)
@given(logs(), st.sets(st.integers(1, 80)))
def test_any_log_in_any_split_gives_what_the_plain_rule_gives(told: list[Told], cuts: set[int]) -> None:
    """Three services that read one log in different chunks agree with the record-by-record rule, reading by reading."""
    task, group = Task(), Group(PREFERENCE, LIMIT, FAILBACK)
    counted: list[tuple[int, str, int, float]] = []
    chunk: list[Told] = []
    for number, (_, part) in enumerate(itertools.groupby(told, key=lambda one: one.record)):
        if number in cuts and chunk:
            counted += task.take(*chunk)
            chunk = []
        chunk += part
    if chunk:
        counted += task.take(*chunk)
    expected: list[Told] = []
    for _, part in itertools.groupby(told, key=lambda one: one.record):
        readings = list(part)
        ours = {one.value for one in readings if one.signal == "other"}
        mine = {one.value: one for one in group.record([one for one in readings if one.signal != "other"])}
        expected += [mine.get(one.value, one) for one in readings if one.value in mine or one.value in ours]
    assert counted == [(one.record, one.signal, one.event, one.value) for one in expected]
    assert task.counts["redundancy", "failover"] == group.failovers
    assert task.counts["redundancy", "failback"] == group.failbacks
    assert task.counts["redundancy", "standby"] == len(told) - len(expected)


@settings(deadline=None, max_examples=100)
@given(logs(), st.sets(st.integers(1, 80)))
def test_no_instant_counts_from_two_gateways(told: list[Told], cuts: set[int]) -> None:
    """However records lie in the log, whatever their stamps (up to a minute ahead): one gateway tells of an instant."""
    near = [one._replace(event=min(one.event, one.ingest + 60 * S)) for one in told]
    task = Task()
    counted: list[tuple[int, str, int, float]] = []
    bounds = [0, *sorted(cuts), 10**6]
    for low, high in itertools.pairwise(bounds):
        chunk = [one for one in near if low <= one.record < high]
        counted += task.take(*chunk) if chunk else []
    senders_of: dict[int, set[str]] = {}
    for _, name, time, value in counted:
        if name == PRIMARY:
            senders_of.setdefault(time, set()).add(told[int(value)].signal)
    assert all(len(names) == 1 for names in senders_of.values())


def test_what_was_counted_before_its_receipt_was_known_does_not_count_again() -> None:
    """A record whose readings go on after its receipt: the standby counts from after the newest of them."""
    task = Task()
    backlog = [at(885.2, event=884 + number / 2, record=1) for number in range(30)]
    behind = [at(926, STANDBY, event=891 + number / 2, record=2) for number in range(70)]
    assert senders(task.take(*backlog, *behind)) == [(884, 898.5, PRIMARY), (899, 925.5, STANDBY)]


def test_a_stamp_far_ahead_keeps_nobody_waiting() -> None:
    """A primary that told one stamp a day ahead and died is replaced a minute later at the latest, not a day."""
    task = Task()
    counted = task.take(*together(every(PRIMARY, 0, 20), [at(20, event=86_400)], every(STANDBY, 0.4, 120.4)))
    assert senders(counted)[1] == (80.4, 119.4, STANDBY)


def test_bad_readings_of_a_primary_that_never_told_anything_count_alone() -> None:
    """Until somebody is on duty the primary counts; the standby that begins then counts after what it told."""
    task = Task()
    bad = [one._replace(quality=2) for one in every(PRIMARY, 0, 6)]
    assert senders(task.take(*bad, *(at(6, STANDBY, event=second) for second in range(3, 10)))) == [
        (0, 5, PRIMARY), (6, 9, STANDBY)
    ]  # fmt: skip


def test_what_is_no_longer_redundant_is_forgotten() -> None:
    """The dictionary loses a standby, then all of them: their rows go with the next chunk, and no others do."""
    task = Task()
    task.take(at(0), at(0, STANDBY), at(0, LAST))
    task.take(at(11, STANDBY), at(11, LAST))

    def left() -> tuple[list[str], list[str]]:
        presence, duty = (task.state[table.name] for table in TABLES)
        return sorted(presence["signal_id"].to_list()), duty["primary"].unique().to_list()

    assert left() == (sorted(PREFERENCE), [PRIMARY])
    task.context = Context({"it.signal.v1": dictionary([row for row in ROWS if row["signal_id"] != LAST])}, 2)
    assert task.take(at(12, STANDBY))[0][1] == PRIMARY
    assert left() == (sorted([PRIMARY, STANDBY]), [PRIMARY])
    task.context = Context({"it.signal.v1": dictionary([ROWS[0], ROWS[3]])}, 3)
    assert task.take(at(13))[0][1] == PRIMARY
    assert left() == ([], [])
