"""Readings that no window holds, found again in the log. Enters: what came beyond the horizon. Leaves: a filter.

Whether a reading came beyond the horizon was decided by the watermark that it met. `line` tells that of many at once:
from `offset` on, everything before `line` (event time) was; `excluded` holds those few that this does not tell.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from streams.core.frames import ID
from streams.core.stage import Change, Table, Tables
from streams.core.times import NEVER_US, SECOND_US

LINE: Final = Table("line", pl.Schema({"offset": pl.Int64(), "line": pl.Int64()}), ("offset",))
EXCLUDED: Final = Table(
    "excluded",
    pl.Schema({"offset": pl.Int64(), "signal_id": ID, "event_time": pl.Int64()}),
    ("offset", "signal_id", "event_time"),
)
TABLES: Final = (LINE, EXCLUDED)
# Finer lines would be more rows, coarser ones more readings told of singly.
STEP_US: Final = 10 * SECOND_US


def excluding(state: Tables, beyond: pl.DataFrame, first: int, line_us: int) -> dict[str, Change]:
    """Changes of TABLES by readings beyond the horizon, in a chunk that begins at offset `first` with this line."""
    lines, changes = state[LINE.name], {}
    known = int(lines["line"].max()) if lines.height else NEVER_US  # type: ignore[arg-type]
    if line_us >= known + STEP_US:
        changes[LINE.name] = Change(upsert=pl.DataFrame({"offset": [first], "line": [line_us]}, LINE.schema))
        known = line_us
    return changes | {EXCLUDED.name: Change(upsert=singled(beyond.filter(pl.col("event_time") >= known)))}


def singled(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of EXCLUDED for rows of the log."""
    return frame.select(pl.col("_offset").alias("offset"), "signal_id", "event_time").unique(maintain_order=True)


def forgetting(changes: dict[str, Change], oldest_us: int) -> dict[str, Change]:
    """Changes of TABLES with those that forget what lies before `oldest_us` (event time)."""
    floors = {LINE.name: ("line", oldest_us), EXCLUDED.name: ("event_time", oldest_us)}
    return {
        name: Change(upsert=changes[name].upsert if name in changes else None, floor=floor)
        for name, floor in floors.items()
    }


def included(frame: pl.DataFrame, state: Tables) -> pl.DataFrame:
    """Re-read rows (columns of the log, `_offset`) without those that came beyond the horizon."""
    lines, single = state[LINE.name].sort("offset"), state[EXCLUDED.name]
    if lines.height:
        place = np.searchsorted(lines["offset"].to_numpy(), frame["_offset"].to_numpy(), side="right")
        line = np.append(NEVER_US, lines["line"].to_numpy())[place]
        frame = frame.filter(pl.Series(frame["event_time"].to_numpy() >= line))
    if single.height:
        keys = ["_offset", "signal_id", "event_time"]
        frame = frame.join(single.rename({"offset": "_offset"}), on=keys, how="anti", maintain_order="left")
    return frame
