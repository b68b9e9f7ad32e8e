"""Cause candidates. Enter: members, what is near, assets, orders, weights. Leave: candidates, the most likely first.

A candidate is never a verdict: it says what lies before, where, how near, and how much that weighs (`weights.py`):
confidence = weight * 2 ** -(time before what it may have caused / half-life) * factors. Ties are broken by ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from streams.core.alert.sentence import duration
from streams.core.correlate.around import SAME, UNIT, Assets, Place, Row
from streams.core.correlate.orders import DONE, EXACT, Order
from streams.core.correlate.weights import Weights

KINDS: Final = ("first_out", "upstream", "it_event", "ot_event", "change", "work_order")
_DOUBT: Final = {"day": ", only the day is told", "typed_later": ", typed later"}


class Candidate(NamedTuple):
    """One candidate: `reference` is an evidence_id or the number of an order or change."""

    kind: str
    reference: str
    asset_id: str | None
    time: int
    confidence: float
    text: str
    evidence: tuple[str, ...]


def ranked(candidates: Iterable[Candidate], weights: Weights) -> list[dict[str, Any]]:
    """The most likely candidates as records; those that weigh nothing are none."""
    found = [one for one in candidates if one.confidence > 0]
    found.sort(key=lambda one: (-one.confidence, KINDS.index(one.kind), one.reference))
    told = found[: weights.count("told", "most")]
    return [{"rank": rank, **one._asdict(), "evidence": list(one.evidence)} for rank, one in enumerate(told, 1)]


def what(row: Row) -> str:
    """What a piece of evidence says, in a few words."""
    if row["kind"] == "alarm":
        return f"alarm {row['type']}" + (f" ({row['message'].rstrip('.')})" if row["message"] else "")
    return str(row["type"]).replace("-", " ").replace("_", " ")


def name(row: Row) -> str:
    """What people call the place of a piece of evidence."""
    path = row["asset_path"] or ""
    return str(
        row["asset_name"] or path.rsplit("/", 1)[-1] or row["asset_id"] or row["source_id"] or row["work_center"] or ""
    )


def first_out(members: Sequence[Row], weights: Weights) -> Candidate:
    """The first of the members that no other member explains: weight * (1 - 2 ** -(1 + lead / lead_s)) * criticality.

    `lead` is the time to the next of them. Two at once, and one alone, which leads nothing, are half as sure as one
    that leads by long.
    """
    ids = {row["evidence_id"] for row in members}
    own = [row for row in members if f"alert:{row['cause_alert_id']}" not in ids] or list(members)
    first = own[0]
    lead_us, lead = 0, ""
    if len(own) > 1:
        lead_us = own[1]["begin_time"] - first["begin_time"]
        lead = f", {duration(lead_us)} before {what(own[1])}{on_place(own[1])}" if lead_us else ", with others at once"
    critical = first["criticality"] if first["criticality"] in weights.numbers["criticality"] else "untold"
    sure = 1 - 0.5 ** (1 + lead_us / weights.span_us("first_out", "lead"))
    confidence = weights.share("first_out", "weight") * sure * weights.share("criticality", critical)
    text = f"First out: {what(first)}{on_place(first)}{lead}"
    at = (first["evidence_id"], first["asset_id"], first["begin_time"])
    return Candidate("first_out", *at, round(confidence, 3), text, (first["evidence_id"],))


def upstream(members: Sequence[Row], nearby: Sequence[Row], assets: Assets, weights: Weights) -> list[Candidate]:
    """Earlier evidence on what feeds an asset of the incident: * step for each further step up.

    Of a chain only its head: what itself has evidence upstream of it is no candidate. `nearby`: transitions of
    alarms; members of other incidents are not among them.
    """
    within_us, step = weights.span_us("upstream", "within"), weights.share("upstream", "step")
    firsts: dict[str, Row] = {}
    for row in members:
        if row["asset_id"]:
            firsts.setdefault(row["asset_id"], row)
    machines = {asset: set(assets.machine(asset, row["begin_time"])) for asset, row in firsts.items()}
    others = [row for row in nearby if row["kind"] == "alarm" and row["asset_id"] and row["asset_id"] not in firsts]
    machines |= {row["asset_id"]: set(assets.machine(row["asset_id"], row["event_time"])) for row in others}
    best: dict[str, Candidate] = {}
    fed = set()
    for asset, row in firsts.items():
        steps = _feeding(machines[asset], assets, row["begin_time"], weights.count("upstream", "steps"))
        for one in (*firsts.values(), *others):
            lead_us = row["begin_time"] - one["begin_time"]
            near = [steps[part] for part in machines[one["asset_id"]] if part in steps]
            if not near or not 0 < lead_us <= within_us:
                continue
            fed.add(row["evidence_id"])
            confidence = weights.confidence("upstream", lead_us, step ** (min(near) - 1))
            found = _flows(one, row, min(near), lead_us, confidence)
            about = (
                one["evidence_id"]
                if one["asset_id"] in firsts
                else repr((one["asset_id"], one["source_id"], one["type"]))
            )
            known = best.setdefault(about, found)
            if (found.confidence, known.text) > (known.confidence, found.text):
                best[about] = found
    return [one for reference, one in best.items() if reference not in fed]


def _feeding(machine: set[str], assets: Assets, at_us: int, most: int) -> dict[str, int]:
    """What feeds a machine as of an instant, with how many steps up it is."""
    steps: dict[str, int] = {}
    edge = machine
    for number in range(1, most + 1):
        edge = {feeder for asset in edge for feeder in assets.feeding(asset, at_us)} - machine - steps.keys()
        steps |= dict.fromkeys(edge, number)
    return steps


def _flows(one: Row, row: Row, steps: int, lead_us: int, confidence: float) -> Candidate:
    over = "" if steps == 1 else f" over {steps} steps"
    text = f"Upstream: {what(one)}{on_place(one)}, which feeds {name(row)}{over}, {duration(lead_us)} earlier"
    at = (one["evidence_id"], one["asset_id"], one["begin_time"])
    return Candidate("upstream", *at, confidence, text, (one["evidence_id"], row["evidence_id"]))


def changes(found: Iterable[Order], weights: Weights) -> list[Candidate]:
    """Changes that were in force, or ended shortly before: * place."""
    return _orders("change", found, weights)


def work_orders(found: Iterable[Order], weights: Weights) -> list[Candidate]:
    """Work on the asset or its machine that was finished shortly before: * place, * imprecise where its end is."""
    return _orders("work_order", (order for order in found if order.row["status"] in DONE), weights)


def _orders(kind: str, orders: Iterable[Order], weights: Weights) -> list[Candidate]:
    found = (_seen(kind, order, weights) for order in orders)
    return [min(seen, key=lambda one: (-one.confidence, one.evidence)) for seen in found if seen]


def _seen(kind: str, order: Order, weights: Weights) -> list[Candidate]:
    """A candidate for each place that the order was before."""
    within_us, work = weights.span_us(kind, "within"), kind == "work_order"
    sure = weights.share(kind, "imprecise") if work and order.span.precision != EXACT else 1.0
    found = []
    for place in order.places:
        since_us = place.begin_us - order.span.end_us
        if order.span.begin_us > place.begin_us or since_us > within_us:
            continue
        if work and (since_us < 0 or place.near not in {SAME, UNIT}):
            continue
        confidence = weights.confidence(kind, max(since_us, 0), nearness(place, weights), sure)
        found.append(_candidate(kind, order, place, since_us, confidence))
    return found


def _candidate(kind: str, order: Order, place: Place, since_us: int, confidence: float) -> Candidate:
    row = order.row
    number = row["order_id" if kind == "work_order" else "change_id"]
    text = f"{'Work order' if kind == 'work_order' else 'Change'} {number}"
    text += f" ({row['activity'].replace('_', ' ')})" if row["activity"] else ""
    text += (
        f" ended {duration(since_us)} before"
        if since_us > 0
        else " was in force"
        if kind == "change"
        else " ended just before"
    )
    asset = row["asset_id"] if kind == "work_order" else next(iter(row["asset_ids"]), None)
    text += _DOUBT.get(order.span.precision, "")
    return Candidate(kind, number, asset, order.span.begin_us, confidence, text, (place.evidence_id,))


def nearness(place: Place, weights: Weights) -> float:
    """The factor of where it happened."""
    return weights.share("place", place.near)


def on_place(row: Row) -> str:
    """The place of a piece of evidence, behind what it says."""
    return f" on {name(row)}" if name(row) else ""
