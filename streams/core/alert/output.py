"""Transitions as records of `ops.alert.v1`. In: transitions, rules. Out: bare rows; sentences of labelled ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from streams.core.alert.late.sentence import CORRECTIONS, corrected
from streams.core.alert.row import BARE, alert_row
from streams.core.alert.rule import EVENT, Rule
from streams.core.alert.rule_condition import RATE_OF_CHANGE
from streams.core.alert.sentence import Facts, sentence
from streams.core.alert.state import Transition, Was
from streams.core.frames import UNCERTAIN


def records(transitions: Sequence[Transition], rules: Mapping[str, Rule], now_us: int) -> pl.DataFrame:
    """One row (BARE) per transition, by event time; `rules` by id, without those that are gone."""
    transitions = sorted(transitions, key=lambda one: (one.event_time, one.condition.alert_id, one.condition.revision))
    of_rules = [rules.get(transition.condition.rule_id) for transition in transitions]
    told = zip(transitions, of_rules, strict=True)
    rows = [_own(transition, rule, now_us) | _beside(transition, rule) for transition, rule in told]
    return pl.DataFrame(rows, schema=BARE, orient="row")


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
        # Nobody is called for an event.
        annunciated=condition.annunciated and condition.kind != EVENT,
        cause_alert_id=transition.cause,
        domain=None if rule is None else rule.domain,
        **seen,
    )


def _beside(transition: Transition, rule: Rule | None) -> dict[str, Any]:
    """What a bare row has beside the fields of OWN."""
    # A rate is in the signal's unit per the rule's unit of time, which is UCUM again.
    per = f"/{rule.condition.per}" if rule is not None and rule.type == RATE_OF_CHANGE else None
    activities = None if rule is None else rule.activities
    return {"say": _say(transition, rule), "activities": activities, "zone": None, "unit_as": per}


def _say(transition: Transition, rule: Rule | None) -> str:
    """What the sentence needs of the rule as it was, and of what had been told before."""
    limit, was = transition.condition.limit, transition.was
    rising = rule is None or limit is None or limit == rule.condition.high
    deadband = 0.0 if rule is None else rule.condition.deadband
    facts = {
        "type": None if rule is None else rule.type,
        "title": transition.condition.rule_id if rule is None else rule.title,
        "owner": "" if rule is None else rule.owner,
        "rising": rising,
        "back": None if limit is None else limit + (-deadband if rising else deadband),
        "was": None if was is None else [was.state, was.begin_time, was.end_time],
        "backlog": not transition.condition.annunciated,
    }
    return json.dumps(facts, ensure_ascii=False)


def message(row: Mapping[str, Any], say: Mapping[str, Any]) -> str:
    """The sentence of a labelled row; `reason` is that of the transition."""
    facts = Facts(
        state=row["state"],
        reason=row["reason"],
        kind=row["kind"],
        type=say["type"],
        title=say["title"],
        name=row["signal_name"] or row["signal_id"],
        value=row["value"],
        label=row["value_string"],
        unit=row["unit"],
        limit=row["limit"],
        back=say["back"],
        rising=say["rising"],
        uncertain=row["quality"] == "uncertain",
        # What was told by an earlier release does not say it.
        backlog=say.get("backlog", not row["annunciated"]),
        begin_us=row["begin_time"],
        end_us=row["end_time"],
        told_us=row["detection_time"],
        where=row["asset_path"] or row["work_unit"] or row["work_center"],
        order=row["order_id"],
        product=row["product"],
        owner=row["owner"] or say["owner"],
        response=row["response"],
    )
    if row["reason"] not in CORRECTIONS:
        return sentence(facts)
    return corrected(facts, None if say["was"] is None else Was(*say["was"]), row["cause_alert_id"])
