"""Transitions as records of `ops.alert.v1`. In: transitions, rules, context. Out: a frame in the contract's form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from streams.core.alert.enrich import enrich
from streams.core.alert.late.sentence import CORRECTIONS, corrected
from streams.core.alert.row import ALERT, OWN, alert_row
from streams.core.alert.rule import RATE_OF_CHANGE, Rule
from streams.core.alert.sentence import Facts, sentence
from streams.core.alert.state import Transition
from streams.core.context import Context
from streams.core.derived import revised
from streams.core.frames import UNCERTAIN


def records(
    transitions: Sequence[Transition], rules: Mapping[str, Rule], context: Context, now_us: int
) -> pl.DataFrame:
    """One row per transition, by event time; `rules` by id, without those that are gone."""
    transitions = sorted(transitions, key=lambda one: (one.event_time, one.condition.alert_id, one.condition.revision))
    rows = [_own(transition, rules.get(transition.condition.rule_id), now_us) for transition in transitions]
    frame = pl.DataFrame(rows, schema=OWN, orient="row")
    frame = enrich(revised(frame), context)
    frame = frame.with_columns(
        unit=pl.Series([_unit(unit, rules.get(rule)) for unit, rule in frame.select("unit", "rule_id").iter_rows()],
                       dtype=pl.String),
    )  # fmt: skip
    told = zip(frame.iter_rows(named=True), transitions, strict=True)
    messages = [_message(row, rules.get(row["rule_id"]), transition) for row, transition in told]
    return frame.with_columns(message=pl.Series(messages, dtype=pl.String)).select(ALERT.names())


def _own(transition: Transition, rule: Rule | None, now_us: int) -> dict[str, Any]:
    condition, reading = transition.condition, transition.reading
    cleared = transition.state == "cleared"
    seen: dict[str, Any] = {} if transition.was is None else {"previous_state": transition.was.state}
    if reading is not None:
        quality = "uncertain" if reading.quality == UNCERTAIN else "good"
        seen |= {"value": reading.value, "value_string": reading.value_string, "quality": quality}
        seen["ingest_time"] = reading.ingest_time
    if rule is not None:
        seen |= {"consequence": rule.consequence, "response": rule.response}
    return alert_row(
        alert_id=condition.alert_id,
        revision=condition.revision,
        reason=transition.reason,
        site=condition.site,
        tenant=condition.tenant,
        historical=cleared and not condition.annunciated and transition.cause is None,
        kind=condition.kind,
        state=transition.state,
        rule_id=condition.rule_id,
        rule_version=condition.rule_version,
        priority=condition.priority,
        work_center=condition.work_center,
        signal_id=condition.signal_id,
        source_id=condition.source_id,
        event_time=transition.event_time,
        begin_time=condition.begin_time,
        end_time=None if transition.state == "active" else condition.end_time,
        detection_time=now_us,
        limit=condition.limit,
        coverage=transition.coverage,
        evidence=(condition.begin_evidence, "" if reading is None else reading.evidence),
        annunciated=condition.annunciated,
        cause_alert_id=transition.cause,
        **seen,
    )


def _unit(unit: str | None, rule: Rule | None) -> str | None:
    """A rate is in the signal's unit per the rule's unit of time, which is UCUM again."""
    if rule is None or rule.type != RATE_OF_CHANGE:
        return unit
    return f"{unit or '1'}/{rule.condition.per}"


def _message(row: Mapping[str, Any], rule: Rule | None, transition: Transition) -> str:
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
    return corrected(facts, transition) if transition.reason in CORRECTIONS else sentence(facts)
