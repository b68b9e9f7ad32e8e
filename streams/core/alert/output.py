"""Transitions as records of `ops.alert.v1`. In: transitions, rules, context. Out: a frame in the contract's form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from streams.core.alert.enrich import ADDED, enrich
from streams.core.alert.rule import RATE_OF_CHANGE, Rule
from streams.core.alert.sentence import Facts, sentence
from streams.core.alert.state import Transition
from streams.core.context import Context
from streams.core.derived import HEAD, revised
from streams.core.frames import UNCERTAIN

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
    }
)
# One row per transition, as `schemas/40-alert/ops.alert.v1.avsc` has it (a test compares the two).
ALERT: Final = pl.Schema({**OWN, **ADDED, "message": pl.String()})


def records(
    transitions: Sequence[Transition], rules: Mapping[str, Rule], context: Context, now_us: int
) -> pl.DataFrame:
    """One row per transition, by event time; `rules` by id, without those that are gone."""
    rows = [_own(transition, rules.get(transition.condition.rule_id), now_us) for transition in transitions]
    frame = pl.DataFrame(rows, schema=OWN, orient="row").sort("event_time", "alert_id", "revision")
    frame = enrich(revised(frame), context)
    frame = frame.with_columns(
        unit=pl.Series([_unit(unit, rules.get(rule)) for unit, rule in frame.select("unit", "rule_id").iter_rows()],
                       dtype=pl.String),
    )  # fmt: skip
    messages = [_message(row, rules.get(row["rule_id"])) for row in frame.iter_rows(named=True)]
    return frame.with_columns(message=pl.Series(messages, dtype=pl.String)).select(ALERT.names())


def _own(transition: Transition, rule: Rule | None, now_us: int) -> dict[str, Any]:
    condition, reading = transition.condition, transition.reading
    own_evidence = [] if reading is None else [reading.evidence]
    cleared = transition.state == "cleared"
    return {
        "alert_id": f"{condition.rule_id}|{condition.signal_id}|{condition.begin_time}",
        "revision": condition.revision,
        "reason": transition.reason,
        "site": condition.site,
        "tenant": condition.tenant,
        "historical": cleared and not condition.annunciated,
        "kind": condition.kind,
        "state": transition.state,
        "previous_state": "active" if condition.revision > 1 else None,
        "rule_id": condition.rule_id,
        "rule_version": condition.rule_version,
        "priority": condition.priority,
        "work_center": condition.work_center,
        "signal_id": condition.signal_id,
        "source_id": condition.source_id,
        "event_time": transition.event_time,
        "begin_time": condition.begin_time,
        "end_time": condition.end_time if cleared else None,
        "detection_time": now_us,
        "ingest_time": 0 if reading is None else reading.ingest_time,
        "value": None if reading is None else reading.value,
        "value_string": None if reading is None else reading.value_string,
        "limit": condition.limit,
        "quality": "uncertain" if reading is not None and reading.quality == UNCERTAIN else "good",
        "coverage": transition.coverage,
        "consequence": "" if rule is None else rule.consequence,
        "response": "" if rule is None else rule.response,
        "evidence": list(dict.fromkeys([condition.begin_evidence, *own_evidence])),
        "annunciated": condition.annunciated,
        "cause_alert_id": None,
        "members": [],
    }


def _unit(unit: str | None, rule: Rule | None) -> str | None:
    """A rate is in the signal's unit per the rule's unit of time, which is UCUM again."""
    if rule is None or rule.type != RATE_OF_CHANGE:
        return unit
    return f"{unit or '1'}/{rule.condition.per}"


def _message(row: Mapping[str, Any], rule: Rule | None) -> str:
    rising = rule is None or row["limit"] is None or row["limit"] == rule.condition.high
    deadband = 0.0 if rule is None else rule.condition.deadband
    back = None if row["limit"] is None else row["limit"] + (-deadband if rising else deadband)
    facts = Facts(
        state=row["state"],
        reason=row["reason"],
        kind=row["kind"],
        type=None if rule is None else rule.type,
        title=row["rule_id"] if rule is None else rule.title,
        name=row["signal_name"] or row["signal_id"],
        value=row["value"],
        label=row["value_string"],
        unit=row["unit"],
        limit=row["limit"],
        back=back,
        rising=rising,
        uncertain=row["quality"] == "uncertain",
        backlog=not row["annunciated"],
        begin_us=row["begin_time"],
        end_us=row["end_time"],
        told_us=row["detection_time"],
        where=row["asset_path"] or row["work_unit"] or row["work_center"],
        order=row["order_id"],
        product=row["product"],
        owner=row["owner"] or ("" if rule is None else rule.owner),
        response=row["response"],
    )
    return sentence(facts)
