"""State records: what is restored is what was, whatever the sizes, the snapshots and the deletions."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from streams import __version__
from streams.core.stage import Change, Table, apply, combine
from streams.kafka.state import PART_BYTES, Origin, Reader, StateFault, encode, snapshot

KEYED = Table("keyed", pl.Schema({"k": pl.Categorical(), "t": pl.Int64(), "v": pl.Float64()}), key=("k", "t"))
LOG = Table("log", pl.Schema({"t": pl.Int64(), "v": pl.Int64()}))
ORIGIN = Origin("cluster", {"in": "id-1"}, 4, "count")

keys = st.sampled_from(["a", "b", "c"])
times = st.integers(0, 5)


@st.composite
def keyed_changes(draw: st.DrawFn) -> Change:
    rows = draw(st.lists(st.tuples(keys, times, st.floats(0, 9)), max_size=4))
    gone = draw(st.lists(st.tuples(keys, times), max_size=2))
    floor = draw(st.none() | st.tuples(st.just("t"), times))
    return Change(
        upsert=pl.DataFrame(rows, schema=KEYED.schema, orient="row") if rows else None,
        delete=pl.DataFrame(gone, schema={"k": pl.Categorical(), "t": pl.Int64()}, orient="row") if gone else None,
        floor=floor,
    )


def plain(table: Table, rows: list[dict[str, Any]], change: Change) -> list[dict[str, Any]]:
    """`apply`, obviously right: floor, delete, upsert, on dicts."""
    if change.floor:
        rows = [row for row in rows if row[change.floor[0]] >= change.floor[1]]
    gone = [] if change.delete is None else change.delete.rows()
    rows = [row for row in rows if tuple(row[name] for name in table.key) not in gone]
    for new in [] if change.upsert is None else change.upsert.to_dicts():
        rows = [row for row in rows if any(row[name] != new[name] for name in table.key)] + [new]
    return rows


def contents(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return sorted(frame.rows())


def test_a_state_of_a_release_that_had_fewer_columns_is_read() -> None:
    """What it did not know is null; rows without the key are none of the table."""
    old = Table("keyed", pl.Schema({"k": pl.Categorical(), "t": pl.Int64()}), key=("k", "t"))
    rows = pl.DataFrame([("a", 1), ("b", 2)], schema=old.schema, orient="row")
    reader = Reader([KEYED])
    for value in encode("snapshot", {"keyed": Change(upsert=rows)}, {}, {}, ORIGIN, 1):
        reader.add(value)
    assert contents(reader.restored.tables["keyed"]) == [("a", 1, None), ("b", 2, None)]
    (foreign,) = encode("snapshot", {"keyed": Change(upsert=rows.drop("t"))}, {}, {}, ORIGIN, 2)
    with pytest.raises(StateFault, match="not ours"):
        reader.add(foreign)


@given(st.lists(keyed_changes(), max_size=6))
def test_changes_do_what_they_say(changes: list[Change]) -> None:
    """A table after changes holds what a list of dicts holds after the same changes."""
    frame, rows = KEYED.empty(), list[dict[str, Any]]()
    for change in changes:
        frame, rows = apply(KEYED, frame, change), plain(KEYED, rows, change)
    assert contents(frame) == sorted(tuple(row.values()) for row in rows)


@given(st.lists(keyed_changes(), min_size=2, max_size=6), st.integers(1, 5))
def test_combined_changes_are_the_changes_one_by_one(changes: list[Change], cut: int) -> None:
    """Any run of changes may be combined into one without a difference."""
    one_by_one = KEYED.empty()
    for change in changes:
        one_by_one = apply(KEYED, one_by_one, change)
    before, together = KEYED.empty(), changes[min(cut, len(changes) - 1)]
    for change in changes[: min(cut, len(changes) - 1)]:
        before = apply(KEYED, before, change)
    for change in changes[min(cut, len(changes) - 1) + 1 :]:
        together = combine(KEYED, together, change)
    assert contents(apply(KEYED, before, together)) == contents(one_by_one)


@given(st.lists(st.tuples(keys, times), max_size=3), st.lists(st.tuples(keys, times), max_size=3), times)
def test_what_a_floor_takes_does_not_bring_back_what_it_had_replaced(
    before: list[tuple[str, int]], rows: list[tuple[str, int]], floor: int
) -> None:
    """Also where the floor's column is no part of the key, so that an upsert may move a row below it."""
    table = Table("moving", pl.Schema({"k": pl.Categorical(), "v": pl.Int64()}), key=("k",))
    frame = apply(table, table.empty(), Change(upsert=pl.DataFrame(before, schema=table.schema, orient="row")))
    first = Change(upsert=pl.DataFrame(rows, schema=table.schema, orient="row"))
    second = Change(floor=("v", floor))
    one_by_one = apply(table, apply(table, frame, first), second)
    assert contents(apply(table, frame, combine(table, first, second))) == contents(one_by_one)


@given(st.lists(st.tuples(keyed_changes(), st.booleans()), max_size=6), st.integers(0, 3))
def test_what_is_restored_is_what_was(steps: list[tuple[Change, bool]], deleted: int) -> None:
    """Deltas and snapshots restore the tables and the positions, also where records before a snapshot are deleted."""
    frame, values, snapshots = KEYED.empty(), list[bytes](), [0]
    for number, (change, wanted) in enumerate(steps):
        frame = apply(KEYED, frame, change)
        whole = wanted or number == 0  # a state begins with a snapshot
        if whole:
            snapshots.append(len(values))
        kind, changes = ("snapshot", snapshot({"keyed": frame})) if whole else ("delta", {"keyed": change})
        values += encode(kind, changes, {("in", 0): number}, {"ctx": number}, ORIGIN, number, number * 10)  # type: ignore[arg-type]
    reader = Reader([KEYED, LOG])
    for value in values[snapshots[min(deleted, len(snapshots) - 1)] :]:
        reader.add(value)
    assert contents(reader.restored.tables["keyed"]) == contents(frame)
    if steps:
        assert reader.restored.positions == {("in", 0): len(steps) - 1}
        assert reader.restored.context == {"ctx": len(steps) - 1}
        assert reader.restored.watermark_us == (len(steps) - 1) * 10


def test_a_large_state_is_cut_into_parts_and_only_whole_ones_count() -> None:
    """Parts stay below the limit; a snapshot whose first part was deleted is passed over."""
    large = pl.DataFrame(
        {"t": range(400_000), "v": [(n * 2654435761) % 2**62 for n in range(400_000)]}, schema=LOG.schema
    )
    first = encode("snapshot", snapshot({"log": large}), {("in", 0): 7}, {}, ORIGIN, 1)
    second = encode("delta", {"log": Change(floor=("t", 399_990))}, {("in", 0): 8}, {}, ORIGIN, 2)
    assert len(first) > 2
    assert max(map(len, [*first, *second])) <= PART_BYTES + 64
    whole, headless = Reader([LOG]), Reader([LOG])
    for value in [*first, *second]:
        whole.add(value)
    for value in first[1:]:
        headless.add(value)
    assert whole.restored.tables["log"].height == 10
    assert whole.restored.positions == {("in", 0): 8}
    assert headless.restored.positions == {}


def test_a_state_of_another_place_is_refused_with_every_reason() -> None:
    """Another cluster, a topic made anew and more partitions: one message names all three and the way out."""
    found = {"cluster_id": "other", "topic_ids": {"in": "id-0"}, "partitions": 6, "service": "count", "format": 1}
    with pytest.raises(StateFault, match=r"cluster other.*6 partitions, now 4.*in was deleted.*state reset count"):
        ORIGIN.check(found)


def test_a_state_of_another_format_names_the_release_that_wrote_it() -> None:
    """The release is stored beside the format; alone it refuses nothing."""
    other = Origin("cluster", {"in": "id-1"}, 4, "count", format=9)
    reader = Reader([LOG])
    (value,) = encode("snapshot", snapshot({"log": LOG.empty()}), {}, {}, other, 1)
    reader.add(value)
    assert reader.restored.origin is not None
    with pytest.raises(StateFault, match=rf"format 9 of release {__version__}, this one reads 1"):
        ORIGIN.check(reader.restored.origin)
    ORIGIN.check({**reader.restored.origin, "format": 1, "version": "0.0.1"})


def test_a_state_without_its_head_is_refused() -> None:
    """A topic whose first record is a delta lost what came before it: a retention or compaction was at work."""
    (value,) = encode("delta", {"log": Change(floor=("t", 1))}, {("in", 0): 8}, {}, ORIGIN, 2)
    with pytest.raises(StateFault, match=r"begins in the middle.*state reset"):
        Reader([LOG]).add(value)


@example(b"PWS1" + bytes(16))
@example(b"PWS1" + bytes(15) + b"\x01\x00\x00\x00\x010")
@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda body: b"PWS1" + bytes(15) + b"\x01" + body))
def test_foreign_records_in_a_state_topic_are_told(value: bytes) -> None:
    """What is not a state record is never taken for one, also where it begins like one."""
    # A part of several waits for the others: a record of its own, it cannot be told from one whose rest was deleted.
    assume(value[:4] != b"PWS1" or value[16:20] in {b"", bytes(4), b"\x00\x00\x00\x01"})
    with pytest.raises(StateFault, match="TOPIC_PREFIX"):
        Reader([LOG]).add(value)
