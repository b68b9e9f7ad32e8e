"""A stage that receives only the readings that count. Enters: any stage of `ot.reading.v1`. Leaves: the same stage.

For stages that need not know which standbys live: to `window` a standby that is not on duty is as if it were not there,
so that it holds no watermark back. What is read again from the log is selected as it was when it came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import polars as pl

from streams.core.context import Context
from streams.core.redundancy.duty import DUTY
from streams.core.redundancy.selection import TABLES, Redundancy
from streams.core.stage import Corrector, LookBack, Moment, Result, Span, StageCore, Table, Tables


class Correcting(StageCore, Corrector, Protocol):
    """A stage that also corrects the past."""


class Selected:
    """`stage`, with the readings that `redundancy` selects (StageCore, Corrector); counts as in `selection`."""

    def __init__(self, stage: Correcting, redundancy: Redundancy) -> None:
        self._stage = stage
        self._redundancy = redundancy

    @property
    def tables(self) -> tuple[Table, ...]:
        """The stage's tables and those of the selection."""
        return (*self._stage.tables, *TABLES)

    def step(self, topic: str, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Result:
        """The stage's step with the readings that count."""
        chosen = self._redundancy.select(frame, state, context)
        result = self._stage.step(topic, chosen.frame, state, context, moment)
        changes, counts = {**result.changes, **chosen.changes}, {**result.counts, **chosen.counts}
        return replace(result, changes=changes, counts=counts)

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        """The stage's timer."""
        return self._stage.timer(state, context, moment)

    @property
    def topic(self) -> str:
        """What the stage reads again."""
        return self._stage.topic

    def due(self, state: Tables, moment: Moment) -> bool:
        """The stage's."""
        return self._stage.due(state, moment)

    def look_back(self, state: Tables, context: Context, log: Span, moment: Moment) -> SelectedLookBack:
        """The stage's, which will receive the readings that count."""
        back, duty = self._stage.look_back(state, context, log, moment), state[DUTY.name]
        return SelectedLookBack(back, lambda frame: self._redundancy.again(frame, duty, context))

    def looked(self, back: LookBack, state: Tables, context: Context, moment: Moment) -> Result:
        """The stage's corrections."""
        if not isinstance(back, SelectedLookBack):
            raise TypeError(f"{type(back).__name__}: this stage did not begin the look back")
        return self._stage.looked(back.back, state, context, moment)


class SelectedLookBack:
    """A stage's look back (`back`), whose rows go through `select`."""

    def __init__(self, back: LookBack, select: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        self.back = back
        self._select = select

    def wanted(self) -> tuple[Span, ...]:
        """As in `LookBack`."""
        return self.back.wanted()

    def take(self, frame: pl.DataFrame) -> None:
        """As in `LookBack`."""
        self.back.take(self._select(frame))

    def left(self) -> bool:
        """As in `LookBack`."""
        return self.back.left()
