"""The demo's processes: started with settings of their own, watched, and gone when they should be."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from streams.demo.model import ServiceLine
from streams.demo.processes import PLANT, Fleet, Process, environment, look
from streams.kafka.embedded.node import free_port
from streams.kafka.health import Health
from streams.kafka.metrics import Metrics


def nowhere() -> dict[str, str | int]:
    """Settings that point to a broker that is not there."""
    return {"bootstrap_servers": f"127.0.0.1:{free_port()}", "log_format": "text"}


async def until(condition: Callable[[], object], limit_s: float = 60.0) -> None:
    """Return as soon as `condition()` holds."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - another process sets no event of ours
            await asyncio.sleep(0.05)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet that is stopped after the test."""
    fleet = Fleet(tmp_path)
    yield fleet
    fleet.stop()


def test_a_process_gets_the_demos_settings_and_none_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's topic prefix or partition count does not reach the demo; the folder of downloads does."""
    monkeypatch.setenv("PLANTWEAVE_TOPIC_PREFIX", "mine.")
    monkeypatch.setenv("PLANTWEAVE_CACHE", "/somewhere")
    given = environment({"partitions": 4})
    ours = {name: value for name, value in given.items() if name.startswith("PLANTWEAVE_")}
    assert ours == {"PLANTWEAVE_PARTITIONS": "4", "PLANTWEAVE_CACHE": "/somewhere"}
    assert given["PATH"] == os.environ["PATH"]


async def test_a_process_that_ends_is_named_with_its_last_words(fleet: Fleet, tmp_path: Path) -> None:
    """A service that stops on a wrong setting is dead, its state is stopped, and its log says why."""
    fleet.start("window", ("worker", "window"), {"partitions": 0})
    await until(lambda: fleet.dead)
    dead = fleet.dead
    assert dead is not None
    assert dead.child.poll() == 2
    assert any("partitions" in line for line in dead.last_lines())
    assert fleet.lines == (ServiceLine("window", "stopped"),)
    assert dead.log == tmp_path / "window.log"


async def test_stop_ends_a_process_that_waits_for_a_broker(tmp_path: Path) -> None:
    """The plant without a broker keeps trying; SIGTERM ends it long before it would give up, and in good order."""
    process = Process(PLANT, ("plant",), tmp_path, nowhere())
    await until(lambda: "sending context" in " ".join(process.last_lines()))
    assert await asyncio.to_thread(process.child.end) in {0, 1}
    assert not psutil.pid_exists(process.child.pid)


async def test_the_state_of_a_service_is_what_its_health_page_says() -> None:
    """Not listening and not ready are `starting`; ready has the lag and the open windows, summed over partitions."""
    against = ["context is being loaded"]
    metrics = Metrics()
    health = Health(metrics, lambda: against, list)
    port = free_port()
    assert await asyncio.to_thread(look, "window", port) == ServiceLine("window", "starting")
    await health.start("127.0.0.1", port)
    try:
        assert await asyncio.to_thread(look, "window", port) == ServiceLine("window", "starting")
        against.clear()
        assert await asyncio.to_thread(look, "window", port) == ServiceLine("window", "ready", None, None)
        for partition in range(2):
            metrics.task(partition, None, {}, {"ot.reading.v1": 4 + partition})
            metrics.gauges(partition, {"open_windows": 100})
        assert await asyncio.to_thread(look, "window", port) == ServiceLine("window", "ready", 9, 200)
    finally:
        await health.stop()
    assert look("plant", None) == ServiceLine("plant", "ready")
