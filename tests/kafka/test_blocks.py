"""Record batches become blocks exactly as aiokafka would have read them."""

from __future__ import annotations

import struct
from typing import Any

import aiokafka
import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.blocks import codecs as block_codecs
from streams.kafka.blocks import fetch as block_fetch
from streams.kafka.blocks import install as blocks
from streams.kafka.blocks.records import records
from tests.kafka.batches import COMMITTED, TOPIC, UNCOMMITTED, Item, batch, changed, fetch, fetch_records, marker

THREE = [Item(b"one"), Item(b"two"), Item(b"three")]
CODECS = range(len(block_codecs.NAMES))
TP = TopicPartition(TOPIC, 0)


def _as_records(found: list[Any], offset: int) -> list[tuple[int, int, bytes | None]]:
    """The records of blocks from `offset` on, as (offset, timestamp, value)."""
    taken: list[tuple[int, int, bytes | None]] = []
    for block in found:
        assert block.fault is None, block.detail
        for header, body in block.batches():
            good, damaged = records(header, body)
            assert not damaged
            taken += [(record.offset, record.time_ms, record.value) for record in good if record.offset >= offset]
    return taken


def _expected(found: list[Any]) -> list[tuple[int, int, bytes | None]]:
    return [(record.offset, record.timestamp, record.value) for record in found]


@st.composite
def logs(draw: st.DrawFn) -> tuple[bytes, list[tuple[int, int]]]:
    """A stretch of a partition: batches of every kind with offset holes, and the aborted transactions in it."""
    parts, aborted, base = [], [], draw(st.integers(0, 1000))
    first: dict[int, int] = {}
    for _ in range(draw(st.integers(1, 6))):
        base += draw(st.integers(0, 3))
        producer = draw(st.sampled_from([-1, 7, 8]))
        if producer in first and draw(st.booleans()):
            commit = draw(st.booleans())
            if not commit:
                aborted.append((producer, first[producer]))
            del first[producer]
            parts.append(marker(base, producer, commit=commit))
            base += 1
            continue
        count = draw(st.integers(0, 4))
        deltas = sorted(draw(st.sets(st.integers(0, 9), min_size=count, max_size=count)))
        key = draw(st.sampled_from([None, b"", b"edge-1"]))
        items = [Item(b"v%d" % delta, key, [("trace", b"x")] * draw(st.integers(0, 1)), delta) for delta in deltas]
        transactional = producer >= 0
        if transactional:
            first.setdefault(producer, base)
        append_time = draw(st.sampled_from([0, 0x08]))
        codec = draw(st.sampled_from(CODECS)) if items else 0
        flags = {"attributes": append_time, "last": 9, "max_time": 1_800_000_000_000}
        parts.append(batch(items, base, codec, producer=producer, transactional=transactional, **flags))
        base += 10
    return b"".join(parts), aborted


@given(log=logs(), ahead=st.integers(0, 9), isolation=st.sampled_from([COMMITTED, UNCOMMITTED]),
       join=st.sampled_from([0, 200, 1 << 16]))  # fmt: skip
def test_blocks_hold_what_aiokafka_reads(
    log: tuple[bytes, list[tuple[int, int]]], ahead: int, isolation: int, join: int
) -> None:
    """Offsets, times, values and the position afterwards equal those of aiokafka's own path, for any log: all codecs,
    holes, empty batches, append time, aborted and committed transactions, markers, fetches into a batch.
    """
    data, aborted = log
    offset = struct.unpack_from(">q", data)[0] + ahead
    mine = fetch(data, offset, aborted=aborted, isolation=isolation, join=join)
    own = fetch_records(data, offset, aborted=aborted, isolation=isolation)
    assert _as_records(mine.items, offset) == _expected(own.items)
    assert mine.position == own.position


def test_a_block_looks_like_one_record() -> None:
    """Coordinates are those of the batch; what Faust and aiokafka ask a record for is there."""
    (block,) = fetch(batch(THREE, base=40, attributes=0x08)).items
    assert (block.topic, block.partition, block.base_offset, block.offset, block.next, block.count) == (
        TOPIC, 0, 40, 42, 43, 3,
    )  # fmt: skip
    assert (block.key, block.headers, block.value, block.timestamp_type) == (None, (), block.body, 1)
    assert block.serialized_value_size == len(block.body)
    assert repr(block) == f"<Block {TOPIC}/0 40..42 3 records>"


def test_small_batches_are_joined() -> None:
    """Batches that follow each other are one block, up to a size; markers, damage and compression end it."""
    data = [batch(THREE, base) for base in (0, 3, 6)]
    (block,) = fetch(b"".join(data), join=1 << 16).items
    assert (block.base_offset, block.next, block.count, len(block.lengths)) == (0, 9, 9, 3)
    assert [header + body for header, body in block.batches()] == data
    sized = fetch(b"".join(data), join=len(data[0]) * 2).items
    assert [(block.base_offset, block.next) for block in sized] == [(0, 6), (6, 9)]
    parts = [data[0], batch(THREE, 3, 4), marker(6, 7, commit=True), batch(THREE, 7), batch(THREE, 10)]
    mixed = fetch(b"".join(parts), join=1 << 16).items
    assert [(block.base_offset, block.next) for block in mixed] == [(0, 3), (3, 6), (7, 13)]


async def test_one_block_counts_as_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """`getall(max_records)` stops after that many blocks, keeps the rest, and the position follows."""
    monkeypatch.setattr(block_fetch, "JOIN_BYTES", 0)
    blocks.install({TOPIC})
    assignment = Assignment([TP])
    assignment.state_value(TP).reset_to(0)
    data = b"".join(batch(THREE, base) for base in (0, 3, 6)) + marker(9, 7, commit=True)
    source = fetcher.PartitionRecords(TP, fetcher.MemoryRecords(data), [], 0, None, None, True, COMMITTED)
    result = fetcher.FetchResult(TP, assignment=assignment, partition_records=source, backoff=0)
    assert [block.base_offset for block in result.getall(2)] == [0, 3]
    assert assignment.state_value(TP).position == 6
    assert [block.base_offset for block in result.getall(2)] == [6]
    assert assignment.state_value(TP).position == 10, "past the marker"
    assert not result.has_more()


def test_other_topics_stay_on_their_own_path() -> None:
    """A topic that was not named yields aiokafka's records."""
    blocks.install({TOPIC})
    other = TopicPartition("context", 0)
    source = fetcher.PartitionRecords(other, fetcher.MemoryRecords(batch(THREE)), [], 0, None, None, True, COMMITTED)
    assert [record.value for record in source] == [b"one", b"two", b"three"]


def test_a_batch_cut_by_the_fetch_limit_is_left_for_the_next_fetch() -> None:
    """Half a batch at the end yields nothing and does not move the position past it."""
    found = fetch(batch(THREE) + batch(THREE, base=3)[:-1])
    assert ([block.base_offset for block in found.items], found.position) == ([0], 3)


def test_the_first_batch_may_be_incomplete() -> None:
    """`has_next` says so, as aiokafka's own does; its error for records above the fetch size stays."""
    blocks.install({TOPIC})
    for data in (b"", batch(THREE)[:5], batch(THREE)[:-1], batch(THREE)):
        assert fetcher.MemoryRecords(data).has_next() == MemoryRecords(data).has_next()
        assert fetcher.MemoryRecords(data).size_in_bytes() == len(data)


def _damaged(data: bytes, position: int = -1) -> bytes:
    copy = bytearray(data)
    copy[position] ^= 0xFF
    return bytes(copy)


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_damaged_batch_is_fetched_again_and_then_a_fault(place: str) -> None:
    """The first time nothing is passed over: the fetch ends before it. The second time it is a block with a fault,
    its bytes kept, and the batches beside it are read.
    """
    bases = [0, 3, 6]
    at = {"first": 0, "middle": 3, "last": 6}[place]
    data = b"".join(_damaged(batch(THREE, base)) if base == at else batch(THREE, base) for base in bases)
    first = fetch(data)
    assert ([block.base_offset for block in first.items], first.position) == ([b for b in bases if b < at], at)
    second = fetch(data)
    assert [block.base_offset for block in second.items] == bases
    assert [block.fault for block in second.items] == ["undecodable" if base == at else None for base in bases]
    fault = second.items[bases.index(at)]
    assert (fault.count, fault.next, fault.detail) == (3, at + 3, "CRC-32C does not match")
    assert fault.body == _damaged(batch(THREE, at))
    assert second.position == 9


def test_a_damaged_header_passes_over_nothing() -> None:
    """Where the header contradicts itself, the position moves by one offset; the next batch, if known, bounds it."""
    alone = _damaged(batch(THREE), 25)  # the last offset delta
    fetch(alone)
    assert fetch(alone).position == 1
    data = alone + batch(THREE, base=3)
    fetch(data)
    found = fetch(data)
    assert [(block.fault, block.next) for block in found.items] == [("undecodable", 3), (None, 6)]


def test_a_damaged_length_ends_the_fetch() -> None:
    """What follows cannot be found any more: it is fetched again, from behind the damaged batch."""
    for length in (20, 60, -1):
        data = changed(batch(THREE, base=5), length=length) + batch(THREE, base=8)
        assert fetch(data, 5).items == []
        found = fetch(data, 5)
        assert [(block.fault, block.next) for block in found.items] == [("undecodable", 8)]
        assert found.position == 8


@pytest.mark.parametrize("magic", [0, 1, 3])
def test_old_and_unknown_formats_are_told(magic: int) -> None:
    """A batch of another format is a fault that names it, at once, and is passed."""
    found = fetch(changed(batch(THREE), magic=magic) + batch(THREE, base=3))
    assert [block.fault for block in found.items] == ["undecodable", None]
    assert f"format {magic}" in found.items[0].detail


def test_install_is_idempotent_and_refuses_other_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call changes nothing; on an aiokafka it does not know, or one patched by others, it names what is
    wrong and what to install.
    """
    blocks.install({TOPIC})
    before = fetcher.PartitionRecords, fetcher.MemoryRecords
    blocks.install({"another"})
    assert (fetcher.PartitionRecords, fetcher.MemoryRecords) == before
    monkeypatch.setattr(fetcher, "PartitionRecords", object)
    monkeypatch.setattr(aiokafka, "__version__", "0.15.0")
    with pytest.raises(RuntimeError, match=r"aiokafka 0\.14\.0: found 0\.15\.0; something else.*Install aiokafka==0"):
        blocks.install({TOPIC})
