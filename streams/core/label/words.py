"""The record of a labelled alert. Enter: facts and labels. Leave: rows of `ops.alert.v1`, each with its sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from streams.core.alert import output
from streams.core.alert.row import ALERT, LABELS
from streams.core.alert.sentence import clock
from streams.core.alert.silence import output as silence_output
from streams.core.alert.silence.watch import SILENCE
from streams.core.derived import revised
from streams.core.label.tables import TOLD

# The type of what says itself what happened (`text`): faults of Plantweave's own input, not of rules.
ITSELF: Final = "itself"
_BY: Final = {"work_order": "work order", "change": "change"}


def records(rows: pl.DataFrame, reasons: pl.Series) -> pl.DataFrame:
    """Rows (ALERT) of `rows` (facts, labels with the prefix TOLD, `outward`) that are told for these reasons."""
    labelled = rows.with_columns(pl.col(TOLD + name).alias(name) for name in LABELS)
    messages = pl.Series("message", [_message(row) for row in labelled.iter_rows(named=True)], pl.String)
    told = labelled.with_columns(messages, reason=reasons, revision="outward")
    return revised(told).select(pl.col(name).cast(dtype) for name, dtype in ALERT.items())


def _message(row: Mapping[str, Any]) -> str:
    say = json.loads(row["say"])
    if say["type"] == ITSELF:
        text = f"{say['text'][:-1]}{_concerned(row)}."
    else:
        text = (silence_output if say["type"] in SILENCE else output).message(row, say)
    return f"{text[:-1]}{_explained(row)}." if row["verdict_reference"] else text


def _concerned(row: Mapping[str, Any]) -> str:
    """Whose it is, e.g. "; it concerns e/s/hall/line-1/filler-1, of mechanics"."""
    what = None if "asset" in row["context_missing"] else row["asset_path"] or row["asset_id"]
    return "" if what is None else f"; it concerns {what}" + (f", of {row['owner']}" if row["owner"] else "")


def _explained(row: Mapping[str, Any]) -> str:
    """What explains it, e.g. "; expected: work order WO-7 (asset, time and activity match), until 14:00:00 UTC"."""
    what, until = (
        f"{_BY[row['verdict_by']]} {row['verdict_reference']}",
        clock(row["verdict_until"], row["detection_time"]),
    )
    why = f" ({row['verdict_text']})" if row["verdict_text"] else ""
    if row["verdict"] == "expired":
        return f"; {what} explained it until {until}{why}"
    return f"; {'expected:' if row['verdict'] == 'expected' else 'possibly'} {what}{why}, until {until}"
