"""How services read: limits, and where rejects say they come from."""

from __future__ import annotations

import pytest
from faust.types import TP

from streams import topology
from streams.kafka.avro import contracts
from streams.kafka.chunks import Chunk
from streams.kafka.serde import AvroSerde
from streams.settings import Settings
from tests.kafka.batches import Item, batch, fetch_blocks, framed

SETTINGS = Settings(site="north", tenant="acme", topic_prefix="x.")


def chunk(topic: topology.Topic, *values: bytes) -> Chunk:
    """One record batch of a topic."""
    blocks = fetch_blocks(batch([Item(value) for value in values]))
    return Chunk(TP(f"x.{topic.name}", 0), blocks, 0, len(values))


def reading(number: int, text: str) -> bytes:
    """A raw reading."""
    row = {"source_id": "edge-1", "address": "t", "sequence": number, "value_string": text}
    return framed(contracts.load(topology.RAW_READING.name), row)


@pytest.mark.parametrize(("length", "fits"), [(890 << 10, True), (900 << 10, False), (3 << 20, False)])
async def test_a_raw_reading_that_fits_into_no_record_is_rejected(length: int, fits: bool) -> None:
    """Compression brings in what no producer could send on: too large, and its neighbours survive."""
    serde = AvroSerde(SETTINGS, topology.VALIDATE)
    values = [reading(0, "a"), reading(1, "m" * length), reading(2, "b")]
    decoded = await serde.decode(topology.RAW_READING, chunk(topology.RAW_READING, *values), 0)
    assert decoded.frame["sequence"].to_list() == ([0, 1, 2] if fits else [0, 2])
    assert dict(decoded.counts) == ({} if fits else {("rejects", "too_large"): 1})


async def test_a_batch_may_be_larger_than_a_reading() -> None:
    """A columnar batch becomes many records: its own limit holds, not that of a single reading."""
    serde = AvroSerde(SETTINGS, topology.VALIDATE)
    count = 60_000
    row = {"source_id": "edge-1", "address": ["temperature"] * count, "value_double": [1.0] * count}
    value = framed(contracts.load(topology.RAW_BATCH.name), row)
    assert len(value) > 900 << 10
    decoded = await serde.decode(topology.RAW_BATCH, chunk(topology.RAW_BATCH, value), 0)
    assert (decoded.frame.height, decoded.rejects) == (1, None)


@pytest.mark.parametrize("stage", topology.STAGES, ids=lambda stage: stage.name)
async def test_what_cannot_be_decoded_says_where_it_came_from(stage: topology.Stage) -> None:
    """Site and tenant are the deployment's; the topic is named without the deployment's prefix."""
    topic = stage.reads[0]
    decoded = await AvroSerde(SETTINGS, stage).decode(topic, chunk(topic, b"\x00nonsense"), 0)
    assert decoded.rejects is not None
    (row,) = decoded.rejects.select("site", "tenant", "topic", "offset").rows()
    assert row == ("north", "acme", topic.name, 0)


async def test_without_a_tenant_there_is_none() -> None:
    """The setting left out is null in the record, not an empty text."""
    serde = AvroSerde(Settings(site="north"), topology.VALIDATE)
    decoded = await serde.decode(topology.RAW_READING, chunk(topology.RAW_READING, b"\x00nonsense"), 0)
    assert decoded.rejects is not None
    assert decoded.rejects["tenant"].to_list() == [None]
