"""IT context under chaos: work orders, changes and logons that come late, are revised or cancelled.

Enters: the time, and what the plant has planned. Leaves: records of context topics; and what is wrong with the labels
of alerts and with incidents, as the plain references see it once everything is known.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import polars as pl

from streams import topology
from streams.core.context import Context
from streams.core.correlate.describe import describe
from streams.core.correlate.links import parse
from streams.core.correlate.tables import EVIDENCE
from streams.core.verdict import Policy
from streams.kafka.avro import contracts
from streams.kafka.avro.writer import columns
from tests.chaos.edge import EDGES, LINES, SECOND_US, Excursion
from tests.chaos.expected import microseconds
from tests.core.correlate_scene import OF_REVISION
from tests.core.reference_correlate import incidents
from tests.core.reference_verdict import verdict

SITE: Final = "plant"
TOPICS: Final = (
    topology.ASSET,
    topology.WORK_ORDER,
    topology.CHANGE,
    topology.OPERATOR_POSITION,
    topology.PRODUCTION_ORDER,
)
Row = dict[str, Any]


class Told(NamedTuple):
    """A record of a context or event topic."""

    topic: topology.Topic
    row: Row


def machine(edge: int) -> str:
    """The asset that an edge node watches."""
    return f"machine-{edge}"


def path(edge: int) -> str:
    """Its place."""
    return f"acme/{SITE}/line-{edge % LINES}/{machine(edge)}"


class Office:
    """What IT knows. `known`: the rows of each topic, in the order in which they were told."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._answered: set[tuple[int, int]] = set()
        self._number = 0
        self.known: dict[str, list[Row]] = {topic.name: [] for topic in TOPICS}
        self.done: Counter[str] = Counter()

    def opening(self) -> Iterator[Told]:
        """Assets, in a flow along each line, and a position."""
        for edge in range(EDGES):
            after = [machine(edge + LINES)] if edge + LINES < EDGES else []
            place = {"work_center": f"line-{edge % LINES}", "work_unit": machine(edge), "path": path(edge)}
            yield self._tell(
                topology.ASSET, asset_id=machine(edge), owner="maintenance", feeds=after, zone=f"zone-{edge % 2}",
                interfaces=[f"10.0.0.{edge}"], **place,
            )  # fmt: skip
        yield self._tell(topology.OPERATOR_POSITION, position_id="plant/operator", paths=[f"acme/{SITE}"])

    def late(self, excursions: Iterable[Excursion], now_us: int) -> Iterator[Told]:
        """Orders on what was high, typed after it; older orders revised or cancelled; now and then a logon."""
        for one in excursions:
            if (one.edge, one.begin) not in self._answered and self._rng.random() < 0.5:
                yield self._order(one, now_us)
            self._answered.add((one.edge, one.begin))
        orders = self.known[topology.WORK_ORDER.name]
        if orders and self._rng.random() < 0.1:
            row = dict(self._rng.choice(orders))
            change = self._rng.choice(({"status": "cancelled"}, {"activity": "clean"}, {"activity": "repair"}))
            self.done["revised_orders"] += 1
            yield self._tell(topology.WORK_ORDER, **{**row, **change})
        if self._rng.random() < 0.05:
            edge = self._rng.randrange(EDGES)
            self._number += 1
            self.done["logons"] += 1
            told = {"access_id": f"logon-{self._number}", "event_time": now_us, "kind": "logon", "remote": True}
            yield self._tell(topology.ACCESS, target_asset_id=machine(edge), source_address="10.9.0.1", **told)

    def _order(self, one: Excursion, now_us: int) -> Told:
        """A work order or a change that was on while `one` began, or a little beside it."""
        self._number += 1
        shift, length = self._rng.choice((-20, -5, 5)) * SECOND_US, self._rng.choice((15, 60)) * SECOND_US
        begin = one.begin + shift
        self.done["late_orders"] += begin + length < now_us
        if self._rng.random() < 0.3:
            change = {"change_id": f"change-{self._number}", "status": "approved", "asset_ids": [machine(one.edge)]}
            return self._tell(topology.CHANGE, start=begin, end=begin + length, activity="repair", **change)
        order = {"order_id": f"order-{self._number}", "status": "finished", "activity": "repair"}
        where = (
            {"asset_id": machine(one.edge)}
            if self._rng.random() < 0.7
            else {"asset_path": f"acme/{SITE}/line-{one.edge % LINES}"}
        )
        clocks = {"started_at": begin, "arrived_at": begin + SECOND_US, "finished_at": begin + length}
        exact = {f"{name}_precision": "exact" for name in clocks}
        return self._tell(topology.WORK_ORDER, **order, **where, **clocks, **exact)

    def _tell(self, topic: topology.Topic, **fields: Any) -> Told:
        row = {"site": SITE, **fields}
        self.known.setdefault(topic.name, []).append(row)
        return Told(topic, row)

    def context(self) -> Context:
        """Everything that was told, as a worker holds it: of one key and version the last."""
        frames = {}
        for topic in TOPICS:
            newest = {(row[topic.key], row.get("valid_from", 0)): row for row in self.known[topic.name]}
            schema = columns(contracts.load(topic.name).schema)
            frames[topic.name] = pl.DataFrame([filled(topic, row) for row in newest.values()], schema=schema)
        return Context(frames, 1)


def filled(topic: topology.Topic, row: Mapping[str, Any]) -> Row:
    """A row with the contract's defaults."""
    return {field["name"]: field.get("default") for field in contracts.load(topic.name).schema["fields"]} | dict(row)


def plain(row: Mapping[str, Any]) -> Row:
    """A decoded record with its times in microseconds."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return microseconds(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return plain(value) if isinstance(value, dict) else value


def labels(alerts: Mapping[str, list[Row]], office: Office, activities: Mapping[str, list[str]]) -> list[str]:
    """What is wrong with the last label of each alert: every one against all that was ever told."""
    context = {topic: frame.to_dicts() for topic, frame in office.context().frames.items()}
    found = []
    for alert_id, history in alerts.items():
        last = plain(history[-1])
        asked = {**last, "activities": activities.get(last["rule_id"], []), "known_until": last["event_time"]}
        wanted = verdict(
            asked, context[topology.ASSET.name], context[topology.WORK_ORDER.name], context[topology.CHANGE.name],
            Policy().standing_us, Policy().grace_us,
        )  # fmt: skip
        told = (last["verdict"], last["verdict_by"], last["verdict_reference"], last["verdict_until"])
        if last["state"] == "cleared" and told != wanted:
            found.append(f"{alert_id} is labelled {told}, and should be {wanted}")
    return found


def wrong_incidents(told: Iterable[Row], evidence: Iterable[Row], office: Office, links: str) -> list[str]:
    """What is wrong with the incidents that live: against a plain computation from all evidence at once."""
    newest = {row["incident_id"]: plain(row) for row in sorted(told, key=lambda row: int(row["revision"]))}
    living = {key: row for key, row in newest.items() if row["state"] in {"open", "closed"}}
    rows = [{name: row[name] for name in EVIDENCE} for row in map(plain, evidence)]
    wanted = incidents(rows, office.context(), parse(links), describe)
    found = [f"incident {key} is told, and there is none" for key in living.keys() - wanted.keys()]
    found += [f"incident {key} is not told" for key in wanted.keys() - living.keys()]
    for key in living.keys() & wanted.keys():
        mine = {name: value for name, value in living[key].items() if name not in OF_REVISION}
        differing = sorted(
            name for name in mine.keys() & wanted[key].keys() - {"state"} if mine[name] != wanted[key][name]
        )
        if differing:
            found.append(f"incident {key} differs in {', '.join(differing)}")
    return found
