"""What happens on one line, one episode after the other. In: seed, line, start. Out: episodes and orders, without end.

The first episode of the first line is a bearing that is already warm, so that there is something to see within
seconds; all others come at random, but always at the same instants for the same seed and start.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from streams.plant.model import (
    BEARING_RISE_CELSIUS_PER_S,
    BEARING_WARMING_US,
    CAPPER,
    CONVEYOR_US,
    FILLER,
    HOUR_US,
    LABELLER,
    MINUTE_US,
    PACKER,
    PRODUCTS,
    SECOND_US,
    UNITS,
    Product,
    line_id,
)

Kind = Literal["bearing", "jam", "scrap", "changeover", "planned"]

# The first bearing has this many kelvin left to its trip when the plant starts.
_FIRST_BEARING_K: Final = 19.0
PLANNED_EVERY_US: Final = 4 * HOUR_US
PLANNED_FIRST_US: Final = 2 * HOUR_US
PLANNED_LENGTH_US: Final = 20 * MINUTE_US
# An episode has reached the far end of the line, and passed, before the next begins.
_SETTLE_US: Final = len(UNITS) * CONVEYOR_US


@dataclass(frozen=True)
class Episode:
    """Something that happens at a unit from `begin_us` to `end_us`; `onset_us`: since when it could be measured.

    A bearing and a jam stop the unit, scrap raises its rejects, a changeover and planned downtime stop the whole line.
    """

    kind: Kind
    unit: int
    onset_us: int
    begin_us: int
    end_us: int


@dataclass(frozen=True)
class Order:
    """A production order of a line. It ends, and the next begins, where the changeover to the next begins.

    `begin_us` and `end_us` are None in an order that has not been started, or has not ended, in what is written so far.
    """

    order_id: str
    product: Product
    planned_begin_us: int
    planned_end_us: int
    begin_us: int | None = None
    end_us: int | None = None


def planned_downtime(line: int, start_us: int, number: int) -> tuple[int, int]:
    """Begin and end of the planned downtime with that number (0 is the first after the start) of a line."""
    # Lines are cleaned one after the other.
    begin = start_us + PLANNED_FIRST_US + number * PLANNED_EVERY_US + line * PLANNED_LENGTH_US
    return begin, begin + PLANNED_LENGTH_US


def _due(order: Order) -> int:
    # An order that began late takes its time all the same.
    length = order.planned_end_us - order.planned_begin_us
    return (order.planned_begin_us if order.begin_us is None else order.begin_us) + length


class Script:
    """Episodes and orders of a line, written as far as somebody has asked to read."""

    def __init__(self, seed: int, line: int, start_us: int) -> None:
        self._line = line
        self._start = start_us
        self._random = random.Random(f"{seed}/script/{line}")
        self._source = self._episodes()
        self._written_us = start_us
        self.episodes: list[Episode] = []
        self.orders: list[Order] = [replace(self._order(start_us, 0), begin_us=start_us)]
        self._release()

    def read_until(self, until_us: int) -> bool:
        """Complete `episodes` up to `until_us` and a little more; True where some were added."""
        before = len(self.episodes)
        while self._written_us <= until_us + _SETTLE_US:
            episode = next(self._source)
            self.episodes.append(episode)
            self._written_us = episode.onset_us
        return len(self.episodes) > before

    def _between(self, low_us: int, high_us: int) -> int:
        return self._random.randrange(low_us, high_us)

    def _order(self, begin_us: int, number: int) -> Order:
        end = begin_us + self._between(8 * MINUTE_US, 15 * MINUTE_US)
        product = PRODUCTS[(self._line + number) % len(PRODUCTS)]
        return Order(f"PO-{line_id(self._line)}-{number + 1:04d}", product, begin_us, end)

    def _release(self) -> None:
        self.orders.append(self._order(self.orders[-1].planned_end_us + MINUTE_US, len(self.orders)))

    def _episodes(self) -> Iterator[Episode]:
        episode = self._first()
        planned = 0
        while True:
            yield episode
            settled = episode.end_us + _SETTLE_US
            order = self.orders[-2]
            planned_begin, planned_end = planned_downtime(self._line, self._start, planned)
            episode = self._fault(settled + self._between(15 * SECOND_US, 75 * SECOND_US))
            if episode.end_us + _SETTLE_US >= planned_begin:
                planned += 1
                begin = max(planned_begin, settled)
                episode = Episode("planned", FILLER, begin, begin, max(planned_end, begin + SECOND_US))
            elif episode.end_us + _SETTLE_US >= _due(order):
                episode = self._changeover(max(_due(order), settled))

    def _first(self) -> Episode:
        if self._line:
            begin = self._start + self._between(10 * SECOND_US, 40 * SECOND_US)
            return self._jam(begin)
        trip = self._start + int(_FIRST_BEARING_K / BEARING_RISE_CELSIUS_PER_S * SECOND_US)
        return self._bearing(trip - BEARING_WARMING_US)

    def _fault(self, begin_us: int) -> Episode:
        kind = self._random.choices(("bearing", "jam", "scrap"), weights=(3, 5, 2))[0]
        if kind == "bearing":
            return self._bearing(begin_us)
        if kind == "jam":
            return self._jam(begin_us)
        end = begin_us + self._between(20 * SECOND_US, 45 * SECOND_US)
        return Episode("scrap", CAPPER, begin_us, begin_us, end)

    def _bearing(self, onset_us: int) -> Episode:
        trip = onset_us + BEARING_WARMING_US
        return Episode("bearing", FILLER, onset_us, trip, trip + self._between(30 * SECOND_US, 70 * SECOND_US))

    def _jam(self, begin_us: int) -> Episode:
        unit = self._random.choice((CAPPER, LABELLER, PACKER))
        return Episode("jam", unit, begin_us, begin_us, begin_us + self._between(6 * SECOND_US, 25 * SECOND_US))

    def _changeover(self, begin_us: int) -> Episode:
        end = begin_us + self._between(45 * SECOND_US, 100 * SECOND_US)
        self.orders[-2] = replace(self.orders[-2], end_us=begin_us)
        # ISO 22400: the execution of an order begins with its setup.
        self.orders[-1] = replace(self.orders[-1], begin_us=begin_us)
        self._release()
        return Episode("changeover", FILLER, begin_us, begin_us, end)
