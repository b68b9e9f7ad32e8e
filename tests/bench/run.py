"""`make bench`: the same readings through our engine and its peers, on one broker, interleaved, verified.

In: which engines, stages, shapes and how many readings. Out: `build/bench.json`, a table, `build/bench.png`.
`python -m tests.bench.run --quick` gives a first impression in minutes; figures to quote need the defaults.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl
import psutil

from streams.kafka.embedded.node import EmbeddedKafka
from tests.bench.engines import ENGINES, ROOT, Engine
from tests.bench.fill import fill
from tests.bench.latency import measure_latency
from tests.bench.measure import Job, Measurement, measure
from tests.bench.memory import measure_memory
from tests.bench.report import OURS, plot, ratios, row, table
from tests.bench.shapes import SHAPES, Shape
from tests.bench.verify import STAGES, Stage, reference

COUNT: Final = 5_000_000
QUICK: Final = 1_000_000
# One record to a batch costs the broker a request each, so that filling would take longer than all runs.
UNBATCHED: Final = 1_000_000
# Batches go through so fast that the run would be too short to time.
BATCHED: Final = 2
UNMEASURED: Final = 200_000.0


@dataclass
class Case:
    """One row in the making: an engine, a stage, a shape and the number of readings it is given."""

    engine: Engine
    stage: Stage
    shape: Shape
    count: int
    missing: str | None
    settings: Mapping[str, str] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """The row; an error or a missing engine leaves it without figures, and its note says why."""
        why = self.missing or (self.errors[0] if self.errors else None)
        chosen = [f"{name}={value}" for name, value in self.settings.items()]
        note = why or "; ".join([f"{self.count:,} readings, {len(self.rates)} run(s)", self.engine.note, *chosen])
        rates, cpu = ([], []) if why else (self.rates, self.cpu)
        return row(self.engine.name, self.stage, self.shape, rates, cpu, note) | {"readings": self.count}


def readings_of(shape: Shape, count: int) -> int:
    """How many readings a shape has where `count` were asked for."""
    return {"unbatched": min(count, UNBATCHED), "batch100": count * BATCHED}.get(shape, count)


def cases(engines: Sequence[str], stages: Sequence[Stage], shapes: Sequence[Shape], count: int) -> list[Case]:
    """Every row that was asked for, in the order in which one round runs them."""
    out = []
    for stage in stages:
        for shape in shapes:
            for engine in ENGINES:
                if engine.name not in engines or stage not in engine.stages:
                    continue
                most = min(readings_of(shape, count), engine.limit or readings_of(shape, count))
                missing = engine.cannot.get((stage, shape)) or engine.missing()
                out.append(Case(engine, stage, shape, most, missing))
    return out


class Bench:
    """The runs on one broker: inputs are filled and references computed once."""

    def __init__(self, bootstrap: str, wanted: Sequence[Case]) -> None:
        self._bootstrap = bootstrap
        self._cases = [case for case in wanted if case.missing is None]
        self._expected: dict[tuple[Shape, Stage, int], pl.DataFrame] = {}

    def fill(self) -> None:
        """Fill every input that a case needs."""
        for shape, count in sorted({(case.shape, case.count) for case in self._cases}):
            seconds = fill(self._bootstrap, shape, count)
            print(f"filled {shape}: {count:,} readings in {seconds:.0f} s", flush=True)

    def choose(self) -> None:
        """Where an engine has variants, run each once per stage, on the first shape, and keep the fastest."""
        best: dict[tuple[str, Stage], Mapping[str, str]] = {}
        for case in self._cases:
            key = (case.engine.name, case.stage)
            if key not in best and len(case.engine.variants) > 1:
                rates = [self._measure(case, variant).rate or 0.0 for variant in case.engine.variants]
                best[key] = case.engine.variants[rates.index(max(rates))]
            case.settings = best.get(key, case.engine.variants[0])

    def round(self) -> None:
        """Run every case once; one that failed is not tried again."""
        for case in self._cases:
            if case.errors:
                continue
            result = self._measure(case, case.settings)
            if result.rate is None or result.cpu_s_per_million is None:
                case.errors.append(result.error or "no figure")
            else:
                case.rates.append(result.rate)
                case.cpu.append(result.cpu_s_per_million)

    def _measure(self, case: Case, settings: Mapping[str, str]) -> Measurement:
        key = (case.shape, case.stage, case.count)
        if key not in self._expected:
            self._expected[key] = reference(*key)
        job = Job(case.engine, settings, case.stage, case.shape, case.count)
        result = measure(job, self._bootstrap, self._expected[key])
        chosen = " ".join(f"{name}={value}" for name, value in settings.items())
        print(f"{case.engine.name} {case.stage}/{case.shape} {chosen}: {result}", flush=True)
        return result


def run(bootstrap: str, wanted: Sequence[Case], repeat: int) -> None:
    """All runs, interleaved: a slow minute of the machine hits all engines."""
    bench = Bench(bootstrap, wanted)
    bench.fill()
    bench.choose()
    for _ in range(repeat):
        bench.round()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    java = subprocess.run(
        [shutil.which("java") or "java", "-version"], capture_output=True, text=True, check=False
    ).stderr.splitlines()
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "java_of_the_peers": java[0] if java else None,
    }


def throughput(rows: Sequence[Mapping[str, Any]]) -> float:
    """What our chain does at most, in readings/s; where it was not measured, a figure to begin with."""
    rates = [
        one["rate_median"] for one in rows if (one["engine"], one["stage"], one["shape"]) == (OURS, "chain", "single")
    ]
    return float(next(filter(None, rates), UNMEASURED))


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description=__doc__)
    names = [engine.name for engine in ENGINES]
    parser.add_argument("--engines", nargs="+", choices=names, default=names)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--count", type=int, help=f"readings for the fast engines (default {COUNT:,})")
    parser.add_argument("--repeat", type=int, help="rounds; the median counts (default 3)")
    parser.add_argument("--quick", action="store_true", help=f"one round of {QUICK:,} readings")
    parser.add_argument("--bootstrap", help="a broker of your own with empty topics; default: one for this run")
    parser.add_argument("--no-extras", action="store_true", help="rates only: no latency, no memory under a block")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json")
    chosen = parser.parse_args()
    wanted = cases(chosen.engines, chosen.stages, chosen.shapes, chosen.count or (QUICK if chosen.quick else COUNT))
    repeat = chosen.repeat or (1 if chosen.quick else 3)
    if chosen.bootstrap:
        run(chosen.bootstrap, wanted, repeat)
    else:
        with tempfile.TemporaryDirectory(prefix="plantweave-bench-") as folder, EmbeddedKafka(Path(folder)) as broker:
            run(broker.bootstrap, wanted, repeat)
    rows = [case.row() for case in wanted]
    result = {"rows": rows, "ratios": ratios(rows), "machine": machine()}
    if OURS in chosen.engines and not chosen.no_extras:
        result |= {"latency": measure_latency(throughput(rows)), "memory": measure_memory()}
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(table(result))
    image = chosen.out.with_suffix(".png")
    plot(result, image)
    print(f"{chosen.out} and {image}")


if __name__ == "__main__":
    main()
