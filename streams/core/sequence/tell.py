"""Matches as records. Enter: matches, what is known now, context. Leave: the revisions of their alerts.

An alert is told once it is known that nothing follows which must be absent, and no ticket covers it. Whatever changes
that (late evidence, late context) changes the alert: it is told, told anew, or retracted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

from streams.core.alert.row import ALERT
from streams.core.context import Context
from streams.core.correlate.tables import EVIDENCE
from streams.core.sequence.excuse import ASKED, covered, finished, renewed
from streams.core.sequence.rule import Sequence
from streams.core.sequence.tables import MATCH, MATCH_TABLE, Book
from streams.core.times import NEVER_US
from streams.core.verdict import verdicts

ACTIVE: Final = "active"
RETRACTED: Final = "retracted"
COMPLETE: Final = "sequence_complete"
LATE: Final = "late"
CONTEXT: Final = "context"
ORIGIN: Final = "sequence"
# What an alert says of itself where nothing else is known.
_ALERT: Final[Mapping[str, Any]] = {"origin": ORIGIN, "quality": "good", "coverage": 1.0}
_EVIDENCE: Final[Mapping[str, Any]] = {"kind": "alert", "time_precision": "exact"}
# Columns of evidence under the alert's own names, where they differ.
_NAMED: Final = {"type": "rule_id", "alert_kind": "kind"}


def settle(
    book: Book,
    matches: pl.DataFrame,
    rules: Mapping[str, Sequence],
    context: Context,
    clocks: Mapping[str, int],
    *,
    reason: str,
) -> list[dict[str, Any]]:
    """Compare `matches` (columns MATCH) with what was told of them. Returns revisions: fields of alerts, by alert_id.

    `reason` is that of revisions of what had been told before.
    """
    matches = matches.filter(pl.col("rule_id").is_in(list(rules))).sort("alert_id")
    if not matches.height:
        return []
    rows = matches.to_dicts()
    told = [json.loads(row["facts"]) for row in rows]
    asked = [_asked(one, rules[one["rule_id"]]) for one in told]
    labels = verdicts(pl.DataFrame(asked, schema_overrides=ASKED), context).to_dicts()
    work = finished(context) if any(rules[one["rule_id"]].unless for one in told) else pl.DataFrame()
    revisions, kept = [], []
    for row, one, label, ticket in zip(rows, told, labels, covered(_only(asked), context), strict=True):
        due = row["due_us"] <= clocks.get(row["site"], NEVER_US)
        hidden = ticket or renewed(one["asset_id"], one["begin_time"], rules[one["rule_id"]].unless, work)
        said = json.dumps({**one, **label}, sort_keys=True) if row["holds"] and due and not hidden else None
        after = _after(row, said)
        if after is not None:
            revisions.append(_revision(after, before=row["state"], reason=reason))
        last = after or row
        if last["state"] or last["holds"]:
            kept.append(last)
    book.upsert(MATCH_TABLE, pl.DataFrame(kept, schema=MATCH))
    gone = matches.join(pl.DataFrame(kept, schema=MATCH), on="alert_id", how="anti")
    book.delete(MATCH_TABLE, gone)
    for revision in revisions:
        book.counts["sequence_told", revision["state"]] += 1
    return revisions


def _asked(one: dict[str, Any], rule: Sequence) -> dict[str, Any]:
    """What is asked about the place and time of a match."""
    end_us = one["begin_time"]
    return {
        **{name: one[name] for name in ("asset_id", "asset_path", "work_center", "work_unit", "begin_time", "actors")},
        "end_time": end_us,
        "known_until": end_us,
        "domain": rule.domain,
        "activities": list(rule.activities),
        "without": list(rule.without),
    }


def _only(asked: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame([{name: row[name] for name in ASKED} for row in asked], schema=ASKED)


def _after(row: dict[str, Any], said: str | None) -> dict[str, Any] | None:
    """The match once `said` (None: nothing is to stand) is told; None where that is what was told last."""
    if said is None:
        if row["state"] != ACTIVE:
            return None
        return {**row, "revision": row["revision"] + 1, "state": RETRACTED}
    if row["state"] == ACTIVE and row["told"] == said:
        return None
    return {**row, "revision": row["revision"] + 1, "state": ACTIVE, "told": said}


def _revision(row: dict[str, Any], *, before: str, reason: str) -> dict[str, Any]:
    revision = row["revision"]
    return {
        **json.loads(row["told"]),
        "alert_id": row["alert_id"],
        "revision": revision,
        "supersedes": revision - 1 if revision > 1 else None,
        "reason": reason if before else COMPLETE,
        "state": row["state"],
        "previous_state": before or None,
    }


def alerts(revisions: list[dict[str, Any]], now_us: int) -> pl.DataFrame:
    """Rows of ops.alert.v1."""
    return _rows(({**_ALERT, **one, "detection_time": now_us} for one in revisions), ALERT)


def evidence(revisions: list[dict[str, Any]], now_us: int) -> pl.DataFrame:
    """The same as rows of ops.evidence.v1."""
    return _rows(
        (
            {
                **one,
                **_EVIDENCE,
                **{name: one[own] for name, own in _NAMED.items()},
                "evidence_id": f"alert:{one['alert_id']}",
                "detection_time": now_us,
            }
            for one in revisions
        ),
        EVIDENCE,
    )


def _rows(rows: Iterable[dict[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    """Rows with the columns of `schema`; what they do not say is null, of lists empty."""
    blank: dict[str, Any] = {name: [] if isinstance(dtype, pl.List) else None for name, dtype in schema.items()}
    return pl.DataFrame([{name: row.get(name, blank[name]) for name in schema} for row in rows], schema=schema)
