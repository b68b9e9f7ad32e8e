"""Bytewax: its Kafka connector, a keyed stream and a tumbling window that folds.

In: the raw topic. Out: one record per closed window. One worker, for the workers of a process share Python's lock;
without a recovery store, which would cost it more: its best case.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower, fold_window
from bytewax.testing import cluster_main

from tests.bench.peers.common import (
    BOOTSTRAP,
    DISORDER_MS,
    IN_TOPIC,
    OUT_TOPIC,
    WINDOW_US,
    Reading,
    Window,
    add,
    begin,
    decoder,
    encode,
)

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
decode = decoder()


def _readings(message: KafkaSourceMessage[bytes, bytes]) -> list[tuple[str, Reading]]:
    return [(reading[0], reading) for reading in decode(message.value)]


def _time(reading: Reading) -> datetime:
    return EPOCH + timedelta(microseconds=reading[1])


def _add(window: Window | None, reading: Reading) -> Window:
    return begin(reading) if window is None else add(window, reading)


def _merge(one: Window | None, other: Window | None) -> Window | None:
    raise NotImplementedError(f"tumbling windows never merge: {one}, {other}")


def _record(row: tuple[str, tuple[int, Window]]) -> KafkaSinkMessage[bytes, bytes]:
    signal, (number, window) = row
    return KafkaSinkMessage(signal.encode(), encode(signal, number * WINDOW_US, window))


def flow() -> Any:
    """The dataflow."""
    dataflow = Dataflow("windows")
    source = kafka.input("in", dataflow, brokers=[BOOTSTRAP], topics=[IN_TOPIC], batch_size=5_000)
    keyed = op.flat_map("decode", source.oks, _readings)
    clock = EventClock(_time, timedelta(milliseconds=DISORDER_MS))
    windower = TumblingWindower(length=timedelta(microseconds=WINDOW_US), align_to=EPOCH)
    closed = fold_window("window", keyed, clock, windower, lambda: None, _add, _merge, ordered=False)
    kafka.output("out", op.map("record", closed.down, _record), brokers=[BOOTSTRAP], topic=OUT_TOPIC)
    return dataflow


if __name__ == "__main__":
    cluster_main(flow(), [], 0, worker_count_per_proc=1)
