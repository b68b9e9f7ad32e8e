"""The blocks of one fetch. Enters: the bytes fetched of one partition. Leaves: `Block`s, and the position behind them.

Order of the checks, aborted transactions, control batches and positions follow aiokafka's PartitionRecords of the
pinned release; a golden test compares both.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from streams.kafka.blocks.block import ATTRIBUTES_OFFSET, HEADER, Block, FaultyBlock
from streams.kafka.blocks.codecs import CodecError, decompress

# Plain batches are joined to blocks up to here. Chunks are bounded in bytes, not in blocks.
JOIN_BYTES = 64 << 10
FAULT_BYTES: Final = 64 << 10
LOG_OVERHEAD: Final = 12  # base offset and length: what the length field does not count
_MIN_LENGTH: Final = HEADER.size - LOG_OVERHEAD
_CODEC: Final = 0x07
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20

_log = logging.getLogger(__name__)
_suspects: dict[TopicPartition, int] = {}


class BlockRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka declares no types here
    """Iterates over the blocks of one fetch of one partition; `next_fetch_offset` follows, past skipped batches too."""

    next_fetch_offset: int

    def __iter__(self) -> Iterator[Block]:
        # The generator itself: one call per block less. `getall` may leave the loop and come back.
        iterator: Iterator[Block] = iter(()) if self._records_iterator is None else self._records_iterator
        return iterator

    def _unpack_records(self) -> Iterator[Block]:
        data: bytes = self._records.data
        begin, reached = 0, -1
        while len(data) - begin >= HEADER.size:
            block, end = self._plain(data, begin, max(reached, self.next_fetch_offset))
            if block is None:
                fields = HEADER.unpack_from(data, begin)
                end = begin + LOG_OVERHEAD + fields[1]
                if end > len(data) and fields[1] >= 0:
                    return  # the broker cuts the last batch where the fetch is full
                damage = _damage(memoryview(data)[begin:end], fields, reached, self._check_crcs)
                if damage:
                    if fields[3] == 2 and self._refetch(fields[0]):
                        return
                    follower = _follower(data, end)
                    yield self._fault(data[begin : max(end, begin + HEADER.size)], follower, damage)
                    if follower is None:
                        return  # whether a batch begins at `end` is not known: the length may be damaged
                else:
                    block = self._single(data[begin:end], fields)
                    self.next_fetch_offset = max(self.next_fetch_offset, fields[0] + fields[6] + 1)
            if block is not None:
                self.next_fetch_offset = block.next
                yield block
            begin, reached = end, self.next_fetch_offset

    def _plain(self, data: bytes, begin: int, reached: int) -> tuple[Block | None, int]:
        """One block of the sound, uncompressed batches from `begin` on, and where it ends; None where there is none.

        A tight loop: a producer without linger sends every reading in a batch of its own.
        """
        aborts = self._isolation_level == fetcher.READ_COMMITTED and (
            self._aborted_transactions or self._aborted_producers
        )
        special = _CODEC | _CONTROL | (_TRANSACTIONAL if aborts else 0)
        view, unpack, check, size = memoryview(data), HEADER.unpack_from, self._check_crcs, len(data)
        headers: list[bytes] = []
        lengths: list[int] = []
        bodies: list[bytes] = []
        first = reached
        full = begin + JOIN_BYTES
        while size - begin >= 61:
            base, length, _, magic, crc, attributes, last, _, _, _, _, _, count = unpack(data, begin)
            end = begin + 12 + length
            if magic != 2 or attributes & special or count <= 0 or last < 0 or length < 49 or end > size:
                break
            if base < reached or (bodies and end > full) or (check and calc_crc32c(view[begin + 21 : end]) != crc):
                break
            if not bodies:
                first = base
            headers.append(data[begin : begin + 61])
            lengths.append(length - 49)
            bodies.append(data[begin + 61 : end])
            reached, begin = base + last + 1, end
        if not bodies:
            return None, begin
        topic, partition = self._tp
        return Block(topic, partition, first, reached, b"".join(headers), lengths, b"".join(bodies)), begin

    def _single(self, batch: bytes, fields: tuple[int, ...]) -> Block | None:
        """The block of one sound batch; None where it is skipped, empty, or before the position."""
        base, attributes, following = fields[0], fields[5], fields[0] + fields[6] + 1
        if self._skipped(fields, batch) or fields[12] <= 0 or following <= self.next_fetch_offset:
            return None
        topic, partition = self._tp
        header = batch[: HEADER.size]
        try:
            body = decompress(attributes & _CODEC, memoryview(batch)[HEADER.size :])
        except CodecError as error:
            fault = "too_large" if error.too_large else "undecodable"
            return FaultyBlock(topic, partition, base, following, header, batch[:FAULT_BYTES], fault, str(error))
        return Block(topic, partition, base, following, header, (len(body),), body)

    def _skipped(self, fields: tuple[int, ...], batch: bytes) -> bool:
        """True for control batches, and for those of aborted transactions where only committed ones are read."""
        attributes, producer = fields[5], fields[9]
        if self._isolation_level == fetcher.READ_COMMITTED:
            self._consume_aborted_up_to(fields[0])
            if attributes & _CONTROL and self._contains_abort_marker(iter(DefaultRecordBatch(batch))):
                self._aborted_producers.discard(producer)
            elif attributes & _TRANSACTIONAL and producer in self._aborted_producers:
                return True
        return bool(attributes & _CONTROL)

    def _refetch(self, base: int) -> bool:
        """True the first time a batch is found damaged: on the way is likelier than on disk, so it is fetched again."""
        if _suspects.get(self._tp) == base:
            del _suspects[self._tp]
            return False
        _suspects[self._tp] = base
        _log.warning("%s: damaged record batch at offset %d, fetching it again", self._tp, base)
        return True

    def _fault(self, batch: bytes, follower: int | None, detail: str) -> Block:
        """A block that stands for a damaged batch; its header is believed only as far as it agrees with itself."""
        header = batch[: HEADER.size].ljust(HEADER.size, b"\0")
        base, _, _, magic, _, _, last, _, _, _, _, _, count = HEADER.unpack(header)
        position: int = self.next_fetch_offset
        if follower is not None and follower > position:
            following = follower
        elif magic == 2 and count == last + 1 and 0 < count <= len(batch):
            following = max(base + count, position + 1)
        elif magic in {0, 1} and base >= position:
            following = base + 1
        else:
            following = position + 1  # one offset at a time: slow, but no good record is passed over
        self.next_fetch_offset = following
        topic, partition = self._tp
        return FaultyBlock(topic, partition, position, following, header, batch[:FAULT_BYTES], "undecodable", detail)


def _damage(batch: memoryview, fields: tuple[int, ...], reached: int, check_crc: bool) -> str:
    """What is wrong with a batch; empty where nothing is."""
    if fields[1] < _MIN_LENGTH:
        return f"batch length {fields[1]} is less than that of a header"
    if fields[3] != 2:
        return f"record batch of format {fields[3]}; only format 2 (Kafka 0.11 and later) is read"
    if check_crc and calc_crc32c(batch[ATTRIBUTES_OFFSET:]) != fields[4]:
        return "CRC-32C does not match"
    if fields[6] < 0:
        return f"last offset delta {fields[6]}"
    if fields[0] < reached:  # the CRC does not cover the base offset
        return f"base offset {fields[0]} where the batch before ends with {reached - 1}"
    return ""


def _follower(data: bytes, end: int) -> int | None:
    """Base offset of the batch that begins at `end`, where a sound one does."""
    if not 0 < end <= len(data) - HEADER.size:
        return None
    fields = HEADER.unpack_from(data, end)
    batch = memoryview(data)[end : end + LOG_OVERHEAD + max(fields[1], 0)]
    return None if _damage(batch, fields, -1, check_crc=True) else int(fields[0])
