"""Blocks in place of records. Enters: topic names. Leaves: an aiokafka whose consumers yield `Block`s for these topics.

No record of a bulk topic is touched in Python; all other topics stay on aiokafka's own path.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Final

import aiokafka
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from streams.kafka.blocks.fetch import LOG_OVERHEAD, BlockRecords

AIOKAFKA_VERSION: Final = "0.14.0"
_topics: set[str] = set()
_OriginalRecords: Final = fetcher.PartitionRecords


class FetchedData:
    """Stands in for aiokafka's MemoryRecords until the partition, and with it the path, is known."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def has_next(self) -> bool:
        """True where the first batch is complete."""
        return len(self.data) >= LOG_OVERHEAD and len(self.data) - LOG_OVERHEAD >= _length(self.data, 0)

    def size_in_bytes(self) -> int:
        """Bytes of the fetched data."""
        return len(self.data)


def _length(data: bytes, position: int) -> int:
    return int.from_bytes(data[position + 8 : position + LOG_OVERHEAD], "big", signed=True)


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
