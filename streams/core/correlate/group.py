"""What hangs together. Enter: members of sites, links, the process flow. Leave: the incident that each belongs to.

Members that a link joins, directly or over others, are one component; one that spans more, or has more members, than an
incident may is cut by time. Nothing depends on the order in which members are given.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.core.correlate.links import RELATIONS, Link, Links, Sides, spans
from streams.core.correlate.tables import MEMBER

Integers = npt.NDArray[np.int64]

# What relations look at.
FACTS: Final = (
    *("kind", "type", "domain", "asset_id", "asset_path", "work_center", "work_unit", "signal_id", "source_id"),
    *("members", "cause_alert_id", "detection_time"),
)
# What came first of members: of those that began at one instant the one that was known first, so that a second one
# does not rename their incident.
_FIRST: Final = ("site", "begin_us", "detection_time", "evidence_id")


def incident_id(site: str, first: str) -> str:
    """Identity of the incident of `site` whose first member is `first`: 80 bits, the same whoever computes it."""
    digest = hashlib.sha256(f"{site}\n{first}".encode("utf-8", "surrogatepass")).digest()
    return "incident-" + base64.b32encode(digest[:10]).decode().lower()


def group(members: pl.DataFrame, assets: pl.DataFrame, links: Links) -> pl.DataFrame:
    """Rows of MEMBER for `members` (site, evidence_id, begin_us, stop_us, FACTS), sorted by what came first.

    `assets`: the process flow (`links.equipment`).
    """
    members = members.sort(_FIRST).with_row_index("row").cast({"row": pl.Int64})
    edges = [found for link in links.links for found in _edges(members, assets, link)]
    first = components(members.height, edges)
    starts, part = np.unique(_starts(first, members["begin_us"].to_numpy(), links), return_inverse=True)
    names = [incident_id(*head) for head in members.select("site", "evidence_id")[starts].rows()]
    return members.with_columns(
        component=members["evidence_id"].gather(first), incident_id=pl.Series(names, dtype=pl.String).gather(part)
    ).select(MEMBER.names())


def _edges(members: pl.DataFrame, assets: pl.DataFrame, link: Link) -> list[tuple[Integers, Integers]]:
    """Pairs of rows that join the same members as all pairs that are linked this way do."""
    sides = RELATIONS[link.kind](members, assets)
    looks = spans(members, link)
    found = _between(sides, members, looks)
    if sides.seekers is not sides.owners:
        found += _between(Sides(sides.owners, sides.seekers), members, looks)
    return found


def _between(sides: Sides, members: pl.DataFrame, looks: pl.DataFrame) -> list[tuple[Integers, Integers]]:
    """Who finds whom: all owners of a token that begin within a seeker's span hang together by the seeker.

    Owners are sorted by token and begin, so that each finds a run of them: it is joined to the first of the run, and
    the run's members each to the next. So the pairs are no more than the members, however many there are in a span.
    """
    codes = pl.concat([sides.owners.select("token"), sides.seekers.select("token")]).unique().with_row_index("code")
    owners = sides.owners.join(codes, on="token").join(members.select("row", "begin_us"), on="row")
    owners = owners.sort("code", "begin_us", "row")
    seekers = sides.seekers.join(codes, on="token").join(looks, on="row")
    if not owners.height or not seekers.height:
        return []
    begins = np.unique(owners["begin_us"].to_numpy())
    width = len(begins) + 1
    keys = owners["code"].to_numpy().astype(np.int64) * width + np.searchsorted(begins, owners["begin_us"].to_numpy())
    code = seekers["code"].to_numpy().astype(np.int64) * width
    low = np.searchsorted(keys, code + np.searchsorted(begins, seekers["from_us"].to_numpy(), "left"), "left")
    high = np.searchsorted(keys, code + np.searchsorted(begins, seekers["to_us"].to_numpy(), "right"), "left")
    some = high > low
    low, high = low[some], high[some]
    rows = owners["row"].to_numpy()
    # +1 where a run begins, -1 at its last: where the sum is above 0, the next belongs to the same run.
    runs = np.zeros(len(rows) + 1, dtype=np.int64)
    np.add.at(runs, low, 1)
    np.add.at(runs, high - 1, -1)
    (joined,) = np.nonzero(np.cumsum(runs)[: len(rows)] > 0)
    return [(seekers["row"].to_numpy()[some], rows[low]), (rows[joined], rows[joined + 1])]


def components(count: int, edges: list[tuple[Integers, Integers]]) -> Integers:
    """The lowest row of the component of each of `count` rows."""
    label = np.arange(count, dtype=np.int64)
    if not edges:
        return label
    left, right = (np.concatenate([pair[side] for pair in edges]) for side in (0, 1))
    while True:
        low = np.minimum(label[left], label[right])
        hooked = label.copy()
        np.minimum.at(hooked, label[left], low)
        np.minimum.at(hooked, label[right], low)
        while not np.array_equal(jumped := hooked[hooked], hooked):
            hooked = jumped
        if np.array_equal(hooked, label):
            return label
        label = hooked


def _starts(first: Integers, begins: Integers, links: Links) -> Integers:
    """The row that begins the incident of each row: its component's first, unless the component is cut.

    A pass over each component by time: what begins later than the span after the present part's first, or is one too
    many, begins the next part.
    """
    start = first.copy()
    rows = np.arange(len(first))
    order = np.argsort(first, kind="stable")
    sizes = np.bincount(first, minlength=len(first))
    ends = np.cumsum(sizes)
    last = np.zeros(len(first), dtype=np.int64)
    np.maximum.at(last, first, rows)
    large = (sizes > links.members) | (begins[last] - begins > links.span_us)
    for row in rows[large & (sizes > 0)]:
        head, count = int(row), 0
        for member in order[ends[row] - sizes[row] : ends[row]]:
            if begins[member] - begins[head] > links.span_us or count == links.members:
                head, count = int(member), 0
            start[member] = head
            count += 1
    return start
