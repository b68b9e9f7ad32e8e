"""The state of every machine of a line over time. In: the line's episodes. Out: piecewise constant states and speeds.

A stop passes along the line: behind it machines starve, before it they are blocked, each after the time that an item
takes from machine to machine. What stops later starts later by the same time, so no item is lost or made on a conveyor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.plant.model import (
    BLOCKED,
    CONVEYOR_US,
    FAULT,
    REJECT_SHARE,
    RUNNING,
    SCRAP_SHARE,
    SECOND_US,
    SETUP,
    STARVED,
    STOPPED,
)
from streams.plant.noise import Floats, Integers
from streams.plant.script import Episode, Kind, Order

_OWN_STATE: Final[dict[Kind, int]] = {"bearing": FAULT, "jam": STOPPED, "changeover": SETUP, "planned": STOPPED}


@dataclass(frozen=True)
class Segments:
    """State of one machine: from `begin_us[i]` on `state[i]`, at `speed[i]` items/s, of which a share is rejected.

    `made[i]` and `rejected[i]` are the items made and rejected until `begin_us[i]`.
    """

    begin_us: Integers
    state: Integers
    speed: Floats
    made: Floats
    rejected: Floats

    def at(self, time_us: Integers) -> Integers:
        """Index of the segment that holds at each of these times (from the start of the plant on)."""
        return np.searchsorted(self.begin_us, time_us, side="right") - 1

    def count_made(self, time_us: Integers) -> Integers:
        """Items made until each of these times."""
        index = self.at(time_us)
        seconds = (time_us - self.begin_us[index]) / SECOND_US
        return np.floor(self.made[index] + self.speed[index] * seconds).astype(np.int64)

    def count_rejected(self, made: Integers) -> Integers:
        """Of so many items made, how many were rejected: a function of the item, so that good ones never decrease."""
        index = np.maximum(np.searchsorted(self.made, made, side="right") - 1, 0)
        index = np.minimum(index, len(self.made) - 2)
        span = self.made[index + 1] - self.made[index]
        part = np.divide(made - self.made[index], span, out=np.zeros(len(made)), where=span > 0)
        rejected = self.rejected[index] + part * (self.rejected[index + 1] - self.rejected[index])
        return np.asarray(np.floor(rejected), dtype=np.int64)


def segments(unit: int, start_us: int, episodes: Sequence[Episode], orders: Sequence[Order]) -> Segments:
    """The states of a machine (its place in the line, 0 is the first) from `start_us` to the last of the episodes."""
    begins, states, speeds, shares = [start_us], [RUNNING], [_speed(unit, orders[0])], [REJECT_SHARE[unit]]
    number = 0
    for episode in episodes:
        number += episode.kind == "changeover"
        speed = _speed(unit, orders[number])
        for begin, state, row_speed, share in _marks(unit, episode, speed):
            begins.append(begin)
            states.append(state)
            speeds.append(row_speed)
            shares.append(share)
    begin_us, speed_per_s, share_of = np.array(begins), np.array(speeds), np.array(shares)
    made = speed_per_s[:-1] * np.diff(begin_us) / SECOND_US
    return Segments(
        begin_us=begin_us,
        state=np.array(states),
        speed=speed_per_s,
        made=np.concatenate([[0.0], np.cumsum(made)]),
        rejected=np.concatenate([[0.0], np.cumsum(made * share_of[:-1])]),
    )


def _speed(unit: int, order: Order) -> float:
    # A machine gets what the machines before it let pass.
    return order.product.speed_per_s * float(np.prod([1.0 - share for share in REJECT_SHARE[:unit]]))


def _marks(unit: int, episode: Episode, speed: float) -> list[tuple[int, int, float, float]]:
    """What an episode changes at a machine: (begin, state, speed, reject share) rows; the last one ends it."""
    distance = unit - episode.unit
    shift = abs(distance) * CONVEYOR_US
    share = REJECT_SHARE[unit]
    after = (episode.end_us + shift, RUNNING, speed, share)
    begin = episode.begin_us + shift
    if episode.kind == "scrap":
        if distance < 0:
            return [(begin, RUNNING, speed, share)]
        if distance == 0:
            return [(begin, RUNNING, speed, SCRAP_SHARE), after]
        let_pass = (1.0 - SCRAP_SHARE) / (1.0 - REJECT_SHARE[episode.unit])
        return [(begin, RUNNING, speed * let_pass, share), after]
    if distance == 0 or episode.kind in {"changeover", "planned"}:
        state = _OWN_STATE[episode.kind]
    else:
        state = STARVED if distance > 0 else BLOCKED
    return [(begin, state, 0.0, share), after]
