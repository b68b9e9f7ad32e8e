"""Raw readings as records, and what they decode to."""

from __future__ import annotations

from typing import Any

from streams.kafka.avro import block as avro_block
from streams.kafka.avro import contracts
from streams.kafka.avro.block import Decoded
from streams.kafka.avro.schemas import WriterSchemas
from tests.kafka.batches import Item, fetch_blocks, framed

CONTRACT = contracts.load("ot.raw.reading.v1")
ROW: dict[str, Any] = {"source_id": "edge-1", "site": "plant", "address": "filler/speed", "value_double": 1.5,
                       "source_time": 1_700_000_000_000_000, "historical": False, "birth": True}  # fmt: skip


def value(sequence: int, ident: int | None = None) -> bytes:
    """A framed reading."""
    return framed(CONTRACT, ROW | {"sequence": sequence}, ident)


def items(*sequences: int, key: bytes | None = b"edge-1") -> list[Item]:
    """Records with these readings."""
    return [Item(value(sequence), key) for sequence in sequences]


def decode(*batches: bytes, from_offset: int = 0, **limits: int) -> Decoded:
    """Rows and rejects of batches, without a registry."""
    return avro_block.decode(fetch_blocks(*batches), WriterSchemas(CONTRACT), from_offset, **limits)


def places(decoded: Decoded) -> list[tuple[int, int]]:
    """(offset, sequence) of the rows."""
    return decoded.frame.select("_offset", "sequence").rows()


def refused(decoded: Decoded) -> list[tuple[str, int]]:
    """(reason, offset) of the rejects."""
    return decoded.rejects.select("reason", "offset").rows()
