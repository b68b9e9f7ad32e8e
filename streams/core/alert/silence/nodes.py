"""Edge nodes that are offline, and zones that are cut off. Enter: records and time. Leaves: what a ledger is told.

What counts is when the broker had something of a node for a line, not what its stamps say. A gap between two records
tells it from the log alone; that nothing comes now is told by the timer, on the clock of the partition: the newest
record of any node there, and where nothing comes at all, the time that has passed since, once everything was read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from streams import topology
from streams.core.alert.rule_match import Integers
from streams.core.alert.silence.match import Node, Watched
from streams.core.alert.silence.segments import Book, Heard, patience, segments
from streams.core.alert.silence.sequence import Sequence, heard_at
from streams.core.alert.silence.slots import codes, firsts, highest, lasts, shifted
from streams.core.alert.silence.tables import Ledger, Standing, standing_of
from streams.core.alert.silence.watch import SOURCE_OFFLINE
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


@dataclass(frozen=True)
class _Records:
    """Records of each node for a line that a rule watches, pair by pair and in order; `starts`: where pairs begin.

    `pair` numbers them; `row` is the first row, `ingest` when its first reading was received, `heard` its last.
    """

    pair: Integers
    starts: Integers
    row: Integers
    offset: Integers
    ingest: Integers
    heard: Integers


def came(found: Sequence, table: pl.DataFrame, watched: Watched, ledger: Ledger) -> pl.DataFrame:
    """Nodes that are heard again, after a silence that was told or one that nobody knew of; the table's new rows."""
    limits = watched.limits
    records = _records(found, limits)
    if not len(records.pair):
        return table.clear()
    first, last = records.starts, lasts(records.starts, len(records.pair))
    pairs = limits[records.pair[first]]
    at = _among(table, *(codes(pairs[name]) for name in _LINE))
    carried = np.full(limits.height, NEVER_US)
    carried[records.pair[first[at >= 0]]] = table["heard_time"].to_numpy()[at[at >= 0]]
    prior = shifted(highest(records.heard, records.pair, first, carried), records.pair, first, carried)
    ends = (prior != NEVER_US) & (records.ingest - prior > limits["limit_us"].to_numpy()[records.pair])
    silent = {(s.source_id or "", s.work_center) for s in ledger.open.values() if s.type == SOURCE_OFFLINE}
    if silent:
        ends[first] |= [pair in silent for pair in pairs.select(_LINE).iter_rows()]
    where = np.flatnonzero(ends)
    for index in where[np.argsort(records.offset[where], kind="stable")]:
        number = int(np.searchsorted(first, index, side="right")) - 1
        if index == first[number]:
            evidence = table["evidence"][int(at[number])] if at[number] >= 0 else ""
        else:
            evidence = found.told(int(records.row[index - 1]))[1]
        node = watched.nodes[pairs["source_id"][number], pairs["work_center"][number]]
        _back(node, watched, ledger, Heard(int(prior[index]), evidence), int(records.ingest[index]),
              found.told(int(records.row[index]))[1])  # fmt: skip
    partition = found.frame["_partition"].gather(found.places(records.row[last]))
    return pairs.select(
        *_LINE,
        heard_time=pl.Series(np.maximum(records.heard[last], prior[last])),
        evidence=pl.format(f"{topology.READING.name}/{{}}/{{}}", partition, pl.Series(records.offset[last])),
    )


def _records(found: Sequence, limits: pl.DataFrame) -> _Records:
    """The records of `limits` (pairs: its rows) in the chunk."""
    row, place = found.by_source, found.places(found.by_source)
    line, ingest = codes(found.frame["work_center"])[place], found.frame["ingest_time"].to_numpy()[place]
    offset, heard = found.offset[row], heard_at(found.frame)[place]
    new = np.append(True, (offset[1:] != offset[:-1]) | (line[1:] != line[:-1]))
    new[found.starts] = True
    starts = np.flatnonzero(new)
    row, line, offset = row[starts], line[starts], offset[starts]
    ingest, heard = np.minimum.reduceat(ingest, starts), np.maximum.reduceat(heard, starts)
    pair = _among(limits, found.source[row], line)
    # A record with several lines has several parts of each.
    order = np.lexsort((offset, pair))
    order = order[pair[order] >= 0]
    pair, row, offset, ingest, heard = pair[order], row[order], offset[order], ingest[order], heard[order]
    starts = np.flatnonzero(np.append(True, (pair[1:] != pair[:-1]) | (offset[1:] != offset[:-1]))[: len(pair)])
    if len(starts) < len(pair):
        ingest, heard = np.minimum.reduceat(ingest, starts), np.maximum.reduceat(heard, starts)
        pair, row, offset = pair[starts], row[starts], offset[starts]
    return _Records(pair, firsts(pair), row, offset, ingest, heard)


def _among(known: pl.DataFrame, source: Integers, line: Integers) -> Integers:
    """Rows of `known` with these nodes and lines (their codes); -1: none."""
    if not known.height:
        return np.full(len(source), -1)
    keys, asked = codes(known["source_id"]) << 32 | codes(known["work_center"]), source << 32 | line
    order = np.argsort(keys)
    at = order[np.minimum(np.searchsorted(keys[order], asked), len(keys) - 1)]
    return np.where(keys[at] == asked, at, -1)


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
