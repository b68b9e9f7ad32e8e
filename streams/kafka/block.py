"""One Kafka record batch as a value: a `Block`. Its format is KIP-98's, https://kafka.apache.org/documentation/#recordbatch."""

from __future__ import annotations

import struct
from typing import Final

HEADER: Final = struct.Struct(">qiibIhiqqqhii")
ATTRIBUTES_OFFSET: Final = 21  # the CRC covers the batch from its attributes on
LOG_APPEND_TIME: Final = 0x08


class Block:
    """One record batch: offsets `base_offset` to `next` - 1, `count` records, `body` the decompressed records section.

    `header` is the batch's 61 bytes as they came. A batch that cannot be read has `fault` ("undecodable" or
    "too_large") with `detail`, and the first bytes of the batch as body. To aiokafka and Faust it looks like one
    record at its last offset, with the batch's base timestamp (milliseconds).
    """

    __slots__ = ("base_offset", "body", "count", "detail", "fault", "header", "next", "partition", "timestamp", "topic")

    key = None
    headers: tuple[()] = ()
    checksum = None
    serialized_key_size = -1

    def __init__(
        self, topic: str, partition: int, header: bytes, base_offset: int, next_: int, count: int, timestamp: int,
        body: bytes, fault: str | None = None, detail: str = "",
    ) -> None:  # fmt: skip
        self.topic = topic
        self.partition = partition
        self.header = header
        self.base_offset = base_offset
        self.next = next_
        self.count = count
        self.timestamp = timestamp
        self.body = body
        self.fault = fault
        self.detail = detail

    @property
    def offset(self) -> int:
        """Offset of the last record (of the last one there was, in a compacted topic)."""
        return self.next - 1

    @property
    def timestamp_type(self) -> int:
        """0: timestamps are the producer's, 1: the broker's append time."""
        return int(bool(self.header[ATTRIBUTES_OFFSET + 1] & LOG_APPEND_TIME))

    @property
    def value(self) -> bytes:
        """The records section: what aiokafka's callers would measure and pass on as the value."""
        return self.body

    @property
    def serialized_value_size(self) -> int:
        """Bytes of the decompressed records section."""
        return len(self.body)

    def __repr__(self) -> str:
        state = self.fault or f"{self.count} records"
        return f"<Block {self.topic}/{self.partition} {self.base_offset}..{self.offset} {state}>"
