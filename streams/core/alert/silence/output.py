"""Alerts on silence as records of `ops.alert.v1`. In: transitions, rules, context. Out: a frame of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from streams.core.alert.enrich import enrich, enrich_nodes
from streams.core.alert.row import ALERT, OWN, alert_row
from streams.core.alert.rule import Rule
from streams.core.alert.silence.sentence import Facts, sentence
from streams.core.alert.silence.tables import Told
from streams.core.alert.silence.watch import BAD_QUALITY, FROZEN, OF_NODES
from streams.core.context import Context
from streams.core.derived import revised


def records(told: Sequence[Told], rules: Mapping[str, Rule], context: Context, now_us: int) -> pl.DataFrame:
    """One row per transition, by event time; `rules` by id, without those that are gone."""
    frames = []
    for nodes in (False, True):
        own = [one for one in told if (one.standing.type in OF_NODES) == nodes]
        if own:
            rows = [_own(one, rules.get(one.standing.rule_id), now_us) for one in own]
            frame = revised(pl.DataFrame(rows, schema=OWN, orient="row"))
            zones = pl.Series("zone", [one.standing.zone for one in own], dtype=pl.String)
            found = enrich_nodes(frame.with_columns(zones), context) if nodes else enrich(frame, context)
            frames.append(_explained(found, own, rules))
    return pl.concat(frames).sort("event_time", "alert_id", "revision")


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
    )


def _explained(frame: pl.DataFrame, told: Sequence[Told], rules: Mapping[str, Rule]) -> pl.DataFrame:
    """`frame` with its sentences; a limit is a span of time here, in s."""
    units = [row if one.standing.type == FROZEN else "s" for row, one in zip(frame["unit"], told, strict=True)]
    messages = [
        _message(row, one, rules.get(row["rule_id"])) for row, one in zip(frame.rows(named=True), told, strict=True)
    ]
    told_as = {"unit": pl.Series(units, dtype=pl.String), "message": pl.Series(messages, dtype=pl.String)}
    return frame.with_columns(**told_as).select(ALERT.names())


def _message(row: Mapping[str, Any], told: Told, rule: Rule | None) -> str:
    standing = told.standing
    return sentence(
        Facts(
            state=told.state,
            reason=told.reason,
            type=standing.type,
            name=row["signal_name"] or standing.signal_id or standing.source_id or standing.zone or "",
            source=standing.source_id,
            value=standing.value,
            unit=row["unit"],
            limit_s=standing.limit,
            begin_us=standing.begin_time,
            end_us=row["end_time"],
            told_us=row["detection_time"],
            where=row["asset_path"] or row["work_unit"] or row["work_center"],
            nodes=tuple(standing.members),
            order=row["order_id"],
            product=row["product"],
            cause=standing.cause,
            called=standing.annunciated,
            owner=row["owner"] or ("" if rule is None else rule.owner),
            response=row["response"],
        )
    )
