"""Restoring a task: read its state partition from log start to last stable offset. Leaves: `state.Restored`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from aiokafka import TopicPartition

from streams.core.stage import Table
from streams.kafka.clients import admin, groupless_consumer
from streams.kafka.state import Reader, Restored, StateFault
from streams.settings import Settings

log = logging.getLogger(__name__)

READ_TIMEOUT_MS = 500
Offsets = dict[tuple[str, int], int]
DELETE_TIMEOUT_S = 20.0


class DataLoss(RuntimeError):
    """Input that a task still needed is gone from its topic; the text says what to do."""


async def restore(
    settings: Settings,
    state: TopicPartition,
    tables: Iterable[Table],
    inputs: Iterable[TopicPartition],
    progress: Callable[[int, int], None],
) -> tuple[Restored, Offsets, Offsets]:
    """State of one task, and log start and end of each input.

    The caller has initialised its transactional producer before: that ended the former owner's transaction, so that
    the last stable offset is the end. `progress` gets (records read, records in all).
    """
    reader = Reader(tables)
    consumer = groupless_consumer(settings)
    await consumer.start()
    try:
        consumer.assign([state, *inputs])
        consumer.pause(*inputs)
        starts = await consumer.beginning_offsets(list(inputs))
        ends = await consumer.end_offsets(list(inputs))
        begin = (await consumer.beginning_offsets([state]))[state]
        end = (await consumer.end_offsets([state]))[state]
        consumer.seek(state, begin)
        while await consumer.position(state) < end:
            for records in (await consumer.getmany(state, timeout_ms=READ_TIMEOUT_MS)).values():
                for record in records:
                    reader.add(record.value)
                await asyncio.sleep(0)
            progress(await consumer.position(state) - begin, end - begin)
    finally:
        await consumer.stop()
    return reader.restored, _by_place(starts), _by_place(ends)


def _by_place(offsets: dict[TopicPartition, int]) -> Offsets:
    return {(place.topic, place.partition): offset for place, offset in offsets.items()}


def check_positions(service: str, restored: Restored, starts: Offsets, ends: Offsets, accept_loss: bool) -> None:
    """Raise `DataLoss` where a position lies below the log start: retention was faster than the service.

    With `accept_loss` such positions move to the log start, and the log says so. A position beyond the end raises
    `StateFault`: the topic was emptied, or is another one.
    """
    beyond = [
        f"{topic}/{partition} ends at {ends[topic, partition]}, read up to {position}"
        for (topic, partition), position in restored.positions.items()
        if position > ends.get((topic, partition), position)
    ]
    if beyond:
        raise StateFault(
            f"{service}: input was truncated after it had been read ({'; '.join(beyond)}). Restore the topic, or give "
            f"up the state with `plantweave state reset {service} --yes`."
        )
    gone = [
        f"{topic}/{partition} from {position} to {starts[(topic, partition)]}"
        for (topic, partition), position in restored.positions.items()
        if position < starts.get((topic, partition), 0)
    ]
    if gone and accept_loss:
        log.warning("%s: data loss accepted: goes on behind deleted readings (%s)", service, "; ".join(gone))
        restored.positions = {place: max(at, starts.get(place, 0)) for place, at in restored.positions.items()}
    elif gone:
        raise DataLoss(
            f"{service}: readings were deleted before they were processed ({'; '.join(gone)}). Raise the topics' "
            f"retention.ms; to go on without them, run `plantweave worker {service} --accept-data-loss` once."
        )


async def delete_before(settings: Settings, state: TopicPartition, offset: int) -> None:
    """DeleteRecords: everything in the state partition before `offset` is covered by a snapshot."""
    from confluent_kafka import TopicPartition as Boundary

    client = admin(settings)  # held until the answer is there: with the client its requests end
    async with asyncio.timeout(DELETE_TIMEOUT_S):
        for future in client.delete_records([Boundary(state.topic, state.partition, offset)]).values():
            await asyncio.wrap_future(future)


__all__ = ["DataLoss", "StateFault", "check_positions", "delete_before", "restore"]
