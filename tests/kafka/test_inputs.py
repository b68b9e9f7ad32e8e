"""Row topics as services read and write them: block by block in, also what older releases wrote; tombstones out."""

from __future__ import annotations

import io
from typing import Any, Final

import fastavro
import polars as pl
import pytest
from faust.types import TP
from polars.testing import assert_frame_equal

from streams import topology
from streams.core.correlate.tables import EVIDENCE, INCIDENT
from streams.core.frames import COORDINATES
from streams.kafka import topics
from streams.kafka.avro import codec, contracts
from streams.kafka.avro import wire as avro_wire
from streams.kafka.avro.wire import Kind
from streams.kafka.chunks import Chunk
from streams.kafka.outbox import Outbox
from streams.kafka.serde import AvroSerde
from streams.settings import Settings
from tests.kafka.batches import Item, batch, body, fetch_blocks, framed

ALERT: Final = contracts.load(topology.ALERT.name)
ROW: Final[dict[str, Any]] = {
    "alert_id": "a", "revision": 1, "reason": "opened", "kind": "alarm", "state": "active", "rule_id": "r",
    "rule_version": 1, "work_center": "line-1", "event_time": 5, "begin_time": 5, "detection_time": 6, "message": "m",
    "evidence": ["ot.reading.v1/0/7", "ot.reading.v1/0/8"], "members": ["edge-1"],
}  # fmt: skip
NEW: Final = {
    "domain": "security",
    "position": "shift lead",
    "verdict": "expected",
    "verdict_until": 9,
    "actors": ["p"],
}


async def decoded(topic: topology.Topic, *values: bytes | None) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Rows and rejects of one chunk, as `route` reads it."""
    items = [Item(value, key=b"line-1") for value in values]
    chunk = Chunk(TP(topic.name, 0), fetch_blocks(batch(items)), 0, len(values))
    found = await AvroSerde(Settings(), topology.ROUTE).decode(topic, chunk, 0)
    return found.frame, found.rejects


@pytest.mark.parametrize("stage", topology.STAGES, ids=lambda stage: stage.name)
def test_every_input_of_a_service_is_read_block_by_block(stage: topology.Stage) -> None:
    """The services' decoder takes blocks only: single records are for topics that are context."""
    assert [topic.name for topic in stage.reads if not topic.bulk] == []
    assert [topic.name for topic in stage.context if topic.bulk] == []


def older(row: dict[str, Any], without: set[str]) -> bytes:
    """`row` as a producer wrote it whose contract had not these fields."""
    schema = next(old for old in ALERT.released if not {part["name"] for part in old["fields"]} & without)
    prefix = avro_wire.prefix(Kind.SINGLE_OBJECT, contracts.fingerprint(schema))
    return prefix + body(contracts.Contract(ALERT.topic, schema, 0), row)


async def test_alerts_of_older_releases_are_read_with_defaults() -> None:
    """In one chunk with new ones, in the order of the log: what they could not say is what the contract says."""
    values = [framed(ALERT, ROW | NEW), older(ROW, set(NEW)), framed(ALERT, ROW | NEW), older(ROW, set(NEW))]
    frame, rejects = await decoded(topology.ALERT, *values)
    assert rejects is None
    assert frame["_offset"].to_list() == [0, 1, 2, 3]
    untold: dict[str, Any] = {
        "domain": "process",
        "position": None,
        "verdict": "none",
        "verdict_until": None,
        "actors": [],
    }
    assert frame.select(list(NEW)).to_dicts() == [NEW, untold, NEW, untold]
    assert frame["evidence"].to_list() == [ROW["evidence"]] * 4
    assert frame["members"].to_list() == [["edge-1"]] * 4


@pytest.mark.parametrize(
    ("topic", "row"),
    [
        (topology.ALERT, ROW),
        (topology.ACCESS, {"access_id": "1", "event_time": 5, "kind": "logon", "user": "u", "remote": True}),
        (topology.FLOW, {"flow_id": "1", "event_time": 5, "service": "modbus", "destination_port": 502}),
        (topology.RAW_ALARM, {"alarm_id": "1", "source_id": "plc", "event_time": 5, "code": "E7", "state": "active"}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_what_cannot_be_read_is_rejected_and_its_neighbours_are_not(
    topic: topology.Topic, row: dict[str, Any]
) -> None:
    """Garbage, a cut record and a tombstone in one batch: each told with its coordinates, the others read."""
    good = framed(contracts.load(topic.name), row)
    frame, rejects = await decoded(topic, good, b"garbage", good[:-1], None, good)
    assert frame["_offset"].to_list() == [0, 4]
    assert frame.select(list(row)).to_dicts() == [row, row]
    assert frame.columns[-len(COORDINATES) :] == list(COORDINATES)
    assert rejects is not None
    told = rejects.select("topic", "partition", "offset", "reason").rows()
    reasons = ["undecodable", "undecodable", "tombstone"]
    assert told == [(topic.name, 0, offset, reason) for offset, reason in enumerate(reasons, 1)]


def incident(state: str, number: int) -> dict[str, Any]:
    """A row of incidents; what it does not say is the contract's default."""
    fields = contracts.load(topology.INCIDENT_CURRENT.name).schema["fields"]
    row = {part["name"]: part.get("default") for part in fields}
    return (
        row
        | {
            "incident_id": f"i{number}",
            "revision": 1,
            "reason": "opened",
            "site": "s",
            "state": state,
            "priority": "low",
            "message": "m",
        }
        | dict.fromkeys(("event_time", "begin_time", "detection_time"), number)
    )


async def test_what_has_ended_is_written_as_a_tombstone() -> None:
    """Of a topic with ends: the key without a value where the state is one of these, all others as they are, in order;
    the same rows on a topic without ends are all records.
    """
    serde = AvroSerde(Settings(), topology.CORRELATE_STAGE)
    await serde.start()
    states = ["open", "closed", "reopened", "merged", "retracted", "open"]
    frame = pl.DataFrame([incident(state, number) for number, state in enumerate(states)], schema=INCIDENT)
    records = serde.encode(topology.INCIDENT_CURRENT, frame)
    assert [record.key for record in records] == [f"i{number}".encode() for number in range(len(states))]
    ended = [state in topology.INCIDENT_CURRENT.ends for state in states]
    assert [record.value is None for record in records] == ended == [False, True, False, True, True, False]
    schema = fastavro.parse_schema(dict(contracts.load(topology.INCIDENT_CURRENT.name).schema))
    assert codec.frame([], topology.INCIDENT_CURRENT.name).schema == frame.schema
    for record, state in zip(records, states, strict=True):
        if record.value is not None:
            assert single(record.value, schema)["state"] == state
    assert all(record.value for record in serde.encode(topology.INCIDENT, frame))
    await serde.stop()


def single(value: bytes, schema: Any) -> dict[str, Any]:
    """One value in single-object encoding."""
    row: Any = fastavro.schemaless_reader(io.BytesIO(value[10:]), schema, None)
    return dict(row)


def test_topics_of_what_stands_keep_the_last_of_each_key_only() -> None:
    """Compacted at once, as only the last counts; who was away for a week still learns what has ended."""
    found = topics.config(topology.INCIDENT_CURRENT)
    assert found == {"cleanup.policy": "compact", "delete.retention.ms": str(7 * topology.DAY_MS)}
    assert "min.compaction.lag.ms" in topics.config(topology.WORK_ORDER)


async def test_evidence_is_read_as_it_was_written() -> None:
    """Through the encoder of `route` and the decoder of `correlate`, few rows and many, keyed by site."""
    route, correlate = (AvroSerde(Settings(), stage) for stage in (topology.ROUTE, topology.CORRELATE_STAGE))
    await route.start()
    fields = contracts.load(topology.EVIDENCE.name).schema["fields"]
    blank = {part["name"]: part.get("default") for part in fields} | {"kind": "flow", "type": "s7comm"}
    for count in (3, 300):
        rows = [
            blank
            | {
                "evidence_id": f"flow:{number}",
                "site": f"site-{number % 3}",
                "event_time": number,
                "begin_time": number,
            }
            | {"actors": ["p"] * (number % 3), "evidence": [f"it.flow.v1/0/{number}"], "value": number / 7}
            for number in range(count)
        ]
        frame = pl.DataFrame(rows, schema=EVIDENCE)
        records = route.encode(topology.EVIDENCE, frame)
        assert [record.key for record in records] == [row["site"].encode() for row in rows]
        items = [Item(record.value, record.key) for record in records]
        chunk = Chunk(TP(topology.EVIDENCE.name, 0), fetch_blocks(batch(items)), 0, count)
        found = await correlate.decode(topology.EVIDENCE, chunk, 0)
        assert found.rejects is None
        assert_frame_equal(found.frame.select(EVIDENCE.names()), frame)


@pytest.mark.parametrize(
    ("ingest", "earliest"), [([7, 3], 3), ([None, 7], 7), ([None, None], 50), ([0, 7], 50), (None, 50)]
)
def test_latency_counts_from_the_first_arrival_that_is_known(ingest: list[int | None] | None, earliest: int) -> None:
    """What a row says of the raw reading's arrival counts; null and 0 say nothing, and then its own arrival does."""
    frame = pl.DataFrame({"_time": [60, 50]})
    outbox = Outbox()
    outbox.came(frame if ingest is None else frame.with_columns(pl.Series("ingest_time", ingest, pl.Int64)))
    outbox.came(pl.DataFrame({"_time": [90]}))
    assert outbox.ingest_us == earliest
