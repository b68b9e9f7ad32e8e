"""What an incident says. Enter: its members, what is near, the IT context. Leave: the fields of its record.

A pure function: the same evidence and the same context give the same words, whatever came first. What of assets holds
is as of the begin of each member; of orders the newest version speaks, as they have their own clocks inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from streams.core.context import Context
from streams.core.correlate import around, causes, clocks, happened, intake, orders
from streams.core.correlate.around import Assets, Row
from streams.core.correlate.further import further
from streams.core.correlate.orders import Order
from streams.core.correlate.sentence import facts, rank, sentence
from streams.core.correlate.weights import DEFAULT, Weights
from streams.core.label.position import positions
from streams.core.times import FOREVER_US, HOUR_US, SECOND_US

# So many hours of KPIs, and so many orders of each kind, are named: those that are newest.
NAMED: Final = 24
_VERDICT: Final = ("verdict", "verdict_by", "verdict_reference", "verdict_text", "verdict_until")
# What is looked at of what is near: there may be thousands.
_LOOKED_AT: Final = (
    *("evidence_id", "kind", "type", "state", "event_time", "begin_time", "time_precision", "message", "actors"),
    *(
        "asset_id",
        "asset_path",
        "asset_name",
        "work_center",
        "work_unit",
        "source_id",
        "source_address",
        "source_asset_id",
        "remote",
    ),
)
# What an asset says of a member where the member does not: field of the member, field of the asset.
_SAYS: Final = {
    "asset_path": "path",
    "asset_name": "name",
    **{name: name for name in ("work_center", "work_unit", "criticality", "owner")},
}


def describe(
    members: pl.DataFrame, nearby: pl.DataFrame, context: Context, weights: Weights = DEFAULT
) -> dict[str, Any]:
    """The payload of an incident: fields of ops.incident.v1 that do not say how it came about.

    `members` (columns EVIDENCE, at least one) are sorted by begin_time and evidence_id; `nearby` has the same columns.
    """
    assets = around.ASSETS.of(context)
    rows = _placed(members.with_columns(_stop=intake.stop()), assets)
    begin_us = rows[0]["begin_time"]
    until_us = max(_last(row["_stop"]) for row in rows)
    near = around.places(rows, assets)
    low_us, high_us = _window(begin_us, until_us, weights)
    asked = (context, rows[0]["site"], near, low_us, high_us)
    work, changes = orders.work_orders(*asked), orders.changes(*asked)
    order = orders.repairing(work, begin_us, high_us)
    before = _happened(nearby, rows, weights)
    candidates = [
        *(causes.first_out(rows, weights), *causes.upstream(rows, before, assets, weights)),
        *(*happened.it_events(before, near, weights), *happened.ot_events(before, near, weights)),
        *(*causes.changes(changes, weights), *causes.work_orders(work, weights)),
    ]
    position, repair = _position(rows, begin_us, context), clocks.repair(rows, before, order)
    ran = orders.production(context, rows, begin_us, until_us)[-NAMED:]
    payload = {
        **_head(rows, begin_us, None if until_us == FOREVER_US else until_us, assets),
        "position": position or next((row["position"] for row in rows if row["position"]), None),
        **orders.failed(rows, order),
        "orders": [row["order_id"] for row in ran],
        "products": _distinct(row["product"] for row in ran),
        "work_orders": _numbers(orders.begun(work, rows), "order_id", begin_us, until_us, order),
        "changes": _numbers(changes, "change_id", begin_us, until_us),
        "kpis": kpis(rows),
        "causes": causes.ranked(candidates, weights),
        **repair.fields,
        "repairs": further(rows, work, order, high_us, assets),
        "context_missing": _missing(rows, repair.doubts, bool(ran), order, position),
    }
    said = facts(rows, payload, order, orders.newest_repair(work, begin_us, high_us))
    return payload | {"message": sentence(said)}


def _window(begin_us: int, until_us: int, weights: Weights) -> tuple[int, int]:
    """From when to when orders may have to do with an incident."""
    before_us = max(weights.span_us(kind, "within") for kind in ("change", "work_order"))
    return begin_us - before_us, min(until_us + weights.span_us("repair", "after"), FOREVER_US)


def _placed(members: pl.DataFrame, assets: Assets) -> list[Row]:
    """Members as rows, with what their asset says as of their begin where they do not say it."""
    rows = members.to_dicts()
    for row in rows:
        asset = assets.of(row["asset_id"], row["begin_time"])
        row["_known"] = asset is not None
        row |= {name: row[name] or (asset or {}).get(field) for name, field in _SAYS.items()}
        row["asset_path"] = (row["asset_path"] or "").rstrip("/") or None
    return rows


def _happened(nearby: pl.DataFrame, rows: Sequence[Row], weights: Weights) -> list[Row]:
    """What of `nearby` may be a candidate or an acknowledgement, by time and id."""
    from_us = rows[0]["begin_time"] - max(weights.span_us(kind, "within") for kind in ("it_event", "ot_event"))
    event = (pl.col("kind").is_in(intake.EVENTS) & pl.col("asset_id").is_not_null()) | (pl.col("kind") == "alert")
    late = (pl.col("event_time") >= from_us) & (pl.col("event_time") <= rows[-1]["begin_time"])
    found = nearby.select(_LOOKED_AT).filter((pl.col("kind") == "alarm") | (event & late))
    return found.sort("event_time", "evidence_id").to_dicts()


def _head(rows: Sequence[Row], begin_us: int, end_us: int | None, assets: Assets) -> dict[str, Any]:
    """What the members say themselves."""
    first = next((row for row in rows if row["asset_id"]), rows[0])
    return {
        "site": rows[0]["site"],
        "tenant": next((row["tenant"] for row in rows if row["tenant"]), None),
        "origin": "computed",
        "historical": all(row["historical"] for row in rows),
        "priority": max((row["priority"] for row in rows), key=rank),
        **verdict(rows),
        "begin_time": begin_us,
        "end_time": end_us,
        "work_centers": _distinct(row["work_center"] for row in rows),
        "assets": _distinct(row["asset_id"] for row in rows),
        "asset_path": first["asset_path"],
        "owner": next((row["owner"] for row in rows if row["owner"]), _owner_above(first, assets)),
        "members": [row["evidence_id"] for row in rows],
        "member_count": len(rows),
        "annunciated_members": [row["evidence_id"] for row in rows if row["annunciated"]],
        "evidence": _distinct(place for row in rows for place in row["evidence"]),
    }


def verdict(rows: Sequence[Row]) -> dict[str, Any]:
    """The incident's verdict: what all members agree on that somebody was called for; of none called, all members.

    Expected only if each is; expired if each is one of these two; possible if each is expected or possible; else none.
    Its words are those of the member with that verdict whose label ends first.
    """
    asked = [row for row in rows if row["annunciated"]] or list(rows)
    said = {row["verdict"] for row in asked}
    for known, words in (
        ("expected", {"expected"}),
        ("expired", {"expected", "expired"}),
        ("possible", {"expected", "possible"}),
    ):
        if said <= words:
            told = [row for row in asked if row["verdict"] == known]
            best = min(told, key=lambda row: (_last(row["verdict_until"]), row["evidence_id"]))
            return {name: best[name] for name in _VERDICT}
    return dict.fromkeys(_VERDICT) | {"verdict": "none"}


def _last(until_us: int | None) -> int:
    return FOREVER_US if until_us is None else until_us


def _owner_above(first: Row, assets: Assets) -> str | None:
    """The owner of the nearest asset above that has one."""
    above = assets.above(first["asset_path"], first["begin_time"])
    return next((row["owner"] for row in above if row["owner"]), None)


def _position(rows: Sequence[Row], begin_us: int, context: Context) -> str | None:
    """The position that answers for where it began."""
    first = next((row for row in rows if row["asset_id"]), rows[0])
    asked = {"asset_path": first["asset_path"], "work_center": first["work_center"], "event_time": begin_us}
    schema = {"asset_path": pl.String(), "work_center": pl.String(), "event_time": pl.Int64()}
    found = positions(pl.DataFrame([asked], schema=schema), context)
    return None if found is None else found[0]


def kpis(rows: Sequence[Row]) -> list[str]:
    """KPIs of the hours in which a member began, stood (as far as that is told) or ended: the newest of them."""
    found = set()
    for row in rows:
        if row["work_center"] and row["work_unit"]:
            last = max(row["event_time"] if row["_stop"] is None else row["_stop"], row["begin_time"]) // HOUR_US
            for hour in range(max(row["begin_time"] // HOUR_US, last - NAMED + 1), last + 1):
                found.add((hour, row["work_center"], row["work_unit"]))
    return [f"oee/{line}/{unit}/{_hour(hour)}" for hour, line, unit in sorted(found)[-NAMED:]]


def _hour(hour: int) -> str:
    return f"{datetime.fromtimestamp(hour * HOUR_US // SECOND_US, tz=UTC):%Y-%m-%dT%H:%M:%SZ}"


def _distinct(values: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))


def _numbers(
    found: Sequence[Order], field: str, begin_us: int, until_us: int, repairing: Order | None = None
) -> list[str]:
    """Numbers of the orders of that time, and of the one that repairs, by begin: the newest."""
    touched = [one for one in found if one.span.touches(begin_us, until_us) or one is repairing]
    return [one.row[field] for one in sorted(touched, key=lambda one: (one.span.begin_us, one.row[field]))][-NAMED:]


def _missing(
    rows: Sequence[Row], doubts: Sequence[str], ran: bool, order: Order | None, position: str | None
) -> list[str]:
    """Context that was looked up and not found, and what of it contradicts itself."""
    found = {word for row in rows for word in row["context_missing"] if word == "signal"}
    found |= {"asset"} if not all(row["_known"] for row in rows) else set()
    found |= {"production_order"} if not ran else set()
    found |= {"work_order"} if order is None else set()
    found |= {"operator_position"} if position is None else set()
    return sorted({*found, *doubts})
