"""The signal dictionary: faults by name, versions that never overlap, versions as of an event time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core import dictionary
from streams.core.context import Context
from streams.core.dictionary import SIGNAL
from streams.core.frames import ID
from streams.core.times import FOREVER_US

CONTRACT = Path(__file__).parents[2] / "schemas" / "00-context" / "it.signal.v1.avsc"


def signal(signal_id: str | None = "s", address: str | None = "A", **fields: Any) -> dict[str, Any]:
    """A dictionary row with the contract's defaults."""
    row: dict[str, Any] = dict.fromkeys(SIGNAL.names())
    row.update(site="", valid_from=0, source_id="edge-1", aliases=[], work_center="line-1", role="measurement")
    row.update(factor=1.0, offset=0.0, enumeration=[], reporting="periodic", window_lengths_s=[])
    return {**row, "signal_id": signal_id, "address": address, **fields}


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of `it.signal.v1` as the shell hands them over."""
    return pl.DataFrame(list(rows), schema=SIGNAL)


def context(*rows: dict[str, Any]) -> Context:
    """A context that holds nothing but these rows."""
    return Context({"it.signal.v1": frame(*rows)}, 1)


def kinds(*rows: dict[str, Any]) -> list[tuple[str, str]]:
    """(signal, kind) of every fault."""
    return [(fault.signal_id, fault.kind) for fault in dictionary.check(frame(*rows))]


def test_the_columns_are_the_fields_of_the_contract() -> None:
    """SIGNAL names the fields of it.signal.v1 in their order."""
    assert SIGNAL.names() == [field["name"] for field in json.loads(CONTRACT.read_text())["fields"]]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("no_identity", {"address": ""}),
        ("no_identity", {"source_id": None}),
        ("no_work_center", {"work_center": ""}),
        ("unknown_role", {"role": "temperature"}),
        ("unknown_role", {"role": None}),
        ("bad_scale", {"factor": 0.0}),
        ("bad_scale", {"factor": float("nan")}),
        ("bad_scale", {"offset": float("inf")}),
        ("empty_validity", {"valid_from": 5, "valid_to": 5}),
    ],
)
def test_a_row_that_cannot_be_used_is_named_and_skipped(kind: str, fields: dict[str, Any]) -> None:
    """The fault names signal and version and says what to do; the other rows are kept."""
    rows = (signal("good", "G"), signal("faulty", **fields))
    (fault,) = dictionary.check(frame(*rows))
    assert (fault.signal_id, fault.kind, fault.valid_from) == ("faulty", kind, fields.get("valid_from", 0))
    assert fault.detail
    assert dictionary.usable(frame(*rows))["signal_id"].to_list() == ["good"]


@pytest.mark.parametrize(
    ("kind", "fields", "repaired"),
    [
        ("bad_instrument_range", {"instrument_low": 5.0, "instrument_high": 5.0}, {"instrument_low": None}),
        ("bad_instrument_range", {"instrument_high": float("nan")}, {"instrument_high": None}),
        ("bad_engineering_range", {"engineering_low": 2.0, "engineering_high": 1.0}, {"engineering_high": None}),
        ("bad_window_length", {"window_lengths_s": [60, 7]}, {"window_lengths_s": []}),
        ("bad_window_length", {"window_lengths_s": [0]}, {"window_lengths_s": []}),
        ("bad_window_length", {"window_lengths_s": [-60]}, {"window_lengths_s": []}),
        ("bad_reporting", {"reporting": "sometimes"}, {"reporting": "periodic"}),
        ("bad_period_ms", {"period_ms": 0}, {"period_ms": None}),
        ("bad_rollover", {"rollover": -1}, {"rollover": None}),
        ("bad_expected_dwell_s", {"expected_dwell_s": 0.0}, {"expected_dwell_s": None}),
    ],
)
def test_a_faulty_optional_field_is_named_and_set_aside(
    kind: str, fields: dict[str, Any], repaired: dict[str, Any]
) -> None:
    """The signal keeps working with the field's default; its neighbours keep theirs."""
    healthy = {"instrument_low": 1.0, "instrument_high": 2.0, "window_lengths_s": [10], "rollover": 9}
    rows = frame(signal("good", "G", **healthy), signal("faulty", **fields))
    assert [(fault.signal_id, fault.kind) for fault in dictionary.check(rows)] == [("faulty", kind)]
    good, faulty = dictionary.usable(rows).to_dicts()
    assert faulty == {**rows.to_dicts()[1], **dict.fromkeys(k for k in fields if "range" in kind), **repaired}
    assert good == rows.to_dicts()[0]


def test_a_healthy_dictionary_has_no_faults() -> None:
    """Versions of one signal may overlap (the later one counts), an address may change hands, aliases are addresses."""
    rows = (
        signal("a", "A", valid_from=0, instrument_low=0.0, instrument_high=1.0, window_lengths_s=[1, 10, 60, 86_400]),
        signal("a", "A", valid_from=10, valid_to=20, aliases=["A", "A2"]),
        signal("b", "A", valid_from=20),
        signal("b2", "A", source_id="edge-2"),
    )
    assert kinds(*rows) == []


def test_an_address_that_two_signals_claim_at_one_time_stays_with_the_one_that_began_first() -> None:
    """The later one is named as a fault and keeps its other addresses; so does one that claims an alias."""
    rows = (
        signal("first", "A", valid_from=0, aliases=["ALIAS"]),
        signal("second", "A", valid_from=5, aliases=["B"]),
        signal("third", "ALIAS", valid_from=0),
    )
    assert kinds(*rows) == [("second", "duplicate_address"), ("third", "duplicate_address")]
    held = dictionary.addresses(dictionary.versions(frame(*rows))).filter(~pl.col("contested"))
    assert held.select("address", "signal_id").rows() == [("A", "first"), ("ALIAS", "first"), ("B", "second")]


def test_a_version_ends_where_the_next_one_begins() -> None:
    """Whatever its own valid_to says; of two with one valid_from the row that comes last counts."""
    rows = dictionary.versions(
        frame(
            signal("a", valid_from=10, name="old"),
            signal("a", valid_from=0, valid_to=50),
            signal("a", valid_from=10, name="corrected"),
        )
    )
    assert rows.select("valid_from", "valid_to", "name").rows() == [(0, 10, None), (10, FOREVER_US, "corrected")]


def test_latest_is_the_version_that_began_last() -> None:
    """One row per signal, sorted, with ids Categorical so that they join readings."""
    rows = dictionary.latest(
        context(signal("b", "B"), signal("a", valid_from=10, work_center="line-2"), signal("a", valid_from=0))
    )
    assert rows.select("signal_id", "work_center").rows() == [("a", "line-2"), ("b", "line-1")]
    assert rows.schema["signal_id"] == rows.schema["work_center"] == rows.schema["role"] == ID


VERSIONS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.none() | st.integers(1, 9)),
    max_size=8,
    unique_by=lambda version: version[:2],
)
QUESTIONS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-1, 25)), max_size=12)


@settings(deadline=None)
@given(VERSIONS, QUESTIONS)
def test_as_of_answers_each_row_with_the_version_that_holds_then(
    versions: list[tuple[str, int, int | None]], questions: list[tuple[str, int]]
) -> None:
    """The version with the latest begin not after the time, unless it has ended; null otherwise; order is kept."""
    rows = [
        signal(name, name, valid_from=begin, valid_to=None if length is None else begin + length, name=f"{name}{begin}")
        for name, begin, length in versions
    ]
    asked = pl.DataFrame(questions, {"signal_id": pl.String, "at": pl.Int64}, orient="row")
    asked = asked.with_columns(pl.col("signal_id").cast(ID))
    answered = dictionary.as_of(context(*rows), asked, ["name", "work_center"], on="at")
    expected = []
    for name, at in questions:
        begun = [version for version in versions if version[0] == name and version[1] <= at]
        last = max(begun, key=lambda version: version[1], default=None)
        holds = last is not None and (last[2] is None or at < last[1] + last[2])
        expected.append((name, at, f"{name}{last[1]}" if last and holds else None, "line-1" if holds else None))
    assert answered.rows() == expected


def test_as_of_refuses_columns_that_are_there_already() -> None:
    """A silent suffix would hide which of the two the caller reads."""
    asked = pl.DataFrame({"signal_id": ["a"], "event_time": [1], "work_center": ["x"]})
    with pytest.raises(ValueError, match="work_center already: drop or rename it"):
        dictionary.as_of(context(signal()), asked, ["work_center"])


def test_what_is_derived_from_the_dictionary_is_built_once_per_frame() -> None:
    """The same frame is not prepared twice; another frame is, whatever version number its context has."""
    built: list[int] = []

    def build(rows: pl.DataFrame) -> int:
        built.append(rows.height)
        return rows.height

    memo = dictionary.Memo(build)
    first = context(signal())
    assert [memo.of(first), memo.of(Context(first.frames, 2)), memo.of(context(signal(), signal("b", "B")))] == [
        1,
        1,
        2,
    ]
    assert built == [1, 2]


def test_an_empty_dictionary_is_no_fault() -> None:
    """A topic nobody wrote to."""
    assert dictionary.check(frame()) == []
    assert dictionary.latest(context()).height == 0
