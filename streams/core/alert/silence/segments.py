"""Zones that are cut off. Enter: the nodes that are silent. Leaves: one alert where a zone's nodes went together.

The nodes of a zone wait for each other: an alert on one of them is held back for as long as the others may take to
reach their limit, so that one cut of the network rings once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streams.core.alert.rule import Rule
from streams.core.alert.silence.match import Node, Watched
from streams.core.alert.silence.tables import Ledger, Standing, standing_of
from streams.core.times import SECOND_US, microseconds


@dataclass(frozen=True)
class Heard:
    """When a node was last heard for a line (broker time, us), and by which record."""

    time: int
    evidence: str


# By node and line.
Book = dict[tuple[str, str], Heard]
Silent = tuple[Node, Heard]


def segments(
    due: Sequence[Silent], known: Book, watched: Watched, ledger: Ledger, clock_us: int, *, present: bool
) -> dict[tuple[str | None, str], Standing]:
    """The zones that are down, by (zone, line), where `due` are silent; raises those that are new."""
    zones: dict[tuple[str | None, str], list[Node]] = {}
    for pair in sorted(known):
        if (node := watched.nodes.get(pair)) is not None and node.segment_rule >= 0:
            zones.setdefault((node.zone, node.work_center), []).append(node)
    found = {}
    for place, nodes in zones.items():
        rule = watched.rules[nodes[0].segment_rule]
        standing = ledger.open.get((rule.id, _subject(nodes[0])))
        if standing is None:
            quiet = [pair for pair in due if (pair[0].zone, pair[0].work_center) == place]
            members = _together(quiet, rule, len(nodes))
            if any(clock_us - heard.time > node.limit_us + patience(node, watched) for node, heard in members):
                standing = ledger.raised(_down(rule, members), annunciated=present)
        if standing is not None:
            found[place] = standing
    return found


def patience(node: Node, watched: Watched) -> int:
    """How long (us) the alert of a node waits for its neighbours to fall silent too; 0 where it has too few."""
    watch = watched.rules[node.segment_rule].watch if node.segment_rule >= 0 else None
    if watch is None:
        return 0
    zone = sum((other.zone, other.work_center) == (node.zone, node.work_center) for other in watched.nodes.values())
    return microseconds(watch.within_s) if zone >= watch.nodes else 0


def _together(quiet: Sequence[Silent], rule: Rule, of: int) -> list[Silent]:
    """The most nodes that fell silent within the rule's time of each other; none where they are too few."""
    assert rule.watch is not None
    within_us = microseconds(rule.watch.within_s)
    groups = [[s for s in quiet if 0 <= s[1].time - first.time <= within_us] for _, first in quiet]
    most = max(groups, key=len, default=[])
    return most if len(most) >= max(rule.watch.nodes, rule.watch.share * of) else []


def _down(rule: Rule, members: Sequence[Silent]) -> Standing:
    assert rule.watch is not None
    node = members[0][0]
    # It is down since as many nodes were silent as the rule asks for.
    by_time = sorted(members, key=lambda silent: (silent[1].time, silent[0].source_id))
    since = by_time[rule.watch.nodes - 1][1]
    passed = sorted(heard.time + node.limit_us for node, heard in members)
    return standing_of(
        rule, _subject(node), since.time, passed[rule.watch.nodes - 1],
        limit=min(node.limit_us for node, _ in members) / SECOND_US, evidence=since.evidence, site=node.site,
        tenant=node.tenant, work_center=node.work_center, zone=node.zone, signal_id=None, source_id=None,
        members=sorted(node.source_id for node, _ in members),
    )  # fmt: skip


def _subject(node: Node) -> str:
    return f"{node.zone}@{node.work_center}"
