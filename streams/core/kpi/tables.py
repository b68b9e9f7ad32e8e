"""Tables of the KPI stage. Enter: the state of a task. Leaves: a `Ledger`: tables, what changed, counts."""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core import ledger
from streams.core.frames import ID
from streams.core.kpi.elements import SLICE
from streams.core.kpi.periods import KEY, PAYLOAD
from streams.core.kpi.readings import READINGS
from streams.core.stage import Change, Table, Tables

# What came since it was last settled (see kpi_intake): state and counter readings; who spoke, and when. `batch` is the
# processing time of the chunk.
PENDING_TABLE: Final = Table("pending", pl.Schema({"batch": pl.Int64(), **READINGS}))
SPOKEN_TABLE: Final = Table(
    "spoken",
    pl.Schema(
        {"batch": pl.Int64(), "source_id": ID, "work_center": ID}
        | dict.fromkeys(("start_us", "end_us", "first_logged_us", "logged_us"), pl.Int64())
    ),
)
READING_TABLE: Final = Table("readings", READINGS)
# What a source tells on one line is no life of its signals on another, which another task may hold.
_SPEAKER: Final = {"source_id": pl.String(), "work_center": pl.String()}
# The last reading of each state and counter signal that is older than the table of readings goes back.
ANCHOR_TABLE: Final = Table("anchors", READINGS, ("signal_id", "event_us"))
# When each source spoke on a line: stretches without a silence longer than the idle limit.
LIVING_TABLE: Final = Table(
    "living",
    pl.Schema({**_SPEAKER, "start_us": pl.Int64(), "end_us": pl.Int64()}),
    (*_SPEAKER, "start_us"),
)
# Of each source on a line: highest event time; when it was last heard in processing time; first and last append time
# in the log.
SOURCE_TABLE: Final = Table(
    "sources",
    pl.Schema({**_SPEAKER} | dict.fromkeys(("max_us", "seen_us", "first_logged_us", "logged_us"), pl.Int64())),
    tuple(_SPEAKER),
)
# `dirty_us`: what came since the last evaluation starts here; `frontier_us`: looked at up to here; `next_close_us`: the
# first end of a period that is not final; `evaluated_us`: processing time; the others as in Directory.units.
UNIT_TABLE: Final = Table(
    "units",
    pl.Schema(
        {
            "work_unit": pl.String(),
            "dirty_us": pl.Int64(),
            "frontier_us": pl.Int64(),
            "evaluated_us": pl.Int64(),
            "next_close_us": pl.Int64(),
            "context_key": pl.Int64(),
        }
    ),
    ("work_unit",),
)
SLICE_TABLE: Final = Table("slices", SLICE, ("work_unit", "start_us"))
# What was last written per period; `keep_us`: dropped once the horizon has passed it.
PERIOD_TABLE: Final = Table(
    "periods",
    pl.Schema(
        dict.fromkeys(KEY, pl.String()) | dict(PAYLOAD) | {"revision": pl.Int32(), "keep_us": pl.Int64()},
    ),
    KEY,
)
# One row: readings before `floor_us` are beyond the correction horizon; `settled_us`: processing time.
TASK_TABLE: Final = Table(
    "task", pl.Schema({"one": pl.Int8(), "floor_us": pl.Int64(), "settled_us": pl.Int64()}), ("one",)
)
TABLES: Final = (
    PENDING_TABLE,
    SPOKEN_TABLE,
    READING_TABLE,
    ANCHOR_TABLE,
    LIVING_TABLE,
    SOURCE_TABLE,
    UNIT_TABLE,
    SLICE_TABLE,
    PERIOD_TABLE,
    TASK_TABLE,
)


class Ledger(ledger.Ledger):
    """The tables of this stage within one step."""

    def __init__(self, state: Tables) -> None:
        super().__init__(TABLES, state)

    @property
    def floor_us(self) -> int | None:
        """Begin of the correction horizon; None: nothing has passed it."""
        return self._task("floor_us")

    @property
    def settled_us(self) -> int | None:
        """Processing time at which pending readings were last settled."""
        return self._task("settled_us")

    def remember(self, floor_us: int | None, settled_us: int | None) -> None:
        """Change the task's row."""
        row = {"one": 1, "floor_us": floor_us, "settled_us": settled_us}
        self.change(TASK_TABLE, Change(upsert=pl.DataFrame([row], schema=TASK_TABLE.schema)))

    def _task(self, column: str) -> int | None:
        frame = self[TASK_TABLE]
        value = frame[column][0] if frame.height else None
        return value if isinstance(value, int) else None
