"""The engines of the benchmark: how each is started, what it can do, and what of the input it is given.

In: nothing. Out: `ENGINES`. An engine is a command that is told by its environment what to read and to write, reads
the input from its begin, writes one record per closed window, and runs until it is ended.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.bench.shapes import Shape
from tests.bench.verify import Stage

ROOT: Final = Path(__file__).parents[2]
JAVA_BUILD: Final = ROOT / "build" / "bench-java"
JAVA_OPTIONS: Final = ("-Xms1g", "-Xmx2g", "-XX:+UseParallelGC", "--add-opens=java.base/java.util=ALL-UNNAMED")


@dataclass(frozen=True)
class Engine:
    """One engine. `limit`: most readings it is given, for it would take minutes for all; None: no limit.

    `output` is how it writes windows; `prefixed`: it uses the topology's own topics below the input's prefix.
    `missing` says in a sentence why the engine cannot run here, or None. `variants` are settings of which the
    fastest on this machine is taken. `cannot` says why it has no figure for a stage and shape.
    """

    name: str
    command: tuple[str, ...]
    missing: Callable[[], str | None]
    stages: tuple[Stage, ...] = ("window",)
    limit: int | None = None
    output: str = "json"
    prefixed: bool = False
    variants: tuple[Mapping[str, str], ...] = ({},)
    cannot: Mapping[tuple[Stage, Shape], str] = field(default_factory=dict)
    note: str = ""


def _java(module: str, main: str, *options: str) -> tuple[str, ...]:
    folder = JAVA_BUILD / module
    return ("java", *JAVA_OPTIONS, *options, "-cp", f"{folder / module}.jar:{folder / 'lib'}/*", main)


def _python(module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"tests.bench.peers.{module}")


@cache
def build_java() -> str | None:
    """Bring the Java engines up to date; a sentence if that cannot be done here, else None."""
    maven = shutil.which("mvn")
    if maven is None or not shutil.which("javac"):
        return "needs Maven and a JDK (17 or later), which are not installed"
    # First from what is on this machine, then from Maven's repositories.
    project = str(Path(__file__).parent / "java" / "pom.xml")
    said = ""
    for online in (["-o"], []):
        command = [maven, "-q", "-B", *online, "-f", project, "package"]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode == 0:
            return None
        said = built.stdout[-300:].strip()
    return f"Maven could not build it: {said}"


def _needs(package: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        return None if find_spec(package) else f"{package} is not installed: it has no wheel for this Python"

    return missing


ENGINES: Final[tuple[Engine, ...]] = (
    Engine(
        "plantweave",
        _python("plantweave"),
        _needs("streams"),
        stages=("window", "chain"),
        output="avro",
        prefixed=True,
        cannot={("chain", "json"): "validate reads Avro in both framings; raw JSON is not there yet"},
        variants=({"WORKERS": "1"}, {"WORKERS": "2"}),
        note="exactly once; chain: one process per hop",
    ),
    Engine(
        "flink-eos",
        _java("flink", "bench.FlinkBench"),
        build_java,
        variants=({"PARALLELISM": "1"}, {"PARALLELISM": "2"}),
        note="exactly once, heap state, checkpoints every 1 s, keyBy",
    ),
    # What Flink can do where it is told that its input is partitioned by signal already: one thread, no shuffle.
    Engine(
        "flink-eos-prekeyed",
        _java("flink", "bench.FlinkBench"),
        build_java,
        variants=({"PARALLELISM": "1", "SHUFFLE": "0"},),
        note="as flink-eos, but reinterpretAsKeyedStream in place of keyBy",
    ),
    Engine(
        "kafka-streams-eos",
        _java("kafkastreams", "bench.KafkaStreamsBench"),
        build_java,
        stages=("window", "chain"),
        variants=({"THREADS": "2"}, {"THREADS": "1"}, {"THREADS": "2", "STORE": "rocksdb"}),
        note="exactly_once_v2, commits every 100 ms",
    ),
    Engine("quixstreams", _python("quix_windows"), _needs("quixstreams"), limit=200_000, note="at least once"),
    Engine("bytewax", _python("bytewax_windows"), _needs("bytewax"), limit=1_000_000, note="no recovery store"),
    Engine("faust", _python("faust_windows"), _needs("faust"), limit=250_000, note="event by event, plain dict"),
)
