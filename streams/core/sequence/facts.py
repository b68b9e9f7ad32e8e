"""What is told of a match. Enter: a rule, the rows of its steps. Leave: the facts of an alert, its sentence, its id."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from streams.core.sequence.rule import ORDERED
from streams.core.sequence.rule import Sequence as Rule
from streams.core.times import SECOND_US
from streams.core.verdict.catalogue import SECURITY

Rows = Sequence[Sequence[dict[str, Any]]]
_OF_LAST = (
    *("site", "tenant", "work_unit", "asset_id", "asset_path", "asset_name", "zone", "criticality", "position"),
    *("signal_id", "source_id", "value", "value_string", "order_id", "product", "historical"),
)
_TICKETS = {"change": "change ticket", "work_order": "work order"}


def alert_id(rule: Rule, entity: str, evidence_id: str) -> str:
    """Identity of the match that ends with this evidence: 80 bits, the same whoever computes it."""
    digest = hashlib.sha256(f"{rule.id}\n{entity}\n{evidence_id}".encode("utf-8", "surrogatepass")).digest()
    return f"{rule.id}/" + base64.b32encode(digest[:10]).decode().lower()


def facts(rule: Rule, last: str, steps: Rows) -> dict[str, Any]:
    """Fields of an alert (times in microseconds) that follow from the steps; `last`: evidence_id of the last one."""
    rows = sorted((row for step in steps for row in step), key=lambda row: (row["begin_time"], row["evidence_id"]))
    end = next(row for row in rows if row["evidence_id"] == last)
    latest = [end, *reversed(rows)]
    own = {name: end[name] for name in _OF_LAST}
    told_us = max(row["ingest_time"] for row in rows)
    return {
        **own,
        **{name: _first(latest, name) for name in ("source_address", "target_address")},
        "rule_id": rule.id,
        "rule_version": rule.version,
        "kind": rule.kind,
        "priority": rule.priority,
        "domain": rule.domain,
        "consequence": rule.consequence,
        "response": rule.response,
        "work_center": _first(latest, "work_center") or end["site"],
        "owner": end["owner"] or rule.owner,
        "actors": sorted({actor for row in rows for actor in row["actors"] or ()}),
        "event_time": end["begin_time"],
        "begin_time": end["begin_time"],
        "end_time": end["begin_time"],
        "ingest_time": told_us,
        # An intrusion that is known late is still one to act upon.
        "annunciated": rule.domain == SECURITY or not end["historical"],
        "evidence": list(dict.fromkeys(record for row in rows for record in row["evidence"] or ())),
        "message": _sentence(rule, end, steps),
    }


def _first(rows: Sequence[dict[str, Any]], name: str) -> Any:
    return next((row[name] for row in rows if row[name]), None)


def _sentence(rule: Rule, end: dict[str, Any], steps: Rows) -> str:
    """What, where, when, why, who, do next."""
    where = end["asset_path"] or end["asset_name"] or end["asset_id"] or end["target_address"] or end["site"]
    parts = [(step[0]["begin_time"], pattern, len(step)) for pattern, step in zip(rule.steps, steps, strict=True)]
    if rule.order != ORDERED:
        parts.sort(key=lambda part: part[0])
    told = ", then ".join(
        f"{pattern.name}{f' ({count} times)' if count > 1 else ''} {_clock(time_us)}"
        for time_us, pattern, count in parts
    )
    absent = [f"no {_TICKETS[ticket]} covers it" for ticket in rule.without]
    absent += [f"no {one.pattern.name} {one.when}" for one in rule.absent]
    why = f"{told}; {', '.join(absent)}" if absent else told
    return f"{rule.title} at {where}: {why}; {end['owner'] or rule.owner}: {rule.response}."


def _clock(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us // SECOND_US, UTC):%Y-%m-%d %H:%M:%S} UTC"
