"""Edge nodes that are offline, and zones that are cut off. Enter: records and time. Leaves: what a ledger is told.

What counts is when the broker had something of a node for a line, not what its stamps say. A gap between two records
tells it from the log alone; that nothing comes now is told by the timer, on the clock of the partition: the newest
record of any node there, and where nothing comes at all, the time that has passed since, once everything was read.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams import topology
from streams.core.alert.silence.match import Node, Watched
from streams.core.alert.silence.segments import Book, Heard, patience, segments
from streams.core.alert.silence.sequence import Sequence, coordinates
from streams.core.alert.silence.tables import NODE, Ledger, Standing, standing_of
from streams.core.alert.silence.watch import SOURCE_OFFLINE
from streams.core.frames import ID
from streams.core.stage import Moment
from streams.core.times import NEVER_US, SECOND_US

_LINE: Final = ["source_id", "work_center"]


def book(table: pl.DataFrame) -> Book:
    """The table by (node, line)."""
    rows = table.select(pl.col(_LINE).cast(pl.String), "heard_time", "evidence").rows()
    return {(source, line): Heard(time, evidence) for source, line, time, evidence in rows}


def clock(known: Book, sources: pl.DataFrame, moment: Moment) -> int:
    """How late it is in the partition: broker time, us."""
    newest = max((heard.time for heard in known.values()), default=NEVER_US)
    if moment.caught_up_since_us is None:
        return newest
    seen = sources["seen_time"].max()
    since = max(seen if isinstance(seen, int) else NEVER_US, moment.caught_up_since_us)
    return newest + max(moment.now_us - since, 0)


def came(found: Sequence, table: pl.DataFrame, watched: Watched, ledger: Ledger) -> pl.DataFrame:
    """Nodes that are heard again, after a silence that was told or one that nobody knew of; the table's new rows."""
    before = table.select(*_LINE, heard_0="heard_time", evidence_0="evidence")
    records = (
        found.rows.group_by(*_LINE, "_offset", maintain_order=True)
        .agg(pl.col("ingest_time").min(), pl.col("heard").max(), pl.col("_partition").first())
        .join(watched.limits, on=_LINE, maintain_order="left")
        .join(before, on=_LINE, how="left", maintain_order="left")
    )
    prior = pl.max_horizontal(pl.col("heard").cum_max().shift(1).over(_LINE), "heard_0")
    records = records.with_columns(prior=prior, earlier=pl.col("_offset").shift(1).over(_LINE))
    silent = {(s.source_id or "", s.work_center) for s in ledger.open.values() if s.type == SOURCE_OFFLINE}
    told = pl.DataFrame(sorted(silent), schema=dict.fromkeys(_LINE, pl.String()), orient="row").cast({pl.String: ID})
    gap = pl.col("ingest_time") - pl.col("prior") > pl.col("limit_us")
    back = records.join(told, on=_LINE, how="semi", maintain_order="left").unique(_LINE, keep="first")
    ends = pl.concat([records.filter(gap.fill_null(value=False)), back]).unique([*_LINE, "_offset"]).sort("_offset")
    for row in ends.rows(named=True):
        node = watched.nodes[row["source_id"], row["work_center"]]
        evidence = coordinates(row["_partition"], row["_offset"])
        first = row["earlier"] is None
        heard = Heard(row["prior"], row["evidence_0"] if first else coordinates(row["_partition"], row["earlier"]))
        _back(node, watched, ledger, heard, row["ingest_time"], evidence)
    last = records.unique(_LINE, keep="last", maintain_order=True).with_columns(
        heard_time=pl.max_horizontal("heard", "prior"),
        evidence=pl.format(f"{topology.READING.name}/{{}}/{{}}", "_partition", "_offset"),
    )
    return last.select(pl.col(name).cast(dtype) for name, dtype in NODE.schema.items())


def silent(known: Book, watched: Watched, ledger: Ledger, clock_us: int, *, present: bool) -> None:
    """Raise nodes that have been silent for longer than their limit, and zones that several of them belong to."""
    due = [
        (node, heard)
        for pair, heard in sorted(known.items())
        if (node := watched.nodes.get(pair)) is not None and clock_us - heard.time > node.limit_us
    ]
    causes = segments(due, known, watched, ledger, clock_us, present=present)
    for node, heard in due:
        standing = ledger.open.get(_key(node, watched))
        cause = causes.get((node.zone, node.work_center))
        if standing is not None:
            together = cause is not None and heard.time >= cause.begin_time - patience(node, watched)
            if cause is not None and together and standing.cause is None:
                ledger.explained(standing, cause.alert_id, clock_us)
        elif cause is not None:
            cause.members = sorted({*cause.members, node.source_id})
            ledger.touch(cause)
            ledger.raised(_offline(node, watched, heard, cause.alert_id), annunciated=False)
        elif clock_us - heard.time > node.limit_us + patience(node, watched):
            ledger.raised(_offline(node, watched, heard, None), annunciated=present)


def _back(node: Node, watched: Watched, ledger: Ledger, heard: Heard, at_us: int, evidence: str) -> None:
    standing = ledger.open.get(_key(node, watched))
    if standing is None:
        ledger.passed(_offline(node, watched, heard, None), at_us, at_us, evidence)
        return
    ledger.cleared(standing, "condition_cleared", at_us, at_us, evidence)
    segment = next((s for s in ledger.open.values() if s.alert_id == standing.cause), None)
    if segment is not None and node.segment_rule >= 0:
        watch = watched.rules[node.segment_rule].watch
        left = sum(s.cause == segment.alert_id for s in ledger.open.values())
        if watch is None or left < watch.nodes:
            ledger.cleared(segment, "condition_cleared", at_us, at_us, evidence)


def _key(node: Node, watched: Watched) -> tuple[str, str]:
    return watched.rules[node.rule].id, f"{node.source_id}@{node.work_center}"


def _offline(node: Node, watched: Watched, heard: Heard, cause: str | None) -> Standing:
    return standing_of(
        watched.rules[node.rule], f"{node.source_id}@{node.work_center}", heard.time, heard.time + node.limit_us,
        limit=node.limit_us / SECOND_US, cause=cause, evidence=heard.evidence, site=node.site, tenant=node.tenant,
        work_center=node.work_center, zone=node.zone, source_id=node.source_id, signal_id=None,
    )  # fmt: skip
