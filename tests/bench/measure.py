"""One run of one engine: started, watched until its last window can be read, ended, verified, measured.

In: an engine, a stage, a filled input. Out: a `Measurement`: readings/s and CPU seconds per million readings, or why
there is no figure.

The clock is the broker's and the same for every engine: the output topic stamps each window when it is appended. The
measurement begins when a twentieth of the windows is there, so that no engine pays for its start (JIT compilation
still counts, as it does in use), and ends with the last window that the input closes; its rate is the readings in the
windows appended in between. In the chain the first hop may be ahead of the second, so there it begins when a
twentieth of the input is committed, and what was committed by then does not count. CPU seconds are those of the
engine's processes in the same interval, user and system.
"""

from __future__ import annotations

import io
import json
import os
import signal
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import fastavro
import polars as pl

from streams.kafka.embedded.child import Child
from streams.topology import VALIDATE, WINDOW, WINDOW_STAGE, group, state_topic
from tests.bench.engines import ROOT, Engine
from tests.bench.fill import create_topics, delete_topics, dictionary_topic, input_topic, prefix
from tests.bench.messages import schema
from tests.bench.shapes import BATCH, DISORDER_MS, Shape, dictionary
from tests.bench.verify import Stage, difference
from tests.bench.watch import Cpu, Start, read_windows

LOGS: Final = ROOT / "build" / "bench-logs"
SHORTEST_S: Final = 0.5  # less is a few chunks and commits, and no rate
FIRST_PART: Final = 0.05
DICTIONARY_COLUMNS: Final = (
    *("source_id", "address", "signal_id", "work_center", "factor", "offset", "instrument_low", "instrument_high"),
)


@dataclass(frozen=True)
class Measurement:
    """What one run gave. `rate` in readings/s, `cpu_s_per_million` in s; both None where `error` says why."""

    rate: float | None = None
    cpu_s_per_million: float | None = None
    error: str | None = None

    def __str__(self) -> str:
        if self.rate is None or self.cpu_s_per_million is None:
            return self.error or "no figure"
        return f"{self.rate:,.0f} readings/s, {self.cpu_s_per_million:.2f} CPU s per million"


@dataclass(frozen=True)
class Job:
    """One run: the engine with settings of its own, and the filled input that it is given."""

    engine: Engine
    settings: Mapping[str, str]
    stage: Stage
    shape: Shape
    count: int

    @property
    def messages(self) -> int:
        """How many messages the readings are in."""
        return self.count // BATCH if self.shape == "batch100" else self.count

    def group(self, run: str) -> str:
        """Consumer group of the first hop."""
        return prefix(self.shape, self.count) + group(VALIDATE.name) if self.engine.prefixed else run

    @property
    def log(self) -> Path:
        """What the engine prints."""
        return LOGS / f"{self.engine.name}-{self.stage}-{self.shape}.log"


def measure(job: Job, bootstrap: str, expected: pl.DataFrame) -> Measurement:
    """Run a job and compare its windows with `expected`."""
    run = f"bench-{job.engine.name}-{job.stage}-{job.shape}-{uuid.uuid4().hex[:8]}"
    out, topics = _topics(job, run)
    create_topics(bootstrap, topics)
    LOGS.mkdir(parents=True, exist_ok=True)
    job.log.unlink(missing_ok=True)
    child = Child(job.engine.command, job.log, _environment(job, bootstrap, run, out))
    start = Start(bootstrap, job.group(run), input_topic(job.shape, job.count), int(job.messages * FIRST_PART))
    try:
        cpu = Cpu(child.pid)

        def look() -> None:
            cpu.sample()
            if job.stage == "chain":
                start.look()

        output = read_windows(bootstrap, out, expected.height, lambda: child.poll() is None, look)
    finally:
        start.close()
        child.end(signal.SIGTERM, 15.0)
        delete_topics(bootstrap, list(topics))
    decode = _decoder(job.engine.output)
    rows = [decode(value) for value in output.values]
    if error := difference(expected, rows):
        return Measurement(error=f"{error}; its log ends: {_tail(job.log)}")
    counts = [row["count"] for row in rows]
    if job.stage == "window":
        return _by_windows(output.times, counts, cpu)
    if start.time is None:
        return Measurement(error="verified, but its group committed nothing")
    return _figures(start.time, max(output.times), sum(counts) - start.messages * job.count // job.messages, cpu)


def _by_windows(times: Sequence[float], counts: Sequence[int], cpu: Cpu) -> Measurement:
    begin = sorted(times)[int(len(times) * FIRST_PART)]
    return _figures(begin, max(times), sum(n for at, n in zip(times, counts, strict=True) if at > begin), cpu)


def _figures(begin: float, end: float, done: int, cpu: Cpu) -> Measurement:
    """The rate of `done` readings from `begin` to `end` (s since 1970)."""
    if end - begin < SHORTEST_S or done <= 0:
        return Measurement(error=f"verified, but {end - begin:.3f} s are too short for a rate: give more readings")
    return Measurement(done / (end - begin), cpu.between(begin, end) / done * 1e6)


def _topics(job: Job, run: str) -> tuple[str, dict[str, dict[str, str]]]:
    """Output topic of a run, and all topics that are made for it and deleted after it, with their settings."""
    by_broker = {"message.timestamp.type": "LogAppendTime"}  # the measurement's clock
    if not job.engine.prefixed:
        return f"{run}.out", {f"{run}.out": by_broker}
    before = prefix(job.shape, job.count)
    given = {input_topic(job.shape, job.count), dictionary_topic(job.shape, job.count)}
    names = [before + topic.name for stage in (VALIDATE, WINDOW_STAGE) for topic in (*stage.reads, *stage.writes)]
    names += [before + state_topic(service) for service in (VALIDATE.name, WINDOW_STAGE.name, "raw_window")]
    out = before + WINDOW.name
    return out, {name: by_broker if name == out else {} for name in names if name not in given}


def _environment(job: Job, bootstrap: str, run: str, out: str) -> dict[str, str]:
    rows = [[str(row[name]) for name in DICTIONARY_COLUMNS] for row in dictionary()]
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "BOOTSTRAP": bootstrap,
        "IN_TOPIC": input_topic(job.shape, job.count),
        "OUT_TOPIC": out,
        "DICTIONARY": json.dumps(rows),
        "PREFIX": prefix(job.shape, job.count),
        "GROUP": run,
        "STAGE": job.stage,
        "SHAPE": job.shape,
        "DISORDER_MS": str(DISORDER_MS[job.shape]),
        **job.settings,
    }


@cache
def _decoder(kind: str) -> Callable[[bytes], dict[str, Any]]:
    """How a value of the output topic becomes a window of `verify`."""
    if kind == "json":
        return json.loads
    contract = fastavro.parse_schema(schema(WINDOW.schema_path))

    def decode(value: bytes) -> dict[str, Any]:
        row: dict[str, Any] = fastavro.schemaless_reader(io.BytesIO(value[10:]), contract, None)  # type: ignore[assignment]
        names = {"signal": row["signal_id"], "uncertain": row["count_uncertain"]}
        start = round(row["window_start"].timestamp() * 1e6)
        return {**row, **names, "window_start": start, "mean": row["sum"] / row["count"]}

    return decode


def _tail(log: Path) -> str:
    return " ".join(log.read_text("utf-8", errors="replace")[-400:].split()) or "(empty)"
