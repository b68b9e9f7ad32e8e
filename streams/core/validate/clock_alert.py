"""Alerts on clocks: enter the turns of a chunk's clocks, leave bare rows (alert.row.BARE).

One alert per skew: raised once where it begins, cleared once where it ends, however its offset moves meanwhile. Its
identity is the source and the reference time of the first sample that showed the skew; its value is the offset.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from streams import topology
from streams.core.alert.row import BARE, alert_row
from streams.core.alert.sentence import clock, duration
from streams.core.label.words import ITSELF
from streams.core.times import SECOND_US
from streams.core.validate.clock import Turn
from streams.core.verdict.catalogue import TELEMETRY

RULE_ID: Final = "builtin.clock_skew"
RULE_VERSION: Final = 1
_CONSEQUENCE: Final = "Event times of this source are estimates: its order with other sources is not exact."
_REASONS: Final = {"begun": "condition_active", "ended": "condition_cleared"}
# What people do to a source that may set its clock wrong, or sets it right.
_ACTIVITIES: Final = ["firmware", "network", "program", "repair", "replace", "restart", "update_firmware"]
_COORDINATES: Final = ("_partition", "_offset", "_time")
# Zones differ from UTC by whole quarters of an hour, up to 14 hours.
_QUARTER_US: Final = 900 * SECOND_US
_FARTHEST_US: Final = 14 * 4 * _QUARTER_US


def records(turns: Sequence[Turn], raw: pl.DataFrame, topic: str, begin_s: int, now_us: int) -> dict[str, pl.DataFrame]:
    """By topic, if there are any: one row per begin and end among `turns`; `raw`: the rows of the chunk of `topic` that
    they point into.
    """
    told = [turn for turn in turns if turn.event.kind != "moved"]
    if not told:
        return {}
    rows = []
    for turn in told:
        evidence, ingest_us = "", 0
        if turn.row is not None:
            partition, offset, broker_us = raw.select(_COORDINATES).row(turn.row)
            evidence, ingest_us = f"{topic}/{partition}/{offset}", max(0, broker_us)
        own = _own(turn, begin_s, now_us, evidence, ingest_us)
        say = json.dumps({"type": ITSELF, "text": _message(turn, now_us)}, ensure_ascii=False)
        rows.append({**own, "say": say, "activities": _ACTIVITIES, "unit_as": "s"})
    return {topology.ALERT.name: pl.DataFrame(rows, schema=BARE, orient="row")}


def _own(turn: Turn, begin_s: int, now_us: int, evidence: str, ingest_us: int) -> dict[str, Any]:
    event, (site, tenant, work_center) = turn.event, turn.place
    ended = event.kind == "ended"
    return alert_row(
        alert_id=f"{RULE_ID}|{turn.source_id}|{event.begin_us}",
        revision=2 if ended else 1,
        reason=_REASONS[event.kind] if turn.row is not None else "signal_removed",
        site=site or "",
        tenant=tenant,
        kind="alert",
        state="cleared" if ended else "active",
        rule_id=RULE_ID,
        rule_version=RULE_VERSION,
        priority="medium",
        work_center=work_center,
        source_id=turn.source_id,
        event_time=event.at_us,
        begin_time=event.begin_us,
        end_time=event.at_us if ended else None,
        detection_time=now_us,
        ingest_time=ingest_us,
        value=(event.was_us if ended else event.offset_us) / SECOND_US,
        limit=float(begin_s),
        consequence=_CONSEQUENCE,
        response=_response(event.was_us if ended else event.offset_us),
        evidence=(evidence,),
        domain=TELEMETRY,
    )


def _response(offset_us: int) -> str:
    """What to do about a clock that is so far ahead (or, negative, behind)."""
    rest = (abs(offset_us) + _QUARTER_US // 30) % _QUARTER_US
    zoned = abs(offset_us) <= _FARTHEST_US and rest <= _QUARTER_US // 15
    local = ", or give its signals their time_zone if it sends local time" if zoned else ""
    return f"set the clock of the source (UTC, from a time server){local}"


def _message(turn: Turn, now_us: int) -> str:
    event = turn.event
    where = f"Clock of source {turn.source_id} at {turn.place[2]}"
    if event.kind == "ended":
        lasted = duration(event.at_us - event.begin_us)
        if turn.row is None:
            return f"{where}: no longer judged after {lasted}, as the dictionary has none of its signals."
        return f"{where} is right again after {lasted}: its own stamps are taken as they are."
    side = "ahead of" if event.offset_us > 0 else "behind"
    off = f"{duration(abs(event.offset_us))} {side} the time at which its readings are seen"
    since = clock(event.begin_us, now_us)
    return f"{where} is {off}, since {since}: they are re-timed as estimates; {_response(event.offset_us)}."
