"""Silence told apart against its plain reference: any stream, any cut into chunks, restarts and ticks between them."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.stage import Moment
from tests.core.alert_scene import T0, R, S, Task, context, frame, seconds, signal
from tests.core.reference_silence import Entry, Record, Reference, Transition
from tests.core.silence_scene import BAD_QUALITY, FROZEN, MISSING, OFFLINE

SIGNALS = {
    "a": Entry("edge-1", 1.0, True),
    "b": Entry("edge-1", 5.0, True),
    "c": Entry("edge-1", None, True),
    "m": Entry("edge-1", None, False),
    "x": Entry("edge-2", 2.0, True),
    "y": Entry("edge-2", 2.0, False),
}
RULES = (MISSING, BAD_QUALITY, FROZEN, OFFLINE)


def _entry(name: str, entry: Entry) -> dict[str, Any]:
    timed: dict[str, Any] = {"reporting": "on_change"} if entry.period is None else {"period_ms": entry.period * 1000}
    roles: dict[str, dict[str, Any]] = {"m": {"role": "state", "unit": None}, "y": {"role": "setpoint"}}
    return signal(name, source_id=entry.source, work_unit="filler", **timed, **roles.get(name, {}))


CONTEXT = context([_entry(name, entry) for name, entry in SIGNALS.items()])


@st.composite
def _records(draw: st.DrawFn) -> list[Record]:
    """Records of two nodes; readings late, repeated, ahead of their arrival, bad; nodes and signals that pause."""
    records, now = [], 0.0
    for _ in range(draw(st.integers(1, 60))):
        now += draw(st.sampled_from((0.0, 0.5, 1.0, 1.0, 2.0, 2.0, 4.0, 15.0, 45.0)))
        source = draw(st.sampled_from(("edge-1", "edge-1", "edge-2")))
        readings = []
        for name in draw(st.lists(st.sampled_from([n for n, e in SIGNALS.items() if e.source == source]), min_size=1,
                                  max_size=4)):  # fmt: skip
            value: Any = draw(st.sampled_from((20.0, 20.0, 20.3, 20.6, 21.2, 30.0)))
            value = draw(st.sampled_from(("running", "running", "stopped"))) if name == "m" else value
            quality = draw(st.sampled_from((0, 0, 0, 0, 1, 2)))
            readings.append(R(now - draw(st.sampled_from((0.0, 0.0, 0.0, 0.5, 3.0, 12.0, -4.0))), name, value, quality,
                              source=source))  # fmt: skip
        records.append(Record(now, source, readings))
    return records


def _chunk(records: list[Record], first: int) -> pl.DataFrame:
    readings = [r._replace(record=first + n) for n, record in enumerate(records) for r in record.readings]
    heard = {first + n: T0 + round(record.at * S) for n, record in enumerate(records)}
    at = pl.col("_offset").replace_strict(heard, return_dtype=pl.Int64)
    return frame(readings).with_columns(ingest_time=at, _time=at)


def _ran(records: list[Record], cuts: set[int], ticks: set[int], restarts: set[int]) -> Task:
    # A backlog would only be known by the clock: here every reading is one of the present.
    task = Task(RULES, CONTEXT, backlog_us=2**60)
    borders = sorted({0, len(records)} | {cut for cut in cuts if cut < len(records)})
    for begin, end in pairwise(borders):
        now = T0 + round(records[end - 1].at * S)
        task.take(task.alert.step("ot.reading.v1", _chunk(records[begin:end], begin), task.state, CONTEXT, Moment(now)))
        if end in ticks or end == len(records):
            task.take(task.alert.timer(task.state, CONTEXT, Moment(now)))
        if end in restarts:
            task.restart()
    return task


def _transitions(rows: list[dict[str, Any]]) -> set[Transition]:
    found = set()
    for row in rows:
        rule_id, subject, _ = row["alert_id"].split("|")
        begin, at = seconds(row["begin_time"]), seconds(row["event_time"])
        assert begin is not None
        assert at is not None
        found.add((rule_id, subject, begin, row["state"], at))
    return found


@settings(max_examples=60, deadline=None)
@given(_records(), st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)))
def test_any_cut_of_a_stream_gives_what_the_reference_gives(
    records: list[Record], cuts: set[int], ticks: set[int], restarts: set[int]
) -> None:
    """What was silent, and when, depends on the log: not on chunks, on restarts, or on when time was looked at."""
    rows = _ran(records, cuts, ticks, restarts).rows
    assert _transitions(rows) == Reference(SIGNALS, "m").run(records)
    for _, found in groupby(sorted(rows, key=lambda row: row["alert_id"]), key=lambda row: row["alert_id"]):
        told = sorted(found, key=lambda row: row["revision"])
        assert [row["revision"] for row in told] == list(range(1, len(told) + 1))
        assert [row["state"] for row in told] in (["active"], ["active", "cleared"])
        assert all(row["begin_time"] <= row["event_time"] for row in told)


def test_the_streams_of_this_test_do_bring_alerts_about() -> None:
    """Each of the four types begins and ends in a stream like those that are compared."""
    records = [Record(0.0, "edge-1", [R(0, "m", "running", source="edge-1")])]
    for at in range(1, 100):
        readings = [R(at, "a", 20.0 + at % 2 * 0.3 if at < 60 else 30.0, 2 if 70 < at < 90 else 0, source="edge-1")]
        readings += [R(at, "b", float(at), source="edge-1")] if at < 10 or at > 90 else []
        records.append(Record(float(at), "edge-1", readings))
        if at < 10 or at > 90:
            records.append(Record(float(at), "edge-2", [R(at, "x", float(at), source="edge-2")]))
    rows = _ran(records, set(range(0, 200, 7)), set(range(0, 200, 14)), {70}).rows
    assert _transitions(rows) == Reference(SIGNALS, "m").run(records)
    names = ("missing", "bad-quality", "frozen", "source-offline")
    assert {(row["rule_id"], row["state"]) for row in rows} == {(n, s) for n in names for s in ("active", "cleared")}
