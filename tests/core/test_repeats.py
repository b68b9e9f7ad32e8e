"""Batches that come again: retransmits, reordering, new boots, holes, what is forgotten."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.stage import apply
from streams.core.validate import repeats
from streams.core.validate.repeats import Memory
from streams.core.validate.stage import ValidateConfig
from tests.core.validate_run import NOW, RAW_BATCH, SCHEMAS, Run, S, feed, record, signal

HOUR = 3600 * S
Batch = tuple[str, dict[str, Any]]


def batch(sequence: int | None, boot_id: str | None = "1", **fields: Any) -> Batch:
    """A batch of one reading; its value and its source time are its sequence."""
    number = sequence or 0
    arrays = {"address": ["a"], "source_time": [NOW + number * S], "value_double": [float(number)]}
    return record(RAW_BATCH, 0, sequence=sequence, boot_id=boot_id, **{**arrays, **fields})


class Task:
    """`sift` with its table, as the stage drives it."""

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory or Memory()
        self.state = repeats.TABLE.empty()
        self.counts: Counter[tuple[str, str]] = Counter()

    def take(self, *batches: Batch) -> list[int]:
        """One chunk; leaves the sequences of the batches that are new."""
        frame = pl.DataFrame([row for _, row in batches], schema=SCHEMAS[RAW_BATCH], orient="row")
        sifted = repeats.sift(frame, self.state, NOW, self.memory)
        if sifted.change is not None:
            self.state = apply(repeats.TABLE, self.state, sifted.change)
        self.counts.update(sifted.counts)
        return frame.filter(sifted.new)["sequence"].to_list()

    def intervals(self) -> list[tuple[Any, ...]]:
        """What is remembered: source, boot, begin, end."""
        return self.state.select(*repeats.TABLE.key, "end").sort(repeats.TABLE.key).rows()


NUMBERED = st.tuples(st.sampled_from(["edge-1", "edge-2"]), st.sampled_from(["1", "2"]), st.integers(0, 12))


@settings(deadline=None, max_examples=100)
@given(st.lists(NUMBERED, max_size=30), st.sets(st.integers(1, 29)))
def test_each_number_passes_once_in_any_order_and_split(sent: list[tuple[str, str, int]], cuts: set[int]) -> None:
    """Of all copies of a batch exactly the first passes, and the intervals hold exactly the numbers that were seen."""
    task, passed = Task(), []
    batches = [batch(number, boot, source_id=source, source_time=[NOW]) for source, boot, number in sent]
    bounds = [0, *sorted(cut for cut in cuts if cut < len(batches)), len(batches)]
    for begin, end in itertools.pairwise(bounds):
        if begin < end:
            passed += task.take(*batches[begin:end])
    assert passed == [number for _, _, number in dict.fromkeys(sent)]
    assert task.counts["repeats", "batch"] == len(sent) - len(set(sent))
    assert task.counts["repeats", "contradiction"] == 0
    held = [(*row[:2], number) for row in task.intervals() for number in range(row[2], row[3] + 1)]
    assert sorted(held) == sorted(set(sent))
    # None of them could be joined with the next.
    assert all(a[:2] != b[:2] or a[3] + 1 < b[2] for a, b in itertools.pairwise(task.intervals()))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_copies_disorder_and_restarts_leave_the_same_readings(data: st.DataObject) -> None:
    """Whatever is sent again, late or after a restart of the edge, the readings are those of one orderly delivery."""
    boots = [[batch(number, boot, value_double=[float(place)]) for number in range(data.draw(st.integers(1, 6)))]
             for place, boot in enumerate(("1", "2"))]  # fmt: skip
    orderly = [one for boot in boots for one in boot]
    copies = data.draw(st.lists(st.sampled_from(orderly), max_size=8))
    shuffled = data.draw(st.permutations(orderly + copies))
    cuts = data.draw(st.sets(st.integers(1, 20)))
    rows = [signal("x", "a")]
    expected, run = feed(Run(rows), orderly, set()), feed(Run(rows), shuffled, cuts)
    named = ("signal_id", "event_time", "value_double", "sequence")

    def readings(made: Run) -> list[tuple[Any, ...]]:
        return sorted(tuple(row[name] for name in named) for row in made.readings)

    assert readings(run) == readings(expected)
    assert len(run.readings) == len(orderly)
    # A copy newer than all that came before it would not be dropped: there is none, however they are shuffled.
    assert run.counts["repeats", "batch"] == len(copies)


def test_without_boot_or_sequence_nothing_is_dropped() -> None:
    """A number counts only within a boot, and a negative one is none."""
    task = Task()
    assert task.take(batch(3, None), batch(3, None), batch(None), batch(None), batch(-1), batch(-1)) == [
        3, 3, None, None, -1, -1,
    ]  # fmt: skip
    assert task.intervals() == []


def test_a_new_boot_starts_over() -> None:
    """The same numbers under a new boot_id are new batches; late copies of the old boot are still known."""
    task = Task()
    assert task.take(batch(0), batch(1), batch(0, "2"), batch(1, "2")) == [0, 1, 0, 1]
    assert task.take(batch(1), batch(1, "2"), batch(2, "2")) == [2]
    assert task.intervals() == [("edge-1", "1", 0, 1), ("edge-1", "2", 0, 2)]


def test_a_counter_that_starts_over_without_a_new_boot_loses_nothing() -> None:
    """A used number with readings newer than all before passes, as a contradiction; its own copy is dropped."""
    task = Task()
    task.take(*(batch(number) for number in range(4)))
    wrapped = batch(0, source_time=[NOW + 4 * S])
    assert task.take(wrapped) == [0]
    assert task.take(wrapped, batch(3)) == []
    assert (task.counts["repeats", "contradiction"], task.counts["repeats", "batch"]) == (1, 2)


def test_holes_are_counted_when_they_open() -> None:
    """A gap is counted once, whether it is filled later or never; filling it joins the intervals."""
    task = Task()
    task.take(batch(5), batch(6), batch(9))
    assert (task.counts["sequence", "gap"], task.intervals()[1][2:]) == (1, (9, 9))
    task.take(batch(8), batch(7), batch(12))
    assert (task.counts["sequence", "gap"], task.intervals()) == (2, [("edge-1", "1", 5, 9), ("edge-1", "1", 12, 12)])


def test_what_is_older_than_the_horizon_is_forgotten() -> None:
    """An interval that nothing was added to for the horizon (broker time) goes; one that still grows stays whole."""
    task = Task(Memory(horizon_us=HOUR))
    task.take(batch(0, "old"), batch(0), batch(2))
    task.take(batch(3, _time=NOW + HOUR), batch(0, "3", _time=NOW + HOUR))
    assert task.intervals() == [
        ("edge-1", "1", 0, 0), ("edge-1", "1", 2, 3), ("edge-1", "3", 0, 0), ("edge-1", "old", 0, 0),
    ]  # fmt: skip
    task.take(batch(4, _time=NOW + HOUR + 1))
    assert task.intervals() == [("edge-1", "1", 2, 4), ("edge-1", "3", 0, 0)]
    assert task.counts["sequence", "forgotten"] == 0


def test_a_source_full_of_holes_is_bounded() -> None:
    """Of one source, and of all, only so many intervals are kept; those forgotten are counted."""
    task = Task(Memory(per_source=2, in_all=2))
    task.take(*(batch(2 * number, _time=NOW + number) for number in range(4)))
    assert [row[2] for row in task.intervals()] == [4, 6]
    task.take(*(batch(2 * number, source_id="edge-2", _time=NOW + 9) for number in range(2)))
    assert [(row[0], row[2]) for row in task.intervals()] == [("edge-2", 0), ("edge-2", 2)]
    assert task.counts["sequence", "forgotten"] == 4


def test_a_rejected_batch_may_come_again_whole() -> None:
    """A batch that was rejected is not remembered: its number is free for the batch as it should have been."""
    broken = batch(1, value_double=[1.0, 2.0])
    run = Run([signal("x", "a")]).step(broken).step(batch(1), batch(1))
    assert [row["value_double"] for row in run.readings] == [1.0]
    assert (run.counts["rejects", "unequal_lengths"], run.counts["repeats", "batch"]) == (1, 1)


def test_limits_must_be_positive() -> None:
    """A memory of nothing is a mistake: every such limit is named."""
    with pytest.raises(ValueError, match="horizon_us, in_all: set a positive number"):
        ValidateConfig(memory=Memory(horizon_us=0, in_all=-1))
