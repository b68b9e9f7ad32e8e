"""Who is above whom. Enter: versions of assets (`asset_id`, `parent_id`). Leaves: why the top is not reached from them.

The hierarchy is that of the newest versions; each version needs a parent of its own that is somewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

# Rows and assets that one sentence names.
NAMED: Final = 8


def reasons(rows: pl.DataFrame, known: pl.DataFrame) -> pl.Series:
    """For each of `rows` the way that leads nowhere ("cycle ..." where it leads around); null: it is right."""
    parents = _parents(known, rows)
    lost = _lost(parents)
    each = rows.select("asset_id", "parent_id").iter_rows()
    return pl.Series("_why", [_why(asset, above, parents, lost) for asset, above in each], pl.String)


def _parents(known: pl.DataFrame, rows: pl.DataFrame) -> dict[str, str | None]:
    """The parent of each asset as its newest version tells it; of equal ones that of the file."""
    newest = dict[str, tuple[int, str | None]]()
    for frame in (known, rows):
        if {"asset_id", "parent_id"} <= set(frame.columns):
            since = pl.col("valid_from") if "valid_from" in frame.columns else pl.lit(0)
            for asset, above, begin in frame.select("asset_id", "parent_id", since.fill_null(0)).iter_rows():
                if asset not in newest or begin >= newest[asset][0]:
                    newest[asset] = (begin, above)
    return {asset: above for asset, (_, above) in newest.items()}


def _why(asset: str, above: str | None, parents: Mapping[str, str | None], lost: Mapping[str, str]) -> str | None:
    """What is wrong above one version of an asset; its newest may be right, and this one not."""
    if asset in lost or above is None:
        return lost.get(asset)
    return lost.get(above) if above in parents else f"{asset} -> {above}"


def _lost(parents: Mapping[str, str | None]) -> dict[str, str]:
    """The assets from which nobody reaches the top, each with why. Every asset is passed once."""
    lost, safe = dict[str, str](), set[str]()
    for asset in parents:
        if asset in lost or asset in safe:
            continue
        way, above = {asset: None}, parents[asset]
        while above is not None and above in parents and not any(above in passed for passed in (safe, lost, way)):
            way[above] = None
            above = parents[above]
        if above is None or above in safe:
            safe.update(way)
        else:
            _lose(list(way), above, lost)
    return lost


def _lose(way: list[str], above: str, lost: dict[str, str]) -> None:
    """Note why all assets of a way are lost that ends at `above`: on the way itself, lost before, or nowhere."""
    ring = way[way.index(above) :] if above in way else []
    twice = ring * 2
    for place, one in enumerate(ring):
        round_ = twice[place : place + min(len(ring), NAMED)]
        lost[one] = "cycle " + " -> ".join([*round_, one if len(ring) <= NAMED else "..."])
    below = way[: len(way) - len(ring)]
    why = lost.get(above, f"{way[-1]} -> {above}")
    for one in reversed(below):
        if why.startswith("cycle") and why.count(" -> ") <= NAMED:
            why = f"cycle {one} -> {why.removeprefix('cycle ')}"
        lost[one] = why
