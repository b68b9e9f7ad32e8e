"""What every derived record begins with: window, alert, KPI. Enters: rows. Leaves: the fields that they have in common.

A correction is a message: each record says which revision it is, which one it replaces and why it exists.
"""

from __future__ import annotations

from typing import Final

import polars as pl

# The fields after the record's own id, in the contracts' order. `evidence`: topic/partition/offset of records.
HEAD: Final = pl.Schema(
    {
        "revision": pl.Int32(),
        "supersedes": pl.Int32(),
        "reason": pl.String(),
        "site": pl.String(),
        "tenant": pl.String(),
        "origin": pl.String(),
        "historical": pl.Boolean(),
        "evidence": pl.List(pl.String()),
        "rule_id": pl.String(),
        "rule_version": pl.Int32(),
    }
)
NO_EVIDENCE: Final = pl.lit([], HEAD["evidence"])


def revised(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` (revision: 1, 2, ...) with `supersedes`, the revision each replaces, and `origin`: computed."""
    before = pl.when(pl.col("revision") > 1).then(pl.col("revision") - 1)
    return rows.with_columns(supersedes=before, origin=pl.lit("computed"))
