"""What is kept so that a late reading can correct alerts: what was told, and what waits to be looked at again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final

import polars as pl

from streams.core.alert.state import Transition
from streams.core.frames import COORDINATES, ID, READING
from streams.core.stage import Table
from streams.core.times import FOREVER_US

# Alerts of the horizon, as they were last told; `end_time` is FOREVER_US while they stand.
TOLD: Final = Table(
    "told",
    pl.Schema(
        {
            "alert_id": pl.String(),
            "rule_id": ID,
            "signal_id": ID,
            "condition": ID,
            "site": ID,
            "tenant": ID,
            "work_center": ID,
            "source_id": ID,
            "state": ID,
            "begin_time": pl.Int64(),
            "active_time": pl.Int64(),
            "end_time": pl.Int64(),
            "limit": pl.Float64(),
            "revision": pl.Int32(),
            "annunciated": pl.Boolean(),
        }
    ),
    ("alert_id",),
)
# Where late readings may have changed something: event times from the first to the last of them, the offset of the
# record that brought the first, processing times of the first and the last, and before which nothing can be decided.
WAITING: Final = Table(
    "waiting",
    pl.Schema(
        {"rule_id": ID, "signal_id": ID}
        | {"first_time": pl.Int64(), "last_time": pl.Int64(), "first_offset": pl.Int64()}
        | {"since": pl.Int64(), "seen": pl.Int64(), "after": pl.Int64()}
    ),
    ("rule_id", "signal_id"),
)
# Readings of signals that wait, as they come: what a look-back into the log, which ends where it began, does not see.
HEARD: Final = Table("heard", pl.Schema({**READING, **COORDINATES}))
# Since when (event time) a rule is what it is: what was before is not judged by it.
SINCE: Final = Table("since", pl.Schema({"rule_id": ID, "condition": ID, "since": pl.Int64()}), ("rule_id",))


@dataclass(frozen=True)
class Told:
    """An alert of the table TOLD. Times in us."""

    alert_id: str
    rule_id: str
    signal_id: str
    condition: str
    site: str
    tenant: str | None
    work_center: str
    source_id: str
    state: str
    begin_time: int
    active_time: int
    end_time: int
    limit: float | None
    revision: int
    annunciated: bool


_FIELDS: Final = tuple(field.name for field in fields(Told))
_OF_CONDITION: Final = tuple(name for name in _FIELDS if name not in {"state", "end_time"})


def told_rows(transitions: Iterable[Transition]) -> pl.DataFrame:
    """Rows of TOLD after these transitions, which are in order."""
    rows = []
    for transition in transitions:
        condition = transition.condition
        end = FOREVER_US if transition.state == "active" or condition.end_time is None else condition.end_time
        own = {name: getattr(condition, name) for name in _OF_CONDITION}
        rows.append({**own, "state": transition.state, "end_time": end})
    return pl.DataFrame(rows, schema=TOLD.schema, orient="row")


def told_of(table: pl.DataFrame) -> dict[tuple[str, str], list[Told]]:
    """Alerts of these rows of TOLD by (rule id, signal id), by begin."""
    found: dict[tuple[str, str], list[Told]] = {}
    for row in table.sort("begin_time", "alert_id").iter_rows(named=True):
        found.setdefault((row["rule_id"], row["signal_id"]), []).append(Told(**row))
    return found
