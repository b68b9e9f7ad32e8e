"""How large the state of a plant is, what it takes in memory, and how long a task takes to restore it.

In: nothing (see `--help`). Out: build/state.json and a line per service, period of the signals and length of memory:
the rows and bytes of each table, resident memory, the snapshot's bytes and CPU time, bytes of changes per second, and
the time of a restore from a real state topic. Every task is a process of its own, filled through its core: a day of
event time, the readings that memory holds all of them, those before thinned out.
`python -m tests.bench.state` measures 100,000 signals on 6 partitions, one task of them (5 minutes).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
from aiokafka import TopicPartition
from confluent_kafka.admin import NewTopic

from streams import topology
from streams.agents import service_factory
from streams.core.context import Context
from streams.core.stage import Change, Moment, Result, StageCore, apply
from streams.kafka import topics
from streams.kafka.clients import stop, transactional_producer
from streams.kafka.commit import PARTS_AT_ONCE
from streams.kafka.embedded.node import EmbeddedKafka
from streams.kafka.outbox import Outbox, transact
from streams.kafka.restore import restore
from streams.kafka.state import Origin, encode, snapshot
from streams.settings import Settings
from tests.bench.engines import ROOT
from tests.bench.state_plant import DAY_S, END_US, Plant

MIB: Final = 1 << 20
OUT: Final = ROOT / "build" / "state.json"
ORIGIN: Final = Origin("cluster", {topology.READING.name: "id"}, 1, "bench")
DELTAS_S: Final = 60
CHUNK_S: Final = 10
# What else a task may have to read: a snapshot is due when the changes since the last one are twice its size.
DELTAS_PER_SNAPSHOT: Final = 2
DELTAS_AT_MOST: Final = 900


class Case(NamedTuple):
    """What is measured: one task of a service. `memory_s`: how long readings stay in memory (`window` only)."""

    service: str
    signals: int
    partitions: int
    period_s: int
    memory_s: int
    bootstrap: str = ""
    prefix: str = ""

    @property
    def settings(self) -> Settings:
        """As of a deployment with a horizon of a day."""
        return Settings(
            bootstrap_servers=self.bootstrap,
            topic_prefix=self.prefix,
            partitions=1,
            correction_horizon_s=DAY_S,
            correction_memory_s=self.memory_s,
        )

    @property
    def plant(self) -> Plant:
        """The share of one task."""
        return Plant(self.signals // self.partitions, self.period_s)

    @property
    def place(self) -> TopicPartition:
        """Its state topic."""
        return TopicPartition(f"{self.prefix}{topology.state_topic(self.service)}", 0)


class Task:
    """A stage and its tables, fed as the shell feeds it."""

    def __init__(self, core: StageCore, context: Context) -> None:
        self.tables = {table.name: table for table in core.tables}
        self.state = {name: table.empty() for name, table in self.tables.items()}
        self.watermark_us: int | None = None
        self.most = dict.fromkeys(self.tables, 0)
        self._core, self._context = core, context

    def step(self, topic: str, frame: Any, now_us: int) -> dict[str, Change]:
        """One chunk, and the timer behind it; what changed."""
        outbox = Outbox()
        self._take(self._core.step(topic, frame, self.state, self._context, Moment(now_us)), outbox)
        self._take(self._core.timer(self.state, self._context, Moment(now_us, END_US - DAY_S * 1_000_000)), outbox)
        return outbox.changes

    def _take(self, result: Result, outbox: Outbox) -> None:
        for name, change in result.changes.items():
            self.state[name] = apply(self.tables[name], self.state[name], change)
            self.most[name] = max(self.most[name], self.state[name].height)
        outbox.change(self.tables, result.changes)
        self.watermark_us = result.watermark_us or self.watermark_us


def fill(case: Case) -> dict[str, Any]:
    """Fill the task, measure what it holds, write its state to its topic."""
    plant, began = case.plant, time.monotonic()
    context = plant.context()
    task = Task(service_factory(case.service)(case.settings).core, context)
    topic = topology.RAW_READING.name if case.service == "validate" else topology.READING.name
    bare, cpu, fed = _rss(), time.process_time(), 0
    whole_s = case.memory_s * 2 if case.service == "window" else 2 * case.period_s
    for now_us, chunk in plant.day(whole_s, CHUNK_S):
        task.step(topic, plant.raw(chunk) if case.service == "validate" else chunk, now_us)
        fed += chunk.height
    deltas = []
    for second in range(-DELTAS_S, 0):
        live = plant.readings(second, second + 1)
        if live is not None:
            now_us = END_US + (second + 1) * 1_000_000
            changes = task.step(topic, plant.raw(live) if case.service == "validate" else live, now_us)
            deltas.append(encode("delta", changes, {}, {}, ORIGIN, 1, task.watermark_us))
    filled, rss = time.process_time() - cpu, _rss()
    encoding = time.process_time()
    whole = encode("snapshot", snapshot(task.state), {}, {}, ORIGIN, 1, task.watermark_us)
    encoding = time.process_time() - encoding
    asyncio.run(_write(case, whole, deltas))
    delta_bytes, snapshot_bytes = sum(map(len, [part for one in deltas for part in one])), sum(map(len, whole))
    return {
        "readings_per_s": round(plant.rate),
        "fed": fed,
        "fill_cpu_s": round(filled, 1),
        "tables": {
            name: {"rows": frame.height, "most": task.most[name], "mib": round(frame.estimated_size() / MIB, 1)}
            for name, frame in task.state.items()
            if frame.height
        },
        "rss_mib": round((rss - bare) / MIB),
        "bare_rss_mib": round(bare / MIB),
        "snapshot_mib": round(snapshot_bytes / MIB, 1),
        "snapshot_cpu_s": round(encoding, 2),
        "delta_kib_per_s": round(delta_bytes / DELTAS_S / 1024, 1),
        "took_s": round(time.monotonic() - began, 1),
    }


async def _write(case: Case, whole: list[bytes], deltas: list[list[bytes]]) -> None:
    """The snapshot, and changes behind it until another snapshot would be due."""
    producer = transactional_producer(case.settings, f"{case.prefix}{case.service}")
    await producer.start()
    try:
        for begin in range(0, len(whole), PARTS_AT_ONCE):
            await transact(producer, "", Outbox(), case.place, whole[begin : begin + PARTS_AT_ONCE], {})
        limit = max(case.settings.snapshot_min_bytes, DELTAS_PER_SNAPSHOT * sum(map(len, whole)))
        written, number = 0, 0
        while deltas and written < limit and number < DELTAS_AT_MOST:
            values = [value for one in deltas for value in one]
            await transact(producer, "", Outbox(), case.place, values, {})
            written, number = written + sum(map(len, values)), number + len(deltas)
    finally:
        await stop(producer)


def read(case: Case) -> dict[str, Any]:
    """Restore the task as a worker does."""
    core = service_factory(case.service)(case.settings).core
    bare, began, cpu = _rss(), time.monotonic(), time.process_time()
    restored, _, _ = asyncio.run(restore(case.settings, case.place, core.tables, [], lambda _done, _total: None))
    return {
        "restore_s": round(time.monotonic() - began, 2),
        "restore_cpu_s": round(time.process_time() - cpu, 2),
        "restore_mib": round((restored.snapshot_bytes + restored.delta_bytes) / MIB, 1),
        "restore_records": restored.records,
        "restored_rss_mib": round((_rss() - bare) / MIB),
    }


def _rss() -> int:
    return int(psutil.Process().memory_info().rss)


def _part(name: str, case: Case) -> dict[str, Any]:
    """`fill` or `read` in a process of its own, as memory that was used once stays with a process."""
    command = [sys.executable, "-m", "tests.bench.state", "--part", name, "--case", json.dumps(case)]
    own = {**os.environ, "PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} of {case} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(cases: list[Case]) -> list[dict[str, Any]]:
    """Every case, one after another, against one broker."""
    found = []
    with tempfile.TemporaryDirectory(prefix="plantweave-bench-") as folder, EmbeddedKafka(Path(folder)) as broker:
        for number, bare in enumerate(cases):
            case = bare._replace(bootstrap=broker.bootstrap, prefix=f"s{number}.")
            topics.create(case.settings, [NewTopic(case.place.topic, 1, 1, config=topics.STATE_CONFIG)])
            figures = _part("fill", case) | _part("read", case)
            found.append(bare._asdict() | figures)
            print(line(found[-1]), flush=True)
    return found


def line(row: dict[str, Any]) -> str:
    """One case as people read it."""
    tables = ", ".join(
        f"{name} {table['rows']:,} rows (at most {table['most']:,}) {table['mib']} MiB"
        for name, table in row["tables"].items()
    )
    told = [
        f"{row['service']} {row['signals']:,}/{row['partitions']}, every {row['period_s']} s, memory {row['memory_s']}",
        f"{row['rss_mib']} MiB resident",
        f"snapshot {row['snapshot_mib']} MiB in {row['snapshot_cpu_s']} s of CPU",
        f"changes {row['delta_kib_per_s']} KiB/s",
        f"restore of {row['restore_mib']} MiB in {row['restore_s']} s ({row['restore_cpu_s']} of CPU)",
        tables,
        f"took {row['took_s']} s",
    ]
    return "; ".join(told)


def main() -> None:
    """Measure, print, write build/state.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signals", type=int, default=100_000)
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--periods", type=int, nargs="+", default=[60, 10], help="s between readings of a measurement")
    parser.add_argument("--memory", type=int, nargs="+", default=[300, 3600], help="s that readings stay in memory")
    parser.add_argument("--services", nargs="+", default=["window", "validate", "alert", "kpi"])
    parser.add_argument("--part", choices=["fill", "read"], help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps({"fill": fill, "read": read}[given.part](Case(*json.loads(given.case)))))
        return
    cases = [
        Case(service, given.signals, given.partitions, period, memory)
        for service in given.services
        # Only `window` keeps readings: what the others hold depends on the number of signals.
        for period in (given.periods if service == "window" else given.periods[-1:])
        for memory in (given.memory if service == "window" else given.memory[:1])
    ]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(measure(cases), indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
