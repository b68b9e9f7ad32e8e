"""Records that cannot be: contradictions, hierarchies that lead nowhere, times in an impossible order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.load.checks import Judged, judge
from streams.core.load.take import ROW

DAY = 86_400_000_000
HOUR = 3_600_000_000
# 2026-01-01
BASE = 1_767_225_600_000_000
NOW = BASE + 30 * DAY
ASSET = pl.Schema({"asset_id": pl.String(), "parent_id": pl.String(), "path": pl.String()})


def judged(kind: str, key: str, rows: Sequence[dict[str, Any]], known: pl.DataFrame | None = None) -> Judged:
    """The verdict on rows numbered from 1."""
    numbered = [{**row, ROW: place} for place, row in enumerate(rows, 1)]
    there = ASSET.to_frame() if known is None else known
    return judge(kind, key, pl.DataFrame(numbered, infer_schema_length=None), there, NOW)


def assets(*rows: tuple[str, str | None, str]) -> list[dict[str, Any]]:
    """Rows of asset, parent, path."""
    return [dict(zip(("asset_id", "parent_id", "path"), row, strict=True)) for row in rows]


def ids(found: Judged, name: str = "asset_id") -> list[str]:
    """Which records are good."""
    return found.records[name].to_list()


def refused(found: Judged) -> dict[int, str]:
    """Why each row was refused."""
    return dict(found.refused.select("row", "problem").iter_rows())


def test_assets_whose_parents_are_nowhere_are_refused_with_all_below_them() -> None:
    """Below an orphan everything hangs in the air; what reaches the top is loaded."""
    found = judged("asset", "asset_id", assets(("a", None, "a"), ("b", "a", "b"), ("c", "x", "c"), ("d", "c", "d")))
    assert ids(found) == ["a", "b"]
    assert set(refused(found).values()) == {"an asset above it is nowhere"}
    assert found.refused["value"].to_list() == ["c -> x", "c -> x"]


def test_a_cycle_is_refused_with_its_way_and_what_hangs_below_it() -> None:
    """Where e is above f and f above e nobody is at the top; the way is told so that one can be corrected."""
    found = judged("asset", "asset_id", assets(("e", "f", "e"), ("f", "e", "f"), ("g", "e", "g"), ("a", None, "a")))
    assert ids(found) == ["a"]
    assert found.refused["value"].to_list() == ["cycle e -> f -> e", "cycle f -> e -> f", "cycle g -> e -> f -> e"]


def test_a_parent_that_was_loaded_before_is_there() -> None:
    """Files come in parts."""
    known = pl.DataFrame(assets(("top", None, "top")), schema=ASSET)
    assert ids(judged("asset", "asset_id", assets(("b", "top", "b")), known)) == ["b"]


def test_two_rows_of_one_version_that_differ_are_both_refused_and_equal_ones_are_one() -> None:
    """Nobody knows which of the two is right; a row that is repeated says nothing new."""
    found = judged("asset", "asset_id", assets(("a", None, "a"), ("a", None, "a"), ("b", None, "b"), ("b", None, "c")))
    assert (ids(found), found.repeats) == (["a"], 1)
    assert sorted(refused(found)) == [3, 4]
    assert found.refused["value"][0] == "b (rows 3, 4)"


def test_two_assets_cannot_be_at_one_place_at_the_same_time_but_one_after_the_other() -> None:
    """A swap of units is a version that ends and another that begins."""
    both = [
        {"asset_id": "old", "path": "s/l/u", "valid_from": 0, "valid_to": DAY},
        {"asset_id": "new", "path": "s/l/u", "valid_from": DAY, "valid_to": None},
    ]
    assert ids(judged("asset", "asset_id", both)) == ["old", "new"]
    both[0]["valid_to"] = DAY + 1
    found = judged("asset", "asset_id", both)
    assert (ids(found), refused(found)) == (["old"], {2: "another asset is at this path at the same time"})


@pytest.mark.parametrize(
    ("started", "finished", "precision", "good"),
    [
        (5 * HOUR, 4 * HOUR, "exact", False),
        (5 * HOUR, 5 * HOUR, "exact", True),
        (5 * HOUR, 0, "day", True),
        (DAY, 0, "day", False),
        (None, 4 * HOUR, "exact", True),
    ],
)
def test_a_work_order_cannot_end_before_it_began(
    started: int | None, finished: int, precision: str, good: bool
) -> None:
    """A day stands for any of its hours: finished on the day of the begin is possible, the day before is not."""
    begin = None if started is None else BASE + started
    row = {"order_id": "1", "started_at": begin, "finished_at": BASE + finished, "finished_at_precision": precision}
    found = judged("work_order", "order_id", [row])
    assert (ids(found, "order_id") == ["1"]) is good
    if not good:
        assert refused(found) == {1: "is before started_at"}


def test_an_order_that_was_written_during_or_after_the_work_is_taken() -> None:
    """Of a breakdown the paper comes later than the repair: released after the start, or after the end."""
    work = {"started_at": BASE, "finished_at": BASE + HOUR}
    rows = [{"order_id": str(late), "released_at": BASE + late * HOUR // 2, **work} for late in (1, 4)]
    assert refused(judged("work_order", "order_id", rows)) == {}


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_an_order_over_nothing_is_refused(value: float) -> None:
    """A run time per item that is not above zero would make every effectiveness infinite or negative."""
    row = {"order_id": "1", "planned_run_time_s": value}
    assert refused(judged("production_order", "order_id", [row])) == {1: "is not above 0"}


def test_a_version_that_ends_before_it_begins_is_refused() -> None:
    """Such a version would hold at no time."""
    row = {"change_id": "1", "valid_from": 5, "valid_to": 5}
    assert refused(judged("change", "change_id", [row])) == {1: "is not after valid_from"}


NAMES = st.sampled_from("abcdef")


@given(st.dictionaries(NAMES, st.one_of(st.none(), NAMES, st.just("nowhere"))))
def test_what_is_loaded_reaches_the_top_and_what_is_refused_does_not(parents: dict[str, str | None]) -> None:
    """Against the plain walk up from each asset, for every hierarchy of up to six."""

    def reaches(asset: str | None, steps: int = 10) -> bool:
        return asset is None or (steps > 0 and asset in parents and reaches(parents[asset], steps - 1))

    rows = assets(*((name, above, name) for name, above in parents.items()))
    if rows:
        assert ids(judged("asset", "asset_id", rows)) == [name for name in parents if reaches(name)]


@pytest.mark.parametrize(
    ("field", "time", "problem"),
    [
        ("started_at", NOW + 2 * DAY, "is in the future"),
        ("started_at", 0, "is before 1990"),
        ("planned_start", NOW + 400 * DAY, None),
        ("planned_start", NOW + 60 * 365 * DAY, "is more than 50 years ahead"),
        ("started_at", 1 << 61, "is in the future"),
        ("started_at", -(1 << 61), "is before 1990"),
    ],
)
def test_a_time_that_nobody_means_is_refused(field: str, time: int, problem: str | None) -> None:
    """What happened is not ahead; 1900, 1970 and the year 9999 are words for never; also a time that has no date."""
    found = judged("work_order", "order_id", [{"order_id": "1", field: time}])
    assert refused(found) == ({} if problem is None else {1: problem})


def test_a_change_that_ends_without_a_begin_is_refused_and_a_work_order_is_not() -> None:
    """A ticket without a begin would allow everything that was; of a repair often only the end is written down."""
    found = judged("change", "change_id", [{"change_id": "1", "end": BASE}])
    assert refused(found) == {1: "is told without start"}
    assert judged("work_order", "order_id", [{"order_id": "1", "finished_at": BASE}]).records.height == 1


def addresses(*rows: tuple[str, list[str], int, int | None]) -> list[dict[str, Any]]:
    """Rows of asset, interfaces, begin, end."""
    return [
        {"asset_id": asset, "path": asset, "interfaces": told, "valid_from": begin, "valid_to": end}
        for asset, told, begin, end in rows
    ]


def test_an_address_belongs_to_one_asset_at_a_time() -> None:
    """Also in other capitals, and where only one of several is shared; when an asset gives it up it is free."""
    both = addresses(("a", ["10.0.0.1", "AA:BB"], 0, None), ("b", ["10.0.0.2", "aa:bb"], DAY, None))
    found = judged("asset", "asset_id", both)
    assert refused(found) == {2: "another asset is at this address at the same time"}
    assert found.refused["value"].to_list() == ["aa:bb (like a)"]
    given_up = addresses(("a", ["AA:BB"], 0, None), ("a", [], DAY, None), ("b", ["aa:bb"], DAY, None))
    assert refused(judged("asset", "asset_id", given_up)) == {}


@pytest.mark.parametrize(("begin", "end", "taken"), [(0, DAY, False), (0, DAY + 1, True), (2 * DAY, None, True)])
def test_a_place_of_an_asset_that_is_loaded_already_is_taken(begin: int, end: int | None, taken: bool) -> None:
    """Whatever the order of the begins is; telling the same version anew is no second claim."""
    known = pl.DataFrame(addresses(("a", ["x"], DAY, None)), schema_overrides={"valid_to": pl.Int64})
    rows = pl.DataFrame(addresses(("b", ["x"], begin, end)), schema_overrides={"valid_to": pl.Int64})
    found = judge("asset", "asset_id", rows.with_row_index(ROW, 1).cast({ROW: pl.Int64}), known, NOW)
    assert (found.records.height == 0) is taken
    again = addresses(("a", ["x", "y"], DAY, None))
    assert judged("asset", "asset_id", again, known).records.height == 1


def test_what_stands_below_an_asset_that_is_refused_is_refused_too() -> None:
    """Else it would be loaded as an orphan."""
    found = judged(
        "asset", "asset_id", assets(("a", None, "s"), ("b", None, "s"), ("c", "b", "s/c"), ("d", "a", "s/d"))
    )
    assert ids(found) == ["a", "d"]
    assert refused(found) == {
        2: "another asset is at this path at the same time",
        3: "an asset above it is nowhere",
    }


def test_a_wrong_column_as_the_key_is_told_in_short() -> None:
    """All rows of a file are then one version: each names a few of the others, not all."""
    found = judged("work_order", "order_id", [{"order_id": "P1", "text": str(n)} for n in range(3_000)])
    assert found.refused.height == 3_000
    assert set(found.refused["value"]) == {"P1 (rows 1, 2, 3, 4, 5, 6, 7, 8 and 2992 more)"}


@pytest.mark.parametrize("top", ["nowhere", "asset-2999"])
@pytest.mark.timeout(20)
def test_a_long_chain_is_walked_once_and_told_in_short(top: str) -> None:
    """An inventory whose column of parents holds the neighbour is refused in no time, with ways that can be read."""
    rows = assets(*((f"asset-{n}", f"asset-{n - 1}" if n else top, f"p/{n}") for n in range(3_000)))
    found = judged("asset", "asset_id", rows)
    assert found.refused.height == 3_000
    assert found.refused["value"].str.len_chars().max() < 200  # type: ignore[operator]


def test_the_newest_version_says_who_is_above_whichever_is_loaded_last() -> None:
    """Two assets that changed places are no cycle, also where their past is loaded after their present."""
    present = [row | {"valid_from": 2 * DAY} for row in assets(("a", None, "a"), ("b", "a", "a/b"))]
    past = [row | {"valid_from": 0, "valid_to": DAY} for row in assets(("a", "b", "b/a"))]
    assert ids(judged("asset", "asset_id", past, pl.DataFrame(present))) == ["a"]


def test_a_version_whose_own_parent_is_nowhere_is_refused_though_a_later_one_is_right() -> None:
    """Each version is joined as of its own time."""
    versions = [row | {"valid_from": n * DAY} for n, row in enumerate(assets(("a", "x", "a"), ("a", None, "b")))]
    found = judged("asset", "asset_id", versions)
    assert (found.records["path"].to_list(), refused(found)) == (["b"], {1: "an asset above it is nowhere"})


def test_an_address_that_one_asset_tells_twice_is_its_own() -> None:
    """Once in capitals and once not: nobody else claims it."""
    assert refused(judged("asset", "asset_id", addresses(("a", ["AA:BB", "aa:bb"], 0, None)))) == {}


@pytest.mark.parametrize(
    ("kind", "row", "good"),
    [
        ("work_order", {"order_id": "1", "status": "finished", "started_at_precision": "absent"}, True),
        ("work_order", {"order_id": "1", "status": "REL"}, False),
        ("work_order", {"order_id": "1", "started_at_precision": "hour"}, False),
        ("change", {"change_id": "1", "status": "approved"}, True),
        ("change", {"change_id": "1", "status": "finished"}, False),
        ("calendar", {"entry_id": "1", "status": "REL"}, True),
    ],
)
def test_a_word_with_which_a_record_would_never_count_is_refused(kind: str, row: dict[str, Any], good: bool) -> None:
    """A status that was not translated would leave every alert unexplained, and nobody would know why."""
    found = judged(kind, next(iter(row)), [row])
    assert (found.records.height == 1) is good
    assert good or "by map in fields." in found.refused["remedy"][0]
