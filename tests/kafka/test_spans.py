"""Which offsets of the log are read once more."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.stage import Span
from streams.kafka.spans import Wanted

LAST = 40


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    """Ascending spans that do not overlap; some follow one another at once."""
    borders = sorted(draw(st.lists(st.integers(0, LAST), min_size=2, max_size=10)))
    pairs = zip(borders[::2], borders[1::2], strict=False)
    found = [Span(begin, end) for begin, end in pairs if begin < end]
    return found or [Span(3, 5)]


def offsets(given_: list[Span]) -> list[int]:
    """All that are wanted."""
    return [offset for begin, end in given_ for offset in range(begin, end)]


@given(spans(), st.integers(-1, LAST + 2))
def test_spans_answer_as_the_set_of_their_offsets_does(given_: list[Span], position: int) -> None:
    """The next wanted offset, how many lie below a position, how many there are."""
    wanted, every = Wanted(given_), offsets(given_)
    assert wanted.total == len(every)
    assert wanted.following(position) == min((one for one in every if one >= position), default=None)
    assert wanted.passed(position) == sum(one < position for one in every)


@given(spans(), st.lists(st.integers(0, LAST), min_size=1))
def test_rows_outside_of_the_spans_are_taken_out(given_: list[Span], found: list[int]) -> None:
    """Several rows of one offset stay together, order stays."""
    frame = pl.DataFrame({"_offset": sorted(found)})
    every = set(offsets(given_))
    assert Wanted(given_).of(frame)["_offset"].to_list() == [one for one in sorted(found) if one in every]


@pytest.mark.parametrize("bad", [[(5, 5)], [(5, 3)], [(0, 4), (3, 6)], [(4, 6), (0, 2)]])
def test_spans_that_are_no_spans_are_bad_code(bad: list[tuple[int, int]]) -> None:
    """Empty, reversed, overlapping or descending ones raise."""
    with pytest.raises(ValueError, match="ascending, apart and not empty"):
        Wanted([Span(*one) for one in bad])
