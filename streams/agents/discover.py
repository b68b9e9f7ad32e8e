"""`plantweave signals discover`: the inventory of unknown signals in, proposed dictionary rows out."""

from __future__ import annotations

import asyncio
from typing import Any

import polars as pl

from streams import topology
from streams.core import inventory
from streams.kafka.context import ContextStore
from streams.settings import Settings


def proposals(settings: Settings) -> list[dict[str, Any]]:
    """One proposed `it.signal.v1` row per unknown signal; what the inventory cannot know is left to fill in."""
    unknown = asyncio.run(_unknown(settings))
    return inventory.propose(unknown).to_dicts()


async def _unknown(settings: Settings) -> pl.DataFrame:
    """The inventory as it stands: a compacted topic, read like context."""
    store = ContextStore(settings, (topology.UNKNOWN,))
    try:
        await store.start()
        return store.current.frame(topology.UNKNOWN.name)
    finally:
        await store.stop()
