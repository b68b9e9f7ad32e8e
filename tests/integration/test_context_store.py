"""The context store on a real broker: what it shows, and that a task never goes back to older context."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from aiokafka import TopicPartition
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic
from faust.types import TP

from streams import topology
from streams.kafka import preflight, topics
from streams.kafka.commit import CommitPace
from streams.kafka.context import ContextStore
from streams.kafka.metrics import Metrics
from streams.kafka.progress import Status
from streams.kafka.restore import restore
from streams.kafka.shell import Shell
from streams.kafka.task import Task
from streams.settings import Settings
from tests.bench.context import measure
from tests.chaos.deployment import ROOT, Deployment
from tests.chaos.services import Encoder
from tests.integration import harness
from tests.integration.seen import OUT, TOLD, service

pytestmark = pytest.mark.timeout(180)

ASSETS: Final = topology.ASSET.name
LOAD: Final = 25_000  # more than one poll takes
Rows = Sequence[tuple[str, int, str | None]]


@pytest.fixture
def target(bootstrap: str, tmp_path: Path) -> Iterator[Deployment]:
    """Topics of its own; the worker is `seen.py`."""
    found = harness.deploy(bootstrap, tmp_path / "deployment", ("window",))
    found.commands = {"window": (sys.executable, str(ROOT / "tests/integration/seen.py"), str(tmp_path / "gate"))}
    topics.create(settings(found), [NewTopic(found.prefix + OUT.name, 1, 1)])
    yield found
    found.stop()


def settings(target: Deployment, commit_interval_ms: int = 100) -> Settings:
    """As the deployment's workers have them."""
    return Settings(
        bootstrap_servers=target.bootstrap,
        topic_prefix=target.prefix,
        partitions=1,
        commit_interval_ms=commit_interval_ms,
    )


def write(target: Deployment, rows: Rows, topic: topology.Topic = topology.ASSET, transaction: str = "") -> None:
    """(key, valid_from, name) of assets; a name that is None makes a tombstone."""
    encoder = Encoder(topic)
    own = {"transactional.id": target.prefix + transaction} if transaction else {}
    producer = Producer({"bootstrap.servers": target.bootstrap, "log_level": 0, "linger.ms": 5, **own})
    if transaction:
        producer.init_transactions(30)
        producer.begin_transaction()
    for key, since, name in rows:
        row = {topic.key: key, "path": f"site/{key}", "product": "p", "work_center": "l", "valid_from": since}
        value = None if name is None else encoder.value({**row, "name": name})
        producer.produce(target.prefix + topic.name, value, key.encode(), partition=0)
    assert producer.flush(60) == 0
    if transaction:
        producer.commit_transaction(60)


async def becomes(condition: Callable[[], object], what: str) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def started(
    target: Deployment, *read: topology.Topic, metrics: Metrics | None = None
) -> AsyncIterator[ContextStore]:
    """A store that has caught up, stopped afterwards."""
    store = ContextStore(settings(target), read, metrics)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


def names(store: ContextStore) -> list[tuple[str, int, str]]:
    """The assets that it shows."""
    return sorted(store.current.frame(ASSETS).select("asset_id", "valid_from", "name").rows())


async def test_a_change_of_one_topic_leaves_what_was_derived_from_others(target: Deployment) -> None:
    """Versions count by topic, untouched frames stay the same objects, tombstones and later offsets hold."""
    write(target, [("a", 0, "one"), ("b", 0, "two"), ("a", 0, "three")])
    write(target, [("o", 0, "-")], topology.PRODUCTION_ORDER)
    async with started(target, topology.ASSET, topology.PRODUCTION_ORDER) as store:
        first = store.current
        assert names(store) == [("a", 0, "three"), ("b", 0, "two")]
        write(target, [("b", 0, None), ("a", 5, "four")])
        await becomes(lambda: store.current.version > first.version, "the change is shown")
        assert names(store) == [("a", 0, "three"), ("a", 5, "four")]
        assert store.current.version_of(ASSETS) == first.version_of(ASSETS) + 1
        assert store.current.version_of(topology.PRODUCTION_ORDER.name) == 1
        assert store.current.frame(topology.PRODUCTION_ORDER.name) is first.frame(topology.PRODUCTION_ORDER.name)
        assert store.current.offsets[f"{target.prefix}{ASSETS}/0"] == 5


async def test_what_cannot_be_read_and_what_contradicts_itself_is_told(
    target: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    """A bad record is left out with its place, a contradiction named with its ids; both are counted, the rest stays."""
    write(target, [("a", 0, "one"), ("a", 0, "other")])
    await harness.send(target, [harness.Batch(ASSETS, [harness.Raw(b"no record"), harness.Raw(None, b"nobody")])])
    write(target, [("b", 0, "two")])
    metrics = Metrics()
    with caplog.at_level(logging.WARNING):
        async with started(target, topology.ASSET, metrics=metrics) as store:
            assert names(store) == [("a", 0, "other"), ("b", 0, "two")]
    told = {record.getMessage(): record.__dict__ for record in caplog.records}
    assert told["context record left out: not readable"]["offset"] == 2
    (odd,) = [found for text, found in told.items() if "contradict" in text]
    assert (odd["count"], odd["first"]) == (1, ["a @ 0"])
    page = metrics.text().decode()
    assert 'plantweave_events_total{kind="context_rejects",label="undecodable"} 1.0' in page
    assert f'plantweave_events_total{{kind="context_contradictions",label="{ASSETS}"}} 1.0' in page


async def test_of_a_committed_load_all_is_shown_or_nothing(target: Deployment) -> None:
    """More records than one poll takes, in one transaction: no context in between is ever shown."""
    async with started(target, topology.ASSET) as store:
        seen: list[int] = []

        async def watch() -> None:
            while not seen or seen[-1] < LOAD:
                await store.changed(1.0)
                seen.append(store.current.frame(ASSETS).height)

        watching = asyncio.ensure_future(watch())
        rows = [(f"asset-{number}", 0, "n") for number in range(LOAD)]
        await asyncio.to_thread(write, target, rows, topology.ASSET, "load")
        await asyncio.wait_for(watching, 60)
        assert set(seen) <= {0, LOAD}
        end = f"{target.prefix}{ASSETS}/0"
        # The marker of the transaction is behind the last record.
        await becomes(lambda: store.current.offsets[end] == LOAD + 1, "the marker is passed")


# -- a task and its position -----------------------------------------------------------------------------------------


class Still:
    """Stands for the consumer of a worker whose inputs are empty."""

    async def open_at(self, offsets: dict[TP, int]) -> None:
        """Nothing to read."""

    async def seek_again(self, tp: TP, offset: int) -> None:
        """Nothing to read."""

    def close_partitions(self, tps: set[TP]) -> None:
        """Nothing to read."""

    def stable_end(self, tp: TP) -> int | None:
        """The empty topic's end."""
        return 0


def task(target: Deployment, store: ContextStore, gate: Path, commit_interval_ms: int = 100) -> Task:
    """The task of `seen` with this worker's context; it commits by interval only."""
    own = settings(target, commit_interval_ms)
    made = service(own, gate)
    origin, counts = preflight.check(own, made)
    group = f"{target.prefix}{topology.group('window')}"
    return Task(Shell(made, own, origin, group, Still(), store, Metrics(), CommitPace(0.0, 0.0), counts), 0)


async def stored(target: Deployment) -> Mapping[str, int]:
    """The position of the context in the state topic."""
    place = TopicPartition(target.prefix + topology.state_topic("window"), 0)
    read = TopicPartition(target.prefix + topology.READING.name, 0)
    found, _, _ = await restore(settings(target), place, [TOLD], [read], lambda _done, _total: None)
    return found.context


async def committed(target: Deployment, texts: list[str], offset: int) -> None:
    """These names and this position are there; a commit is answered a moment before it can be seen."""
    deadline = time.monotonic() + 10
    while not (position := await stored(target)) and time.monotonic() < deadline:  # noqa: ASYNC110 - polls a broker
        await asyncio.sleep(0.05)
    assert position == {f"{target.prefix}{ASSETS}/0": offset}
    assert told(target) == texts


def told(target: Deployment) -> list[str]:
    """The names that were told, in order."""
    return [json.loads(value)["name"] for _, value, _ in target.read(OUT.name)]


async def test_a_task_opens_with_context_as_new_as_its_state(
    target: Deployment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The heir of a worker that had read further waits, says so, and repeats nothing of what it had told."""
    gate = tmp_path / "gate"
    write(target, [("a", 0, "one")])
    async with started(target, topology.ASSET) as ahead, started(target, topology.ASSET) as behind:
        await behind.stop()
        write(target, [("a", 1, "two")])
        await becomes(lambda: len(names(ahead)) == 2, "the change is read")
        first = task(target, ahead, gate)
        await first.open()
        await first.tick()
        await first.close()
        await committed(target, ["two"], 2)
        heir = task(target, behind, gate)
        with caplog.at_level(logging.INFO):
            opening = asyncio.ensure_future(heir.open())
            await becomes(lambda: "task waits for context" in caplog.text, "the heir says what it waits for")
        assert (heir.status, opening.done()) == (Status.OPENING, False)
        await behind.start()
        await asyncio.wait_for(opening, 30)
        await heir.tick()
        await heir.close()
    assert told(target) == ["two"]


async def test_a_commit_tells_the_context_that_it_was_computed_with(target: Deployment, tmp_path: Path) -> None:
    """Context that came after the last step is not told as used, though it is there when the commit begins."""
    write(target, [("a", 0, "one")])
    async with started(target, topology.ASSET) as store:
        found = task(target, store, tmp_path / "gate", commit_interval_ms=5_000)
        await found.open()
        await found.tick()
        write(target, [("a", 1, "two")])
        await becomes(lambda: len(names(store)) == 2, "the change is read")
        assert told(target) == []
        await found.close()
        await committed(target, ["one"], 1)


def test_a_worker_killed_between_context_and_commit_neither_repeats_nor_forgets(
    target: Deployment, tmp_path: Path
) -> None:
    """SIGKILL with the new label computed and not committed, twice: it is told once, and the position follows."""
    gate = tmp_path / "gate"

    def is_stored(offset: int) -> bool:
        return asyncio.run(stored(target)) == {f"{target.prefix}{ASSETS}/0": offset}

    write(target, [("a", 0, "one")])
    harness.start(target, "window")
    harness.until(lambda: told(target) == ["one"], "the first name")
    gate.touch()
    for since, name in ((1, "two"), (2, "three")):
        write(target, [("a", since, name)])
        harness.until(lambda: target.workers["window-0"].poll() is not None, "the worker to be killed")
        assert is_stored(1)
        target.start("window", 0)
    harness.until(lambda: target.workers["window-0"].poll() is not None, "the heir to be killed")
    assert told(target) == ["one"]
    gate.unlink()
    target.start("window", 0)
    harness.until(lambda: told(target) == ["one", "three"], "the newest name, which nobody was told of")
    harness.until(lambda: is_stored(3), "the position of what was told")
    target.kill("window-0")
    target.start("window", 0)
    write(target, [("a", 3, "four")])
    harness.until(lambda: told(target)[-1] == "four", "the next name")
    assert told(target) == ["one", "three", "four"]


def test_the_measurement_of_the_store_measures(bootstrap: str) -> None:
    """A small plant: every figure is there, restored and changed through the broker by a process of its own."""
    found = measure(bootstrap, f"bench{time.time_ns()}.", 40, 400)
    assert (found["assets"], found["work_order_versions"]) == (40, 400)
    assert found["rss_mib_after"] >= found["rss_mib_before"] > 0
    assert set(found["change_s"]) == {"1", "400"}
