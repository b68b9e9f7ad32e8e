"""IT context as frames: all versions of every entity. Leaves: immutable frames that stages look up as of event time.

The shell keeps one `Context` per worker, filled from the compacted `it.*` topics; columns are the contract's fields,
times Int64 microseconds UTC, maps as lists of {key, value}, ids as text. (key, valid_from) is there once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import polars as pl

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """Frames by topic name (`it.signal.v1`, ...); a topic nobody wrote to is an empty frame with its columns.

    `version` rises with every change, `versions` by topic with every change of that topic; a topic's frame is the same
    object as long as its version is. `offsets` ("topic/partition": offset, full topic names): up to where it was read.
    """

    frames: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    version: int = 0
    versions: Mapping[str, int] = field(default_factory=dict)
    offsets: Mapping[str, int] = field(default_factory=dict)

    def frame(self, topic: str) -> pl.DataFrame:
        """All versions of the entities of `topic`; KeyError where the stage does not declare that context."""
        return self.frames[topic]

    def version_of(self, topic: str) -> int:
        """How often `topic` has changed; where that is not counted, how often anything has."""
        return self.versions.get(topic, self.version)


class Memo(Generic[T]):
    """What was derived from `topics`, kept until one of them has another frame (one entry)."""

    def __init__(self, topics: Sequence[str], build: Callable[[Context], T]) -> None:
        self._topics = tuple(topics)
        self._build = build
        self._entry: tuple[tuple[pl.DataFrame, ...], T] | None = None

    def of(self, context: Context) -> T:
        """What `build` makes of the context."""
        frames = tuple(context.frame(topic) for topic in self._topics)
        # The frames themselves, not their versions: two contexts of one number may be those of two workers.
        if self._entry is None or any(was is not now for was, now in zip(self._entry[0], frames, strict=True)):
            self._entry = (frames, self._build(context))
        return self._entry[1]
