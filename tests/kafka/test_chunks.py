"""Chunks: spans join end to end, and memory is bounded in bytes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from aiokafka.partitioner import DefaultPartitioner
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.chunks import Polled, chunk_scheduler, size_of, split
from streams.kafka.outbox import partition_of

PLACE = TP("in", 3)


@dataclass
class Batch:
    """What a record batch looks like to a chunk."""

    body: bytes
    next: int
    offset: int
    timestamp: int = 0


@st.composite
def polls(draw: st.DrawFn) -> Polled:
    sizes = draw(st.lists(st.integers(0, 50), min_size=1, max_size=12))
    polled, at = Polled(), 100
    for size in sizes:
        at += draw(st.integers(1, 5))
        polled.append(Batch(b"x" * size, at, at - 1))
    polled.begin, polled.end = draw(st.none() | st.just(100)), at + draw(st.integers(0, 3))
    return polled


@given(polls(), st.integers(1, 120))
def test_spans_join_and_cover_the_poll(polled: Polled, limit: int) -> None:
    """Every chunk begins where the one before ended; the last ends at the poll's position; no record is lost."""
    chunks = list(split(PLACE, polled, limit))
    assert chunks[0].begin == polled.begin
    assert chunks[-1].end == polled.end
    assert all(after.begin == before.end for before, after in itertools.pairwise(chunks))
    assert [record for chunk in chunks for record in chunk.records] == list(polled)
    assert all(chunk.size <= limit or len(chunk.records) == 1 for chunk in chunks)


def test_an_empty_poll_that_moved_is_a_chunk() -> None:
    """Markers move the position without a record: the task learns of it."""
    polled = Polled()
    polled.begin, polled.end = 5, 9
    (chunk,) = split(PLACE, polled, 10)
    assert (chunk.begin, chunk.end, list(chunk.records)) == (5, 9, [])


def test_records_without_a_span_are_refused() -> None:
    """A scheduler on another transport would count wrongly, so it does not run."""
    with pytest.raises(TypeError, match=r"streams\.kafka\.transport"):
        list(chunk_scheduler(1 << 20)().iterate({PLACE: [Batch(b"", 1, 0)]}))


def test_sizes_are_of_what_was_fetched() -> None:
    """A batch counts by its body."""
    assert size_of(Batch(b"abc", 1, 0)) == 3


@given(st.binary(max_size=20), st.integers(1, 64))
def test_keys_go_where_other_clients_send_them(key: bytes, partitions: int) -> None:
    """The partition of a key is that of Kafka's default partitioner, as aiokafka has it."""
    everywhere = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, everywhere, everywhere)
