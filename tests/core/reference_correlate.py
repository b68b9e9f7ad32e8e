"""Incidents, computed plainly: everything that was ever told, at once, pair by pair. Enters: rows. Leaves: payloads.

What an incident says (`describe`) is given; which incidents there are, of what, and in which state, is computed here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from streams.core.context import Context
from streams.core.correlate.links import Links
from streams.core.correlate.tables import EVIDENCE, INCIDENT
from tests.core.correlate_scene import HOUR, OF_REVISION, Row

FOREVER = 1 << 62
Describe = Callable[[pl.DataFrame, pl.DataFrame, Context], dict[str, Any]]


def incidents(rows: Sequence[Row], context: Context, links: Links, describe: Describe) -> dict[str, Row]:
    """What lives by incident_id, once all has been quiet for long."""
    evidence = newest(rows)
    cleared = [row for row in evidence if row["kind"] == "alarm" and row["state"] == "cleared"]
    members = [{**row, "end_time": ended(row, cleared)} for row in evidence if is_member(row)]
    members.sort(key=first)
    near = [row for row in bounded(evidence) if row["kind"] != "flow"] + crossing(bounded(evidence), context)
    near += [{**row, "event_time": row["begin_time"]} for row in evidence if is_recorded(row)]
    near = [named(row, context) for row in near]
    near.sort(key=lambda row: (row["event_time"], row["evidence_id"]))
    found = {}
    for component in components(members, context, links):
        for part in cut(component, links):
            name = identity(part[0])
            found[name] = payload(name, part, near, context, links, describe)
    return found


def unheard(found: dict[str, Row], days: int) -> dict[str, Row]:
    """The same once sites have gone on for more than so many days: what stands is let go, the rest is as it was."""
    said = f"; nothing was heard of it for {days} days, it is let go."
    return {
        name: row if row["state"] == "closed" else {**row, "state": "closed", "message": row["message"][:-1] + said}
        for name, row in found.items()
    }


def newest(rows: Sequence[Row]) -> list[Row]:
    """Of each piece of evidence the highest revision, and of that the first; detected when any of them says."""
    best: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: (-row["revision"], row["ingest_time"])):
        known = best.setdefault((row["site"], row["evidence_id"]), dict(row))
        known["detection_time"] = min(known["detection_time"], row["detection_time"])
    return list(best.values())


def bounded(evidence: Sequence[Row]) -> list[Row]:
    """What is no member: of logons and flows the first of each hour."""
    kept = [row for row in evidence if row["kind"] in {"access", "flow"}]
    kept.sort(key=lambda row: (row["event_time"], row["evidence_id"]))
    limits = ((("source_address", "target_address", "asset_id", "actors"), 5), (("source_address",), 50), ((), 500))
    for fields, most in limits:
        seen: dict[str, int] = {}
        passed = []
        for row in kept:
            same = ("kind", "type", "site", *fields)
            group = repr([row["event_time"] // HOUR, *(row.get(field) for field in same)])
            seen[group] = seen.get(group, 0) + 1
            if seen[group] <= most:
                passed.append(row)
        kept = passed
    return kept + [row for row in evidence if row["kind"] == "alarm" and row["state"] in {"cleared", "acknowledged"}]


def is_member(row: Row) -> bool:
    """Whether it makes an incident."""
    if row["domain"] not in {"process", "telemetry", "security", "prediction"}:
        return False
    if row["kind"] == "alarm":
        return row["state"] in {"active", "event"}
    if row["kind"] != "alert" or row["state"] == "retracted" or row["alert_kind"] == "event":
        return False
    return bool(row["annunciated"] or row["historical"] or row.get("cause_alert_id"))


def is_recorded(row: Row) -> bool:
    """Whether it is an event of a rule: it happened when it began, however late its delay was over."""
    return bool(row["kind"] == "alert" and row["alert_kind"] == "event" and row["state"] != "retracted")


def ended(row: Row, cleared: Sequence[Row]) -> int | None:
    """When it was over, None while it stands."""
    if row["kind"] == "alert":
        end = row["end_time"] if row["end_time"] is not None or row["state"] == "active" else row["event_time"]
        return None if end is None else int(end)
    if row["state"] == "event":
        return int(row["event_time"])
    same = ("site", "source_id", "type", "asset_id")
    ends = [
        one["event_time"]
        for one in cleared
        if all(one.get(field) == row.get(field) for field in same) and one["event_time"] >= row["begin_time"]
    ]
    return min(ends, default=None)


def version(asset: str | None, at: int, context: Context) -> Row | None:
    """What holds of an asset at an instant."""
    rows = [row for row in context.frame("it.asset.v1").to_dicts() if row["asset_id"] == asset]
    rows = [row for row in rows if row["valid_from"] <= at]
    if not rows:
        return None
    last = max(rows, key=lambda row: row["valid_from"])
    return last if last["valid_to"] is None or at < last["valid_to"] else None


def address(value: str | None, at: int, context: Context) -> str | None:
    """The asset that has an address at an instant."""
    names = sorted({row["asset_id"] for row in context.frame("it.asset.v1").to_dicts()})
    for name in names:
        row = version(name, at, context)
        if value is not None and row is not None and value in row["interfaces"]:
            return str(name)
    return None


def named(row: Row, context: Context) -> Row:
    """A row with what the assets say of it where it does not."""
    at = row["event_time"]
    asset_id = row.get("asset_id") or address(row.get("target_address"), at, context)
    source = row.get("source_asset_id") or address(row.get("source_address"), at, context)
    says = version(asset_id, at, context) or {}
    more = {"asset_path": says.get("path"), "asset_name": says.get("name")}
    more |= {field: says.get(field) for field in ("work_center", "work_unit", "zone", "criticality", "owner")}
    filled = {field: value if row.get(field) is None else row[field] for field, value in more.items()}
    return {**row, **filled, "asset_id": asset_id, "source_asset_id": source}


def crossing(rows: Sequence[Row], context: Context) -> list[Row]:
    """Flows with an end at an asset whose ends are in two zones."""
    found = []
    for row in rows:
        if row["kind"] != "flow":
            continue
        full = named(row, context)
        source = version(full["source_asset_id"], row["event_time"], context) or {}
        if (full["asset_id"] or full["source_asset_id"]) and full["zone"] != source.get("zone"):
            found.append(row)
    return found


def related(one: Row, other: Row, kind: str, context: Context) -> bool:
    """Whether `one` has to do with `other` in this way; asked both ways."""
    same_line = bool(one.get("work_center")) and one.get("work_center") == other.get("work_center")
    if kind == "equipment":
        same_unit = same_line and bool(one.get("work_unit")) and one.get("work_unit") == other.get("work_unit")
        return same_unit or (bool(one.get("asset_id")) and one.get("asset_id") == other.get("asset_id"))
    if kind == "hierarchy":
        above, below = one.get("asset_path"), other.get("asset_path")
        return bool(same_line and above and below and below.startswith(f"{above}/"))
    if kind == "rule":
        both = one["kind"] == other["kind"] == "alert"
        return bool(both and other.get("cause_alert_id") and one["evidence_id"] == f"alert:{other['cause_alert_id']}")
    if kind == "source":
        nodes = [{row.get("source_id"), *row["members"]} - {None} for row in (one, other)]
        return one["domain"] == other["domain"] == "telemetry" and bool(nodes[0] & nodes[1])
    if kind == "repeat":
        about = [row.get("signal_id") or row.get("asset_id") or row.get("source_id") for row in (one, other)]
        return (
            about[0] is not None
            and about[0] == about[1]
            and (one["kind"], one["type"]) == (other["kind"], other["type"])
        )
    fed = {name for asset in machines(one, context) for name in feeds(asset, one["begin_time"], context)}
    return bool(fed & machines(other, context))


def machines(row: Row, context: Context) -> set[str]:
    """Its asset, and what that is a part of within its work unit."""
    names = {row["asset_id"]} if row.get("asset_id") else set()
    path = row.get("asset_path") or ""
    for name in {one["asset_id"] for one in context.frame("it.asset.v1").to_dicts()}:
        held = version(name, row["begin_time"], context)
        if held and held["work_unit"] and path.startswith(held["path"] + "/"):
            names.add(name)
    return names


def feeds(asset: str, at: int, context: Context) -> list[str]:
    """What comes next in the process flow."""
    held = version(asset, at, context)
    return held["feeds"] if held else []


def linked(one: Row, other: Row, context: Context, links: Links) -> bool:
    """Whether the two are linked in any way."""
    if one["site"] != other["site"]:
        return False
    first, second = sorted((one, other), key=lambda row: int(row["begin_time"]))
    for link in links.links:
        until = first["begin_time"]
        if link.measure == "stand":
            until = FOREVER if first["end_time"] is None else max(until, first["end_time"])
        if second["begin_time"] <= until + link.within_us and (
            related(one, other, link.kind, context) or related(other, one, link.kind, context)
        ):
            return True
    return False


def components(members: Sequence[Row], context: Context, links: Links) -> list[list[Row]]:
    """What hangs together, by walking from each to all that it is linked with."""
    left = list(members)
    found = []
    while left:
        reached, todo = [], [left.pop(0)]
        while todo:
            reached.append(here := todo.pop())
            todo += (more := [row for row in left if linked(here, row, context, links)])
            left = [row for row in left if row not in more]
        found.append(sorted(reached, key=first))
    return found


def first(row: Row) -> tuple[int, int, str]:
    """What comes first: the earliest; of one instant what was known first."""
    return row["begin_time"], row["detection_time"], row["evidence_id"]


def cut(component: Sequence[Row], links: Links) -> list[list[Row]]:
    """Parts that span no more, and have no more members, than an incident may."""
    parts = [[component[0]]]
    for row in component[1:]:
        long = row["begin_time"] - parts[-1][0]["begin_time"] > links.span_us
        if long or len(parts[-1]) == links.members:
            parts.append([])
        parts[-1].append(row)
    return parts


def identity(first: Row) -> str:
    """The name of the incident that begins with this."""
    digest = hashlib.sha256(f"{first['site']}\n{first['evidence_id']}".encode()).digest()
    return "incident-" + base64.b32encode(digest[:10]).decode().lower()


def payload(
    name: str, part: Sequence[Row], near: Sequence[Row], context: Context, links: Links, describe: Describe
) -> Row:
    """What is to be told of one incident in the end."""
    part = sorted(part, key=lambda row: (row["begin_time"], row["evidence_id"]))
    begin, last = part[0]["begin_time"], part[-1]["begin_time"]
    ends = [row["end_time"] for row in part]
    over = None if None in ends else max(max(end, row["begin_time"]) for end, row in zip(ends, part, strict=True))
    until = FOREVER if over is None else over + links.quiet_us
    close = [
        row
        for row in near
        if row["site"] == part[0]["site"]
        and begin - links.near_us <= row["event_time"] <= (until if row["kind"] == "alarm" else last)
    ]
    said = describe(_frame(part), _frame(close), context)
    told = {
        **said,
        "incident_id": name,
        "site": part[0]["site"],
        "origin": "computed",
        "merged_into": None,
        "state": "open" if over is None else "closed",
        "event_time": max(row["event_time"] for row in part),
    }
    full = pl.DataFrame([told], schema=INCIDENT, orient="row").to_dicts()[0]
    return {field: value for field, value in full.items() if field not in OF_REVISION}


def _frame(rows: Sequence[Row]) -> pl.DataFrame:
    blank = dict.fromkeys(EVIDENCE)
    return pl.DataFrame([{**blank, **row} for row in rows], schema=EVIDENCE, orient="row")
