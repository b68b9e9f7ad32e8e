"""How far every task is. Enters: state topics, read committed, the inputs' ends, the groups. Leaves: a `TaskLag` each.

Nothing is fenced and no worker is asked: what a task has committed is what it has done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition
from confluent_kafka import KafkaError, KafkaException

from streams import topology
from streams.core.stage import Moment
from streams.core.times import NEVER_US
from streams.core.window.past import PENDING, WAITING
from streams.core.window.standing import Standing, standings
from streams.core.window.watermark import SOURCE, Patience, Sources, idle
from streams.kafka import topics
from streams.kafka.clients import admin
from streams.kafka.restore import restore
from streams.kafka.state import Restored
from streams.settings import Settings

# Tasks read at once: each has a consumer of its own.
AT_ONCE: Final = 4
# A young cluster has no coordinator yet, and after a broker's restart another one takes its time.
COORDINATOR_MOVES: Final = frozenset(
    {KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR}
)
AGAIN_S: Final = 0.2


@dataclass(frozen=True)
class Late:
    """Readings older than memory whose windows wait until the log is read again: of how many signals, and since when.

    `since_us`: processing time of the first of them.
    """

    signals: int
    readings: int
    since_us: int


@dataclass(frozen=True)
class TaskLag:
    """One task. `workers`: members of its service's group; `begun`: it has committed something.

    `watermark_us`: None where the service has none, or has read nothing. `waiting`: offsets between the task's position
    and the last stable one, by input. `sources`: of `window` only, those that hold the watermark first. `late`: of
    `window` only, what waits for a correction; None: nothing does.
    """

    service: str
    partition: int
    workers: int
    begun: bool
    watermark_us: int | None
    waiting: Mapping[str, int]
    sources: Sequence[Standing] = ()
    late: Late | None = None


async def read(settings: Settings, services: Sequence[str], patience: Patience, now_us: int) -> list[TaskLag]:
    """Every task of these services as of `now_us`, by service and partition; `patience` is that of `window`.

    Raises TopicFault where topics are missing, StateFault where a state topic holds what is none, and what the clients
    raise where no broker answers.
    """
    room = asyncio.Semaphore(AT_ONCE)
    found = []
    for service in services:
        state = settings.topic_prefix + topology.state_topic(service)
        inputs = [settings.topic_prefix + topic.name for topic in topology.stage(service).reads]
        count = (await asyncio.to_thread(topics.partitions, settings, [state, *inputs]))[state]
        workers = await members(settings, service)
        states = await asyncio.gather(*(_read(room, settings, service, number) for number in range(count)))
        for number, (restored, waiting) in enumerate(states):
            found.append(judged(service, number, workers, restored, waiting, patience, now_us))
    return found


async def _read(
    room: asyncio.Semaphore, settings: Settings, service: str, number: int
) -> tuple[Restored, dict[str, int]]:
    """The state of one task, and what waits for it by input (name without prefix)."""
    prefix = settings.topic_prefix
    state = TopicPartition(prefix + topology.state_topic(service), number)
    inputs = {topic.name: TopicPartition(prefix + topic.name, number) for topic in topology.stage(service).reads}
    tables = (SOURCE, PENDING, WAITING) if service == topology.WINDOW_STAGE.name else ()
    async with room:
        restored, starts, ends = await restore(settings, state, tables, inputs.values(), lambda _done, _total: None)
    waiting = {}
    for name, place in inputs.items():
        key = (place.topic, place.partition)
        waiting[name] = max(0, ends[key] - max(restored.positions.get(key, 0), starts[key]))
    return restored, waiting


def judged(
    service: str,
    partition: int,
    workers: int,
    restored: Restored,
    waiting: Mapping[str, int],
    patience: Patience,
    now_us: int,
) -> TaskLag:
    """What the state of a task says at `now_us`: its watermark as time has moved it, and its sources."""
    watermark_us, sources, table = restored.watermark_us, [], restored.tables.get(SOURCE.name)
    if watermark_us is not None and watermark_us <= 0:
        watermark_us = None  # before the first reading the mark lies before all times
    if watermark_us is not None and table is not None:
        # What still waits may be of any source: only where nothing does is silence measured against the present.
        moment = Moment(now_us, None if any(waiting.values()) else 0)
        watermark_us = idle(Sources.of(table), watermark_us, moment, patience)
        sources = standings(table, watermark_us, moment, patience)
    begun = restored.origin is not None
    return TaskLag(service, partition, workers, begun, watermark_us, waiting, sources, _late(restored))


def _late(restored: Restored) -> Late | None:
    pending, waiting = (restored.tables.get(table.name) for table in (PENDING, WAITING))
    if pending is None or waiting is None or not pending.height or not waiting.height:
        return None
    begun_us = int(waiting["begun"][0])
    if begun_us == NEVER_US:
        return None
    return Late(pending["signal_id"].n_unique(), int(pending["readings"].sum()), begun_us)


async def members(settings: Settings, service: str) -> int:
    """Workers in the consumer group of a service."""
    group = settings.topic_prefix + topology.group(service)
    client = admin(settings)  # held until the answer is there: with the client its requests end
    deadline = time.monotonic() + topics.TIMEOUT_S
    while True:
        asked = client.describe_consumer_groups([group], request_timeout=topics.TIMEOUT_S)[group]
        try:
            return len((await asyncio.wrap_future(asked)).members)
        except KafkaException as why:
            code = why.args[0].code()
            if code == KafkaError.GROUP_ID_NOT_FOUND:
                return 0  # no worker has ever run
            if code not in COORDINATOR_MOVES or time.monotonic() > deadline:
                raise
        await asyncio.sleep(AGAIN_S)
