"""Rejected records: enter rows of a chunk with what is wrong, leaves rows of `ot.reading.rejected.v1` and counts."""

from __future__ import annotations

from collections import Counter
from typing import Final

import polars as pl

# Columns of `ot.reading.rejected.v1`.
REJECTED: Final = pl.Schema(
    {
        "reason": pl.String(),
        "detail": pl.String(),
        "site": pl.String(),
        "tenant": pl.String(),
        "topic": pl.String(),
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "position": pl.Int32(),
        "source_id": pl.String(),
        "address": pl.String(),
        "ingest_time": pl.Int64(),
        "payload": pl.Binary(),
    }
)
# What a detail quotes of an address or a text.
QUOTED: Final = 64
# Characters kept of what a source calls itself and its signals: a reject must fit into a record, whatever was sent.
NAMED: Final = 1_024


class Rejects:
    """Collects what is rejected of one chunk of `topic`; `counts` has ("rejects", reason)."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._frames: list[pl.DataFrame] = []
        self.counts: Counter[tuple[str, str]] = Counter()

    def take(self, rows: pl.DataFrame, wrong: pl.Series, reason: str, detail: pl.Expr | str) -> pl.DataFrame:
        """Reject the rows that are `wrong`, readings (unpack.RAW) or whole batches; returns the others."""
        self.counts["rejects", reason] += int(wrong.sum())
        self._frames.append(self._records(rows.filter(wrong), reason, detail))
        return rows.filter(~wrong)

    def _records(self, rows: pl.DataFrame, reason: str, detail: pl.Expr | str) -> pl.DataFrame:
        reading = "_position" in rows.columns
        nothing = pl.lit(None)
        columns = {
            "reason": pl.lit(reason),
            "detail": pl.lit(detail) if isinstance(detail, str) else detail,
            "site": pl.col("site").str.slice(0, NAMED),
            "tenant": pl.col("tenant").str.slice(0, NAMED),
            "topic": pl.lit(self._topic),
            "partition": pl.col("_partition"),
            "offset": pl.col("_offset"),
            "position": pl.col("_position") if reading else nothing,
            "source_id": pl.col("source_id").str.slice(0, NAMED),
            "address": pl.col("address").str.slice(0, NAMED) if reading else nothing,
            "ingest_time": pl.col("ingest_time") if "ingest_time" in rows.columns else pl.col("_time"),
            "payload": nothing,
        }
        return rows.select(columns[name].cast(dtype).alias(name) for name, dtype in REJECTED.items())

    def records(self) -> pl.DataFrame:
        """All rejected rows, columns REJECTED."""
        return pl.concat(self._frames) if self._frames else pl.DataFrame(schema=REJECTED)
