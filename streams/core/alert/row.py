"""The row of `ops.alert.v1`, whoever tells: rules on readings or silence, clocks. Enter: facts. Leaves: a row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import polars as pl

from streams.core.alert.enrich import ADDED
from streams.core.derived import HEAD
from streams.core.verdict import VERDICT
from streams.core.verdict.catalogue import PROCESS

OWN: Final = pl.Schema(
    {
        "alert_id": pl.String(),
        **HEAD,
        "kind": pl.String(),
        "state": pl.String(),
        "previous_state": pl.String(),
        "priority": pl.String(),
        "work_center": pl.String(),
        "signal_id": pl.String(),
        "source_id": pl.String(),
        "event_time": pl.Int64(),
        "begin_time": pl.Int64(),
        "end_time": pl.Int64(),
        "detection_time": pl.Int64(),
        "ingest_time": pl.Int64(),
        "value": pl.Float64(),
        "value_string": pl.String(),
        "limit": pl.Float64(),
        "quality": pl.String(),
        "coverage": pl.Float64(),
        "consequence": pl.String(),
        "response": pl.String(),
        "annunciated": pl.Boolean(),
        "cause_alert_id": pl.String(),
        "members": pl.List(pl.String()),
        "domain": pl.String(),
        "actors": pl.List(pl.String()),
    }
)
# What the context says of an alert, whenever it says it.
LABELS: Final = pl.Schema({**ADDED, "position": pl.String(), **VERDICT})
# One row per transition, as `schemas/40-alert/ops.alert.v1.avsc` has it (a test compares the two).
ALERT: Final = pl.Schema({**OWN, **LABELS, "message": pl.String()})
# What the teller knows of a signal: it holds where the dictionary has no such signal, or none that can be used. The
# values are the columns that it stands for.
HINTS: Final = {"work_unit_as": "work_unit", "asset_as": "asset_id", "name_as": "signal_name"}
# A row before context is joined. `say`: JSON of what its sentence needs beside its columns. `activities`: what
# explains it; null (as `domain` and HINTS): as told of the alert before. `zone`: of a node or zone. `unit_as`: "s" in
# place of the unit of the signal, "/h" for that unit per h.
BARE: Final = pl.Schema(
    {
        **OWN,
        "say": pl.String(),
        "activities": pl.List(pl.String()),
        "zone": pl.String(),
        "unit_as": pl.String(),
        **dict.fromkeys(HINTS, pl.String()),
    }
)
_DEFAULTS: Final = {
    "tenant": None,
    "historical": False,
    "signal_id": None,
    "end_time": None,
    "ingest_time": 0,
    "value": None,
    "value_string": None,
    "limit": None,
    "quality": "good",
    "coverage": 1.0,
    "consequence": "",
    "response": "",
    "annunciated": True,
    "cause_alert_id": None,
    "members": (),
    "domain": PROCESS,
    "actors": (),
}
_OF_REVISION: Final = ("supersedes", "origin")  # `derived.revised` adds them


def alert_row(*, revision: int, evidence: Iterable[str], **facts: Any) -> dict[str, Any]:
    """The fields of `OWN` but for those that `derived.revised` adds; what is not told is as in most alerts.

    Of `evidence` each record is named once, nothing for an empty text. ValueError names fields that are missing, or
    that no alert has.
    """
    previous = "active" if revision > 1 else None
    told = {"revision": revision, "previous_state": previous, **_DEFAULTS, **facts}
    told["evidence"] = [record for record in dict.fromkeys(evidence) if record]
    if odd := OWN.keys() - set(_OF_REVISION) ^ told.keys():
        raise ValueError(f"the row of an alert has no, or lacks: {', '.join(sorted(odd))}; give the fields of OWN")
    return told
