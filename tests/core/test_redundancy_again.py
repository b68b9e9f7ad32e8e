"""Redundant gateways, read again from the log: what counted once counts again, and nothing else."""

from __future__ import annotations

from itertools import pairwise

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.frames import COORDINATES, READING
from tests.core.reference_redundancy import Told
from tests.core.test_redundancy import LAST, PRIMARY, STANDBY, Task
from tests.core.validate_run import NOW, S

NAMES = [PRIMARY, STANDBY, LAST, "other"]


def frame(told: list[Told]) -> pl.DataFrame:
    """The log."""
    rows = [
        {
            "work_center": "line-1", "signal_id": one.signal, "source_id": f"of {one.signal}", "event_time": one.event,
            "ingest_time": one.ingest, "value_double": one.value, "quality": one.quality, "flags": 0,
            "_partition": 0, "_offset": one.record, "_time": one.ingest,
        }
        for one in told
    ]  # fmt: skip
    return pl.DataFrame(rows, schema={**READING, **COORDINATES})


@st.composite
def logs(draw: st.DrawFn) -> list[Told]:
    """Readings of three gateways, some late, some bad, several to a record, with gaps that make them change duty."""
    told, second = [], 0.0
    for record in range(draw(st.integers(1, 60))):
        second += draw(st.sampled_from((0.5, 2, 6, 12, 35)))
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)):
            late = draw(st.sampled_from((0, 0, 0, 1, 15, 60)))
            quality, received = draw(st.sampled_from((0, 0, 0, 2))), NOW + round(second * S)
            told.append(Told(record, name, received - late * S, received, float(NAMES.index(name)), quality))
    return told


def test_what_was_read_before_anybody_was_on_duty_is_read_again() -> None:
    """A log with nothing but a bad reading of the primary: it counted, and counts again."""
    bad = [Told(0, PRIMARY, NOW, NOW, 0.0, 2)]
    task = Task()
    assert len(task.take(*bad)) == 1
    assert task.redundancy.again(frame(bad), task.state["duty"], task.context).height == 1


@settings(max_examples=60)
@given(logs(), st.lists(st.integers(1, 60), max_size=8))
def test_what_counted_counts_when_it_is_read_again(told: list[Told], cuts: list[int]) -> None:
    """With what is known at the end, each reading of the log is selected as it was when it came, in any chunks."""
    task, live = Task(), []
    bounds = [0, *sorted(set(cuts)), 10**6]
    for low, high in pairwise(bounds):
        chunk = [one for one in told if low <= one.record < high]
        live += task.take(*chunk) if chunk else []
    again = task.redundancy.again(frame(told), task.state["duty"], task.context)
    columns = (pl.col("_offset"), pl.col("signal_id").cast(pl.String), "event_time", "value_double")
    assert again.select(columns).rows() == live
