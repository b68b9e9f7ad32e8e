"""Errors of machines through `route` and `correlate`. Enter: records as loaded. Leave: the alerts of sequences.

`through_broker`: a real broker and the services as processes, as in production; `through_core`: without a broker.
Time passes as in the plant: errors come in event time, out of order and partly twice, and work orders as an export of
what was finished, every two weeks. So an export may take back what was told; in the end both say the same.
"""

from __future__ import annotations

import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl
from prometheus_client.parser import text_string_to_metric_families

from streams import topology
from streams.core.context import Context
from streams.core.route.stage import Route
from streams.core.sequence.part import Sequences
from streams.core.sequence.rule import Sequence as Rule
from streams.core.stage import Moment, apply
from streams.demo.feed import Feed
from streams.demo.processes import Fleet
from streams.kafka import topics
from streams.kafka.embedded.broker import HOST
from streams.kafka.embedded.node import EmbeddedKafka, EmbeddedKafkaError
from streams.load.publish import NotSent, publish
from streams.plant.publish import Publisher
from streams.settings import Settings
from tests.evaluation.replay_broker import log_ends
from tests.evaluation.replay_core import CHUNK, NOW_US, frame
from tests.evaluation.scenario import SECOND_US, ReplayFailure, Row, as_received

SEED: Final = 20150101
HOUR_US: Final = 3600 * SECOND_US
# A work order is known up to two weeks late, never four: an export waits until the one before is known, and context may
# take back what is up to 35 days old.
EXPORT_US: Final = 14 * 24 * HOUR_US
LOOK_EVERY_S: Final = 0.1
# Its folder `sequences` is read as that of PLANTWEAVE_RULES_DIR.
RULES: Final = Path(__file__).parent
SERVICES: Final = ("route", "correlate")
WATCHED: Final = (topology.EVIDENCE, topology.ALERT, topology.REJECTED)
SETTINGS: Final[Mapping[str, str | int]] = {"partitions": 2, "rules_dir": str(RULES), "commit_interval_ms": 20}
# Partitions of errors pass each other, and evidence may come a week late, no more: so much is under way at once: a
# plant has that from the clock, here a year passes in a minute.
AT_ONCE_US: Final = 6 * 24 * HOUR_US
# Nothing comes for so long while something is awaited: it will not come.
STALL_S: Final = 120.0
# So long after the last record, with nothing left to read, nothing more is due.
QUIET_S: Final = 5.0
SAY_EVERY_S: Final = 5.0
Loaded = Mapping[str, pl.DataFrame]
Say = Callable[[str], None]


@dataclass
class Played:
    """`alerts`: the last revision of each; `retracted`: those ever taken back; `lost`: errors without evidence."""

    alerts: dict[str, Row] = field(default_factory=dict)
    retracted: set[str] = field(default_factory=set)
    evidence: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)

    def hear(self, row: Row) -> None:
        """Take in a revision of an alert."""
        if row["state"] == "retracted":
            self.retracted.add(row["alert_id"])
        if row["revision"] > self.alerts.get(row["alert_id"], {"revision": 0})["revision"]:
            self.alerts[row["alert_id"]] = row


def arriving(loaded: Loaded) -> list[Row]:
    """The errors in the order in which a poor network brings them."""
    errors = [{**row, "source_time": row["event_time"]} for row in loaded[topology.RAW_ALARM.name].to_dicts()]
    received = as_received(sorted(errors, key=lambda row: row["source_time"]), SEED)
    return [{name: value for name, value in row.items() if name != "source_time"} for row in received]


def through_core(sequences: Sequence[Rule], loaded: Loaded, chunk: int = CHUNK) -> Played:
    """The stages alone, with all context from the start and `chunk` errors at once."""
    part, route = Sequences(sequences), Route()
    looked_up = (topology.ASSET, topology.WORK_ORDER, topology.CHANGE)
    given = {topic.name: loaded[topic.name].to_dicts() if topic.name in loaded else () for topic in looked_up}
    context = Context({name: frame(name, rows) for name, rows in given.items()}, version=1)
    state = {table.name: table.empty() for table in part.tables}
    rows, played = arriving(loaded), Played()
    for begin in range(0, len(rows), chunk):
        raw = frame(topology.RAW_ALARM.name, rows[begin : begin + chunk])
        located = raw.with_columns(
            _partition=pl.lit(0, pl.Int32), _offset=pl.int_range(pl.len(), dtype=pl.Int64) + begin, _time=pl.lit(NOW_US)
        )
        moment = Moment(NOW_US + begin)
        evidence = route.step(topology.RAW_ALARM.name, located, {}, context, moment).out[topology.EVIDENCE.name]
        played.evidence.update(evidence["evidence_id"])
        outcome = part.step(evidence, state, context, moment)
        for table in part.tables:
            if table.name in outcome.changes:
                state[table.name] = apply(table, state[table.name], outcome.changes[table.name])
        for row in outcome.alerts.to_dicts():
            played.hear(row)
    return played


def through_broker(loaded: Loaded, say: Say) -> Played:
    """The services as processes on an embedded broker. Raises ReplayFailure where one ends, or nothing comes."""
    with tempfile.TemporaryDirectory(prefix="plantweave-azure-") as folder:
        try:
            with EmbeddedKafka(Path(folder) / "kafka") as kafka:
                return through_services(loaded, {"bootstrap_servers": kafka.bootstrap}, Path(folder), say)
        except (EmbeddedKafkaError, NotSent) as why:
            raise ReplayFailure(str(why)) from why


def through_services(loaded: Loaded, own: Mapping[str, str | int], folder: Path, say: Say) -> Played:
    """As `through_broker`, on the broker of the settings `own`; logs go to `folder`."""
    given = {**SETTINGS, **own}
    settings = Settings.load({f"PLANTWEAVE_{name.upper()}": str(value) for name, value in given.items()})
    topics.create(settings)
    fleet, feed = Fleet(folder), Feed(settings, WATCHED)
    try:
        year = _Year(loaded, settings, fleet, feed, say)
        for name in SERVICES:
            fleet.start(name, ["worker", name], given)
        return year.play()
    except ReplayFailure as why:
        raise ReplayFailure(f"{why}\n{log_ends(folder, SERVICES)}") from why
    finally:
        feed.close()
        fleet.stop()


class _Year:
    """The recording on its way: what is sent, what is known of it, what has come out."""

    def __init__(self, loaded: Loaded, settings: Settings, fleet: Fleet, feed: Feed, say: Say) -> None:
        self._settings, self._fleet, self._feed, self._say = settings, fleet, feed, say
        self._publisher = Publisher(settings)
        rows = arriving(loaded)
        self._total, self._left = len(rows), rows[::-1]
        self._exports = exports(loaded[topology.WORK_ORDER.name], rows)
        self._version, self._looked = 0, 0.0
        self._under_way: set[str] = set()
        self._newest_us = 0
        self._played = Played()
        self._heard = time.monotonic()
        publish(settings, topology.ASSET, loaded[topology.ASSET.name])

    def play(self) -> Played:
        """Send and read until nothing more comes."""
        said = 0.0
        sent = {f"alarm:{row['alarm_id']}" for row in self._left}
        while self._left or self._exports or self._under_way or not self._quiet():
            self._send()
            self._read()
            if (dead := self._fleet.dead) is not None:
                raise ReplayFailure(f"the service {dead.name} ended by itself")
            if time.monotonic() - self._heard > STALL_S:
                states = ", ".join(f"{line.name} {line.state} (lag {line.lag})" for line in self._fleet.lines)
                raise ReplayFailure(f"nothing came for {STALL_S:.0f} s, {len(self._left)} errors are left; {states}")
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                self._say(f"  {self._total - len(self._left)} of {self._total} errors sent, {self._told()}")
        self._played.lost = sorted(sent - self._played.evidence)
        return self._played

    def _told(self) -> str:
        return f"up to {datetime.fromtimestamp(self._newest_us / SECOND_US, UTC):%Y-%m-%d}"

    def _quiet(self) -> bool:
        return time.monotonic() - self._heard > QUIET_S and all(line.lag == 0 for line in self._fleet.lines)

    def _send(self) -> None:
        """Exports that are due, and the errors of the next hours once nothing is on its way any more."""
        if (fault := self._publisher.failure) is not None:
            raise ReplayFailure(fault)
        self._publisher.poll()
        if self._under_way:
            return
        until_us = self._left[-1]["event_time"] + AT_ONCE_US if self._left else 0
        while not self._exported() and self._left and self._left[-1]["event_time"] <= until_us:
            row = self._left.pop()
            self._newest_us = max(self._newest_us, row["event_time"])
            self._under_way |= {f"alarm:{row['alarm_id']}"} - self._played.evidence
            self._publisher.send(topology.RAW_ALARM.name, [row])
            self._heard = time.monotonic()

    def _exported(self) -> bool:
        """Send the next export if it is due. Returns whether the one before must be known to `correlate` first."""
        due = self._exports and (not self._left or self._left[-1]["event_time"] >= self._exports[0][0])
        if not due:
            return False
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return True
        self._looked = time.monotonic()
        version = _context_version(self._fleet.ports[SERVICES[-1]])
        if version is None or version <= self._version:
            return True
        self._version = version
        publish(self._settings, topology.WORK_ORDER, self._exports.pop(0)[1])
        self._heard = time.monotonic()
        return True

    def _read(self) -> None:
        for topic, row in self._feed.poll(0.01):
            self._heard = time.monotonic()
            if topic == topology.EVIDENCE.name:
                self._played.evidence.add(row["evidence_id"])
                self._under_way.discard(row["evidence_id"])
            elif topic == topology.REJECTED.name:
                raise ReplayFailure(f"a record was rejected: {row['reason']}")
            elif row["origin"] == "sequence":
                self._played.hear(dict(row))


def exports(orders: pl.DataFrame, errors: Sequence[Row]) -> list[tuple[int, pl.DataFrame]]:
    """Work orders by the end of the fortnight in which they were finished; what was before the first error, at once."""
    first_us = min((row["event_time"] for row in errors), default=0)
    place = ((pl.col("finished_at") - first_us) // EXPORT_US).clip(lower_bound=-1)
    return list(_parts(orders.with_columns(_end=first_us + (place + 1) * EXPORT_US).sort("_end", maintain_order=True)))


def _parts(orders: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    for part in orders.partition_by("_end", maintain_order=True):
        yield part["_end"][0], part.drop("_end")


def _context_version(port: int) -> int | None:
    """How often a service's context has changed; None while it does not tell."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=5) as page:
            families = text_string_to_metric_families(page.read().decode())
            samples = [sample for family in families for sample in family.samples]
    except OSError:
        return None
    return next((int(one.value) for one in samples if one.name == "plantweave_context_version"), None)
