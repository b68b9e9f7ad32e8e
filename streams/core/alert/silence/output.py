"""Alerts on silence as records of `ops.alert.v1`. In: transitions, rules. Out: bare rows; their sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from streams.core.alert.row import BARE, alert_row
from streams.core.alert.rule import Rule
from streams.core.alert.silence.sentence import Facts, sentence
from streams.core.alert.silence.tables import Told
from streams.core.alert.silence.watch import BAD_QUALITY, FROZEN


def records(told: Sequence[Told], rules: Mapping[str, Rule], now_us: int) -> pl.DataFrame:
    """One row (BARE) per transition, by event time; `rules` by id, without those that are gone."""
    of_rules = [rules.get(one.standing.rule_id) for one in told]
    rows = [_own(one, rule, now_us) | _beside(one, rule) for one, rule in zip(told, of_rules, strict=True)]
    frame = pl.DataFrame(rows, schema=BARE, orient="row")
    return frame.sort("event_time", "alert_id", "revision", maintain_order=True)


def _own(told: Told, rule: Rule | None, now_us: int) -> dict[str, Any]:
    standing, cleared = told.standing, told.state == "cleared"
    frozen = standing.type == FROZEN
    return alert_row(
        alert_id=standing.alert_id,
        revision=standing.revision,
        reason=told.reason,
        site=standing.site,
        tenant=standing.tenant,
        historical=cleared and not standing.annunciated and standing.cause is None,
        kind=standing.kind,
        state=told.state,
        rule_id=standing.rule_id,
        rule_version=standing.rule_version,
        priority=standing.priority,
        work_center=standing.work_center,
        signal_id=standing.signal_id,
        source_id=standing.source_id,
        event_time=told.event_time,
        begin_time=standing.begin_time,
        end_time=told.event_time if cleared else None,
        detection_time=now_us,
        ingest_time=told.ingest_time,
        value=standing.value,
        limit=None if frozen else standing.limit,
        quality="bad" if standing.type == BAD_QUALITY else "good",
        # Of what is silent or bad nothing was known meanwhile; a frozen value was at least sent.
        coverage=1.0 if frozen else 0.0,
        consequence="" if rule is None else rule.consequence,
        response="" if rule is None else rule.response,
        evidence=(standing.evidence, told.evidence),
        annunciated=standing.annunciated,
        cause_alert_id=standing.cause,
        members=standing.members,
        domain=None if rule is None else rule.domain,
    )


def _beside(told: Told, rule: Rule | None) -> dict[str, Any]:
    """What a bare row has beside the fields of OWN."""
    standing = told.standing
    say = {"type": standing.type, "owner": "" if rule is None else rule.owner, "limit_s": standing.limit}
    return {
        "say": json.dumps(say, ensure_ascii=False),
        "activities": None if rule is None else rule.activities,
        "zone": standing.zone,
        # A limit is a span of time here.
        "unit_as": None if standing.type == FROZEN else "s",
    }


def message(row: Mapping[str, Any], say: Mapping[str, Any]) -> str:
    """The sentence of a labelled row; `reason` is that of the transition."""
    return sentence(
        Facts(
            state=row["state"],
            reason=row["reason"],
            type=say["type"],
            name=row["signal_name"] or row["signal_id"] or row["source_id"] or row["zone"] or "",
            source=row["source_id"],
            value=row["value"],
            unit=row["unit"],
            limit_s=say["limit_s"],
            begin_us=row["begin_time"],
            end_us=row["end_time"],
            told_us=row["detection_time"],
            where=row["asset_path"] or row["work_unit"] or row["work_center"],
            nodes=tuple(row["members"]),
            order=row["order_id"],
            product=row["product"],
            cause=row["cause_alert_id"],
            called=row["annunciated"],
            owner=row["owner"] or say["owner"],
            response=row["response"],
        )
    )
