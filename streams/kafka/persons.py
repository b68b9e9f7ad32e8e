"""Persons in what others write past the loader. Enter: rows of context. Leave: rows that name nobody, and how many did.

Which fields are personal the contracts say. An account that is no pseudonym becomes one where there is a key, and
nothing where there is none; free texts stay outside of all services but those that declare to read them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache

import polars as pl

from streams.core.privacy import guarded
from streams.kafka.avro import contracts
from streams.topology import Topic

log = logging.getLogger(__name__)

IDENTITY, TEXT = "identity", "text"


@cache
def personal(topic: str, mark: str) -> tuple[str, ...]:
    """The fields of a topic (without prefix) that its contract marks so: IDENTITY or TEXT."""
    return tuple(field["name"] for field in contracts.load(topic).schema["fields"] if field.get("personal") == mark)


class Persons:
    """What a service may know of persons. `texts`: topics whose free texts it reads; `key`: of the pseudonyms."""

    def __init__(self, texts: Iterable[Topic] = (), key: bytes | None = None) -> None:
        self._texts = frozenset(topic.name for topic in texts)
        self._key = key
        self._told: set[str] = set()

    def hidden(self, topic: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """`rows` of a topic without clear names, and how many of these there were; texts are not counted.

        The first of a topic are a warning in the log, which names nobody.
        """
        clear, kept = 0, list[pl.Series]()
        for name in personal(topic, IDENTITY):
            column, count = guarded(rows[name], self._key)
            clear += count
            kept.append(column)
        left_out = () if topic in self._texts else personal(topic, TEXT)
        nothing = [pl.lit(None, rows.schema[name]).alias(name) for name in left_out]
        if clear and topic not in self._told:
            self._told.add(topic)
            log.warning("clear names were written to %s; they stay outside. Its producer is to write pseudonyms", topic)
        return rows.with_columns(*kept, *nothing), clear


class Unguarded(Persons):
    """For who reads what he wrote: the loader compares files with what is loaded."""

    def hidden(self, topic: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:  # noqa: ARG002  the interface
        """`rows` as they are."""
        return rows, 0
