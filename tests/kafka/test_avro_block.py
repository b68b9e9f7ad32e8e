"""Blocks become rows: the good at once, the bad apart, each with its coordinates."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from streams.core.frames import COORDINATES
from streams.kafka.avro import wire as avro_wire
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.blocks import codecs as block_codecs
from tests.kafka.batches import T0_MS, TOPIC, Item, batch, body, changed, framed
from tests.kafka.readings import CONTRACT, ROW, decode, items, places, refused, value


@pytest.mark.parametrize("key", [b"edge-1", b"", None], ids=["key", "empty key", "null key"])
@pytest.mark.parametrize("codec", range(len(block_codecs.NAMES)), ids=block_codecs.NAMES)
def test_blocks_decode_at_once(key: bytes | None, codec: int) -> None:
    """Several batches of any size become one frame with values and coordinates, none of them record by record."""
    sizes, base, parts = [1, 3, 200, 1, 70], 10, []
    for size in sizes:
        parts.append(batch(items(*range(base, base + size), key=key), base, codec))
        base += size
    decoded = decode(*parts)
    assert decoded.slow_batches == 0
    assert not decoded.rejects.height
    assert places(decoded) == [(offset, offset) for offset in range(10, 10 + sum(sizes))]
    first = decoded.frame.row(2, named=True)
    assert {name: first[name] for name in ROW} == ROW
    assert (first["_partition"], first["_time"], first["tenant"]) == (0, (T0_MS + 1) * 1000, None)
    assert decoded.frame.schema == pl.Schema({**WriterSchemas(CONTRACT).columns, **COORDINATES})


def test_append_time_is_the_time_of_the_batch() -> None:
    """Where the broker stamps, every record has the batch's append time."""
    decoded = decode(batch(items(0, 1), attributes=0x08, max_time=T0_MS + 500))
    assert decoded.frame["_time"].to_list() == [(T0_MS + 500) * 1000] * 2


def test_compacted_batches_keep_their_offsets() -> None:
    """Offsets with holes are those of the records, and the block still decodes at once."""
    decoded = decode(batch([Item(value(2), delta=2), Item(value(7), delta=7)], 100, last=9))
    assert (decoded.frame["_offset"].to_list(), decoded.slow_batches) == ([102, 107], 0)


def test_rows_below_the_position_are_left_out() -> None:
    """`from_offset` cuts rows and rejects, in a block and in what goes record by record."""
    plain = decode(batch(items(0, 1, 2)), from_offset=1)
    assert places(plain) == [(1, 1), (2, 2)]
    mixed = [Item(b"junk"), *items(1), Item(b"junk"), *items(3)]
    decoded = decode(batch(mixed), from_offset=2)
    assert (places(decoded), refused(decoded)) == ([(3, 3)], [("undecodable", 2)])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Item(None), "tombstone"),
        (Item(b""), "undecodable"),
        (Item(b"{}"), "undecodable"),
        (Item(value(1)[:-1]), "undecodable"),
        (Item(value(1) + b"\0"), "undecodable"),
        (Item(value(1) + value(2)), "undecodable"),
        (Item(value(1) + body(CONTRACT, ROW)), "undecodable"),
        (Item(value(1)[:10]), "undecodable"),
        (Item(value(1)[:6]), "undecodable"),
        (Item(value(1)[:10] + b"\xff" * 50), "undecodable"),
        (Item(value(1)[:10] + avro_wire.varint(1 << 60)), "undecodable"),
        (Item(framed(CONTRACT, ROW | {"value_string": "x" * 9000})), "too_large"),
    ],
)
def test_one_bad_record_among_good_ones(bad: Item, reason: str) -> None:
    """It is rejected with its coordinates and first bytes; every other reading of the chunk survives in order."""
    decoded = decode(batch(items(0, 1)), batch([*items(2), bad, *items(4)], 2), batch(items(5, 6), 5), value_limit=8000)
    assert refused(decoded) == [(reason, 3)]
    assert places(decoded) == [(offset, offset) for offset in (0, 1, 2, 4, 5, 6)]
    assert decoded.slow_batches == 1, "only the block that holds it"
    (row,) = decoded.rejects.rows(named=True)
    assert (row["topic"], row["partition"], row["ingest_time"]) == (TOPIC, 0, (T0_MS + 1) * 1000)
    assert row["payload"] == (None if bad.value is None else bad.value[:1024])


@pytest.mark.parametrize(
    "good",
    [
        Item(value(1), headers=[("traceparent", b"00-1")]),
        Item(value(1), headers=[("empty", b"")]),
        Item(value(1), None),
        Item(framed(CONTRACT, ROW | {"sequence": 1, "value_string": "x" * 70_000})),
    ],
    ids=["header", "empty header", "null key among keys", "long"],
)
def test_good_records_that_are_no_plain_block(good: Item) -> None:
    """Headers, mixed keys and long values cost speed at most, never a reading."""
    decoded = decode(batch([*items(0), good, *items(2)]))
    assert (places(decoded), decoded.rejects.height) == ([(0, 0), (1, 1), (2, 2)], 0)


def test_encodings_that_are_valid_but_unusual() -> None:
    """Varints longer than need be are Avro all the same: fastavro takes them, and the row is there."""
    head, source = value(1)[:10], body(CONTRACT, ROW | {"sequence": 1})
    padded = head + bytes([source[0] | 0x80, 0]) + source[1:]
    decoded = decode(batch([*items(0), Item(padded), *items(2)]))
    assert (places(decoded), decoded.rejects.height) == ([(0, 0), (1, 1), (2, 2)], 0)


def test_a_record_smuggled_into_another() -> None:
    """A value that goes on as if a second record followed is one bad record, although the bytes parse as two rows."""
    inner = b"\x00\x02\x02" + avro_wire.varint(6) + b"edge-1" + avro_wire.varint(len(value(9))) + value(9)
    hidden = value(0) + b"\x00" + avro_wire.varint(len(inner) + 1) + inner
    decoded = decode(changed(batch([Item(hidden)]), count=2, last=1))
    assert decoded.frame.height == 0
    assert set(decoded.rejects["reason"]) == {"undecodable"}


def test_a_damaged_record_in_a_sound_batch() -> None:
    """A record whose own fields contradict its length is rejected; its neighbours are found by their lengths."""
    data = bytearray(batch(items(0, 1, 2)))
    length = (len(data) - 61) // 3
    place = 61 + length + data[61 + length :].index(b"edge-1") - 1
    data[place] = avro_wire.varint(50)[0]
    decoded = decode(changed(bytes(data)))
    assert (places(decoded), refused(decoded)) == ([(0, 0), (2, 2)], [("undecodable", 1)])


def test_counts_that_lie() -> None:
    """More records announced than there are, or fewer: the readings are kept and the contradiction is a reject."""
    for count, last in ((5, 4), (2, 1), (2**31 - 1, 2**31 - 2)):
        decoded = decode(changed(batch(items(0, 1, 2)), count=count, last=max(last, 2)))
        assert places(decoded)[:2] == [(0, 0), (1, 1)]
        assert set(decoded.rejects["reason"]) == {"undecodable"}


def test_a_faulty_block_is_one_reject() -> None:
    """A batch that could not be read at all leaves one row that tells offsets, number of records and why."""
    decoded = decode(changed(batch(items(0, 1)), attributes=5), batch(items(2), 2))
    assert (refused(decoded), places(decoded)) == ([("undecodable", 0)], [(2, 2)])
    assert decoded.rejects["detail"][0].startswith("record batch of 2 records, offsets 0 to 1: unknown compression")
    assert not decode(changed(batch(items(0, 1)), attributes=5), from_offset=2).rejects.height


def test_impossible_timestamps_do_not_overflow() -> None:
    """Record times of 64 bits are bounded, in a block and record by record."""
    for records in (items(0), [*items(0), Item(b"junk")]):
        for time in (2**63 - 1, -(2**63)):
            decoded = decode(batch(records, first_time=time))
            assert abs(decoded.frame["_time"][0]) > 2**62


def test_nothing() -> None:
    """No blocks: no rows, the columns all the same."""
    decoded = decode()
    assert_frame_equal(decoded.frame, decode(batch(items(0))).frame.clear())
    assert decoded.rejects.height == 0


def test_a_long_chunk_is_one_frame() -> None:
    """More than a run's worth of bytes is decoded in runs and stays in order."""
    sequences = range(30_000)
    parts = [batch(items(*sequences[base : base + 1000]), base) for base in range(0, 30_000, 1000)]
    decoded = decode(*parts)
    assert decoded.frame["_offset"].to_list() == list(sequences)
    assert decoded.frame["sequence"].to_list() == list(sequences)
    assert decoded.slow_batches == 0
