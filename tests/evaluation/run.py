"""`make evaluate`: recorded data through the services; writes {set: {metric: value}} to build/evaluation.json.

    python tests/evaluation/run.py --data DIR [--out build/evaluation.json] [--replay broker|core]

Sets that are not in the folder are left out, which is said; what nothing here evaluates is left alone. Ends with 1
where it could not be done.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("POLARS_MAX_THREADS", "1")

from tests.evaluation import (  # noqa: E402 - path is set above
    azure,
    bottling_line,
    nab,
    okuma,
    overlay,
    replay_broker,
    replay_core,
)
from tests.evaluation.scenario import Replay, ReplayFailure  # noqa: E402
from tests.evaluation.windows import WRONG  # noqa: E402

Evaluate = Callable[[Path, Replay, Callable[[str], None]], dict[str, Any]]
# By name in the result: where the set lies in the folder of recordings, and what evaluates it.
EVALUATORS: Final[dict[str, tuple[Path, Evaluate]]] = {
    bottling_line.NAME: (Path(bottling_line.NAME), bottling_line.evaluate),
    **{f"{nab.NAME}_{series}": (nab.place(series), nab.evaluate_series(series)) for series in nab.SERIES},
    okuma.NAME: (Path(okuma.NAME), okuma.evaluate),
    azure.NAME: (Path(azure.NAME), azure.evaluate),
    overlay.NAME: (Path(overlay.PLACE), overlay.evaluate),
}
# What must be 0 on any data of the set's kind: what the recording says of itself, we must say too.
ZERO: Final = (
    "days_self_consistent_but_not_ours",
    "gap_windows_claiming_coverage",
    *WRONG,
    *overlay.WRONG,
    *azure.WRONG,
)
REPLAYS: Final[dict[str, Replay]] = {"broker": replay_broker.replay, "core": replay_core.replay}


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate the sets found; returns the exit code."""
    parser = argparse.ArgumentParser(description="Evaluate recorded data.")
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder per recorded set")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "evaluation.json")
    parser.add_argument(
        "--replay", choices=sorted(REPLAYS), default="broker", help="core: without a broker, for a look"
    )
    given = parser.parse_args(arguments)
    if not given.data.is_dir():
        print(f"{given.data}: no such folder; give the folder of the recorded data with --data", file=sys.stderr)
        return 1
    found = [name for name, (place, _) in EVALUATORS.items() if (given.data / place).exists()]
    if not found:
        known = ", ".join(str(place) for place, _ in EVALUATORS.values())
        print(
            f"{given.data}: holds none of the sets that are evaluated here ({known}); check the path", file=sys.stderr
        )
        return 1
    for name, (place, _) in EVALUATORS.items():
        if name not in found:
            _say(f"{name}: left out, {given.data / place} is missing")
    results: dict[str, dict[str, Any]] = {}
    for name in found:
        began = time.monotonic()
        _say(f"{name}: replay through the {given.replay}")
        try:
            place, evaluate = EVALUATORS[name]
            results[name] = evaluate(given.data / place, REPLAYS[given.replay], _say)
        except ReplayFailure as why:
            print(f"{name}: {why}", file=sys.stderr)
            return 1
        figures = {metric: value for metric, value in results[name].items() if metric != "details"}
        _say(f"{name}: {json.dumps(figures)} in {time.monotonic() - began:.0f} s")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    _say(f"written to {given.out}")
    broken = [
        f"{name}: {metric} is {metrics[metric]}"
        for name, metrics in results.items()
        for metric in ZERO
        if metrics.get(metric)
    ]
    for line in broken:
        print(f"{line}, and must be 0: what the recording says of itself, we must say too", file=sys.stderr)
    return 1 if broken else 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
