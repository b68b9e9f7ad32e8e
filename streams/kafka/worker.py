"""A worker: one process that runs one service until told to stop. Enters: a service and settings; leaves: an exit code.

Start: wait for the broker, check topics, load context, join. Stop: finish transactions, leave. Without broker: retry.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import faust
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from streams import topology
from streams.kafka import app as faust_app
from streams.kafka import preflight, versions
from streams.kafka import topics as topic_admin
from streams.kafka.avro.registry import RegistryError
from streams.kafka.blocks import install as blocks
from streams.kafka.commit import CommitPace
from streams.kafka.context import ContextStore
from streams.kafka.health import Health
from streams.kafka.metrics import Metrics
from streams.kafka.restore import DataLoss
from streams.kafka.service import Service
from streams.kafka.shell import Shell
from streams.kafka.state import Origin, StateFault
from streams.kafka.tasks import CoPartitionFault, Tasks
from streams.settings import Settings

log = logging.getLogger(__name__)

BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
CLOSE_TIMEOUT_S = 5.0


class Worker:
    """One run of one service. `make_service` is called once the settings are known to be good."""

    def __init__(self, settings: Settings, make_service: Callable[[Settings], Service], accept_data_loss: bool = False):
        self.settings = settings
        self.service = make_service(settings)
        self.metrics = Metrics()
        self.accept_data_loss = accept_data_loss
        self.group = settings.topic_prefix + topology.group(self.service.name)
        self.context = ContextStore(settings, self.service.context, self.metrics, self.service.persons)
        self._tasks: Tasks | None = None
        self._stop = asyncio.Event()
        self._folder = tempfile.TemporaryDirectory(prefix="plantweave-")
        self.health = Health(self.metrics, self._not_ready, self._not_live)

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT (0), or until something no retry can mend (1)."""
        versions.check()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR1, _say_what_waits)
        try:
            await self.health.start(self.settings.http_host, self.settings.http_port)
        except OSError as why:
            log.error("%s. Set PLANTWEAVE_HTTP_PORT to a free port, or to 0 for any", why)  # noqa: TRY400 - as below
            return 1
        log.info("http", extra={"host": self.settings.http_host, "port": self.health.port})
        try:
            stop = asyncio.ensure_future(self._stop.wait())
            prepare = asyncio.ensure_future(self._prepare())
            await asyncio.wait([stop, prepare], return_when=asyncio.FIRST_COMPLETED)
            if not prepare.done():
                return 0  # told to stop while a client waits for the broker in a thread of its own
            return await self._serve(*prepare.result())
        except (topic_admin.TopicFault, RegistryError) as why:
            log.error("%s", why)  # noqa: TRY400 - the user needs the sentence, not the stack
            return 1
        finally:
            self._folder.cleanup()
            closing = [self.context.stop(), self.service.serde.stop(), self.health.stop()]
            await asyncio.wait([asyncio.ensure_future(part) for part in closing], timeout=CLOSE_TIMEOUT_S)

    async def _prepare(self) -> tuple[Origin, dict[str, int]]:
        """Topics checked, serde ready, context loaded; again, with backoff, while broker or registry are away.

        Raises `TopicFault` and `RegistryError`: what no retry can mend.
        """
        attempt = 0
        while True:
            try:
                found = await asyncio.to_thread(preflight.check, self.settings, self.service)
                await self.service.serde.start()
                await self.context.start()
            except (KafkaException, KafkaError, TimeoutError) as why:
                wait = BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
                attempt += 1
                where = self.settings.bootstrap_servers
                log.warning("no broker at %s, trying again", where, extra={"in_s": wait, "why": repr(why)})
                await self.context.stop()
                await self.service.serde.stop()
                await self._sleep(wait)
            else:
                return found

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    async def _serve(self, origin: Origin, partitions: dict[str, int]) -> int:
        """Join the group and work until told to stop, until a fault, or until Faust gives up."""
        app, tasks = self._build(origin, partitions)
        try:
            await self._until_end(app, tasks)
        except KafkaError as why:
            log.warning("the broker went away while the service started, starting over", extra={"why": repr(why)})
            await self._sleep(BACKOFF_S[1])
            return 0 if self._stop.is_set() else RESTART
        fatal = next((future.result() for future in (tasks.fatal, self.context.failed) if future.done()), None)
        crashed = app.crash_reason if app.crashed else None
        await tasks.stop()
        await self._stop_app(app)
        if fatal is not None:
            log.error("stopping: %s", fatal, exc_info=None if isinstance(fatal, TOLD) else fatal)
            return 1
        if crashed is not None and not self._stop.is_set():
            log.error("the Faust app crashed, starting over", extra={"why": repr(crashed)})
            await self._sleep(BACKOFF_S[1])
            return RESTART
        log.info("stopped")
        return 0

    def _build(self, origin: Origin, partitions: dict[str, int]) -> tuple[faust.App, Tasks]:
        """The Faust app with its agent, and the tasks it feeds."""
        settings, service = self.settings, self.service
        instance = settings.worker_id or f"{socket.gethostname()}-{os.getpid()}"
        app = faust_app.build(settings, self.group, f"{service.name}-{instance}", self._folder.name)
        app.finalize()
        blocks.install(settings.topic_prefix + topic.name for topic in service.reads if topic.bulk)
        consumer = faust_app.consumer_of(app)
        pace, lossy = CommitPace(), self.accept_data_loss
        shell = Shell(
            service, settings, origin, self.group, consumer, self.context, self.metrics, pace, partitions, lossy
        )
        tasks = self._tasks = Tasks(shell)
        names = [shell.full(topic.name) for topic in service.reads]
        faust_app.add_agent(app, service.name, names, tasks.process)
        faust_app.follow_assignments(app, tasks.assign, tasks.revoked)
        return app, tasks

    async def _until_end(self, app: faust.App, tasks: Tasks) -> None:
        """Start Faust and wait for what ends the worker, which may come while that start waits for the broker."""
        starting = asyncio.ensure_future(app.start())
        stop = asyncio.ensure_future(self._stop.wait())
        ends: list[asyncio.Future[Any]] = [stop, tasks.fatal, self.context.failed]
        await asyncio.wait([starting, *ends], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
        crash = asyncio.ensure_future(_crashed(app))
        await asyncio.wait([crash, *ends], return_when=asyncio.FIRST_COMPLETED)
        for waiter in (stop, crash):
            waiter.cancel()

    async def _stop_app(self, app: faust.App) -> None:
        """Stop Faust, for a while: in the middle of a rebalance its stop may wait without end, and ignores a cancel."""
        stopping = asyncio.ensure_future(app.stop())
        done, _ = await asyncio.wait([stopping], timeout=CLOSE_TIMEOUT_S)
        if not done or stopping.exception() is not None:
            log.info("Faust did not stop by itself; the process ends, all transactions are finished")

    def _not_ready(self) -> list[str]:
        against = []
        if not self.context.ready:
            against.append("context is being loaded")
        if self._tasks is None or not self._tasks.assigned_once:
            against.append("no partitions assigned yet")
        elif not self._tasks.ready:
            against.append("tasks are being restored or are fenced")
        return against

    def _not_live(self) -> list[str]:
        if self._tasks is None:
            return []
        stuck = self._tasks.stuck(self.settings.liveness_timeout_s)
        return [f"no commit in spite of lag: {name}" for name in stuck]


RESTART = 75
# Faults whose sentence says it all: no stack is logged with them.
TOLD = (StateFault, DataLoss, CoPartitionFault)


def _say_what_waits() -> None:
    """SIGUSR1: where every coroutine stands, on stderr; for reports of workers that hang."""
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)


async def _crashed(app: faust.App) -> None:
    while not app.crashed:  # noqa: ASYNC110 - Faust tells no one when it crashes
        await asyncio.sleep(0.25)


def again(argv: list[str]) -> list[str]:
    """The command that starts a crashed worker over; a data loss is accepted once, not at every start."""
    return [word for word in argv if word != "--accept-data-loss"]


def main(settings: Settings, make_service: Callable[[Settings], Service], accept_data_loss: bool = False) -> int:
    """Run a worker on uvloop; a crashed Faust app starts over with the same process id."""
    import uvloop

    async def run() -> None:
        try:
            code = await Worker(settings, make_service, accept_data_loss).run()
        except (OSError, ValueError, versions.VersionFault) as why:
            log.error("%s", str(why) or repr(why))  # noqa: TRY400 - settings, rules, a taken port: the sentence says it
            code = 1
        except BaseException:  # whatever it was: threads of a half-started client would keep the process
            log.exception("the worker failed")
            code = 1
        logging.shutdown()
        if code == RESTART:
            os.execv(sys.executable, again(sys.orig_argv))  # noqa: S606 - the same command
        # From here, not after the loop: what is left of half-stopped clients must not keep a stopped worker alive.
        os._exit(code)

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(run())
    return 1  # never reached: `run` ends the process, or raises
