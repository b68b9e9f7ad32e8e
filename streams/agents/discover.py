"""`plantweave signals discover`: the inventory of unknown signals in, proposed dictionary rows out."""

from __future__ import annotations

import asyncio
from typing import Any

import polars as pl

from streams import topology
from streams.core.validate import inventory
from streams.core.validate.lookup import Lookup
from streams.kafka.context import ContextStore
from streams.settings import Settings


def proposals(settings: Settings) -> list[dict[str, Any]]:
    """One proposed `it.signal.v1` row per unknown signal; what the inventory cannot know is left to fill in.

    Raises what aiokafka raises where no broker answers, TopicFault where the topics are missing.
    """
    return inventory.propose(unresolved(*asyncio.run(_read(settings)))).to_dicts()


def unresolved(unknown: pl.DataFrame, dictionary: pl.DataFrame) -> pl.DataFrame:
    """Rows of the inventory that `dictionary` still has no version for, as of when they were last seen."""
    lookup = Lookup(dictionary)
    found = lookup.find(lookup.sources(unknown["source_id"]), unknown["address"], unknown["last_seen"].to_numpy())
    return unknown.filter(pl.Series(found < 0, dtype=pl.Boolean))


async def _read(settings: Settings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Inventory and dictionary as they stand: compacted topics, read like context."""
    store = ContextStore(settings, (topology.UNKNOWN, topology.SIGNAL))
    try:
        await store.start()
        return store.current.frame(topology.UNKNOWN.name), store.current.frame(topology.SIGNAL.name)
    finally:
        await store.stop()
