"""Faust, event by event: an agent that keeps its windows in a plain dict.

In: the raw topic. Out: one record per closed window. Faust's own windowed tables expire by wall clock and run at a
fifth of this rate, so the dict is its best case: nothing survives a restart.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import faust
import uvloop

from tests.bench.peers.common import (
    BOOTSTRAP,
    DISORDER_MS,
    GROUP,
    IN_TOPIC,
    OUT_TOPIC,
    WINDOW_US,
    Window,
    add,
    begin,
    decoder,
    encode,
)

WAIT_US: Final = DISORDER_MS * 1_000

app = faust.App(
    GROUP,
    broker=f"kafka://{BOOTSTRAP}",
    store="memory://",
    topic_disable_leader=True,
    web_enabled=False,
    consumer_auto_offset_reset="earliest",
    broker_max_poll_records=5_000,
    stream_wait_empty=False,
    producer_linger=0.05,
    producer_max_batch_size=1 << 18,
)
source = app.topic(IN_TOPIC, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
target = app.topic(OUT_TOPIC, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
decode = decoder()

highest: dict[int, int] = {}
closes_at: dict[int, int] = {}
# By partition, start and signal.
windows: dict[int, dict[int, dict[str, Window]]] = {}


@app.agent(source, name="window")
async def window(stream: Any) -> None:
    """Add each reading to its window; close windows when the partition's watermark has passed their end."""
    async for event in stream.events():
        partition = event.message.partition
        opened = windows.setdefault(partition, {})
        for reading in decode(event.value):
            signal, time_us, _ = reading
            start = time_us // WINDOW_US * WINDOW_US
            signals = opened.setdefault(start, {})
            known = signals.get(signal)
            signals[signal] = begin(reading) if known is None else add(known, reading)
            if time_us > highest.get(partition, 0):
                highest[partition] = time_us
        if highest[partition] >= closes_at.get(partition, 0):
            for start in sorted(at for at in opened if at + WINDOW_US + WAIT_US <= highest[partition]):
                for signal, closed in opened.pop(start).items():
                    await target.send(key=signal.encode(), value=encode(signal, start, closed))
            closes_at[partition] = min(opened) + WINDOW_US + WAIT_US


if __name__ == "__main__":
    logging.disable(logging.INFO)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    app.finalize()
    faust.Worker(app, loglevel="warning").execute_from_commandline()
