"""Records to their topic, all of them or none. Enters: a frame with a contract's columns. Leaves: one transaction.

Readers of committed records see nothing before the last record is there, and nothing at all where it fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Final

import polars as pl
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams import topology
from streams.kafka.avro import codec
from streams.kafka.avro.registry import Registry
from streams.kafka.clients import librdkafka
from streams.kafka.topics import partitions
from streams.settings import Settings

log = logging.getLogger(__name__)

# Longest that a broker as installed lets a transaction last (transaction.max.timeout.ms).
TRANSACTION_MS: Final = 900_000
ANSWER_S: Final = 30.0
ROWS_AT_ONCE: Final = 20_000
SAY_EVERY_S: Final = 2.0
Delivered = Callable[[KafkaError | None, Message], None]


class NotSent(Exception):
    """The records were not sent, or nobody knows; the message says which, why and what to do."""


def publish(settings: Settings, topic: topology.Topic, *parts: pl.DataFrame) -> int:
    """Send the records of `parts`, one part after the other; returns how many.

    Raises NotSent, TopicFault; a transaction that was begun is ended.
    """
    name = settings.topic_prefix + topic.name
    partitions(settings, [name])  # a broker that makes topics by itself would make this one without compaction
    encoder = codec.Encoder(topic.name, _framing(settings, topic), topic.key)
    failures: list[str] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error.str())

    producer = Producer(
        {
            **librdkafka(settings),
            "client.id": "plantweave-context",
            "transactional.id": f"{settings.topic_prefix}plantweave.context.{topic.name}",
            "transaction.timeout.ms": TRANSACTION_MS,
            # As Java's, Faust's and aiokafka's producers; librdkafka's own choice would be another partition.
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 20,
        }
    )
    try:
        producer.init_transactions(ANSWER_S)
        producer.begin_transaction()
        with _ended(producer):
            for records in parts:
                _send(producer, name, encoder, records, delivered)
            if producer.flush(TRANSACTION_MS / 1000) or failures:
                raise NotSent(f"{name}: {(failures or ['the broker does not take it'])[0]}; nothing was changed")
    except KafkaException as why:
        large = why.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
        advice = "shorten the texts of its rows, or leave them out" if large else "look into the broker's log"
        raise NotSent(f"{name}: {why.args[0].str()}; nothing was changed; {advice}") from why
    _commit(producer, name)
    return sum(records.height for records in parts)


@contextlib.contextmanager
def _ended(producer: Producer) -> Iterator[None]:
    """What fails or is stopped ends the transaction: left open, it would hold back the topic until it times out."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(KafkaException):
            producer.abort_transaction(ANSWER_S)
        raise


def _commit(producer: Producer, name: str) -> None:
    try:
        producer.commit_transaction(ANSWER_S)
    except KafkaException as why:
        error = why.args[0]
        if error.txn_requires_abort():
            with contextlib.suppress(KafkaException):
                producer.abort_transaction(ANSWER_S)
            raise NotSent(f"{name}: {error.str()}; nothing was changed; look into the broker's log") from why
        # The broker may have committed, and its answer may be lost.
        raise NotSent(
            f"{name}: {error.str()}; nobody knows whether the records were committed, but it was all of them or none: "
            f"load the file again"
        ) from why


def _send(producer: Producer, name: str, encoder: codec.Encoder, records: pl.DataFrame, delivered: Delivered) -> None:
    said = time.monotonic()
    for at in range(0, records.height, ROWS_AT_ONCE):
        for key, value in encoder.encode(records.slice(at, ROWS_AT_ONCE)):
            while True:
                try:
                    producer.produce(name, value, key, on_delivery=delivered)
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.poll(0)
        if time.monotonic() - said > SAY_EVERY_S:
            said = time.monotonic()
            log.info("loading", extra={"topic": name, "records": at, "of": records.height})


def _framing(settings: Settings, topic: topology.Topic) -> codec.Framing:
    if settings.framing == "single_object":
        return codec.single_object()

    async def register() -> codec.Framing:
        async with Registry.of(settings) as registry:
            return await codec.confluent(registry, [topic.name], settings.topic_prefix)

    return asyncio.run(register())
