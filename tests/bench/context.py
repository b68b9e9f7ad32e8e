"""How much memory IT context takes, how long it takes to be restored, and to be changed, through a real broker.

In: nothing. Out, as one JSON object: {"assets", "work_order_versions", "log_mib" (values, uncompressed),
"rss_mib_before" (all imported, decoders compiled), "restore_s", "rss_mib_highest" (until then), "rss_mib_after" (10 s
later), "change_s", "gather_s", "rss_mib_changed", "rss_mib_settled" (10 s later)}: a store in a process of its own
reads the topics to their ends; then changes of 1 and of 1,000 rows are written, which replace rows all over the table.
"change_s" tells for each the median and the longest time from the broker's answer to the context that has them; of it,
"gather_s" is waited on purpose. `python -m tests.bench.context` measures it alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import psutil
from confluent_kafka import Producer

from streams.kafka import topics
from streams.kafka.context import ContextStore
from streams.kafka.context.store import GATHER_S
from streams.kafka.embedded.node import EmbeddedKafka
from streams.settings import Settings
from streams.topology import ASSET, CHANGE, WORK_ORDER, Topic
from tests.bench.engines import ROOT
from tests.bench.fill import send
from tests.chaos.services import Encoder

ASSETS: Final = 100_000
VERSIONS: Final = 1_000_000
STEPS: Final = ("planned", "released", "started", "finished")  # versions of one work order
PARTITIONS: Final = 4
AT_ONCE: Final = 20_000
TIMES: Final = 7
SETTLE_S: Final = 10.0
HOUR_US: Final = 3_600_000_000
BEGIN_US: Final = 1_767_225_600_000_000  # 2026-01-01
MIB: Final = 1 << 20


def asset(number: int) -> dict[str, Any]:
    """An asset: a line of 20 units with 20 assets each."""
    line, unit = number // 400, number // 20
    return {
        "asset_id": f"asset-{number:06}",
        "site": "site-1",
        "path": f"enterprise/site-1/area-{line // 25:02}/line-{line:03}/unit-{unit:04}/asset-{number:06}",
        "parent_id": f"unit-{unit:04}",
        "name": f"Pump {number}",
        "work_center": f"line-{line:03}",
        "work_unit": f"unit-{unit:04}",
        "vendor": "Maker of pumps and valves",
        "model": f"P-{number % 37}",
        "firmware": "2.4.1",
        "serial": f"SN{number:010}",
        "zone": "cell",
        "criticality": ("low", "medium", "high")[number % 3],
        "owner": f"maintenance-{line % 9}",
        "interfaces": [f"10.{line % 250}.{unit % 250}.{number % 250}"],
        "feeds": [f"asset-{number + 1:06}"],
    }


def work_order(number: int, assets: int, text: str = "") -> dict[str, Any]:
    """A version of a work order: every order has one per step, an hour apart."""
    order, step = divmod(number, len(STEPS))
    place = asset(order * 7919 % assets)
    begin = BEGIN_US + order % 5000 * HOUR_US // 4
    clocks = dict(zip(("planned_start", "released_at", "started_at", "finished_at"), range(step + 1), strict=False))
    row = {name: begin + hours * HOUR_US for name, hours in clocks.items()}
    return {
        **row,
        **{f"{name}_precision": "exact" for name in row},
        "order_id": f"WO-{order:08}",
        "site": "site-1",
        "valid_from": begin + step * HOUR_US,
        "asset_id": place["asset_id"],
        "asset_path": place["path"],
        "work_center": place["work_center"],
        "work_unit": place["work_unit"],
        "kind": ("corrective", "preventive", "inspection")[order % 3],
        "status": STEPS[step],
        "priority": ("low", "medium", "high")[order % 3],
        "activity": ("repair", "replace", "update_firmware")[order % 3],
        "text": text or f"Bearing {order % 977} runs hot, check lubrication and replace where worn",
        "failure_mode": ("bearing_wear", None)[order % 2],
        "position": f"maintenance-{order % 9}",
        "actors": [f"person-{order % 400:016}"],
    }


class Plant:
    """The topics of one measurement."""

    def __init__(self, bootstrap: str, prefix: str, assets: int, versions: int) -> None:
        self.settings = Settings(bootstrap_servers=bootstrap, topic_prefix=prefix, partitions=PARTITIONS)
        self.assets, self.versions, self.bytes = assets, versions, 0
        limits = {"queue.buffering.max.messages": 200_000, "batch.size": 1_000_000, "linger.ms": 20}
        self._producer = Producer({"bootstrap.servers": bootstrap, "compression.type": "lz4", "log_level": 4, **limits})
        self._encoders = {topic.name: Encoder(topic) for topic in (ASSET, WORK_ORDER)}

    def fill(self) -> None:
        """Write all assets and work orders, each record by its key to its partition."""
        for topic, count in ((ASSET, self.assets), (WORK_ORDER, self.versions)):
            for at in range(0, count, AT_ONCE):
                self.write(topic, range(at, min(at + AT_ONCE, count)))

    def write(self, topic: Topic, numbers: Iterable[int], text: str = "") -> None:
        """Write these rows, and wait until the broker has them."""
        encoder = self._encoders[topic.name]
        parts: list[tuple[list[bytes], list[bytes]]] = [([], []) for _ in range(PARTITIONS)]
        for number in numbers:
            row = asset(number) if topic is ASSET else work_order(number, self.assets, text)
            key, value = row[topic.key].encode(), encoder.value(row)
            self.bytes += len(value)
            keys, values = parts[zlib.crc32(key) % PARTITIONS]
            keys.append(key)
            values.append(value)
        for partition, (keys, values) in enumerate(parts):
            send(self._producer, self.settings.topic_prefix + topic.name, partition, keys, values)
        if self._producer.flush(60):
            raise RuntimeError("the broker does not take the records: its log says why")


def rss_mib() -> int:
    """Resident memory of this process."""
    return round(psutil.Process().memory_info().rss / MIB)


async def restored(plant: Plant) -> dict[str, Any]:
    """Figures of a store that reads the plant's context; see the module."""
    compiled = ContextStore(plant.settings, (CHANGE,))
    await compiled.start()
    await compiled.stop()
    before = rss_mib()
    store = ContextStore(plant.settings, (ASSET, WORK_ORDER))
    began = time.monotonic()
    await store.start()
    seconds = time.monotonic() - began
    try:
        # No name for a frame in here: what it holds would count.
        counts = {name: frame.height for name, frame in store.current.frames.items()}
        if counts != {ASSET.name: plant.assets, WORK_ORDER.name: plant.versions}:
            raise RuntimeError(f"the store shows {counts}")
        return {
            "rss_mib_before": before,
            "restore_s": round(seconds, 1),
            "rss_mib_highest": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "rss_mib_after": await _settled(),
            "change_s": {str(rows): await _changed(plant, store, rows) for rows in (1, min(1000, plant.versions))},
            "gather_s": GATHER_S,
            "rss_mib_changed": rss_mib(),
            "rss_mib_settled": await _settled(),
        }
    finally:
        await store.stop()


async def _settled() -> int:
    """Resident memory once the allocator has given back what nothing holds."""
    await asyncio.sleep(SETTLE_S)
    return rss_mib()


async def _changed(plant: Plant, store: ContextStore, rows: int) -> dict[str, float]:
    """Seconds from the broker's answer to the context that has a change of `rows` rows."""
    chance, took = random.Random(rows), []
    for attempt in range(TIMES):
        text = f"changed {rows} {attempt}"
        await asyncio.to_thread(plant.write, WORK_ORDER, chance.sample(range(plant.versions), rows), text)
        began = shown = time.monotonic()
        while (store.current.frame(WORK_ORDER.name)["text"] == text).sum() < rows:
            await store.changed(60.0)
            shown = time.monotonic()
        took.append(shown - began)
        if (height := store.current.frame(WORK_ORDER.name).height) != plant.versions:
            raise RuntimeError(f"{height} versions after a change of some that were there")
    return {"median": round(statistics.median(took), 3), "longest": round(max(took), 3)}


def measure(bootstrap: str, prefix: str, assets: int = ASSETS, versions: int = VERSIONS) -> dict[str, Any]:
    """Fill the topics and measure in a process of its own."""
    plant = Plant(bootstrap, prefix, assets, versions)
    topics.create(plant.settings)
    plant.fill()
    words = ("--store", bootstrap, prefix, str(assets), str(versions))
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.context", *words],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    figures: dict[str, Any] = json.loads(done.stdout)
    return {"assets": assets, "work_order_versions": versions, "log_mib": round(plant.bytes / MIB), **figures}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--assets", type=int, default=ASSETS)
    parser.add_argument("--versions", type=int, default=VERSIONS)
    parser.add_argument("--store", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.store:
        logging.getLogger("streams").setLevel(
            logging.ERROR
        )  # a change a second after the load looks like a contradiction
        bootstrap, prefix, assets, versions = given.store
        print(json.dumps(asyncio.run(restored(Plant(bootstrap, prefix, int(assets), int(versions))))))
        return
    with tempfile.TemporaryDirectory(prefix="plantweave-bench-") as folder, EmbeddedKafka(Path(folder)) as kafka:
        print(json.dumps(measure(kafka.bootstrap, "bench.context.", given.assets, given.versions)))


if __name__ == "__main__":
    main()
