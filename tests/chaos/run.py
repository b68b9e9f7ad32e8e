"""`make chaos`: everything that can happen to workers and broker, at random and repeatable, while readings flow.

Writes build/chaos.json and ends with 1 unless every reading is accounted for exactly once.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from streams.kafka.embedded.node import EmbeddedKafka  # noqa: E402 - the path is set above
from tests.chaos.pipelines import Account, Pipeline, TwoHop  # noqa: E402
from tests.chaos.scenario import Plan, Scenario  # noqa: E402
from tests.chaos.services import Services  # noqa: E402

SETTLE_S = 180.0


def judge(scenario: Scenario, account: Account, lag: int) -> dict[str, object]:
    """The result as it is written, with every fault named."""
    faults = [*account.faults]
    if account.accounted != account.readings_in:
        faults.append(f"{account.readings_in} readings in, {account.accounted} accounted for")
    if account.duplicates:
        faults.append(f"{account.duplicates} windows published twice")
    if account.aborted_seen:
        faults.append(f"{account.aborted_seen} aborted readings counted")
    plan, done = scenario.plan, scenario.done
    wanted = {"kills": plan.hits, "stops": plan.stops, "broker_restarts": plan.broker_restarts}
    wanted |= {"scale_up": int(plan.scale), "scale_down": 2 * plan.scale, "lost_offsets": int(plan.lose_offsets)}
    if short := {what: f"{done[what]} of {count}" for what, count in wanted.items() if done[what] < count}:
        faults.append(f"less happened than was planned: {short}")
    if lag:
        faults.append(f"lag of {lag} left after {SETTLE_S:.0f} s")
    if dead := scenario.deployment.dead():
        faults.append(f"workers that ended by themselves: {dead}")
    return {
        "kills": scenario.done["kills"],
        "stops": scenario.done["stops"],
        "broker_restarts": scenario.done["broker_restarts"],
        "readings_in": account.readings_in,
        "readings_accounted": account.accounted,
        "duplicates": account.duplicates,
        "lag": lag,
        "aborted_transactions": scenario.done["aborted_transactions"],
        "aborted_seen": account.aborted_seen,
        "scaled": scenario.done["scale_up"] + scenario.done["scale_down"],
        "lost_offsets": scenario.done["lost_offsets"],
        **account.done,
        "seed": scenario.plan.seed,
        "faults": faults,
    }


def run(pipeline_name: str, plan: Plan, folder: Path) -> dict[str, object]:
    """One chaos run on a broker of its own; worker logs stay in `folder`."""
    with EmbeddedKafka(folder / "kafka") as broker:
        prefix = f"chaos{int(time.time())}."
        pipeline: Pipeline = make(pipeline_name, broker.bootstrap, prefix, folder, plan)
        scenario = Scenario(pipeline, broker, plan, lambda line: print(line, flush=True))
        try:
            scenario.run()
            lag = pipeline.deployment.settle(SETTLE_S)
            result = judge(scenario, pipeline.account(), lag)
        finally:
            pipeline.deployment.stop()
        return result


def make(name: str, bootstrap: str, prefix: str, folder: Path, plan: Plan) -> Pipeline:
    """The pipeline called `name`."""
    if name == "two-hop":
        return TwoHop(bootstrap, prefix, folder)
    return Services(bootstrap, prefix, folder, rate=plan.rate, seed=plan.seed)


def main() -> int:
    """Command line of `make chaos`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", default="services", choices=["two-hop", "services"])
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hits", type=int, default=20, help="SIGKILLs and SIGTERMs")
    parser.add_argument("--stops", type=int, default=4, help="SIGSTOPs of 15 s")
    parser.add_argument("--broker-restarts", type=int, default=2)
    parser.add_argument("--rate", type=int, default=4000, help="readings per second")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "chaos.json")
    given = parser.parse_args()
    plan = Plan(given.seconds, given.seed, given.hits, given.stops, given.broker_restarts, True, True, given.rate)
    folder = Path(tempfile.mkdtemp(prefix="plantweave-chaos-"))
    print(f"worker logs: {folder}", flush=True)
    result = run(given.pipeline, plan, folder)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
