"""What happened shortly before as a cause. Enter: what is near, places, weights. Leave: candidates.

Logons and flows (IT), and events that rules record (OT): a setpoint that was changed. What is alike is one candidate,
told by the one of it that weighs most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streams.core.alert.sentence import duration
from streams.core.correlate.around import Place, Row
from streams.core.correlate.causes import Candidate, name, nearness, on_place, what
from streams.core.correlate.weights import Weights
from streams.core.verdict.explanations import AT_ASSET, AT_LINE, AT_UNIT_OF_LINE, BETWEEN

# Kinds of logons that are no cause of anything.
_HARMLESS: Final = ("logoff",)
_EVIDENCE: Final = 10  # so many ids of a candidate that is many events
_Alike = dict[str, list[tuple[float, int, Row, Place]]]


def it_events(nearby: Sequence[Row], around: dict[str, list[Place]], weights: Weights) -> list[Candidate]:
    """Logons and flows to the asset, its machine or what stands above it, shortly before: * event * place.

    Those of the same between the same are one candidate, told by the one that weighs most.
    """
    alike: _Alike = {}
    for row in nearby:
        if row["kind"] not in {"access", "flow"} or row["type"] in _HARMLESS or not row["asset_id"]:
            continue
        for place in around.get(AT_ASSET + row["asset_id"], ()):
            span_us = place.begin_us - row["event_time"]
            if 0 <= span_us <= weights.span_us("it_event", "within"):
                confidence = weights.confidence("it_event", span_us, _event(row, weights), nearness(place, weights))
                ends = (row["source_address"], row["source_asset_id"], row["remote"], sorted(row["actors"]))
                same = repr((row["kind"], row["type"], row["asset_id"], *ends))
                alike.setdefault(same, []).append((confidence, row["event_time"], row, place))
    return [_events(events) for events in alike.values()]


def ot_events(nearby: Sequence[Row], around: dict[str, list[Place]], weights: Weights) -> list[Candidate]:
    """Events of rules at the asset, its machine or what stands above it, shortly before: * place.

    Those of one rule at one place are one candidate: an order brings all its setpoints at once.
    """
    alike: _Alike = {}
    for row in nearby:
        if row["kind"] != "alert":
            continue
        for place in around.get(_key(row), ()):
            span_us = place.begin_us - row["event_time"]
            if 0 <= span_us <= weights.span_us("ot_event", "within"):
                confidence = weights.confidence("ot_event", span_us, nearness(place, weights))
                same = repr((row["type"], _key(row)))
                alike.setdefault(same, []).append((confidence, row["event_time"], row, place))
    return [_recorded(events) for events in alike.values()]


def _key(row: Row) -> str:
    """Where an event is: its asset, else its machine, else its line."""
    line, unit = row["work_center"] or "", row["work_unit"]
    if row["asset_id"]:
        return f"{AT_ASSET}{row['asset_id']}"
    return f"{AT_UNIT_OF_LINE}{line}{BETWEEN}{unit}" if unit else f"{AT_LINE}{line}"


def _recorded(events: list[tuple[float, int, Row, Place]]) -> Candidate:
    """One candidate of events of one rule."""
    confidence, row, place, ids = _weightiest(events)
    kind = what(row)
    text = f"{len(ids)} times: {kind}" if len(ids) > 1 else kind[:1].upper() + kind[1:]
    span_us = place.begin_us - row["event_time"]
    when = f"{duration(span_us)} before" if span_us else "at the same time"
    text += f"{on_place(row)}, {'the last ' if len(ids) > 1 else ''}{when}"
    at = (row["evidence_id"], row["asset_id"], row["event_time"])
    return Candidate("ot_event", *at, confidence, text, ids[-_EVIDENCE:])


def _weightiest(events: list[tuple[float, int, Row, Place]]) -> tuple[float, Row, Place, tuple[str, ...]]:
    """The confidence, event and place that weigh most, and the ids of all, by time."""
    confidence, _, row, place = min(events, key=lambda one: (-one[0], -one[1], one[2]["evidence_id"], one[3]))
    ids = sorted({(time, one["evidence_id"]) for _, time, one, _ in events})
    return confidence, row, place, tuple(one for _, one in ids)


def _event(row: Row, weights: Weights) -> float:
    if row["kind"] == "flow":
        return weights.share("event", "flow")
    if row["type"] == "logon" and row["remote"]:
        return weights.share("event", "remote_logon")
    return weights.share("event", row["type"] if row["type"] in weights.numbers["event"] else "attempt")


def _events(events: list[tuple[float, int, Row, Place]]) -> Candidate:
    """One candidate of logons or flows that are alike."""
    confidence, row, place, ids = _weightiest(events)
    kind = f"{row['type'] or 'unknown'} flow" if row["kind"] == "flow" else row["type"].replace("_", " ")
    kind = f"remote {kind}" if row["kind"] == "access" and row["remote"] else kind
    text = f"{len(ids)} times: {kind}" if len(ids) > 1 else kind[:1].upper() + kind[1:]
    text += " across zones" if row["kind"] == "flow" else ""
    source = row["source_asset_id"] or row["source_address"]
    text += (f" from {source}" if source else "") + f" to {name(row)}"
    before = duration(place.begin_us - row["event_time"])
    text += f", {'the last ' if len(ids) > 1 else ''}{before} before"
    at = (row["evidence_id"], row["asset_id"], row["event_time"])
    return Candidate("it_event", *at, confidence, text, ids[-_EVIDENCE:])
