"""Who answers for a place, as of event time."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from streams import topology
from streams.core.label.position import positions
from tests.core.label_scene import PATH, World, at, position


def answers(*told: dict[str, Any], path: str | None = PATH, seconds: float = 0) -> str | None:
    """The position that answers for the filler."""
    rows = pl.DataFrame(
        {"asset_path": [path], "work_center": ["line-1"], "event_time": [at(seconds)]},
        schema={"asset_path": pl.String, "work_center": pl.String, "event_time": pl.Int64},
    )
    found = positions(rows, World(*((topology.OPERATOR_POSITION, record) for record in told)).now)
    return None if found is None else found[0]


def test_the_longest_path_answers() -> None:
    """The hall's lead, but for the filler its own; a path is a place, not the beginning of a word."""
    told = [position("hall", "e/s/hall/"), position("filler", "e/s/hall/line-1/filler-1"), position("site", "e/s")]
    told.append(position("word", "e/s/hall/line-1/fill"))
    assert answers(*told) == "filler"
    assert answers(*told, path="e/s/hall/line-1") == "hall"
    assert answers(*told, path="e/other") is None


def test_a_line_answers_where_no_path_does() -> None:
    """A position that names the line comes after any that names a path; an alert without an asset has the line only."""
    told = [position("line", work_centers=["line-1"]), position("site", "e")]
    assert answers(*told) == "site"
    assert answers(*told, path=None) == "line"


def test_of_several_the_operator_answers() -> None:
    """Maintenance answers for the same path, too; of two operators the first by name."""
    told = [position("a", "e/s", kind="maintenance"), position("c", "e/s"), position("b", "e/s")]
    assert answers(*told) == "b"
    assert answers(*told[:1]) == "a"


@pytest.mark.parametrize(("seconds", "expected"), [(-1, "lead"), (10, None), (20, "lead")])
def test_positions_hold_as_of_event_time(seconds: float, expected: str | None) -> None:
    """Between two versions nobody answers for the hall."""
    told = [position("lead", "e/s", valid_to=at(10)), position("lead", "e/s", valid_from=at(20))]
    assert answers(*told, seconds=seconds) == expected
