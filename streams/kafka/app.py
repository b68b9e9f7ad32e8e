"""The Faust application of one service: one agent over all its inputs, on our transport. Leaves: an unstarted app."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import faust
from faust.types import TP
from mode import CrashingSupervisor

from streams.kafka.chunks import Chunk, chunk_scheduler
from streams.kafka.clients import ssl_context
from streams.kafka.transport import Consumer, Transport
from streams.settings import Settings

STREAM_BUFFER_CHUNKS = 4
POLL_RECORD_BATCHES = 2000
NEVER_S = 86_400.0 * 365


def credentials(settings: Settings) -> Any:
    """Faust's form of the security settings, or None."""
    context = ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=settings.sasl_username,
            password=settings.sasl_password,
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context=context) if context is not None else None


def build(settings: Settings, group: str, instance_id: str, folder: str) -> faust.App:
    """A Faust app that neither commits nor stores anything: tasks do. It insists on a `folder`, which stays empty."""
    session_s = settings.session_timeout_ms / 1000
    app = faust.App(
        group,
        broker=[f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")],
        broker_credentials=credentials(settings),
        store="memory://",
        datadir=folder,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        topic_partitions=settings.partitions,
        ConsumerScheduler=chunk_scheduler(settings.chunk_max_bytes),
        agent_supervisor=CrashingSupervisor,
        stream_buffer_maxsize=STREAM_BUFFER_CHUNKS,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        broker_max_poll_records=POLL_RECORD_BATCHES,
        consumer_max_fetch_size=settings.fetch_max_bytes,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=instance_id or None,
        broker_commit_interval=NEVER_S,
        broker_commit_livelock_soft_timeout=NEVER_S,
        stream_processing_timeout=NEVER_S,
        broker_session_timeout=session_s,
        broker_heartbeat_interval=max(0.5, session_s / 10),
        # A worker without partitions polls nothing: its membership must not depend on polls, or it never comes back.
        broker_max_poll_interval=NEVER_S,
        broker_rebalance_timeout=max(40.0, 2 * session_s),
        broker_request_timeout=max(50.0, 3 * session_s),
    )
    app.transport = Transport(app.conf.broker_consumer, app)
    for noisy in ("faust", "aiokafka", "mode"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Brokers answer NOT_ENOUGH_REPLICAS while the markers of the last transaction are written (KIP-890); retried in ms.
    logging.getLogger("aiokafka.producer.sender").setLevel(logging.ERROR)
    return app


def consumer_of(app: faust.App) -> Consumer:
    """The app's consumer, which is ours."""
    consumer = app.consumer
    if not isinstance(consumer, Consumer):
        raise TypeError("the Faust app does not run on streams.kafka.transport")
    return consumer


def add_agent(app: faust.App, name: str, topics: list[str], process: Callable[[Chunk], Awaitable[None]]) -> None:
    """The service's agent: every chunk of its inputs goes to `process`, which never raises but on cancellation."""
    source = app.topic(
        *topics, acks=False, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )

    @app.agent(source, name=name)
    async def agent(chunks: Any) -> None:
        async for chunk in chunks:
            await process(chunk)


def follow_assignments(
    app: faust.App,
    assign: Callable[[set[TP]], Awaitable[None]],
    revoke: Callable[[], Awaitable[None]],
) -> None:
    """Call `assign` and `revoke` inside the rebalance, so that no transaction outlives the ownership."""

    @app.on_partitions_assigned.connect(weak=False)
    async def on_assigned(_sender: Any, assigned: set[TP], **_: Any) -> None:
        await assign(assigned)

    @app.on_partitions_revoked.connect(weak=False)
    async def on_revoked(_sender: Any, _revoked: set[TP], **_: Any) -> None:
        await revoke()
