"""What was derived from a frame of the context, kept as long as somebody holds that frame, and no longer."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import polars as pl


class Kept:
    """`of(frame)` builds once per frame. Frames of a context are replaced, never changed, so identity is enough."""

    def __init__(self, build: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        self._build = build
        self._entries: dict[int, tuple[weakref.ref[pl.DataFrame], pl.DataFrame]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """What `build` makes of `frame`."""
        number = id(frame)
        entry = self._entries.get(number)
        if entry is None or entry[0]() is not frame:
            gone = weakref.ref(frame, lambda _: self._entries.pop(number, None))
            entry = self._entries[number] = (gone, self._build(frame))
        return entry[1]
