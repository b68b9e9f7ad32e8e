"""What explains an alert, order by order: slow, and written from the decision record alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Row = Mapping[str, Any]
DAY = 24 * 3600 * 1_000_000


class Match(NamedTuple):
    """An order that matches an alert; of several the greatest by `rank` is told."""

    rank: tuple[Any, ...]
    verdict: str
    by: str
    reference: str
    until: int


def verdict(
    row: Row, assets: Iterable[Row], orders: Iterable[Row], changes: Iterable[Row], standing: int, grace: int
) -> tuple[str, str | None, str | None, int | None]:
    """Verdict, by, reference and until of one alert."""
    found = []
    for order in newest(orders, "order_id"):
        span = order_interval(order, standing)
        if span is not None and order["status"] in {"released", "started", "arrived", "finished", "verified"}:
            start, until, by_day = span
            opens = begins(order, start, grace)
            where = order_place(row, order, assets)
            if where is not None and opens <= row["begin_time"] < until:
                found.append(judge(row, order, "work_order", order["order_id"], where, start, until, by_day))
    for change in newest(changes, "change_id"):
        start, end = change["start"], change["end"]
        if change["status"] not in {"approved", "active", "closed"} or start is None:
            continue
        until = start + standing if end is None else end
        if until - start > standing:
            continue
        if start <= row["begin_time"] < until:
            wheres = change_places(row, change, assets)
            found += [judge(row, change, "change", change["change_id"], where, start, until, False) for where in wheres]
    if not found:
        return "none", None, None, None
    best = max(found, key=lambda match: match.rank)
    return best.verdict, best.by, best.reference, best.until


def newest(versions: Iterable[Row], key: str) -> list[dict[str, Any]]:
    """The version with the highest valid_from of each id, of equal ones the last."""
    found: dict[str, dict[str, Any]] = {}
    for version in versions:
        before = found.get(version[key])
        if before is None or version["valid_from"] >= before["valid_from"]:
            found[version[key]] = dict(version)
    return list(found.values())


def counts(order: Row, name: str) -> bool:
    """Whether a clock was told."""
    return order[name] is not None and order[f"{name}_precision"] in {"exact", "day", "typed_later"}


def begins(order: Row, start: int, grace: int) -> int:
    """From when on the order explains what begins: a repair nothing before it was released."""
    soonest = start if order["started_day"] else start - grace
    if order["kind"] not in {None, "corrective"}:
        return soonest
    if not counts(order, "released_at"):
        return start
    released: int = order["released_at"]
    return max(released, start if order["released_at_precision"] == "day" else soonest)


def order_interval(order: dict[str, Any], standing: int) -> tuple[int, int, bool] | None:
    """Begin, end and whether a day is in it; None: it has none, or is a standing order. Notes `started_day`."""
    first = next((name for name in ("started_at", "planned_start") if counts(order, name)), None)
    last = next((name for name in ("finished_at", "planned_end") if counts(order, name)), None)
    if first is None or order["kind"] == "standing":
        return None
    start: int = order[first]
    order["started_day"] = by_day = order[f"{first}_precision"] == "day"
    until = start + standing
    if last is not None:
        ends_day = order[f"{last}_precision"] == "day"
        end = order[last] + (DAY if ends_day else 0)
        if not (last == "planned_end" and first == "started_at" and end <= start):
            until, by_day = end, by_day or ends_day
    return (start, until, by_day) if start < until <= start + standing else None


def path_then(asset_id: str, assets: Iterable[Row], at: int) -> str | None:
    """The asset's path as of an instant: the version that began last, if it has not ended."""
    began = [asset for asset in assets if asset["asset_id"] == asset_id and asset["valid_from"] <= at]
    if not began:
        return None
    asset = max(began, key=lambda version: version["valid_from"])
    return None if asset["valid_to"] is not None and asset["valid_to"] <= at else asset["path"]


def above(path: str | None, of: str | None) -> bool:
    """Whether `path` is above `of`."""
    return path is not None and of is not None and of.startswith(path + "/")


def order_place(row: Row, order: Row, assets: Iterable[Row]) -> tuple[bool, int, int] | None:
    """Whether it is the asset itself, how near (3 itself, 2 above, 1 machine, 0 line), and how deep above."""
    if order["asset_id"] is not None:
        return asset_place(row, order["asset_id"], assets)
    if (path := order["asset_path"]) is not None:
        if path == row["asset_path"]:
            return True, 3, 0
        return (False, 2, len(path.split("/"))) if above(path, row["asset_path"]) else None
    line, unit = order["work_center"], order["work_unit"]
    if unit is not None:
        same = unit == row["work_unit"] and line in {None, row["work_center"]}
        return (False, 1, 0) if same else None
    return (False, 0, 0) if line is not None and line == row["work_center"] else None


def asset_place(row: Row, asset_id: str, assets: Iterable[Row]) -> tuple[bool, int, int] | None:
    """The place of an order on an asset."""
    if asset_id == row["asset_id"]:
        return True, 3, 0
    path = path_then(asset_id, assets, row["begin_time"])
    if path is not None and above(path, row["asset_path"]):
        return False, 2, len(path.split("/"))
    return None


def change_places(row: Row, change: Row, assets: Iterable[Row]) -> list[tuple[bool, int, int]]:
    """The places of a change: what it names with paths includes everything below."""
    found = [asset_place(row, asset_id, assets) for asset_id in change["asset_ids"]]
    for path in change["asset_paths"]:
        if path == row["asset_path"]:
            found.append((True, 3, 0))
        elif above(path, row["asset_path"]):
            found.append((True, 2, len(path.split("/"))))
    return [place for place in found if place is not None]


def judge(
    row: Row, order: Row, by: str, reference: str, where: tuple[bool, int, int], start: int, until: int, by_day: bool
) -> Match:
    """What a match in place and time is worth."""
    asset, near, depth = where
    activity = order["activity"] is not None and order["activity"] in (row["activities"] or ())
    actor = any(account in (row["actors"] or ()) for account in order["actors"])
    security = row["domain"] not in {"process", "telemetry", "prediction"}
    reason = (by == "change" and actor) if security else (activity or actor)
    expected = asset and reason and not by_day
    last = row["end_time"] if row["end_time"] is not None else row["known_until"]
    over = last is not None and last > until
    label = "expired" if over else "expected" if expected else "possible"
    smallest = (*(-ord(letter) for letter in reference), 1)
    ticket = security and by == "change"
    rank = (expected, not over, ticket, near, depth, start, smallest, by == "change")
    return Match(rank, label, by, reference, until)
