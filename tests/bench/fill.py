"""Fills the benchmark's topics: the raw readings of one shape, and the signal dictionary.

In: bootstrap servers, a shape, a number of readings. Out: topics that every engine reads, 4 partitions each:
`bench.<shape>.<count>.` and then the topology's name. `python -m tests.bench.fill --bootstrap HOST:PORT` fills one.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streams.topology import LABELS, RAW_BATCH, RAW_READING, SIGNAL
from tests.bench.messages import marker, messages, schema
from tests.bench.shapes import BATCH, PARTITIONS, SHAPES, SIGNALS, Readings, Shape, dictionary, readings

STEP: Final = 200 * SIGNALS * BATCH // PARTITIONS // 10  # readings of one partition encoded at once, whole batches


def prefix(shape: Shape, count: int) -> str:
    """What the names of one input's topics begin with."""
    return f"bench.{shape}.{count}."


def input_topic(shape: Shape, count: int) -> str:
    """Topic of the raw readings of one shape."""
    return prefix(shape, count) + (RAW_BATCH if shape == "batch100" else RAW_READING).name


def dictionary_topic(shape: Shape, count: int) -> str:
    """Topic of the signal dictionary that goes with it."""
    return prefix(shape, count) + SIGNAL.name


def create_topics(bootstrap: str, names: dict[str, dict[str, str]], partitions: int = PARTITIONS) -> None:
    """Create topics with the given settings. Raises KafkaException, also where one exists already."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 4})
    wanted = [NewTopic(name, partitions, 1, config={"retention.ms": "-1", **own}) for name, own in names.items()]
    for created in admin.create_topics(wanted).values():
        created.result(30)


def delete_topics(bootstrap: str, names: list[str]) -> None:
    """Delete topics. Raises KafkaException."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 4})
    for deleted in admin.delete_topics(names).values():
        deleted.result(30)


def _producer(bootstrap: str, shape: Shape) -> Producer:
    """A producer of large batches, or, for "unbatched", of one record to a batch."""
    batching: dict[str, Any] = {"linger.ms": 50, "batch.size": 1_000_000, "batch.num.messages": 10_000}
    if shape == "unbatched":
        batching = {"linger.ms": 0, "batch.num.messages": 1, "acks": 0}
    limits = {"queue.buffering.max.messages": 1_000_000, "queue.buffering.max.kbytes": 1 << 20}
    codec = "none" if shape == "unbatched" else "lz4"  # a record alone does not get smaller
    return Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "acks": 1, **limits, **batching})


def send(producer: Producer, topic: str, partition: int, keys: list[bytes], values: list[bytes]) -> None:
    """Hand messages of one partition to a producer, waiting where its queue is full."""
    rest = [{"key": key, "value": value} for key, value in zip(keys, values, strict=True)]
    while rest:
        taken = producer.produce_batch(topic, rest, partition=partition)
        # What found the queue full is marked in place and tried again.
        left = [row for row in rest if "_error" in row] if taken < len(rest) else []
        rest = [{"key": row["key"], "value": row["value"]} for row in left]
        producer.poll(0.1 if rest else 0)


def fill(bootstrap: str, shape: Shape, count: int) -> float:
    """Create and fill the topics of one shape with `count` readings; returns the seconds it took."""
    began = time.monotonic()
    topic = input_topic(shape, count)
    create_topics(bootstrap, {topic: {}})
    # Of the context that labels alerts only the dictionary has records: nothing here is an alert.
    context = [prefix(shape, count) + each.name for each in LABELS]
    create_topics(bootstrap, {name: {"cleanup.policy": "compact"} for name in context})
    write_dictionary(bootstrap, dictionary_topic(shape, count))
    producer = _producer(bootstrap, shape)
    everything = readings(count)
    parts = [everything.part(number) for number in range(PARTITIONS)]
    for first in range(0, count // PARTITIONS, STEP):
        for number, part in enumerate(parts):
            span = slice(first, first + STEP)
            piece = Readings(part.signal[span], part.time_us[span], part.value[span])
            send(producer, topic, number, *messages(piece, shape, first))
    producer.flush(120)
    _wait_for(bootstrap, topic, count // BATCH if shape == "batch100" else count)
    return time.monotonic() - began


def _wait_for(bootstrap: str, topic: str, messages_sent: int) -> None:
    """Wait until the broker has every message: what is sent without acknowledgement is counted here instead."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench"})
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    deadline = time.monotonic() + 60
    try:
        while (found := sum(consumer.get_watermark_offsets(one, 30)[1] for one in partitions)) < messages_sent:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} has {found:,} of {messages_sent:,} messages: delete it and fill it again")
            time.sleep(0.2)
    finally:
        consumer.close()


def write_dictionary(bootstrap: str, topic: str, more: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write the dictionary of the benchmark's signals, and `more` rows, to a topic."""
    contract = schema(f"00-context/{SIGNAL.name}.avsc")
    parsed, head = fastavro.parse_schema(contract), marker(contract)
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    for row in (*dictionary(), *more):
        body = io.BytesIO()
        fastavro.schemaless_writer(body, parsed, row)
        producer.produce(topic, head + body.getvalue(), row["signal_id"])
    producer.flush(60)


def main() -> None:
    """Fill one shape from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fill", description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--shape", choices=SHAPES, default="single")
    parser.add_argument("--count", type=int, default=100_000)
    chosen = parser.parse_args()
    seconds = fill(chosen.bootstrap, chosen.shape, chosen.count)
    print(f"{input_topic(chosen.shape, chosen.count)}: {chosen.count:,} readings in {seconds:.1f} s")


if __name__ == "__main__":
    main()
