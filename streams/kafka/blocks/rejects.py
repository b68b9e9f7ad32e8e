"""What cannot be interpreted, as rows of ot.reading.rejected.v1. Enters: records and reasons. Leaves: a frame."""

from __future__ import annotations

from functools import cache
from typing import Final

import polars as pl

from streams import topology
from streams.kafka.avro import contracts
from streams.kafka.avro import writer as avro_writer
from streams.kafka.blocks.block import Block

PAYLOAD_BYTES: Final = 1024
UNDECODABLE: Final = "undecodable"
SCHEMA_UNKNOWN: Final = "schema_unknown"
TOMBSTONE: Final = "tombstone"
TOO_LARGE: Final = "too_large"
UNEQUAL_LENGTHS: Final = "unequal_lengths"
_INT64: Final = 2**63 - 1


class Rejects:
    """Collects the rejected records of one topic partition; times in microseconds."""

    def __init__(self, topic: str, partition: int) -> None:
        self._place: Final = {"topic": topic, "partition": partition}
        self._rows: list[dict[str, object]] = []

    def add(self, reason: str, detail: str, offset: int, time_us: int, payload: bytes | None = None) -> None:
        """One rejected record, with what is wrong and the first bytes of it."""
        kept = None if payload is None else bytes(payload[:PAYLOAD_BYTES])
        row = {"reason": reason, "detail": detail[:500], "offset": offset, "ingest_time": time_us, "payload": kept}
        self._rows.append(row | self._place)

    def add_block(self, block: Block) -> None:
        """A record batch that could not be read at all: one row for all of its records."""
        detail = f"record batch of {block.count} records, offsets {block.base_offset} to {block.offset}: {block.detail}"
        self.add(block.fault or UNDECODABLE, detail, block.base_offset, microseconds(block.timestamp), block.body)

    def frame(self) -> pl.DataFrame:
        """The rejects by offset, with exactly the columns of the contract."""
        if not self._rows:
            return schema().to_frame()
        rows = [{"site": "", **row} for row in self._rows]
        return pl.DataFrame(rows, schema=schema(), orient="row").sort("offset", maintain_order=True)


@cache
def schema() -> pl.Schema:
    """Columns of ot.reading.rejected.v1."""
    return avro_writer.columns(contracts.load(topology.REJECTED.name).schema)


def microseconds(milliseconds: int) -> int:
    """A record's timestamp in microseconds; what a producer sets is anything of 64 bits, so it is bounded."""
    return max(-_INT64, min(milliseconds * 1000, _INT64))
