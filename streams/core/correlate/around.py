"""What the context says around an incident. Enter: the context, places, instants. Leave: rows of assets and orders.

Few rows are asked for at a time, of frames that may have a million: row numbers by key are kept with the frame they
are of. Of orders and changes the newest version speaks (highest `valid_from`), of assets the one that held then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from streams import topology
from streams.core.alert.enrich import effective
from streams.core.context import Context, Memo
from streams.core.times import DAY_US, FOREVER_US
from streams.core.verdict.explanations import (
    AT_ASSET,
    AT_LINE,
    AT_PATH,
    AT_UNIT,
    AT_UNIT_OF_LINE,
    BETWEEN,
    Policy,
    path,
    told,
)

Row = dict[str, Any]

# What lasts longer than this is a standing order; what has no end counts for so long (decision record 21).
STANDING_US: Final = Policy().standing_us
CLOCKS: Final = (
    *("planned_start", "planned_end", "released_at", "started_at", "arrived_at", "finished_at", "verified_at"),
)
# The columns of work orders that are looked at.
_WORK_ORDER: Final = (
    *(
        "order_id",
        "valid_from",
        "site",
        "asset_id",
        "asset_path",
        "work_center",
        "work_unit",
        "kind",
        "status",
        "activity",
    ),
    *("failure_mode", *CLOCKS, *(f"{clock}_precision" for clock in CLOCKS)),
)

# How near a place is, the nearest first: the asset itself; the same machine, or a part of it; what stands above.
SAME: Final = "same"
UNIT: Final = "unit"
ABOVE: Final = "above"
NEARNESS: Final = (SAME, UNIT, ABOVE)


class Place(NamedTuple):
    """An asset of an incident as seen from a key: how near it is, and the first evidence on it."""

    near: str
    begin_us: int
    evidence_id: str


class Rows:
    """Rows of `frame` by key. `keys`: `_at` (row number of the frame), `key`, and `_from`, `_to`: when a row matters.

    Rows without one of these are never found.
    """

    def __init__(self, frame: pl.DataFrame, keys: pl.DataFrame) -> None:
        self._frame = frame
        placed = keys.drop_nulls(["key", "_from", "_to"]).sort("key", "_at")
        self._at, self._from, self._to = (placed[name].to_numpy() for name in ("_at", "_from", "_to"))
        counts = placed.group_by("key", maintain_order=True).len()
        ends = counts["len"].cum_sum()
        self._spans = dict(zip(counts["key"], zip(ends - counts["len"], ends, strict=True), strict=True))

    def of(self, keys: Iterable[str], low_us: int, high_us: int) -> list[Row]:
        """The rows under any of these keys that matter within [low_us, high_us], each once, in the frame's order.

        `_keys`: those that it was found under.
        """
        found: dict[int, list[str]] = {}
        for key in keys:
            low, high = self._spans.get(key, (0, 0))
            within = (self._from[low:high] <= high_us) & (self._to[low:high] >= low_us)
            for number in self._at[low:high][within].tolist():
                found.setdefault(number, []).append(key)
        numbers = sorted(found)
        rows = self._frame[numbers].to_dicts() if numbers else []
        return [row | {"_keys": found[number]} for number, row in zip(numbers, rows, strict=True)]


class Assets:
    """Versions of it.asset.v1 as of an instant."""

    def __init__(self, frame: pl.DataFrame) -> None:
        versions = effective(frame.with_columns(path=path(pl.col("path"))), "asset_id")
        at = versions.with_row_index("_at").with_columns(_from="valid_from", _to=pl.col("valid_to") - 1)
        unit = told("work_center") + BETWEEN + told("work_unit")
        fed = at.explode("feeds", empty_as_null=False, keep_nulls=False)
        says = ("asset_id", "path", "name", "work_center", "work_unit", "criticality", "owner")
        self._by_id, self._by_path, self._by_unit, self._feeding = (
            # A row is made of few columns: what a column costs, each row that is looked up pays.
            Rows(versions.select(columns), keys.select("_at", "_from", "_to", key=key))
            for keys, key, columns in (
                (at, pl.col("asset_id"), says),
                (at, pl.col("path"), ("asset_id", "path", "work_unit", "owner")),
                (at, unit, ("asset_id", "path")),
                (fed, pl.col("feeds"), ("asset_id",)),
            )
        )

    def of(self, asset_id: str | None, at_us: int) -> Row | None:
        """What an asset is then; None where it is not known."""
        rows = self._by_id.of([asset_id or ""], at_us, at_us)
        return rows[0] if rows else None

    def feeding(self, asset_id: str, at_us: int) -> list[str]:
        """asset_ids of what feeds it then, sorted."""
        return sorted({str(row["asset_id"]) for row in self._feeding.of([asset_id], at_us, at_us)})

    def above(self, where: str | None, at_us: int) -> list[Row]:
        """Assets that stand at the paths above `where`, the deepest first."""
        rows = self._by_path.of(prefixes(where), at_us, at_us)
        return sorted(rows, key=lambda row: (-len(row["path"]), row["asset_id"]))

    def machine(self, asset_id: str, at_us: int) -> list[str]:
        """The asset and what it is a part of within its work unit."""
        own = self.of(asset_id, at_us)
        above = self.above(own["path"], at_us) if own else []
        return [asset_id, *(str(row["asset_id"]) for row in above if row["work_unit"])]

    def unit(self, work_center: str | None, work_unit: str | None, at_us: int) -> list[Row]:
        """Everything that belongs to a work unit."""
        if not work_center or not work_unit:
            return []
        return self._by_unit.of([f"{work_center}{BETWEEN}{work_unit}"], at_us, at_us)


def prefixes(where: str | None) -> list[str]:
    """The paths above a path: "a/b/c" is below "a/b" and "a"."""
    parts = (where or "").strip("/").split("/")
    return ["/".join(parts[:depth]) for depth in range(len(parts) - 1, 0, -1)]


def places(members: Sequence[Row], assets: Assets) -> dict[str, list[Place]]:
    """The incident's places by key, as orders, changes and logons may tell them.

    `members` (asset_id, asset_path, work_center, work_unit, begin_time, evidence_id) in order: of each asset (line,
    machine) the first counts.
    """
    found: dict[str, list[Place]] = {}
    seen = set()
    for row in members:
        where = (row["asset_id"], row["asset_path"], row["work_center"], row["work_unit"])
        if where not in seen:
            seen.add(where)
            for key, near in _keys(row, assets).items():
                found.setdefault(key, []).append(Place(near, row["begin_time"], row["evidence_id"]))
    return found


def _keys(row: Row, assets: Assets) -> dict[str, str]:
    """Keys of the places of a member, each with how near it is; the nearest first."""
    at_us, line, unit = row["begin_time"], row["work_center"], row["work_unit"]
    found: dict[str, str] = {}
    if row["asset_id"]:
        found[AT_ASSET + row["asset_id"]] = SAME
    if row["asset_path"]:
        found[AT_PATH + row["asset_path"]] = SAME
    for part in assets.unit(line, unit, at_us):
        found.setdefault(AT_ASSET + part["asset_id"], UNIT)
        if part["path"]:
            found.setdefault(AT_PATH + part["path"], UNIT)
    if unit:
        found[AT_UNIT + unit] = UNIT
    if line:
        found[AT_LINE + line] = UNIT if not unit and not row["asset_id"] else ABOVE
    if line and unit:
        found[f"{AT_UNIT_OF_LINE}{line}{BETWEEN}{unit}"] = UNIT
    for prefix in prefixes(row["asset_path"]):
        found.setdefault(AT_PATH + prefix, ABOVE)
    for above in assets.above(row["asset_path"], at_us):
        found.setdefault(AT_ASSET + above["asset_id"], UNIT if above["work_unit"] else ABOVE)
    return found


def nearest(row_keys: Iterable[str], around: dict[str, list[Place]]) -> list[Place]:
    """The places that a row under these keys is on or near, the nearest first."""
    found = {place for key in row_keys for place in around.get(key, ())}
    return sorted(found, key=lambda place: (NEARNESS.index(place.near), place.begin_us, place.evidence_id))


def _newest(frame: pl.DataFrame, key: str) -> pl.DataFrame:
    """`frame` with `_at`, its row numbers: the newest version of each `key`."""
    rows = frame.with_row_index("_at").sort("valid_from", maintain_order=True)
    return rows.unique(key, keep="last", maintain_order=True)


def _work_orders(context: Context) -> Rows:
    frame = context.frame(topology.WORK_ORDER.name).select(_WORK_ORDER)
    line, unit = told("work_center"), told("work_unit")
    narrowest = pl.coalesce(
        AT_ASSET + told("asset_id"),
        AT_PATH + path(pl.col("asset_path")),
        AT_UNIT_OF_LINE + line + BETWEEN + unit,
        AT_UNIT + unit,
        AT_LINE + line,
    )
    # What has no end lasts as long as one that stands; the last of its clocks may be a day.
    last = pl.max_horizontal(CLOCKS) + STANDING_US + DAY_US
    span = {"_from": pl.min_horizontal(CLOCKS), "_to": last}
    return Rows(frame, _newest(frame, "order_id").select("_at", key=narrowest, **span))


def _changes(context: Context) -> Rows:
    frame = context.frame(topology.CHANGE.name)
    newest = _newest(frame, "change_id")
    span = {"_from": pl.col("start"), "_to": pl.coalesce("end", pl.col("start") + STANDING_US)}
    parts = [
        newest.explode(column, empty_as_null=False, keep_nulls=False).select("_at", key=key, **span)
        for column, key in (
            ("asset_ids", AT_ASSET + told("asset_ids")),
            ("asset_paths", AT_PATH + path(pl.col("asset_paths"))),
        )
    ]
    return Rows(frame, pl.concat(parts))


def _production(context: Context) -> Rows:
    frame = context.frame(topology.PRODUCTION_ORDER.name)
    span = {"_from": pl.col("actual_start"), "_to": pl.col("actual_end").fill_null(FOREVER_US)}
    return Rows(frame, _newest(frame, "order_id").select("_at", key="work_center", **span))


ASSETS: Final = Memo((topology.ASSET.name,), lambda context: Assets(context.frame(topology.ASSET.name)))
WORK_ORDERS: Final = Memo((topology.WORK_ORDER.name,), _work_orders)
CHANGES: Final = Memo((topology.CHANGE.name,), _changes)
PRODUCTION: Final = Memo((topology.PRODUCTION_ORDER.name,), _production)
