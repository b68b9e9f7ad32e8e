"""`plantweave demo`. In: nothing but options. Out: a running plant on the terminal, or five figures as one JSON line.

Starts a broker of its own, creates the topics, starts every service and the simulated plant, each as its own process,
and shows what comes out. Whatever ends it, it leaves no process behind, and no files but the logs of a failure.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from confluent_kafka import KafkaException
from rich.console import Console
from rich.live import Live

from streams import topology
from streams.demo.feed import Feed
from streams.demo.folder import Folder
from streams.demo.model import Model
from streams.demo.options import parser
from streams.demo.processes import PLANT, Fleet
from streams.demo.view import Teller, render
from streams.kafka import topics
from streams.kafka.embedded.node import EmbeddedKafka, EmbeddedKafkaError
from streams.plant.model import SECOND_US, SITE
from streams.plant.plant import Plant, PlantError
from streams.plant.publish import Publisher
from streams.settings import Settings

READY_LIMIT_S: Final = 120.0
FRAME_S: Final = 0.25
TELL_EVERY_S: Final = 5.0
PARTITIONS: Final = 4
_CANNOT: Final = (EmbeddedKafkaError, topics.TopicFault, KafkaException, PlantError)


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and what to do."""


def say(line: str) -> None:
    """Tell of progress, on the standard error output."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Demo:
    """One run of the demo in `folder`, which holds its logs and data; `close` stops everything that was started."""

    def __init__(self, folder: Path, given: argparse.Namespace) -> None:
        self.model = Model()
        self._given = given
        # Before anything is started: options that make no plant are refused here.
        self._plant = Plant(time.time_ns() * SECOND_US // 1_000_000_000, lines=given.lines, rate=given.rate)
        self._folder = folder
        self._kafka = EmbeddedKafka(folder / "kafka", given.port, progress=lambda line: say(f"      {line}"))
        self._fleet = Fleet(folder)
        self._feed: Feed | None = None

    def run(self) -> None:
        """Start everything and show it until the given time is over. Raises DemoError, or one of `_CANNOT`."""
        say("[1/5] broker: an Apache Kafka of its own, with data of its own")
        self._kafka.start()
        self.model.bootstrap = self._kafka.bootstrap
        settings = Settings(bootstrap_servers=self._kafka.bootstrap, partitions=PARTITIONS, site=SITE)
        say(f"[2/5] topics: {len(topics.create(settings))} created")
        self._introduce(settings)
        self._start_services(settings)
        feed = self._feed = Feed(settings)
        self._start_plant(settings)
        if self.on_screen:
            screen = Console(file=sys.stdout)
            with Live(console=screen, screen=True, auto_refresh=False) as live:
                self._watch(feed, lambda: live.update(render(self.model, *screen.size), refresh=True))
        else:
            self._watch(feed, Teller(self.model, say).tell)
        say("the time is over, ending all processes (a few seconds)")
        if not self.model.readings:
            raise DemoError(f"Nothing has come out in {self._given.for_s:.0f} s. {self._where_to_look()}")

    @property
    def on_screen(self) -> bool:
        """Whether the live view is shown; lines of text else."""
        return sys.stdout.isatty() and not self._given.json

    def close(self) -> None:
        """Stop everything that was started."""
        if self._feed is not None:
            self._feed.close()
        self._fleet.stop()
        self._kafka.stop()

    def _introduce(self, settings: Settings) -> None:
        """Send dictionary and assets before any service starts: none can then meet a signal that it does not know."""
        context = self._plant.context(self._plant.start_us)
        publisher = Publisher(settings)
        for topic in (topology.SIGNAL.name, topology.ASSET.name, topology.OPERATOR_POSITION.name):
            publisher.send(topic, context[topic])
        if (fault := publisher.flush()) is not None:
            raise DemoError(fault)
        say(f"[3/5] context: {publisher.sent} signals, assets and positions")

    def _start_services(self, settings: Settings) -> None:
        names = [stage.name for stage in topology.STAGES]
        say(f"[4/5] services: {', '.join(names)}; a process and a consumer group each")
        for name in names:
            self._fleet.start(name, ("worker", name), _environment(settings))
        begin = told = time.monotonic()
        while waiting := [line.name for line in self._fleet.lines if line.state != "ready"]:
            self._check_alive()
            now = time.monotonic()
            if now - begin > READY_LIMIT_S:
                late = ", ".join(waiting)
                raise DemoError(f"Not ready after {READY_LIMIT_S:.0f} s: {late}. {self._where_to_look()}")
            if now - told > TELL_EVERY_S:
                told = now
                say(f"      waiting for {', '.join(waiting)} ({now - begin:.0f} s)")
            time.sleep(FRAME_S)
        say(f"      ready after {time.monotonic() - begin:.1f} s")

    def _start_plant(self, settings: Settings) -> None:
        given = self._given
        rate = ("--rate", str(given.rate)) if given.rate is not None else ()
        words = ("plant", "--lines", str(given.lines), "--seed", str(given.seed), *rate)
        self._fleet.start(PLANT, words, _environment(settings))
        say(f"[5/5] plant: {given.lines} lines, about {self._plant.rate:,.0f} readings/s; Ctrl-C ends everything")
        say("      first KPIs come after about 10 s, the first alert after about 15 s")
        self.model.began_s = self.model.now_s = time.monotonic()

    def _watch(self, feed: Feed, show: Callable[[], None]) -> None:
        """Take in what arrives and show it, until the given time is over (if one was given)."""
        while self._given.for_s is None or self.model.elapsed_s < self._given.for_s:
            self._check_alive()
            for topic, row in feed.poll(FRAME_S):
                self.model.observe(topic, row, time.monotonic())
            self.model.services = self._fleet.lines
            self.model.tick(time.monotonic())
            show()

    def _check_alive(self) -> None:
        if self._kafka.pid is None:
            raise DemoError(f"The broker ended. Its log: {self._folder / 'kafka' / 'broker.log'}")
        dead = self._fleet.dead
        if dead is not None:
            lines = "\n".join(f"  | {line}" for line in dead.last_lines())
            raise DemoError(f"{dead.name} ended with status {dead.child.poll()}. The last it said:\n{lines}")

    def _where_to_look(self) -> str:
        return f"Look for errors in the logs in {self._folder}, the one of validate first."


def _environment(settings: Settings) -> dict[str, str | int]:
    chosen = ("bootstrap_servers", "partitions", "site")
    return {"log_format": "text", **{name: getattr(settings, name) for name in chosen}}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `plantweave demo`; returns the exit code.

    0: its time was over, or it was stopped; 1: it could not go on; 2: wrong options.
    """
    given = parser().parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    folder = Folder()
    try:
        demo = Demo(folder.path, given)
    except PlantError as why:
        folder.remove()
        say(f"demo: {why}")
        return 2
    failure = _run(demo)
    if failure is not None:
        say(f"demo: {failure}")
    _clean(folder, keep_logs=failure is not None)
    if failure is None and demo.on_screen:
        say(_farewell(demo.model))
    if given.for_s is not None or given.json:
        sys.stdout.write(json.dumps(demo.model.summary()) + "\n")
        sys.stdout.flush()
    return 0 if failure is None else 1


def _run(demo: Demo) -> str | None:
    """Run and close; returns why it could not go on, None where it ended as asked for."""
    try:
        demo.run()
    except KeyboardInterrupt:
        say("ending all processes (a few seconds)")
    except (DemoError, *_CANNOT) as why:
        return str(why)
    finally:
        # Stopping takes seconds; a second Ctrl-C must not leave half of it undone.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        demo.close()
    return None


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _clean(folder: Folder, *, keep_logs: bool) -> None:
    data = folder.path / "kafka"
    if keep_logs and (log := data / "broker.log").exists():
        log.replace(folder.path / "broker.log")
    shutil.rmtree(data, ignore_errors=True)
    if keep_logs and any(folder.path.glob("*.log")):
        folder.keep()
        say(f"The logs of all processes are kept in {folder.path}")
    else:
        folder.remove()


def _farewell(model: Model) -> str:
    if model.began_s is None:
        return "Ended before the plant was started; nothing is left running."
    return (
        f"In {model.elapsed_s:.0f} s: {model.readings:,} readings, {model.windows:,} windows, {model.alert_records:,} "
        f"alert records, {model.kpi_records:,} KPI records. Nothing is left running.\n"
        'Next: README.md, "Run it on your Kafka".'
    )
