"""What makes two pieces of evidence related. Enter: links.toml, members, assets. Leave: who seeks whom, and how far.

Every kind of relation is told by tokens: a member seeks members that own a token of its, within a span of event time.
Both sides may seek, so that relations are symmetric, and the outcome does not depend on who came first.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import polars as pl

from streams.core.alert.enrich import effective
from streams.core.times import DAY_US, FOREVER_US, SECOND_US

MEASURES: Final = ("begin", "stand")
_LIMIT_S: Final = 7 * DAY_US // SECOND_US


class LinkFaults(ValueError):
    """Everything that is wrong with a file of links."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Link(NamedTuple):
    """A kind of relation, and how far apart in event time what is so related may be."""

    kind: str
    within_us: int
    measure: str = "begin"


@dataclass(frozen=True)
class Links:
    """What links.toml says. Spans in microseconds."""

    links: tuple[Link, ...]
    quiet_us: int
    span_us: int
    members: int
    near_us: int

    @property
    def widest_us(self) -> int:
        """What lies further apart than this, begin or standing time, is not linked."""
        return max(link.within_us for link in self.links)


class Sides(NamedTuple):
    """Frames of (`row`, `token`): what members look for, and what they are found by."""

    seekers: pl.DataFrame
    owners: pl.DataFrame


def parse(text: str) -> Links:
    """Links of a file. Raises LinkFaults with everything that is wrong with it."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise LinkFaults((f"not TOML: {why}",)) from why
    faults: list[str] = []
    numbers = {name: _number(data, name, faults) for name in ("quiet_s", "span_s", "members", "near_s")}
    unknown = sorted(data.keys() - {*numbers, "version", "link"})
    faults += [f"{name}: no such field; known are {', '.join(numbers)}, version and [[link]]" for name in unknown]
    entries = data.get("link")
    if not isinstance(entries, list) or not entries:
        faults.append("link: give at least one [[link]] with kind, within_s and text")
        entries = []
    links = [_link(index, entry, faults) for index, entry in enumerate(entries, 1)]
    kinds = [link.kind for link in links]
    faults += [f"link: {kind} is there twice; keep one" for kind in sorted({k for k in kinds if kinds.count(k) > 1})]
    if not faults and any(link.within_us > numbers["quiet_s"] * SECOND_US for link in links):
        faults.append("quiet_s: is shorter than a within_s: what is closed would be opened again; make it as long")
    if faults:
        raise LinkFaults(tuple(faults))
    quiet_us, span_us, near_us = (numbers[name] * SECOND_US for name in ("quiet_s", "span_s", "near_s"))
    return Links(tuple(links), quiet_us, span_us, numbers["members"], near_us)


def _number(entry: Mapping[str, Any], name: str, faults: list[str], where: str = "") -> int:
    value = entry.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LIMIT_S:
        return value
    faults.append(f"{where}{name}: give a whole number from 1 to {_LIMIT_S}")
    return 1


def _link(index: int, entry: Any, faults: list[str]) -> Link:
    where = f"link {index}: "
    if not isinstance(entry, dict):
        faults.append(f"{where}give it as a table: [[link]]")
        return Link("", 0)
    kind, measure = entry.get("kind"), entry.get("measure", "begin")
    if kind not in RELATIONS:
        faults.append(f"{where}kind: one of {', '.join(RELATIONS)}")
    if measure not in MEASURES:
        faults.append(f"{where}measure: one of {', '.join(MEASURES)}")
    if not isinstance(entry.get("text"), str) or not entry["text"].strip():
        faults.append(f"{where}text: say in a sentence what is linked")
    unknown = sorted(entry.keys() - {"kind", "within_s", "measure", "text"})
    faults += [f"{where}{name}: no such field; known are kind, within_s, measure and text" for name in unknown]
    return Link(str(kind), _number(entry, "within_s", faults, where) * SECOND_US, str(measure))


def spans(members: pl.DataFrame, link: Link) -> pl.DataFrame:
    """`row`, `from_us`, `to_us`: where a member (row, begin_us, stop_us) looks for the begins of others."""
    last = pl.col("begin_us") if link.measure == "begin" else pl.max_horizontal(
        "begin_us", pl.col("stop_us").fill_null(FOREVER_US - link.within_us)
    )  # fmt: skip
    return members.select("row", from_us=pl.col("begin_us") - link.within_us, to_us=last + link.within_us)


def _token(*parts: str) -> pl.Expr:
    """A text of the site and all these columns; null where one of them is null or empty."""
    told = [pl.when(pl.col(part) != "").then(pl.col(part)) for part in parts]
    return pl.concat_str([pl.col("site"), *told], separator="\n").alias("token")


def _both(rows: pl.DataFrame) -> Sides:
    told = rows.filter(pl.col("token").is_not_null()).unique()
    return Sides(told, told)


def _equipment(members: pl.DataFrame, _: pl.DataFrame) -> Sides:
    asset = members.select("row", token=pl.format("asset\n{}", _token("asset_id")))
    unit = members.select("row", token=pl.format("unit\n{}", _token("work_center", "work_unit")))
    return _both(pl.concat([asset, unit]))


def equipment(assets: pl.DataFrame) -> pl.DataFrame:
    """Versions of it.asset.v1 that take part in a process flow: asset_id, valid_from, valid_to, path, feeds, `in_unit`.

    Their intervals do not overlap; `in_unit`: it is a work unit, or a part of one.
    """
    feeding = assets.filter(pl.col("feeds").list.len() > 0)
    takes_part = assets["asset_id"].is_in(
        pl.concat([feeding["asset_id"], feeding["feeds"].explode()]).unique().implode()
    )
    return effective(assets.filter(takes_part), "asset_id").select(
        "asset_id",
        "valid_from",
        "valid_to",
        "path",
        "feeds",
        in_unit=(pl.col("work_unit") != "").fill_null(value=False),
    )


def prefixes(paths: pl.Series) -> pl.DataFrame:
    """`path` and each `above` that it is a part of: "a/b/c" is a part of "a/b" and of "a"."""
    pairs = [
        (path, "/".join(parts[:depth]))
        for path in paths.drop_nulls().unique()
        for parts in (path.split("/"),)
        for depth in range(1, len(parts))
    ]
    return pl.DataFrame(pairs, schema={"path": pl.String(), "above": pl.String()}, orient="row")


def _hierarchy(members: pl.DataFrame, _: pl.DataFrame) -> Sides:
    """Only within one work center: what stands above the line has none, or is no part of it."""
    placed = members.filter(pl.col("work_center").fill_null("") != "", pl.col("asset_path").is_not_null())
    above = placed.join(prefixes(placed["asset_path"]), left_on="asset_path", right_on="path")
    owners = placed.select("row", _token("work_center", "asset_path"))
    return Sides(above.select("row", _token("work_center", "above")), owners)


def _flow(members: pl.DataFrame, assets: pl.DataFrame) -> Sides:
    """`assets`: see `equipment`. A member's asset feeds another's, or what they are parts of do."""
    valid = (pl.col("begin_us") >= pl.col("valid_from")) & (pl.col("begin_us") < pl.col("valid_to"))
    own = members.select("row", "site", "begin_us", asset="asset_id", path="asset_path")
    above = own.join(prefixes(own["path"]), on="path").join(
        assets.filter("in_unit").select("valid_from", "valid_to", above="path", of="asset_id"), on="above"
    )
    facts = ("row", "site", "begin_us")
    told = pl.concat([own.select(*facts, "asset"), above.filter(valid).select(*facts, asset="of")])
    told = told.filter(pl.col("asset").is_not_null())
    fed = told.join(assets.select("valid_from", "valid_to", "feeds", asset="asset_id"), on="asset").filter(valid)
    fed = fed.explode("feeds").filter(pl.col("feeds").is_not_null())
    return Sides(fed.select("row", _token("feeds")).unique(), told.select("row", _token("asset")).unique())


def _rule(members: pl.DataFrame, _: pl.DataFrame) -> Sides:
    alerts = members.filter(pl.col("kind") == "alert")
    owners = alerts.with_columns(alert=pl.col("evidence_id").str.strip_prefix("alert:"))
    caused = alerts.filter(pl.col("cause_alert_id").is_not_null())
    return Sides(caused.select("row", _token("cause_alert_id")), owners.select("row", _token("alert")))


def _source(members: pl.DataFrame, _: pl.DataFrame) -> Sides:
    telemetry = members.filter(pl.col("domain") == "telemetry")
    parts = telemetry.select("row", "site", source="members").explode("source")
    nodes = pl.concat([telemetry.select("row", "site", source="source_id"), parts])
    return _both(nodes.select("row", _token("source")))


def _repeat(members: pl.DataFrame, _: pl.DataFrame) -> Sides:
    about = pl.coalesce("signal_id", "asset_id", "source_id")
    return _both(members.with_columns(about=about).select("row", _token("kind", "type", "about")))


RELATIONS: Final[Mapping[str, Callable[[pl.DataFrame, pl.DataFrame], Sides]]] = {
    "equipment": _equipment,
    "hierarchy": _hierarchy,
    "flow": _flow,
    "rule": _rule,
    "source": _source,
    "repeat": _repeat,
}
