"""Record batches as blocks. Enters: what a fetch returned for one partition. Leaves: one `Block` per record batch.

For the topics named in `install`, aiokafka's fetcher yields blocks in place of records: no record is touched in
Python. All other topics stay on aiokafka's own path. Order of the checks, aborted transactions, control batches and
positions follow `aiokafka.consumer.fetcher.PartitionRecords` of the pinned release; a golden test compares both.
Record batch format: KIP-98, https://kafka.apache.org/documentation/#recordbatch.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Iterator
from typing import Any, Final

import aiokafka
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from streams.kafka.block import ATTRIBUTES_OFFSET, HEADER, Block
from streams.kafka.block_codecs import CodecError, decompress

AIOKAFKA_VERSION: Final = "0.14.0"
FAULT_BYTES: Final = 64 << 10
_LOG_OVERHEAD: Final = 12  # base offset and length: what the length field does not count
_MIN_LENGTH: Final = HEADER.size - _LOG_OVERHEAD
_CODEC_MASK: Final = 0x07
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20

_log = logging.getLogger(__name__)
_topics: set[str] = set()
_suspects: dict[TopicPartition, int] = {}
_OriginalRecords: Final = fetcher.PartitionRecords


class FetchedData:
    """Stands in for aiokafka's MemoryRecords until the partition, and with it the path, is known."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def has_next(self) -> bool:
        """True where the first batch is complete."""
        return len(self.data) >= _LOG_OVERHEAD and len(self.data) - _LOG_OVERHEAD >= _length(self.data, 0)

    def size_in_bytes(self) -> int:
        """Bytes of the fetched data."""
        return len(self.data)


class BlockRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka declares no types here
    """Iterates over the blocks of one fetch of one partition; `next_fetch_offset` follows, past skipped batches too."""

    next_fetch_offset: int

    def __iter__(self) -> Iterator[Block]:
        # The generator itself: one call per block less. `getall` may leave the loop and come back.
        iterator: Iterator[Block] = iter(()) if self._records_iterator is None else self._records_iterator
        return iterator

    def _unpack_records(self) -> Iterator[Block]:
        data: bytes = self._records.data
        view = memoryview(data)
        position, size, reached = 0, len(data), -1
        while size - position >= HEADER.size:
            fields = HEADER.unpack_from(data, position)
            length, following = fields[1], fields[0] + fields[6] + 1
            end = position + _LOG_OVERHEAD + length
            if end > size and length >= 0:
                return  # the broker cuts the last batch where the fetch is full
            damage = _damage(view[position:end], fields, self._check_crcs)
            if fields[0] < reached:  # the CRC does not cover the base offset
                damage = f"base offset {fields[0]} where the batch before ends with {reached - 1}"
            if damage:
                if fields[3] == 2 and self._refetch(fields[0]):
                    return
                follower = _follower(data, end, self._check_crcs)
                yield self._fault(data[position : max(end, position + HEADER.size)], follower, damage)
                if follower is None:
                    return  # whether a batch begins at `end` is not known: the length may be damaged
            elif self._skipped(fields, view[position:end]) or following <= self.next_fetch_offset or fields[12] <= 0:
                self.next_fetch_offset = max(self.next_fetch_offset, following)
            else:
                self.next_fetch_offset = following
                yield self._block(fields, view[position:end])
            position, reached = end, self.next_fetch_offset

    def _skipped(self, fields: tuple[int, ...], batch: memoryview) -> bool:
        """True for control batches, and for those of aborted transactions where only committed ones are read."""
        attributes, producer = fields[5], fields[9]
        if self._isolation_level == fetcher.READ_COMMITTED:
            if self._aborted_transactions:
                self._consume_aborted_up_to(fields[0])
            if attributes & _CONTROL and self._contains_abort_marker(iter(DefaultRecordBatch(bytes(batch)))):
                self._aborted_producers.discard(producer)
            elif attributes & _TRANSACTIONAL and producer in self._aborted_producers:
                return True
        return bool(attributes & _CONTROL)

    def _block(self, fields: tuple[int, ...], batch: memoryview) -> Block:
        base, _, _, _, _, attributes, last, time, _, _, _, _, count = fields
        fault, detail = None, ""
        try:
            body = decompress(attributes & _CODEC_MASK, batch[HEADER.size :])
        except CodecError as error:
            fault, detail = ("too_large" if error.too_large else "undecodable"), str(error)
            body = bytes(batch[:FAULT_BYTES])
        topic, partition = self._tp
        header = bytes(batch[: HEADER.size])
        return Block(topic, partition, header, base, base + last + 1, count, time, body, fault, detail)

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
        base, _, _, magic, _, _, last, time, _, _, _, _, count = HEADER.unpack(header)
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
        return Block(
            self._tp.topic, self._tp.partition, header, position, following, max(count, 0) if magic == 2 else 1, time,
            batch[:FAULT_BYTES], "undecodable", detail,
        )  # fmt: skip


def _damage(batch: memoryview, fields: tuple[int, ...], check_crc: bool) -> str:
    """What is wrong with a batch; empty where nothing is."""
    if fields[1] < _MIN_LENGTH:
        return f"batch length {fields[1]} is less than that of a header"
    if fields[3] != 2:
        return f"record batch of format {fields[3]}; only format 2 (Kafka 0.11 and later) is read"
    if check_crc and calc_crc32c(batch[ATTRIBUTES_OFFSET:]) != fields[4]:
        return "CRC-32C does not match"
    if fields[6] < 0:
        return f"last offset delta {fields[6]}"
    return ""


def _length(data: bytes, position: int) -> int:
    return int.from_bytes(data[position + 8 : position + _LOG_OVERHEAD], "big", signed=True)


def _follower(data: bytes, end: int, check_crc: bool) -> int | None:
    """Base offset of the batch that begins at `end`, where a sound one does."""
    if not 0 < end <= len(data) - HEADER.size:
        return None
    fields = HEADER.unpack_from(data, end)
    batch = memoryview(data)[end : end + _LOG_OVERHEAD + max(fields[1], 0)]
    return None if _damage(batch, fields, check_crc) else int(fields[0])


def _partition_records(
    tp: TopicPartition, records: FetchedData, aborted: Any, fetch_offset: int, *settings: Any
) -> Any:  # fmt: skip
    if tp.topic in _topics:
        return BlockRecords(tp, records, aborted, fetch_offset, *settings)
    return _OriginalRecords(tp, MemoryRecords(records.data), aborted, fetch_offset, *settings)


def install(bulk_topics: Iterable[str]) -> None:
    """Let aiokafka consumers of this process yield blocks for `bulk_topics` (full names). Calls add up.

    Raises RuntimeError where aiokafka is not the release whose fetcher this module knows.
    """
    _topics.update(bulk_topics)
    if fetcher.PartitionRecords is _partition_records:
        return
    faults = _unknown_parts()
    if faults:
        raise RuntimeError(
            f"block decoding is written for aiokafka {AIOKAFKA_VERSION}: {'; '.join(faults)}. "
            f"Install aiokafka=={AIOKAFKA_VERSION}, and nothing else that patches its fetcher."
        )
    fetcher.MemoryRecords = FetchedData
    fetcher.PartitionRecords = _partition_records


def remove(topics: Iterable[str]) -> None:
    """Let consumers yield records for `topics` again."""
    _topics.difference_update(topics)


def _unknown_parts() -> list[str]:
    """What about aiokafka is not as this module expects it."""
    faults = []
    if aiokafka.__version__ != AIOKAFKA_VERSION:
        faults.append(f"found {aiokafka.__version__}")
    if fetcher.MemoryRecords is not MemoryRecords or fetcher.PartitionRecords is not _OriginalRecords:
        faults.append("something else has replaced MemoryRecords or PartitionRecords of aiokafka.consumer.fetcher")
    names = fetcher.Fetcher._proc_fetch_request.__code__.co_names
    if not {"MemoryRecords", "PartitionRecords"} <= set(names):
        faults.append("Fetcher does not use MemoryRecords and PartitionRecords")
    parameters = ["tp", "records", "aborted_transactions", "fetch_offset", "key_deserializer", "value_deserializer",
                  "check_crcs", "isolation_level"]  # fmt: skip
    if list(inspect.signature(_OriginalRecords).parameters) != parameters:
        faults.append("PartitionRecords has other parameters")
    return faults
