"""The versions that the context store keeps: what is in the frame is what the log says, however it was cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams import topology
from streams.kafka.avro import codec, contracts
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.context import table as context_table
from streams.kafka.context.decode import decode
from streams.kafka.context.table import Oddity, Versions
from tests.chaos.services import Encoder

SCHEMAS: Final = WriterSchemas(contracts.load(topology.ASSET.name))
ENCODER: Final = Encoder(topology.ASSET)
HOUR_MS: Final = 3_600_000
DAY_US: Final = 86_400_000_000


@dataclass
class Record:
    """A fetched record."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0
    topic: str = "it.asset.v1"
    partition: int = 0


def asset(key: str, since: int = 0, until: int | None = None, name: str = "") -> bytes:
    """A version of an asset that differs from another by `name`."""
    row = {"asset_id": key, "path": f"site/{key}", "valid_from": since, "valid_to": until, "name": name}
    return ENCODER.value(row | {"feeds": [name] if name else []})


def taken(table: Versions, *records: Record) -> list[Oddity]:
    """Stage and absorb these records."""
    table.stage(decode(records, SCHEMAS, table.taken), len(records))
    odd = table.absorb()
    table.show()
    return odd


def held(table: Versions) -> list[tuple[Any, ...]]:
    """The versions in the frame."""
    return sorted(table.frame.select("asset_id", "valid_from", "name", pl.col("feeds").list.first()).rows())


keys = st.sampled_from(["a", "b", "a long key of an asset"])
upserts = st.tuples(keys, st.integers(0, 2), st.sampled_from(["x", "y", "a name of more than twelve bytes"]))
histories = st.lists(st.lists(upserts | keys, min_size=1, max_size=6), max_size=6)


@given(histories, st.sampled_from([1, 2, 5, 100]))
@example([[("a", 0, "x"), "a", ("a", 1, "y")], ["a", ("a", 1, "y")], ["b"]], 2)
def test_the_frame_holds_what_the_log_says_however_it_is_cut(history: list[list[Any]], piece: int) -> None:
    """Last record of a (key, valid_from) holds, a tombstone takes its key: as in a dict, after every part."""
    plain: dict[str, dict[int, str]] = {}
    table, offset = Versions(SCHEMAS.columns), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context_table, "PIECE_ROWS", piece)
        for part in history:
            records = []
            for entry in part:
                offset += 1 + len(part)  # offsets have holes
                if isinstance(entry, str):
                    plain.pop(entry, None)
                    records.append(Record(offset, entry.encode(), None))
                else:
                    key, since, name = entry
                    plain.setdefault(key, {})[since] = name
                    records.append(Record(offset, key.encode(), asset(key, since, None, name)))
            taken(table, *records)
            expected = [(key, since, name, name) for key, found in plain.items() for since, name in found.items()]
            assert held(table) == sorted(expected)
            assert table.height == table.frame.height


def test_what_is_known_already_changes_nothing() -> None:
    """A nightly export of what is there leaves the same frame object, so that nothing is derived anew."""
    table = Versions(SCHEMAS.columns)
    records = [Record(n, b"k%d" % n, asset(f"k{n}", name="n")) for n in range(5)]
    taken(table, *records)
    before = table.frame
    again = [Record(record.offset + 5, record.key, record.value) for record in records]
    table.stage(decode(again, SCHEMAS, table.taken), 5)
    assert table.absorb() == []
    assert not table.show()
    assert table.frame is before


def test_what_one_load_tells_twice_is_named_and_the_later_offset_holds() -> None:
    """Within one load it is a contradiction, an hour later a correction, equal content is neither."""
    table = Versions(SCHEMAS.columns)
    odd = taken(table, *(Record(n, b"k", asset("k", 7, None, name)) for n, name in enumerate("abbc")))
    assert odd == [Oddity("contradiction", 2, (("k", 7), ("k", 7)))]
    assert held(table) == [("k", 7, "c", "c")]
    assert taken(table, Record(4, b"k", asset("k", 7, None, "d"), 1000))[0].count == 1  # in the next part of the load
    assert taken(table, Record(5, b"k", asset("k", 7, None, "e"), HOUR_MS)) == []
    assert held(table) == [("k", 7, "e", "e")]


def test_versions_that_overlap_are_named_once() -> None:
    """A version may be open or end where the next begins; beyond that it contradicts its successor."""
    table = Versions(SCHEMAS.columns)
    good = [Record(0, b"k", asset("k", 0, None, "a")), Record(1, b"k", asset("k", 10, 20, "b"))]
    assert taken(table, *good, Record(2, b"k", asset("k", 20, 30, "c"))) == []
    assert taken(table, Record(3, b"k", asset("k", 25, None, "d"))) == [Oddity("overlap", 1, (("k", 20),))]
    assert taken(table, Record(4, b"k", asset("k", 90, None, "e")), Record(5, b"other", asset("other", 26))) == []


def test_what_cannot_be_read_is_told_and_its_neighbours_are_not_left_out() -> None:
    """No framing, another schema, bytes cut off: each with its offset and reason; the others are there."""
    good = [Record(n, b"%d" % n, asset(str(n), name="n")) for n in range(20)]
    bad = [b"no record", b"\xc3\x01" + bytes(8), asset("cut")[:-3], asset("long") + b"\0"]
    records = [*good[:10], *(Record(100 + n, b"bad", value) for n, value in enumerate(bad)), *good[10:]]
    records = [replace(record, offset=place) for place, record in enumerate(records)]
    decoded = decode(records, SCHEMAS, 0)
    assert [(offset, reason) for offset, reason, _ in decoded.refused] == [
        (10, "undecodable"),
        (11, "schema_unknown"),
        (12, "undecodable"),
        (13, "undecodable"),
    ]
    assert decoded.rows["asset_id"].to_list() == [str(n) for n in range(20)]


def test_a_schema_that_only_the_registry_knows_is_asked_for() -> None:
    """With a registry an unknown id is no fault yet; once it is told, the record is read."""
    schemas = WriterSchemas(contracts.load(topology.ASSET.name), registry=True)
    record = Record(0, b"k", b"\0" + (9).to_bytes(4, "big") + asset("k", name="n")[10:])
    assert decode([record], schemas, 0).needs == {9}
    schemas.add(9, contracts.load(topology.ASSET.name).schema)
    found = decode([record], schemas, 0)
    assert (found.needs, found.rows["name"].to_list()) == (frozenset(), ["n"])


def test_versions_that_ended_long_ago_are_let_go_and_the_newest_never() -> None:
    """Ended by valid_to or by a successor, and written before then; what was loaded lately stays, however old."""
    table = Versions(SCHEMAS.columns)
    day = [number * DAY_US for number in range(60)]
    written = [("moved", 1, None, 1), ("moved", 2, None, 2), ("moved", 50, None, 50), ("ended", 1, 2, 1)]
    written += [("short", 1, 2, 1), ("short", 50, None, 2), ("loaded", 1, None, 50), ("loaded", 2, None, 50)]
    for offset, (key, since, until, at) in enumerate(written):
        value = asset(key, day[since], None if until is None else day[until], "n")
        taken(table, Record(offset, key.encode(), value, day[at] // 1000))
    assert table.let_go(day[20]) == 2
    assert table.show()
    left = [(key, since // DAY_US) for key, since, *_ in held(table)]
    assert left == [("ended", 1), ("loaded", 1), ("loaded", 2), ("moved", 2), ("moved", 50), ("short", 50)]
    assert table.let_go(day[20]) == 0
    assert not table.show()


def sample(topic: topology.Topic) -> dict[str, Any]:
    """A row with something in every field that the contract wants."""
    texts = ("order_id", "path", "work_center", "product", "source_id", "address", "entry_id", "kind", "name")
    row: dict[str, Any] = {name: f"{name} of a record" for name in (*texts, topic.key)}
    return row | {"start": 1, "end": 2, "actors": ["a", "b"], "enumeration": {"0": "stopped"}, "feeds": []}


CONTEXT: Final[Sequence[topology.Topic]] = (
    topology.SIGNAL,
    topology.ASSET,
    topology.PRODUCTION_ORDER,
    topology.CALENDAR,
    topology.WORK_ORDER,
    topology.CHANGE,
)


@pytest.mark.parametrize("topic", CONTEXT, ids=lambda topic: topic.name)
def test_frames_have_the_contracts_columns_whatever_the_way_they_were_decoded(topic: topology.Topic) -> None:
    """Many rows at once and one by one give the same frame, for flat fields, arrays and maps."""
    contract = contracts.load(topic.name)
    schemas, encoder = WriterSchemas(contract), Encoder(topic)
    fields = {part["name"] for part in contract.schema["fields"]}
    row = {name: value for name, value in sample(topic).items() if name in fields}
    records = [Record(n, b"%d" % n, encoder.value(row | {topic.key: str(n)})) for n in range(30)]
    together, alone = Versions(schemas.columns), Versions(schemas.columns)
    assert together.frame.schema == codec.frame((), topic.name).schema
    together.stage(decode(records, schemas, 0), len(records))
    for record in records:
        alone.stage(decode([record], schemas, alone.taken), 1)
    for table in (together, alone):
        assert table.absorb() == []
        assert table.show()
    plain = codec.frame(codec.decode([record.value for record in records], schemas).rows.values(), topic.name)
    assert together.frame.equals(plain)
    assert alone.frame.equals(plain)
