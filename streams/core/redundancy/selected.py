"""A stage that receives only the readings that count. Enters: any stage of `ot.reading.v1`. Leaves: the same stage.

For stages that need not know which standbys live: to `window` a standby that is not on duty is as if it were not there,
so that it holds no watermark back.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from streams.core.context import Context
from streams.core.redundancy.selection import TABLES, Redundancy
from streams.core.stage import Moment, Result, StageCore, Table, Tables


class Selected:
    """`stage`, with the readings that `redundancy` selects (StageCore); counts as in `selection.Selection`."""

    def __init__(self, stage: StageCore, redundancy: Redundancy) -> None:
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
        if chosen.kept is None:
            return result
        changes, counts = {**result.changes, **chosen.changes}, {**result.counts, **chosen.counts}
        return replace(result, changes=changes, counts=counts)

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        """The stage's timer."""
        return self._stage.timer(state, context, moment)
