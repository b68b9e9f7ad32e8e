"""A recording as the plant would have sent it: IT context and raw readings, out of order and partly twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

Row = dict[str, Any]

SECOND_US: Final = 1_000_000
# What a network does to a replay: one reading in twenty is late by up to two minutes, one in fifty comes twice.
LATE_SHARE: Final = 0.05
LATE_US: Final = 120 * SECOND_US
TWICE_SHARE: Final = 0.02


@dataclass(frozen=True)
class Scenario:
    """`context`: rows by topic (`it.signal.v1`, ...); `readings`: rows of ot.raw.reading.v1 in the order of arrival.

    `awaited`: ids of ops.kpi.v1 records that the replay is to make final.
    """

    context: dict[str, list[Row]]
    readings: list[Row]
    awaited: frozenset[str]


# Runs a scenario through the services; leaves the last revision of each KPI record by its id.
Replay = Callable[[Scenario], dict[str, Row]]


class ReplayFailure(RuntimeError):
    """The replay did not come to its end; the text says what to look at."""


def as_received(readings: Sequence[Row], seed: int) -> Iterator[Row]:
    """`readings` (in order of source_time) in the order in which a poor network would bring them."""
    chance = random.Random(seed)
    arrivals = []
    for number, reading in enumerate(readings):
        for _ in range(1 + (chance.random() < TWICE_SHARE)):
            delay = chance.randint(0, LATE_US) if chance.random() < LATE_SHARE else 0
            arrivals.append((reading["source_time"] + delay, number, reading))
    return (reading for _, _, reading in sorted(arrivals, key=lambda arrival: arrival[:2]))


def latest(records: Sequence[Row]) -> dict[str, Row]:
    """The highest revision of each record."""
    found: dict[str, Row] = {}
    for record in records:
        known = found.get(record["kpi_id"])
        if known is None or record["revision"] > known["revision"]:
            found[record["kpi_id"]] = record
    return found
