"""Where a task stands and how far it has come.

Enters: positions, and what the consumer knows of the broker. Leaves: lags, standstills.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Protocol

from faust.types import TP

from streams.topology import Topic


class Status(enum.Enum):
    """Where a task stands."""

    OPENING = "opening"
    OPEN = "open"
    CLOSED = "closed"
    DISCARDED = "discarded"
    FENCED = "fenced"


class Ends(Protocol):
    """What is asked of the consumer."""

    def stable_end(self, tp: TP) -> int | None:
        """Last stable offset as of the newest fetch, or None."""


class Progress:
    """Of one task; `inputs` are its topics by full name."""

    def __init__(self, inputs: Mapping[str, Topic], ends: Ends) -> None:
        self._inputs = inputs
        self._ends = ends
        self._stalled: dict[tuple[str, int], tuple[int, float]] = {}

    def lags(self, positions: Mapping[tuple[str, int], int], unknown: int = 0) -> dict[str, int]:
        """Offsets between position and last stable offset, by topic; `unknown` where nothing was fetched yet."""
        found = {}
        for (topic, number), position in positions.items():
            end = self._ends.stable_end(TP(topic, number))
            found[self._inputs[topic].name] = unknown if end is None else max(0, end - position)
        return found

    def lagging_since(self, committed: Mapping[tuple[str, int], int], now: float) -> float | None:
        """Since when an input has had lag while its committed position did not move (monotonic s); None: it moves."""
        for key, at in committed.items():
            end = self._ends.stable_end(TP(*key))
            if end is None or end <= at:
                self._stalled.pop(key, None)
            elif self._stalled.get(key, (-1, now))[0] != at:
                self._stalled[key] = (at, now)
        return min((since for _, since in self._stalled.values()), default=None)
