"""What was told of alerts, kept so that it can be told anew. Enter: labelled rows. Leave: rows of tables, and back."""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.alert.row import BARE, LABELS
from streams.core.frames import ID
from streams.core.stage import Table
from streams.core.times import FOREVER_US

TOLD: Final = "told_"
# Of these there are about as many as alerts; every other text is one of few.
_MANY: Final = ("alert_id", "say", "cause_alert_id")
_OF_REVISION: Final = ("supersedes", "origin")


def _kept(name: str, dtype: pl.DataType) -> pl.DataType:
    return ID if dtype == pl.String() and name not in _MANY else dtype


# The newest fact of each alert as a bare row (`revision`: of the facts), the labels that were told last, and the
# revision that subscribers saw last. `stood_until`: up to when it was known to stand then; `due`: beyond that time what
# explains it is over (null: nothing does, or that is told already); `over_time`: when it ended, FOREVER_US: it stands.
ISSUED: Final = Table(
    "issued",
    pl.Schema(
        {name: _kept(name, dtype) for name, dtype in BARE.items() if name not in _OF_REVISION}
        | {TOLD + name: _kept(name, dtype) for name, dtype in LABELS.items()}
        | {"outward": pl.Int32(), "stood_until": pl.Int64(), "due": pl.Int64(), "over_time": pl.Int64()}
    ),
    ("alert_id",),
)
# When (processing time) all alerts were last compared with the context; one row.
COMPARED: Final = Table("compared", pl.Schema({"task": pl.Int8(), "at": pl.Int64()}), ("task",))
TABLES: Final = (ISSUED, COMPARED)


def issued_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of ISSUED of told ones: BARE, labels with the prefix TOLD, `outward`, `known_until`."""
    active = pl.col("state") == "active"
    explains = active & pl.col(f"{TOLD}verdict").is_in(["expected", "possible"])
    return rows.with_columns(
        stood_until="known_until",
        due=pl.when(explains).then(f"{TOLD}verdict_until"),
        over_time=pl.when(active).then(FOREVER_US).otherwise(pl.max_horizontal("end_time", "event_time")),
    ).select(pl.col(name).cast(dtype) for name, dtype in ISSUED.schema.items())


def bare_rows(issued: pl.DataFrame) -> pl.DataFrame:
    """Rows of ISSUED with texts as texts."""
    return issued.select(
        pl.col(name).cast(pl.String) if dtype == ID else pl.col(name) for name, dtype in ISSUED.schema.items()
    )
