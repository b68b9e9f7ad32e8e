"""Our own engine as the orchestrator starts it.

In: the environment that every engine gets. Out: `ot.window.v1` below the input's prefix. Stage "chain": the services
`validate` and `window` as they are, one process each. Stage "window": the same worker, transport and window stage over
raw topics, so that it does in one hop what the peers do: decode, and windows per address, without a dictionary.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")

from streams import logs
from streams.kafka import worker
from streams.kafka.embedded.child import Child
from streams.settings import Settings
from tests.bench.peers.plantweave_window import service

LOG = Path(__file__).parents[3] / "build" / "bench-logs"


def configure() -> None:
    """Settings of the worker from what the orchestrator says."""
    given = {
        "BOOTSTRAP_SERVERS": os.environ["BOOTSTRAP"],
        "TOPIC_PREFIX": os.environ["PREFIX"],
        "ALLOWED_DISORDER_MS": os.environ["DISORDER_MS"],
        # One name over all runs: a member takes the place of the one before at once.
        "WORKER_ID": f"bench-{os.environ.get('SLOT', '0')}",
        "LOG_LEVEL": "warning",
    }
    os.environ.update({f"PLANTWEAVE_{name}": value for name, value in given.items()})


def chain() -> int:
    """Both services, one process each."""
    command = [sys.executable, "-m", "streams", "worker"]
    return together([Child([*command, name], LOG / f"plantweave-{name}.log") for name in ("validate", "window")])


def together(workers: list[Child]) -> int:
    """Wait until told to stop, or until one ends by itself; then end them all."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(0.5) and all(child.poll() is None for child in workers):
        pass
    for child in workers:
        child.send(signal.SIGTERM)
    return max(abs(child.end(signal.SIGTERM)) for child in workers)


def several(workers: int) -> int:
    """The window stage by as many worker processes, which share the partitions; each stays alone with its core."""
    command = [sys.executable, "-m", "tests.bench.peers.plantweave"]
    environments = [{**os.environ, "WORKERS": "1", "SLOT": str(slot)} for slot in range(workers)]
    return together([
        Child(command, LOG / f"plantweave-window-{slot}.log", env) for slot, env in enumerate(environments)
    ])  # fmt: skip


def main() -> int:
    """Run until ended."""
    configure()
    if os.environ["STAGE"] == "chain":
        return chain()
    if (workers := int(os.environ.get("WORKERS", "1"))) > 1:
        return several(workers)
    logs.setup("window", "warning", "text")
    return worker.main(Settings.load(os.environ), service)


if __name__ == "__main__":
    sys.exit(main())
