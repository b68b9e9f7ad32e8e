"""The demo's processes. In: a folder, the broker's address. Out: one process per service, one for the plant.

Each has a session and a log file of its own and ends with the demo, however that ends (`streams.kafka.embedded.child`).
"""

from __future__ import annotations

import http.client
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from streams.demo.model import ServiceLine
from streams.kafka.embedded.broker import HOST
from streams.kafka.embedded.child import Child
from streams.kafka.embedded.node import free_port
from streams.settings import PREFIX

# For all together; an orderly stop takes a worker a second or two.
STOP_S: Final = 10.0
LOG_LINES: Final = 15
_POLL_S: Final = 1.0
_HTTP_S: Final = 2.0
PLANT: Final = "plant"


def environment(settings: Mapping[str, str | int]) -> dict[str, str]:
    """The parent's environment with these settings and no others of ours: the demo is the same on every machine."""
    passed = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    if cache := os.environ.get("PLANTWEAVE_CACHE"):
        passed["PLANTWEAVE_CACHE"] = cache
    given = {PREFIX + name.upper(): str(value) for name, value in settings.items()}
    return {**passed, "PYTHONUNBUFFERED": "1", **given}


class Process:
    """One process of the demo: its name, its log file, and the port of its health page (None: it has none)."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path, settings: Mapping[str, str | int]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.port = None if name == PLANT else free_port()
        own: dict[str, str | int] = {"worker_id": f"demo-{name}", "http_port": self.port or 0}
        # What a process puts into the folder of temporary files goes with the demo's folder.
        env = {**environment({**settings, **own}), "TMPDIR": str(folder)}
        self.child = Child([sys.executable, "-m", "streams", *arguments], self.log, env)

    def last_lines(self, count: int = LOG_LINES) -> list[str]:
        """The end of its log."""
        return self.log.read_text("utf-8", errors="replace").splitlines()[-count:]


class Fleet:
    """All processes of the demo, and a thread that looks after them; `stop` ends what runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[Process] = []
        self._seen: dict[str, ServiceLine] = {}
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._look_after, name="demo-watch", daemon=True)

    def start(self, name: str, arguments: Sequence[str], settings: Mapping[str, str | int]) -> None:
        """Start `plantweave ARGUMENTS` as a process called `name`, with these settings in its environment."""
        self._processes.append(Process(name, arguments, self._folder, settings))
        if not self._watch.is_alive():
            self._watch.start()

    @property
    def lines(self) -> tuple[ServiceLine, ...]:
        """State of each process, as seen within the last seconds."""
        return tuple(
            self._seen.get(process.name, ServiceLine(process.name))
            if process.child.poll() is None
            else ServiceLine(process.name, "stopped")
            for process in self._processes
        )

    @property
    def ports(self) -> dict[str, int]:
        """Ports of the health pages, by process."""
        return {process.name: process.port for process in self._processes if process.port is not None}

    @property
    def dead(self) -> Process | None:
        """A process that has ended although nobody asked it to, if there is one."""
        return next((process for process in self._processes if process.child.poll() is not None), None)

    def stop(self) -> None:
        """Ask all to stop, the latest first, and wait; what does not stop in time is killed."""
        self._stopping.set()
        for process in reversed(self._processes):
            process.child.send(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for process in reversed(self._processes):
            process.child.end(limit_s=max(deadline - time.monotonic(), 0.0))
        if self._watch.is_alive():
            self._watch.join()

    def _look_after(self) -> None:
        while not self._stopping.wait(_POLL_S):
            for process in tuple(self._processes):
                self._seen[process.name] = look(process.name, process.port)


def look(name: str, port: int | None) -> ServiceLine:
    """State of a running process as its health page on `port` tells it; without one, it is ready."""
    if port is None:
        return ServiceLine(name, "ready")
    try:
        if _get(port, "/ready")[0] != http.HTTPStatus.OK:
            return ServiceLine(name)
        figures = _figures(_get(port, "/metrics")[1])
    except (OSError, http.client.HTTPException):
        # Not listening yet, or too busy to answer.
        return ServiceLine(name)
    lag, windows = (figures.get(f"plantweave_{figure}") for figure in ("consumer_lag_records", "open_windows"))
    return ServiceLine(name, "ready", lag, windows)


def _get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=_HTTP_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _figures(text: str) -> dict[str, int]:
    """Sums over all labels of a page of Prometheus metrics, by sample name."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return {name: int(value) for name, value in sums.items() if math.isfinite(value)}
