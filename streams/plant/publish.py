"""Publish the simulated plant. In: settings and options. Out: raw readings and IT context in Kafka, as time goes by.

`plantweave plant` (or `python -m streams plant`) runs it until SIGTERM or Ctrl-C. It stands in for edge nodes and IT
systems: an idempotent producer outside any transaction, keys and partitions as those would choose them.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import signal
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from types import FrameType
from typing import Any, Final

import fastavro
from confluent_kafka import KafkaError, Message, Producer

from streams import topology
from streams.kafka.avro import codec, contracts
from streams.kafka.avro.registry import Registry, RegistryError
from streams.kafka.clients import librdkafka
from streams.plant.model import SECOND_US
from streams.plant.plant import Plant, PlantError
from streams.settings import Settings

log = logging.getLogger(__name__)

# How often readings leave, and the longest span that is made at once when there is a backlog.
TICK_S: Final = 0.2
MAX_STEP_US: Final = 5 * SECOND_US
CONTEXT_EVERY_US: Final = SECOND_US
FLUSH_S: Final = 10.0
LAST_FLUSH_S: Final = 3.0


@dataclass(frozen=True)
class Options:
    """How the plant runs: its size, its chance, its clock.

    `history_s`: it starts so long before now and sends what it missed; `speed`: seconds of the plant's time per second
    until it has caught up with the clock; `settle_s`: pause between context and first reading; `for_s`: None runs on.
    """

    lines: int = 2
    rate: float | None = None
    seed: int = 1
    history_s: float = 0.0
    speed: float = 1.0
    settle_s: float = 2.0
    for_s: float | None = None


class Publisher:
    """Sends records of a plant; `flush` waits until the broker has them all.

    `failure` is the first delivery error that no retry can mend. Once `stop` is set, nothing waits for a broker that
    does not answer. Raises RegistryError or TimeoutError where the settings ask for a schema registry that refuses the
    contracts or does not answer.
    """

    def __init__(self, settings: Settings, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()
        self._prefix = settings.topic_prefix
        self._servers = settings.bootstrap_servers
        self._parsed: dict[str, Any] = {}
        self._framing = _framing(settings)
        self.sent = 0
        self.failure: str | None = None
        self._producer = Producer(
            {
                **librdkafka(settings),
                "client.id": "plantweave-plant",
                # As Java's, Faust's and aiokafka's producers; librdkafka's own choice would be another partition.
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 10,
                # An edge node keeps what it cannot send; it does not give up.
                "message.timeout.ms": 0,
            }
        )

    def send(self, topic: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Send rows of a topic of the topology (name without prefix), under its key; waits while the queue is full."""
        contract, key = contracts.load(topic), topology.topic(topic).key
        parsed = self._parsed.setdefault(topic, fastavro.parse_schema(dict(contract.schema)))
        head = self._framing.prefix(topic)
        for row in rows:
            body = io.BytesIO()
            fastavro.schemaless_writer(body, parsed, row)
            self._produce(topic, row[key].encode(), head + body.getvalue())

    def poll(self) -> None:
        """Let the client report deliveries."""
        self._producer.poll(0)

    def flush(self) -> str | None:
        """Wait until everything is delivered; returns what is wrong where it is not."""
        deadline, left = time.monotonic() + FLUSH_S, self._producer.flush(LAST_FLUSH_S if self._stop.is_set() else 0)
        while left and self.failure is None and time.monotonic() < deadline and not self._stop.is_set():
            left = self._producer.flush(TICK_S)
        if self.failure is None and left:
            return f"{left} records are not delivered: is the broker at {self._servers} running?"
        return self.failure

    def _produce(self, topic: str, key: bytes, value: bytes) -> None:
        while not self._stop.is_set():
            try:
                self._producer.produce(self._prefix + topic, value, key, on_delivery=self._delivered)
            except BufferError:
                self._producer.poll(0.1)
            else:
                self.sent += 1
                return

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self.failure is None:
            missing = error.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}
            advice = "create it with `plantweave topics create`" if missing else "look into the broker's log"
            self.failure = f"{message.topic()}: {error.str()}; {advice}."


def _framing(settings: Settings) -> codec.Framing:
    """As the services write: with fingerprints, or with the ids of a registry that knows the contracts by then."""
    if settings.framing == "single_object":
        return codec.single_object()
    context = (*topology.CONTEXT, topology.WORK_ORDER, topology.OPERATOR_POSITION)
    names = [topic.name for topic in (topology.RAW_READING, topology.RAW_BATCH, *context)]

    async def register() -> codec.Framing:
        async with Registry.of(settings, retry_s=FLUSH_S) as registry:
            return await codec.confluent(registry, names, settings.topic_prefix)

    return asyncio.run(register())


def publish_context(publisher: Publisher, plant: Plant, now_us: int) -> None:
    """Send all context rows as they stand at `now_us`."""
    for topic, rows in plant.context(now_us).items():
        publisher.send(topic, rows)


def run(settings: Settings, options: Options, stop: threading.Event) -> int:
    """Run the plant until `stop` is set or its time is over; returns an exit code.

    Raises PlantError where the plant cannot be built, and what `Publisher` raises.
    """
    begin_us = _now_us() + int((options.settle_s - options.history_s) * SECOND_US)
    plant = Plant(begin_us, seed=options.seed, lines=options.lines, rate=options.rate)
    publisher = Publisher(settings, stop)
    log.info("sending context", extra={"lines": options.lines, "rate": round(plant.rate)})
    publish_context(publisher, plant, begin_us)
    if (fault := publisher.flush()) is not None:
        log.error("%s", fault)
        return 1
    log.info("context sent, readings follow")
    stop.wait(options.settle_s)
    _stream(plant, publisher, options, stop)
    if (fault := publisher.flush()) is not None:
        log.error("%s", fault)
        return 1
    log.info("stopped", extra={"sent": publisher.sent})
    return 0


def _stream(plant: Plant, publisher: Publisher, options: Options, stop: threading.Event) -> None:
    started, at, context_at = time.monotonic(), plant.start_us, plant.start_us
    end = None if options.for_s is None else started + options.for_s
    while not stop.is_set() and publisher.failure is None and (end is None or time.monotonic() < end):
        own_clock = plant.start_us + int((time.monotonic() - started) * options.speed * SECOND_US)
        until = min(own_clock, _now_us(), at + MAX_STEP_US)
        behind = until == at + MAX_STEP_US
        if until > at:
            if until - context_at >= CONTEXT_EVERY_US:
                for topic, rows in plant.context_changes(context_at, until).items():
                    publisher.send(topic, rows)
                context_at = until
            for topic, frame in plant.readings(at, until).items():
                publisher.send(topic, frame.iter_rows(named=True))
            at = until
        publisher.poll()
        if not behind:
            stop.wait(TICK_S)


def _now_us() -> int:
    return time.time_ns() // 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `plantweave plant`; their values are those of `Options`."""
    default = Options()
    parser.add_argument("--lines", type=int, default=default.lines, help="number of lines (default %(default)s)")
    parser.add_argument("--rate", type=float, help="raw readings per second, about (default: 138 per line)")
    parser.add_argument("--seed", type=int, default=default.seed, help="what its chance depends on")
    parser.add_argument(
        "--history", dest="history_s", type=float, default=0.0, metavar="S", help="start so many seconds before now"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="plant seconds per second, until it has caught up")
    parser.add_argument(
        "--settle", dest="settle_s", type=float, default=default.settle_s, metavar="S", help="pause before readings"
    )
    parser.add_argument("--for", dest="for_s", type=float, metavar="S", help="stop after so many seconds")


def main(settings: Settings, given: argparse.Namespace) -> int:
    """Run `plantweave plant` until SIGTERM, Ctrl-C or its end; returns the exit code (2: the options make no plant)."""
    options = Options(**{field.name: getattr(given, field.name) for field in fields(Options)})
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        return run(settings, options, stop)
    except PlantError as why:
        refusal, code = str(why), 2
    except (RegistryError, TimeoutError) as why:
        refusal, code = str(why), 1
    log.error("%s", refusal)
    return code
