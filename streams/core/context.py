"""IT context as frames: all versions of every entity. Leaves: immutable frames that stages look up as of event time.

The shell keeps one `Context` per worker, filled from the compacted `it.*` topics; columns are the contract's fields,
times Int64 microseconds UTC, maps as lists of {key, value}, ids as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl


@dataclass(frozen=True)
class Context:
    """Frames by topic name (`it.signal.v1`, ...); a topic nobody wrote to is an empty frame with its columns.

    `version` rises with every change, so that a stage may keep what it derived from a version (caches keyed by it).
    """

    frames: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    version: int = 0

    def frame(self, topic: str) -> pl.DataFrame:
        """All versions of the entities of `topic`; KeyError where the stage does not declare that context."""
        return self.frames[topic]
