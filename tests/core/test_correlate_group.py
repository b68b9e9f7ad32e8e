"""Grouping alone: components, cuts, and the work it takes."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from streams.core.correlate.group import components, group, incident_id
from streams.core.correlate.links import equipment, prefixes
from streams.core.correlate.members import view
from tests.core.correlate_scene import MINUTE, Row, alert, context, frame, links

NO_ASSETS = equipment(context().frame("it.asset.v1"))


def parts(rows: list[Row], **numbers: int) -> list[list[str]]:
    """Evidence ids by incident, in the order in which these begin."""
    grouped = group(view(frame(rows)), NO_ASSETS, links(**numbers))
    by_incident = grouped.group_by("incident_id", maintain_order=True).agg("evidence_id")
    return [[name.removeprefix("alert:") for name in names] for names in by_incident["evidence_id"].to_list()]


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_components_are_those_of_a_walk(given_: tuple[int, list[tuple[int, int]]]) -> None:
    """Each row has the lowest row that it can be walked to from."""
    count, pairs = given_
    lowest = list(range(count))
    for _ in range(count):
        for one, other in pairs:
            lowest[one] = lowest[other] = min(lowest[one], lowest[other])
    left, right = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    assert components(count, [(left, right)]).tolist() == lowest


def test_a_chain_is_one_and_what_is_far_is_another() -> None:
    """Neighbours in time hang together though the ends do not; half an hour and more parts."""
    rows = [alert(name, at) for name, at in (("a", 0), ("b", 30), ("c", 59), ("d", 89.1))]
    assert parts(rows) == [["a", "b", "c"], ["d"]]


def test_what_goes_on_and_on_is_told_in_parts() -> None:
    """By span from the first of each part, and by count; the same whatever the order of the rows."""
    rows = [alert(f"{number:02}", number * 20) for number in range(12)]
    spans = [["00", "01", "02", "03"], ["04", "05", "06", "07"], ["08", "09", "10", "11"]]
    assert parts(rows, span_s=3600) == parts(rows[::-1], span_s=3600) == spans
    assert [len(part) for part in parts(rows, members=5)] == [5, 5, 2]


def test_an_identity_is_its_first_members() -> None:
    """Of site and evidence; 80 bits, so that nobody meets two that are the same."""
    assert incident_id("s", "alert:a") != incident_id("t", "alert:a")
    assert len(incident_id("s", "alert:a")) == len("incident-") + 16


def test_a_path_is_below_what_it_begins_with() -> None:
    """Piece by piece, not letter by letter; nothing is above itself."""
    assert prefixes(pl.Series(["a/bc/d", None, "a"])).rows() == [("a/bc/d", "a"), ("a/bc/d", "a/bc")]


def test_a_flood_is_grouped_in_one_pass() -> None:
    """20,000 alerts of one machine within the span of a link are 200 million pairs; as many edges as members do."""
    rows = pl.concat([frame([alert("0", 0)])] * 20_000).with_columns(
        evidence_id=pl.format("alert:{}", pl.int_range(pl.len())),
        begin_time=pl.col("begin_time") + pl.int_range(pl.len()),
    )
    grouped = group(view(rows), NO_ASSETS, links(members=86_400))
    assert grouped["incident_id"].n_unique() == 1
    assert grouped["begin_us"].max() - grouped["begin_us"].min() < MINUTE  # type: ignore[operator]
