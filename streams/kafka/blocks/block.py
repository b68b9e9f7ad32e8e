"""Record batches as values: a `Block` holds one, or several small ones that follow each other.

Format of a record batch: KIP-98, https://kafka.apache.org/documentation/#recordbatch.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

HEADER: Final = struct.Struct(">qiibIhiqqqhii")
ATTRIBUTES_OFFSET: Final = 21  # the CRC covers the batch from its attributes on
LOG_APPEND_TIME: Final = 0x08
_FIRST_TIME: Final = 7
_COUNT: Final = 12


class Block:
    """Record batches of one partition: offsets `base_offset` to `next` - 1.

    `header` is the batches' headers, 61 bytes each as they came; `body` their decompressed records sections, one after
    another, of `lengths` bytes each. A producer without linger sends one record per batch: joining them keeps the cost
    of a Python object away from the single reading. To aiokafka and Faust a block looks like one record at its last
    offset, with the first batch's base timestamp (milliseconds).
    """

    __slots__ = ("base_offset", "body", "header", "lengths", "next", "partition", "topic")

    fault: str | None = None
    detail = ""
    key = None
    headers: tuple[()] = ()
    checksum = None
    serialized_key_size = -1

    def __init__(
        self, topic: str, partition: int, base: int, next_: int, header: bytes, lengths: Sequence[int], body: bytes
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.base_offset = base
        self.next = next_
        self.header = header
        self.lengths = lengths
        self.body = body

    @property
    def offset(self) -> int:
        """Offset of the last record (of the last one there was, in a compacted topic)."""
        return self.next - 1

    @property
    def count(self) -> int:
        """Number of records, as the headers tell it."""
        return sum(max(int(fields[_COUNT]), 0) for fields in HEADER.iter_unpack(self.header))

    @property
    def timestamp(self) -> int:
        """Base timestamp of the first batch, in milliseconds."""
        return int(HEADER.unpack_from(self.header)[_FIRST_TIME])

    @property
    def timestamp_type(self) -> int:
        """0: timestamps are the producer's, 1: the broker's append time."""
        return int(bool(self.header[ATTRIBUTES_OFFSET + 1] & LOG_APPEND_TIME))

    @property
    def value(self) -> bytes:
        """The records sections: what aiokafka's callers would measure and pass on as the value."""
        return self.body

    @property
    def serialized_value_size(self) -> int:
        """Bytes of the decompressed records sections."""
        return len(self.body)

    def batches(self) -> Iterator[tuple[bytes, bytes]]:
        """(header, records section) of each batch."""
        position = 0
        for number, length in enumerate(self.lengths):
            yield self.header[number * HEADER.size :][: HEADER.size], self.body[position : position + length]
            position += length

    def __repr__(self) -> str:
        state = self.fault or f"{self.count} records"
        return f"<Block {self.topic}/{self.partition} {self.base_offset}..{self.offset} {state}>"


class FaultyBlock(Block):
    """A batch that cannot be read: `fault` is "undecodable" or "too_large", `body` the first bytes of the batch."""

    __slots__ = ("detail", "fault")

    def __init__(
        self, topic: str, partition: int, base: int, next_: int, header: bytes, body: bytes, fault: str, detail: str
    ) -> None:
        super().__init__(topic, partition, base, next_, header, (len(body),), body)
        self.fault = fault
        self.detail = detail
