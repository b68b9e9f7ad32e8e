"""A recording as the plant would have sent it: IT context and raw readings, out of order and partly twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

Row = dict[str, Any]

SECOND_US: Final = 1_000_000
# What a network does to a replay: one reading in twenty is late by up to two minutes, one in fifty comes twice.
LATE_SHARE: Final = 0.05
LATE_US: Final = 120 * SECOND_US
TWICE_SHARE: Final = 0.02
# The same for recordings that are out of order by themselves: late by up to so many readings.
LATE_ROWS: Final = 12
# The field that names a record of a stage's output.
IDS: Final = {"kpi": "kpi_id", "window": "window_id"}
# How long a reading may be corrected in these replays: the default is set for memory, recordings jump by hours.
WINDOW_HORIZON_S: Final = 86_400


class Place(NamedTuple):
    """Where a recording was made: one source at one line."""

    site: str
    line: str
    source: str

    def signal(self, name: str, role: str, reporting: str, lengths_s: Sequence[int], **fields: Any) -> Row:
        """A row of `it.signal.v1`; the address is the name."""
        return {
            "signal_id": name,
            "site": self.site,
            "source_id": self.source,
            "address": name,
            "work_center": self.line,
            "role": role,
            "reporting": reporting,
            "window_lengths_s": list(lengths_s),
            **fields,
        }

    def reading(self, address: str, time_us: int, boot: str, sequence: int, **value: Any) -> Row:
        """A row of `ot.raw.reading.v1`."""
        return {
            "source_id": self.source,
            "site": self.site,
            "address": address,
            "boot_id": boot,
            "sequence": sequence,
            "source_time": time_us,
            **value,
        }


@dataclass(frozen=True)
class Scenario:
    """`context`: rows by topic (`it.signal.v1`, ...); `readings`: rows of ot.raw.reading.v1 in the order of arrival.

    `stage`: the service behind `validate` whose records are asked for; `awaited`: ids of records that the replay is to
    bring (of `kpi`: to make final).
    """

    context: dict[str, list[Row]]
    readings: list[Row]
    awaited: frozenset[str]
    stage: Literal["kpi", "window"] = "kpi"


@dataclass(frozen=True)
class Outcome:
    """What a replay left: the last revision of each record by its id, and what became of the readings.

    `accepted`: rows of ot.reading.v1; `rejected`: rows of ot.reading.rejected.v1 by reason; `late`: rows of
    ot.window.late.v1; `counts`: what the services counted, by "kind/label".
    """

    records: dict[str, Row]
    accepted: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    late: Sequence[Row] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


# Runs a scenario through the services.
Replay = Callable[[Scenario], Outcome]


class ReplayFailure(RuntimeError):
    """The replay did not come to its end; the text says what to look at."""


def as_received(readings: Sequence[Row], seed: int) -> Iterator[Row]:
    """`readings` (in order of source_time) in the order in which a poor network would bring them."""
    return _disturbed(readings, [reading["source_time"] for reading in readings], LATE_US, seed)


def as_recorded(readings: Sequence[Row], seed: int) -> Iterator[Row]:
    """`readings` in their own order, as a poor network would bring them; their stamps decide nothing."""
    return _disturbed(readings, range(len(readings)), LATE_ROWS, seed)


def _disturbed(readings: Sequence[Row], instants: Sequence[int], latest: int, seed: int) -> Iterator[Row]:
    chance = random.Random(seed)
    arrivals = []
    for number, reading in enumerate(readings):
        for _ in range(1 + (chance.random() < TWICE_SHARE)):
            delay = chance.randint(0, latest) if chance.random() < LATE_SHARE else 0
            arrivals.append((instants[number] + delay, number, reading))
    return (reading for _, _, reading in sorted(arrivals, key=lambda arrival: arrival[:2]))


def latest(records: Sequence[Row], stage: str = "kpi") -> dict[str, Row]:
    """The highest revision of each record."""
    found: dict[str, Row] = {}
    for record in records:
        name = record[IDS[stage]]
        if name not in found or record["revision"] > found[name]["revision"]:
            found[name] = record
    return found
