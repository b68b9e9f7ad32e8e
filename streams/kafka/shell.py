"""What all tasks of a worker share, and what they ask of their surroundings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from faust.types import TP

from streams.core.context import Context
from streams.kafka.metrics import Metrics
from streams.kafka.service import Service
from streams.kafka.state import Origin
from streams.settings import Settings


class Reading(Protocol):
    """What a task asks of the consumer."""

    async def open_at(self, offsets: dict[TP, int]) -> None:
        """Read these partitions from these positions, from now on."""

    async def seek_again(self, tp: TP, offset: int) -> None:
        """Move the position of an open partition."""

    def close_partitions(self, tps: set[TP]) -> None:
        """Stop reading these partitions."""

    def stable_end(self, tp: TP) -> int | None:
        """Last stable offset as of the newest fetch, or None."""


class ContextSource(Protocol):
    """What a task asks of the context store."""

    @property
    def current(self) -> Context:
        """The context as of now."""

    async def changed(self, seconds: float) -> None:
        """Return once `current` is replaced, or `seconds` have passed."""

    async def ends(self) -> Mapping[str, int]:
        """Present last stable offsets by "topic/partition"; empty where they cannot be asked for now."""


class Pace(Protocol):
    """Says whether a commit may start at once (idle) or waits for the interval (load)."""

    def at_once(self) -> bool:
        """True: start now."""


@dataclass(frozen=True)
class Shell:
    """One per worker."""

    service: Service
    settings: Settings
    origin: Origin
    group: str
    consumer: Reading
    context: ContextSource
    metrics: Metrics
    pace: Pace
    partitions: Mapping[str, int]
    accept_data_loss: bool = False

    def full(self, name: str) -> str:
        """Topic name with the deployment's prefix."""
        return self.settings.topic_prefix + name
