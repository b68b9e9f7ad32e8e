"""Rules on silence joined with the IT context, once per version. Enter: rules, signals, assets. Leaves: `Watched`.

A *slot* is a signal of the dictionary that a rule watches, a *node* an edge node on one line. Of several rules of one
type that select the same signal (node, zone) the one that selects most narrowly holds, of equals the first by id: so a
plant's own rule for some signals replaces the bundled one there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from streams.core.alert.rule import Rule
from streams.core.alert.rule_match import Integers, Mask, by_code, wanted
from streams.core.alert.silence.slots import codes
from streams.core.alert.silence.tables import Standing
from streams.core.alert.silence.watch import (
    BAD_QUALITY,
    FROZEN,
    MISSING,
    OF_NODES,
    SEGMENT_DOWN,
    SOURCE_OFFLINE,
    Watch,
)
from streams.core.dictionary import versions
from streams.core.frames import ID
from streams.core.times import FOREVER_US, SECOND_US, microseconds

# Between readings that are further apart than so many periods nothing is known: that time never counts as frozen.
GAP_PERIODS: Final = 3
# A source whose stamps leap by more than so many of its shortest periods has not been there meanwhile.
LEAP_PERIODS: Final = 2
# Of a source that has no periodic signal.
_LEAP_US: Final = LEAP_PERIODS * SECOND_US
NONE: Final = -1
_LIMITS: Final = pl.Schema({"source_id": ID, "work_center": ID, "limit_us": pl.Int64()})


@dataclass(frozen=True)
class Node:
    """An edge node on a line: what it must send, and where it stands. Limit in us; rules by their numbers."""

    source_id: str
    work_center: str
    site: str
    tenant: str | None
    zone: str | None
    limit_us: int
    rule: int
    segment_rule: int


@dataclass(frozen=True)
class Watched:
    """What the rules mean for one dictionary. Arrays are by slot; rule numbers are NONE where no rule watches.

    `signals` has a row per slot: signal_id, source_id, site, tenant, work_center, valid_from, valid_to, state_signal
    (of its machine). `missing_us`, `bad_us`, `frozen_us` are limits (FOREVER_US: none); `gap_us` is how far apart
    readings may be; `asks` tells whether the machine's state matters (`states`: the signals that tell it). `leap_us`
    (by the code of a source) is how far its stamps may leap; `limits` has source_id, work_center, limit_us of `nodes`.
    """

    rules: tuple[Rule, ...]
    signals: pl.DataFrame
    slot_of: Integers
    number: dict[str, Integers]
    missing_us: Integers
    bad_us: Integers
    frozen_us: Integers
    gap_us: Integers
    resolution: np.typing.NDArray[np.float64]
    asks: Mask
    states: pl.Series
    leap_us: Integers
    nodes: dict[tuple[str, str], Node]
    limits: pl.DataFrame

    @property
    def slots(self) -> int:
        """Number of signals that rules watch."""
        return self.signals.height

    def slot(self, signal_ids: pl.Series) -> Integers:
        """Slots of Categorical signal ids; -1 where no rule watches the signal."""
        # Its last entry is that of nulls, and of ids that came later.
        return self.slot_of[np.minimum(codes(signal_ids), len(self.slot_of) - 1)]

    def watches(self, standing: Standing, clock_us: int) -> bool:
        """Whether the rule of an alert still watches what it is about, at a time of its source."""
        if standing.type in OF_NODES:
            at = {SOURCE_OFFLINE: "rule", SEGMENT_DOWN: "segment_rule"}[standing.type]
            return any(
                node.work_center == standing.work_center and node.zone == standing.zone
                and standing.source_id in {None, node.source_id} and self._id(getattr(node, at)) == standing.rule_id
                for node in self.nodes.values()
            )  # fmt: skip
        slot = int(self.slot(pl.Series([standing.signal_id], dtype=ID))[0])
        return (
            slot >= 0
            and self._id(int(self.number[standing.type][slot])) == standing.rule_id
            and self.signals["valid_to"][slot] > clock_us
        )

    def moved(self, standing: Standing) -> int | None:
        """Since when the signal of an alert belongs to another line; None: it does not."""
        slot = int(self.slot(pl.Series([standing.signal_id], dtype=ID))[0])
        if slot < 0 or self.signals["work_center"][slot] == standing.work_center:
            return None
        return int(self.signals["valid_from"][slot])

    def _id(self, number: int) -> str:
        return self.rules[number].id if number >= 0 else ""


def compile_watch(rules: Sequence[Rule], signals: pl.DataFrame, assets: pl.DataFrame) -> Watched:
    """Running rules on silence with what they watch, by the newest version of every entry."""
    entries = versions(signals).unique("signal_id", keep="last").sort("signal_id")
    found = {kind: _assigned(rules, kind, entries) for kind in (MISSING, BAD_QUALITY, FROZEN)}
    periodic = entries.select((pl.col("reporting") == "periodic") & pl.col("period_ms").is_not_null()).to_series()
    # A signal that is sent on change says by its silence that nothing changed.
    for kind in (MISSING, FROZEN):
        found[kind][~periodic.to_numpy()] = NONE
    keep = (found[MISSING] >= 0) | (found[BAD_QUALITY] >= 0) | (found[FROZEN] >= 0)
    number = {kind: own[keep] for kind, own in found.items()}
    rows = _with_state(entries).filter(keep)
    period_us = rows["period_ms"].fill_null(0).to_numpy() * 1000
    ids = rows["signal_id"].cast(ID)
    named = pl.col("signal_id", "source_id", "site", "tenant", "work_center", "state_signal").cast(ID)
    kept = rows.select(named, "valid_from", "valid_to")
    number_of = number[FROZEN]
    asks = np.array([n >= 0 and bool(_watch(rules[n]).unless) for n in number_of], dtype=np.bool_)
    asks &= kept["state_signal"].is_not_null().to_numpy()
    resolution = np.array([_watch(rules[n]).resolution if n >= 0 else 0.0 for n in number_of], dtype=np.float64)
    sending = entries.filter(periodic & (pl.col("valid_to") == FOREVER_US))
    nodes = _nodes(rules, sending, assets)
    limits = [(node.source_id, node.work_center, node.limit_us) for node in nodes.values()]
    return Watched(
        rules=tuple(rules),
        signals=kept,
        slot_of=np.append(by_code(ids, np.arange(len(ids), dtype=np.int64), NONE), NONE),
        number=number,
        missing_us=_limits(rules, number[MISSING], period_us),
        bad_us=_limits(rules, number[BAD_QUALITY], period_us),
        frozen_us=_limits(rules, number[FROZEN], period_us),
        gap_us=period_us * GAP_PERIODS,
        resolution=resolution,
        asks=asks,
        states=kept["state_signal"].filter(pl.Series(asks)).unique(),
        leap_us=_leaps(sending),
        nodes=nodes,
        limits=pl.DataFrame(limits, schema=_LIMITS, orient="row"),
    )


def _assigned(rules: Sequence[Rule], kind: str, rows: pl.DataFrame) -> Integers:
    """By row: the number of the rule of type `kind` that watches it."""
    number = np.full(rows.height, NONE, dtype=np.int64)
    own = [(n, rule) for n, rule in enumerate(rules) if rule.type == kind]
    for n, rule in sorted(own, key=lambda pair: (_narrowness(pair[1]), -pair[0])):
        number[rows.with_columns(_wanted=wanted(rule.select))["_wanted"].to_numpy()] = n
    return number


def _watch(rule: Rule) -> Watch:
    assert rule.watch is not None
    return rule.watch


def _narrowness(rule: Rule) -> int:
    select = rule.select
    return len(select.globs) * 4 + (select.unit is not None) * 2 + bool(select.role)


def _limits(rules: Sequence[Rule], number: Integers, period_us: Integers) -> Integers:
    limits = np.full(len(number), FOREVER_US)
    for n in np.unique(number[number >= 0]):
        watch, own = _watch(rules[n]), number == n
        limits[own] = np.maximum(microseconds(watch.after_s), np.rint(watch.periods * period_us[own]).astype(np.int64))
    return limits


def _with_state(entries: pl.DataFrame) -> pl.DataFrame:
    """`entries` with the signal that tells the state of their machine, `state_signal`."""
    units = entries.filter((pl.col("role") == "state") & pl.col("work_unit").is_not_null())
    units = units.unique(["work_center", "work_unit"], keep="first", maintain_order=True)
    units = units.select("work_center", "work_unit", state_signal="signal_id")
    return entries.join(units, on=["work_center", "work_unit"], how="left", maintain_order="left")


def _leaps(periodic: pl.DataFrame) -> Integers:
    fastest = periodic.group_by(pl.col("source_id").cast(ID)).agg(pl.col("period_ms").min())
    leaps = fastest["period_ms"].to_numpy() * 1000 * LEAP_PERIODS
    # The last entry is that of sources that came later.
    return np.append(by_code(fastest["source_id"], leaps, _LEAP_US), _LEAP_US)


def _nodes(rules: Sequence[Rule], periodic: pl.DataFrame, assets: pl.DataFrame) -> dict[tuple[str, str], Node]:
    """Nodes that have a periodic signal on a line: only they can be missed."""
    lines = ["source_id", "work_center"]
    nodes = periodic.group_by(lines).agg(pl.col("site", "tenant").first(), pl.col("period_ms").min()).sort(lines)
    nodes = nodes.join(_zones(periodic, assets), on=lines, how="left", maintain_order="left")
    offline, segment = _assigned(rules, SOURCE_OFFLINE, nodes), _assigned(rules, SEGMENT_DOWN, nodes)
    limits = _limits(rules, offline, nodes["period_ms"].to_numpy() * 1000)
    return {
        (row["source_id"], row["work_center"]): Node(
            row["source_id"], row["work_center"], row["site"] or "", row["tenant"], row["zone"], int(limit), int(own),
            int(zone) if row["zone"] else NONE,
        )
        for row, limit, own, zone in zip(nodes.rows(named=True), limits, offline, segment, strict=True)
        if own >= 0
    }  # fmt: skip


def _zones(periodic: pl.DataFrame, assets: pl.DataFrame) -> pl.DataFrame:
    """source_id, work_center, zone: that of the node's own asset, else of most assets whose signals it sends.

    A node's own asset is the one whose asset_id is the node's source_id.
    """
    newest = assets.sort("valid_from").unique("asset_id", keep="last").filter(pl.col("zone").is_not_null())
    own = newest.select(source_id="asset_id", own="zone")
    units = newest.filter(pl.col("work_unit").is_not_null()).sort("asset_id")
    units = units.unique(["work_center", "work_unit"], keep="first", maintain_order=True)
    units = units.select("work_center", "work_unit", machine="zone")
    zones = (
        periodic.join(newest.select("asset_id", asset="zone"), on="asset_id", how="left")
        .join(units, on=["work_center", "work_unit"], how="left")
        .join(own, on="source_id", how="left")
        .with_columns(zone=pl.coalesce("own", "asset", "machine"))
        .filter(pl.col("zone").is_not_null())
    )
    counted = zones.group_by("source_id", "work_center", "zone").len().sort("len", "zone", descending=[True, False])
    return counted.unique(["source_id", "work_center"], keep="first", maintain_order=True).drop("len")


def leap_of(watched: Watched, sources: Integers) -> Integers:
    """How far (us) the stamps of each source, by its code, may leap while it is there."""
    return watched.leap_us[np.minimum(sources, len(watched.leap_us) - 1)]
