"""Sequences by the definition, in nested loops over everything there is. Enter: rules, evidence, assets, tickets.

Leaves: what stands, as (rule, evidence of the steps). Written apart from the part and without its code, but for rules.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streams.core.sequence.rule import Pattern
from streams.core.sequence.rule import Sequence as Rule

Row = dict[str, Any]
Standing = list[tuple[str, str, tuple[str, ...]]]
HOUR = 3_600_000_000


def standing(
    rules: Sequence[Rule],
    evidence: Sequence[Row],
    tickets: Sequence[Row] = (),
    orders: Sequence[Row] = (),
    assets: Sequence[Row] = (),
) -> Standing:
    """(rule_id, last evidence_id, coordinates of all steps) of every alert that stands in the end, sorted."""
    rows = [_placed(row, assets) for row in _newest(evidence, ("site", "evidence_id"))]
    found: Standing = []
    for rule in rules:
        matching = [_matching(pattern, rows) for pattern in rule.patterns]
        for last in rows:
            for near in _entities(rule.relation, last, rows):
                taken = _chain(rule, last, [[row for row in match if row in near] for match in matching])
                if taken is not None and not _ticket(rule, last, taken, tickets, orders, assets):
                    used = sorted((row for step in taken for row in step), key=_order)
                    found.append((rule.id, last["evidence_id"], tuple(row["evidence"][0] for row in used)))
    return sorted(found)


def _order(row: Row) -> tuple[int, str]:
    return row["begin_time"], row["evidence_id"]


def _newest(rows: Sequence[Row], key: tuple[str, ...]) -> list[Row]:
    last: dict[tuple[Any, ...], Row] = {}
    for row in sorted(rows, key=lambda row: row["revision"]):
        last[tuple(row[name] for name in key)] = row
    return list(last.values())


def _placed(row: Row, assets: Sequence[Row]) -> Row:
    blank = dict.fromkeys(("asset_id", "asset_path", "zone", "work_center", "work_unit", "source_address"))
    row = {**blank, "target_address": None, "remote": None, "value": None, **row}
    if row["asset_id"] is None and row["target_address"] is not None:
        there = [one["asset_id"] for one in assets if row["target_address"] in one["interfaces"] and _holds(one, row)]
        row["asset_id"] = min(there, default=None)
    for one in assets:
        if one["asset_id"] == row["asset_id"] and _holds(one, row):
            says = {"asset_path": one["path"], **{name: one.get(name) for name in ("zone", "work_center", "work_unit")}}
            row |= {name: value for name, value in says.items() if row[name] is None}
    return row


def _holds(asset: Row, row: Row) -> bool:
    until = asset.get("valid_to")
    return bool(asset["valid_from"] <= row["begin_time"] and (until is None or row["begin_time"] < until))


def _matching(pattern: Pattern, rows: Sequence[Row]) -> list[Row]:
    found = [row for row in rows if _is(pattern, row)]
    if not pattern.new:
        return found
    return [row for row in found if _new(pattern, row, found, rows)]


def _is(pattern: Pattern, row: Row) -> bool:
    return (
        row["kind"] == pattern.kind
        and row["state"] in pattern.states
        and all(
            row.get(column) is not None and any(fnmatch.fnmatch(row[column].lower(), glob.lower()) for glob in globs)
            for column, globs in pattern.globs
        )
        and (pattern.remote is None or row["remote"] is pattern.remote)
        and (pattern.above is None or (row["value"] is not None and row["value"] > pattern.above))
        and (pattern.below is None or (row["value"] is not None and row["value"] < pattern.below))
    )


def _new(pattern: Pattern, row: Row, found: Sequence[Row], rows: Sequence[Row]) -> bool:
    pair = _pair(pattern, row)
    first_us = min(one["event_time"] for one in rows if one["site"] == row["site"])
    if pair is None or row["begin_time"] - first_us < pattern.learn_us:
        return False
    since_us = row["begin_time"] - pattern.learn_us
    before = [one for one in found if _order(one) < _order(row) and one["begin_time"] >= since_us]
    return not any(_pair(pattern, one) == pair for one in before)


def _pair(pattern: Pattern, row: Row) -> tuple[Any, ...] | None:
    who = tuple(sorted(row["actors"])) if pattern.new == "actor" else row["source_address"]
    asset = row["asset_id"] or row["target_address"]
    return (row["site"], who, asset) if who and asset else None


def _entities(relation: str, last: Row, rows: Sequence[Row]) -> list[list[Row]]:
    """The evidence that is related to `last`, once for each thing that relates it."""
    here = [row for row in rows if row["site"] == last["site"]]
    if relation == "actor":
        return [[row for row in here if actor in row["actors"]] for actor in set(last["actors"])]
    if relation == "ancestor":
        path = last["asset_path"]
        return [[row for row in here if _line(path, row["asset_path"])]] if path else []
    names = {"asset": ("asset_id",), "zone": ("zone",), "address": ("source_address",), "site": ()}
    columns = names.get(relation, ("work_center", "work_unit"))
    if not all(last[name] for name in columns):
        return []
    return [[row for row in here if all(row[name] == last[name] for name in columns)]]


def _line(one: str, other: str | None) -> bool:
    return bool(other) and (one == other or one.startswith(f"{other}/") or str(other).startswith(f"{one}/"))


def _chain(rule: Rule, last: Row, matching: list[list[Row]]) -> list[list[Row]] | None:
    steps = matching[: len(rule.steps)]
    ends = [number for number, rows in enumerate(steps) if last in rows]
    if rule.order == "ordered":
        ends = [number for number in ends if number == len(steps) - 1]
    for end in ends:
        taken = _taken(rule, last, end, steps)
        if taken is not None:
            return None if _present(rule, matching, taken) else taken
    return None


def _taken(rule: Rule, last: Row, end: int, steps: list[list[Row]]) -> list[list[Row]] | None:
    used, taken = [last["evidence_id"]], {end: [last]}
    unordered = rule.order != "ordered"
    until_us = last["begin_time"]
    for number in range(len(steps)) if unordered else reversed(range(len(steps))):
        wanted = rule.steps[number].count - (1 if number == end else 0)
        able = [
            row
            for row in steps[number]
            if row["evidence_id"] not in used
            and row["begin_time"] >= last["begin_time"] - rule.within_us
            and (_order(row) < _order(last) if unordered or number == end else row["begin_time"] <= until_us)
        ]
        if len(able) < wanted:
            return None
        some = sorted(able, key=_order, reverse=True)[:wanted]
        used += [row["evidence_id"] for row in some]
        taken.setdefault(number, []).extend(some)
        until_us = min(row["begin_time"] for row in taken[number])
    return [taken[number] for number in range(len(steps))]


def _present(rule: Rule, matching: list[list[Row]], taken: list[list[Row]]) -> bool:
    times = [row["begin_time"] for step in taken for row in step]
    used = [row["evidence_id"] for step in taken for row in step]
    spans: dict[str, Callable[[int], tuple[int, int]]] = {
        "between": lambda _: (min(times), max(times)),
        "before": lambda within: (min(times) - within, min(times) - 1),
        "after": lambda within: (max(times) + 1, max(times) + within),
    }
    return any(
        row["evidence_id"] not in used and low <= row["begin_time"] <= high
        for absent, rows in zip(rule.absent, matching[len(rule.steps) :], strict=True)
        for low, high in [spans[absent.when](absent.within_us)]
        for row in rows
    )


def _ticket(
    rule: Rule,
    last: Row,
    taken: list[list[Row]],
    tickets: Sequence[Row],
    orders: Sequence[Row],
    places: Sequence[Row],
) -> bool:
    """Whether a ticket that the rule asks for covers the last step."""
    actors = {actor for step in taken for row in step for actor in row["actors"]}
    spans: list[tuple[Any, ...]] = []
    if "change" in rule.without:
        spans += [
            (one, one.get("start"), one.get("end"), one["asset_ids"], one["asset_paths"], 0)
            for one in _latest(tickets, "change_id")
            if one["status"] in {"approved", "active", "closed"}
        ]
    if "work_order" in rule.without:
        spans += [
            # Planned work may begin before its clock is pressed; work on a failure not before it was released.
            (
                one,
                one["started_at"],
                one["finished_at"],
                [one["asset_id"]],
                [],
                HOUR // 12 * (one["kind"] != "corrective"),
            )
            for one in _latest(orders, "order_id")
            if one["status"] in {"released", "started", "arrived", "finished", "verified"} and one["kind"] != "standing"
        ]
    above = [one["asset_id"] for one in places if _holds(one, last) and _below(last["asset_path"] or "", one["path"])]
    return any(_covers(rule, last, actors, {last["asset_id"], *above}, *span) for span in spans)


def _latest(rows: Sequence[Row], key: str) -> list[Row]:
    last: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row["valid_from"]):
        last[row[key]] = row
    return list(last.values())


def _covers(
    rule: Rule, last: Row, actors: set[str], of: set[str | None], ticket: Mapping[str, Any], start: int | None,
    end: int | None, assets: Sequence[str], paths: Sequence[str], grace: int,
) -> bool:  # fmt: skip
    if start is None:
        return False
    end = start + 72 * HOUR if end is None else end
    path = last["asset_path"] or ""
    here = bool(of & set(assets)) or any(_below(path, above) for above in paths)
    does = not ticket.get("activity") or not rule.activities or ticket["activity"] in rule.activities
    may = not ticket["actors"] or not actors or bool(actors & set(ticket["actors"]))
    lasts = 0 < end - start <= 72 * HOUR
    return bool(lasts and here and does and may and start - grace <= last["begin_time"] < end)


def _below(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}/")
