"""The context store: all versions of all entities of the `it.*` topics, read by every worker, without a group.

Enters: compacted context topics. Leaves: `Context` (frames) that changes as topics change; ready past the end offsets.
"""

from __future__ import annotations

from collections.abc import Mapping

from streams.core.context import Context
from streams.settings import Settings
from streams.topology import Topic


class ContextStore:
    """Stub until the codec is there."""

    def __init__(self, settings: Settings, topics: tuple[Topic, ...]) -> None:
        self.current = Context()
        self.offsets: Mapping[str, int] = {}
        self.ready = True

    async def start(self) -> None:
        """Nothing."""

    async def stop(self) -> None:
        """Nothing."""
