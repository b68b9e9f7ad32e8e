"""Members and what they hang together with. Enter: evidence that came, what was linked before. Leave: new groups.

Only the neighbourhood that new evidence touches is grouped again: what it was linked with, and what it is linked with
now, with everything that hangs together with either.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from streams.core.correlate import intake
from streams.core.correlate.group import FACTS, group
from streams.core.correlate.links import Links
from streams.core.correlate.tables import EVIDENCE_TABLE, KEY, MEMBER, MEMBER_TABLE, Ledger, under, without
from streams.core.times import FOREVER_US

_COMPONENT: Final = ["site", "component"]


class Regrouped(NamedTuple):
    """Rows of MEMBER that were looked at, `before` and `after`, and the keys of members that say something else."""

    before: pl.DataFrame
    after: pl.DataFrame
    changed: pl.DataFrame

    def incidents(self) -> set[str]:
        """Incidents whose members are others than before, or say something else."""
        both = self.before.join(self.after, on=list(KEY), how="full", suffix="_after")
        moved = both.filter(pl.col("incident_id").ne_missing(pl.col("incident_id_after")))
        told = self.after.join(self.changed, on=list(KEY), how="semi")["incident_id"]
        return {one for ids in (moved["incident_id"], moved["incident_id_after"], told) for one in ids.drop_nulls()}


def view(evidence: pl.DataFrame) -> pl.DataFrame:
    """Members among rows of evidence (of an alarm: all its transitions), with begin_us, stop_us and FACTS."""
    return (
        intake.told(evidence).filter(intake.member()).select(*KEY, *FACTS, begin_us="begin_time", stop_us=intake.stop())
    )


def regroup_all(ledger: Ledger, assets: pl.DataFrame, links: Links) -> Regrouped:
    """Group all members anew, as what links them may be other."""
    before = ledger[MEMBER_TABLE]
    after = group(view(ledger[EVIDENCE_TABLE]), assets, links)
    ledger.delete(MEMBER_TABLE, before.join(after, on=list(KEY), how="anti"))
    ledger.upsert(MEMBER_TABLE, after.join(before, on=MEMBER.names(), how="anti", nulls_equal=True))
    return Regrouped(before, after, before.select(KEY).clear())


def regroup(ledger: Ledger, keys: pl.DataFrame, assets: pl.DataFrame, links: Links) -> Regrouped:
    """Group what the evidence under `keys` (site, evidence_id), which is in the table by now, touches."""
    evidence, table = ledger[EVIDENCE_TABLE], ledger[MEMBER_TABLE]
    alike = intake.related(under(evidence, keys), evidence)
    old = under(table, alike)
    rows = view(under(evidence, alike))
    if not rows.height and not old.height:  # logons and flows: nothing to link
        return Regrouped(old, old, old.select(KEY))
    # Of other transitions of the same alarm only those whose end is another by what came.
    same = rows.join(old, on=[*KEY, "begin_us", "stop_us"], how="semi", nulls_equal=True)
    changed = rows.join(same.join(keys, on=list(KEY), how="anti"), on=list(KEY), how="anti")
    gone = old.join(rows, on=list(KEY), how="anti")
    others = without(table, pl.concat([gone.select(KEY), changed.select(KEY)]))
    linked = _linked(changed, others, evidence, assets, links)
    left = old.join(pl.concat([gone.select(KEY), changed.select(KEY)]), on=list(KEY), how="semi")
    touched = pl.concat([left.select(_COMPONENT), linked.select(_COMPONENT)]).unique()
    before = _of(table, touched)
    stay = _of(others, touched)
    after = group(pl.concat([changed, _facts(stay, evidence)]), assets, links)
    ledger.delete(MEMBER_TABLE, gone)
    ledger.upsert(MEMBER_TABLE, after.join(before, on=MEMBER.names(), how="anti", nulls_equal=True))
    return Regrouped(before, after, changed.select(KEY))


def _of(members: pl.DataFrame, components: pl.DataFrame) -> pl.DataFrame:
    """Rows of MEMBER of these components."""
    some = members.filter(pl.col("component").is_in(components["component"].unique().implode()))
    return some.join(components, on=_COMPONENT, how="semi")


def _linked(
    changed: pl.DataFrame, others: pl.DataFrame, evidence: pl.DataFrame, assets: pl.DataFrame, links: Links
) -> pl.DataFrame:
    """Rows of `others` that hang together with `changed` over what may be near enough to be linked."""
    if not changed.height:
        return others.clear()
    box = changed.group_by("site").agg(
        _low=pl.col("begin_us").min() - links.widest_us,
        _high=pl.max_horizontal("begin_us", pl.col("stop_us").fill_null(FOREVER_US - links.widest_us)).max()
        + links.widest_us,
    )
    begin, stop = pl.col("begin_us"), pl.col("stop_us").fill_null(FOREVER_US)
    near = others.filter(begin <= box["_high"].max(), stop >= box["_low"].min()).join(box, on="site")
    near = near.filter(begin <= pl.col("_high"), stop >= pl.col("_low"))
    if not near.height:
        return others.clear()
    grouped = group(pl.concat([changed, _facts(near, evidence)]), assets, links)
    found = grouped.join(grouped.join(changed, on=list(KEY), how="semi"), on=_COMPONENT, how="semi")
    return under(others, found)


def _facts(members: pl.DataFrame, evidence: pl.DataFrame) -> pl.DataFrame:
    """Rows of MEMBER as `view` gives them."""
    facts = under(evidence, members).select(*KEY, *FACTS)
    joined = members.select(*KEY, "begin_us", "stop_us").join(facts, on=list(KEY), maintain_order="left")
    return joined.select(*KEY, *FACTS, "begin_us", "stop_us")
