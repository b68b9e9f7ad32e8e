"""A steady load: raw readings as they are acquired now, at a rate.

In: a topic, a rate in readings/s. Out: readings of the benchmark's signals with the present as event time, sent in
twenty portions a second until told to stop; the last word printed is the rate that was reached.
"""

from __future__ import annotations

import argparse
import signal
import threading
import time
from typing import Final

import numpy as np
from confluent_kafka import Producer

from tests.bench.fill import send
from tests.bench.messages import messages
from tests.bench.shapes import PARTITIONS, SIGNALS, Readings

PORTIONS_PER_S: Final = 20


def portion(rate: int, sent: int, now_us: int) -> Readings:
    """The readings of a twentieth of a second in the order of time; signals take turns, on from the last portion."""
    count = max(rate // PORTIONS_PER_S, 1)
    times = now_us + np.arange(count, dtype=np.int64) * (1_000_000 // PORTIONS_PER_S) // count
    values = np.round(np.random.default_rng(now_us).random(count) * 100.0, 3)
    return Readings((sent + np.arange(count, dtype=np.int64)) % SIGNALS, times, values)


def main() -> None:
    """Send until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--rate", type=int, required=True)
    chosen = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    producer = Producer({"bootstrap.servers": chosen.bootstrap, "linger.ms": 10, "compression.type": "lz4", "acks": 1})
    begin = time.monotonic()
    sent = number = 0
    while not stop.is_set():
        due = begin + number / PORTIONS_PER_S
        stop.wait(max(due - time.monotonic(), 0.0))
        everything = portion(chosen.rate, sent, int(time.time() * 1e6))
        for partition in range(PARTITIONS):
            part = everything.part(partition)
            if not len(part.signal):
                continue
            send(producer, chosen.topic, partition, *messages(part, "single", sent // PARTITIONS))
        sent += len(everything.signal)
        number += 1
    producer.flush(10)
    print(round(sent / (time.monotonic() - begin)))


if __name__ == "__main__":
    main()
