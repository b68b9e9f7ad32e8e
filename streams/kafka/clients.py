"""Kafka clients as settings want them. Enters: `Settings`; leaves: aiokafka and confluent-kafka clients, unstarted."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka.admin import AdminClient

from streams.settings import Settings

log = logging.getLogger(__name__)

BATCH_BYTES = 1 << 20
STOP_TIMEOUT_S = 5.0
# 10 ms instead of 100: aiokafka waits this long between the steps of a transaction (70 -> 234 transactions/s).
TRANSACTION_BACKOFF_MS = 10


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """Context that trusts `ssl_cafile`, or the system; None without TLS."""
    if settings.security_protocol not in ("SSL", "SASL_SSL"):
        return None
    return ssl.create_default_context(cafile=settings.ssl_cafile or None)


def security(settings: Settings) -> dict[str, Any]:
    """Security arguments of any aiokafka client."""
    arguments: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if (context := ssl_context(settings)) is not None:
        arguments["ssl_context"] = context
    if settings.security_protocol.startswith("SASL"):
        arguments |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.sasl_password,
        }
    return arguments


def transactional_producer(settings: Settings, transactional_id: str) -> AIOKafkaProducer:
    """The producer of one task."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers,
        client_id=transactional_id,
        transactional_id=transactional_id,
        transaction_timeout_ms=settings.transaction_timeout_ms,
        request_timeout_ms=settings.transaction_timeout_ms,
        retry_backoff_ms=TRANSACTION_BACKOFF_MS,
        max_batch_size=BATCH_BYTES,
        max_request_size=BATCH_BYTES * 8,
        linger_ms=0,
        **security(settings),
    )


async def stop(producer: AIOKafkaProducer) -> None:
    """Stop a producer, also where the broker is away: an open transaction ends by its timeout then."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await producer.stop()
    except Exception as why:  # noqa: BLE001 - it is given up in any case
        log.debug("producer did not stop in time: %r", why)
    finally:
        # Also where the stop was cancelled or timed out: its sender would go on, and its sockets stay.
        sender = producer._sender.sender_task if producer._sender is not None else None
        if sender is not None:
            sender.cancel()
        await producer.client.close()


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer without a group, started or not, also where the broker is away."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await consumer.stop()
    except (Exception, asyncio.CancelledError) as why:  # it is given up in any case
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        # Where a fetch has just failed aiokafka lets the cancellation of its pause out, as if we had been cancelled.
        log.debug("consumer did not stop in time: %r", why)
        await consumer._client.close()


def rereading_consumer(settings: Settings) -> AIOKafkaConsumer:
    """A read-committed consumer without a group, for parts of a log that may be gone: it never moves by itself.

    Raises OffsetOutOfRangeError where what is asked for is gone. Fetches are small, for live ones wait meanwhile.
    """
    return AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=20,
        retry_backoff_ms=50,
        max_partition_fetch_bytes=2 * BATCH_BYTES,
        **security(settings),
    )


def groupless_consumer(settings: Settings) -> AIOKafkaConsumer:
    """A read-committed consumer without a group, for state and context topics."""
    return AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
        retry_backoff_ms=50,
        max_partition_fetch_bytes=max(settings.fetch_max_bytes, 2 * BATCH_BYTES),
        **security(settings),
    )


def librdkafka(settings: Settings) -> dict[str, Any]:
    """Address and security settings of any librdkafka client (confluent-kafka)."""
    conf: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        # Outages are told once, by us; librdkafka would write a line for each attempt.
        "log_level": 0,
    }
    if settings.ssl_cafile:
        conf["ssl.ca.location"] = settings.ssl_cafile
    if settings.security_protocol.startswith("SASL"):
        conf |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": settings.sasl_username,
            "sasl.password": settings.sasl_password,
        }
    return conf


def admin(settings: Settings) -> AdminClient:
    """Librdkafka's admin client (topic ids and DeleteRecords, which aiokafka lacks).

    Keep it until its futures are done: those of a client that is gone are never completed.
    """
    return AdminClient(librdkafka(settings))
