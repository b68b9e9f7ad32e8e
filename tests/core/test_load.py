"""Files of IT systems as records: mappings, what they read, and what they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.load import mapping
from streams.core.load.faults import MappingFaults
from streams.core.load.mapping import Field
from streams.core.load.take import ROW, Taken, take

TEXT, TIME = pl.String(), pl.Int64()
FIELDS: Mapping[str, Field] = {
    "order_id": Field("order_id", TEXT, required=True, time=False),
    "started_at": Field("started_at", TIME, required=False, time=True),
    "started_at_precision": Field("started_at_precision", TEXT, required=False, time=False),
    "count": Field("count", pl.Int32(), required=False, time=False),
    "cost": Field("cost", pl.Float64(), required=False, time=False),
    "remote": Field("remote", pl.Boolean(), required=False, time=False),
    "kind": Field("kind", TEXT, required=False, time=False),
    "actors": Field("actors", pl.List(pl.String), required=False, time=False),
}
HOUR_US = 3_600_000_000


def taken(columns: Mapping[str, list[str | None]], fields: str, top: str = "") -> Taken:
    """The records that a mapping makes of columns of texts."""
    said = mapping.parse(f'kind = "order"\n{top}\n[fields]\n{fields}', {"order": FIELDS})
    table = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    return take(table.with_columns(pl.int_range(1, pl.len() + 1).alias(ROW)), said, FIELDS)


def values(found: Taken, field: str) -> list[Any]:
    """A field of the records."""
    return found.records[field].to_list()


def faults(text: str) -> str:
    """What a mapping is refused for."""
    with pytest.raises(MappingFaults) as why:
        mapping.parse(text, {"order": FIELDS})
    return str(why.value)


def test_templates_join_columns_and_the_number_of_the_row() -> None:
    """An id may be made of several columns; where one of them is empty there is no id, and the row is refused."""
    found = taken({"asset": ["A", "B", ""]}, 'order_id = { template = "{asset}-{#}" }')
    assert values(found, "order_id") == ["A-1", "B-2"]
    assert found.refused.rows() == [
        (3, "order_id", None, "is not told", "correct the row, or fields.order_id in the mapping file")
    ]


def test_a_row_with_a_field_that_cannot_be_read_is_refused_whole_and_the_others_are_taken() -> None:
    """Half a record would be a lie; a fault in one row says nothing about the next."""
    found = taken(
        {"id": ["a", "b", "c"], "n": ["1", "many", "3"], "p": ["1.5", "x", ""]},
        'order_id = { column = "id" }\ncount = { column = "n" }\ncost = { column = "p" }',
    )
    assert values(found, "order_id") == ["a", "c"]
    assert values(found, "cost") == [1.5, None]
    assert found.refused.select("row", "field", "value").rows() == [(2, "cost", "x"), (2, "count", "many")]


def test_a_local_time_is_read_in_its_zone_and_an_hour_that_does_not_exist_is_refused() -> None:
    """02:30 did not occur in Berlin on 2026-03-29; 12:00 was 10:00 UTC."""
    found = taken(
        {"id": ["a", "b"], "t": ["29.03.2026 12:00", "29.03.2026 02:30"]},
        'order_id = { column = "id" }\n'
        'started_at = { column = "t", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin" }',
    )
    assert values(found, "started_at") == [1_774_778_400_000_000]
    assert found.refused["row"].to_list() == [2]


@pytest.mark.parametrize(
    ("form", "text", "precision"),
    [
        ("%Y-%m-%d", "2026-01-02", "day"),
        ("%Y-%m-%d %H:%M", "2026-01-02 00:00", "exact"),
        ("iso", "2026-01-02", "day"),
        ("iso", "2026-W01-5", "day"),
        ("iso", "2026-01-02T00:00", "exact"),
        ("%Y-%m-%d %-H:%M", "2026-01-02 0:00", "exact"),
        ("%Y-%m-%d %l:%M %p", "2026-01-02 12:00 AM", "exact"),
        ("%Y-%m-%d %X", "2026-01-02 00:00:00", "exact"),
    ],
)
def test_the_precision_of_a_time_follows_from_how_it_is_written(form: str, text: str, precision: str) -> None:
    """A date alone is known to the day; what is not told has no precision."""
    found = taken(
        {"id": ["a", "b"], "t": [text, None]},
        f'order_id = {{ column = "id" }}\nstarted_at = {{ column = "t", format = "{form}" }}',
    )
    assert values(found, "started_at") == [1_767_312_000_000_000, None]
    assert values(found, "started_at_precision") == [precision, "absent"]


def test_a_precision_that_the_mapping_states_wins() -> None:
    """Who knows that a person typed the time afterwards says so."""
    found = taken(
        {"id": ["a"], "t": ["1767312000.5"]},
        'order_id = { column = "id" }\nstarted_at = { column = "t", format = "unix_s", precision = "typed_later" }',
    )
    assert values(found, "started_at") == [1_767_312_000_500_000]
    assert values(found, "started_at_precision") == ["typed_later"]


def test_words_are_replaced_and_unknown_ones_are_refused_or_take_the_stated_word() -> None:
    """A code that the mapping does not know is told, unless it says what all others mean."""
    columns: dict[str, list[str | None]] = {"id": ["a", "b", "c"], "k": ["PM01", "PM9", None]}
    strict = taken(columns, 'order_id = { column = "id" }\nkind = { column = "k", map = { PM01 = "corrective" } }')
    assert values(strict, "kind") == ["corrective", None]
    assert strict.refused["row"].to_list() == [2]
    loose = taken(
        columns,
        'order_id = { column = "id" }\nkind = { column = "k", map = { PM01 = "corrective" }, otherwise = "other" }',
    )
    assert values(loose, "kind") == ["corrective", "other", "other"]


def test_lists_are_split_and_numbers_scaled() -> None:
    """Two accounts stand in "a; b"; cents become euros; yes is yes in the usual words."""
    found = taken(
        {"id": ["x", "y"], "who": ["a; b;", None], "cents": ["250", None], "far": ["Yes", "f"]},
        'order_id = { column = "id" }\nactors = { column = "who", split = ";" }\n'
        'cost = { column = "cents", scale = 0.01 }\nremote = { column = "far" }',
    )
    assert values(found, "actors") == [["a", "b"], []]
    assert values(found, "cost") == [2.5, None]
    assert values(found, "remote") == [True, False]


def test_rows_of_other_kinds_are_skipped_and_counted() -> None:
    """One file may hold several kinds of rows."""
    found = taken(
        {"id": ["a", "b", "c"], "type": ["order", "note", "order"]},
        'order_id = { column = "id" }',
        'only = { type = ["order"] }',
    )
    assert values(found, "order_id") == ["a", "c"]
    assert found.skipped == 1


def test_every_fault_of_a_mapping_is_told_at_once_with_what_was_meant() -> None:
    """A person corrects a file once, not once per fault."""
    told = faults(
        'kind = "order"\ncolour = "red"\n[file]\nformat = "xls"\n[fields]\nordr_id = { column = "id" }\n'
        'started_at = { column = "t", zone = "Europe/Berln" }\ncount = { column = "n", value = "1" }\n'
        'cost = { column = "c", format = "iso", scale = "x" }\nremote = "yes"'
    )
    for part in (
        "colour: no such key",
        "file.format: write one of csv",
        "fields.ordr_id: order has no such field; did you mean 'order_id'?",
        "fields.started_at.format: say how times are written",
        "did you mean 'Europe/Berlin'?",
        "fields.count: say where it comes from by exactly one",
        "fields.cost: cost is no time",
        "fields.cost.scale: write a number",
        "fields.remote: write a table",
        "fields.order_id: order needs it",
    ):
        assert part in told


@pytest.mark.parametrize("text", ["", "kind = 3", 'kind = "ordre"', "kind = ", '[fields]\nkind = "order"', "\x00"])
def test_a_file_that_is_no_mapping_is_refused_with_a_sentence(text: str) -> None:
    """No text makes the parser fail in another way than by its own error."""
    assert "fault(s) in the mapping file" in faults(text)


def test_a_column_that_the_file_lacks_is_named_with_the_nearest_one() -> None:
    """The mapping is right for another export: say so before any row is read."""
    said = mapping.parse('kind = "order"\n[fields]\norder_id = { template = "{Asset}/{Numbr}" }', {"order": FIELDS})
    assert mapping.missing_columns(said, ["Asset", "Number"], FIELDS) == [
        "  column 'Numbr': the file has no such column; did you mean 'Number'?"
    ]


CELL = st.one_of(
    st.none(), st.text(max_size=12), st.sampled_from(["1", "-7", "1e400", "nan", "NaN", "2026-01-02", "yes"])
)


@given(st.lists(st.tuples(CELL, CELL, CELL), max_size=8))
def test_every_row_ends_as_a_record_or_as_refused_whatever_stands_in_it(rows: list[tuple[str | None, ...]]) -> None:
    """No cell makes the reader fail, and no row is lost."""
    columns = {name: [row[place] for row in rows] for place, name in enumerate(("id", "t", "n"))}
    found = taken(
        columns,
        'order_id = { column = "id" }\nstarted_at = { column = "t", format = "iso", zone = "Europe/Berlin" }\n'
        'count = { column = "n" }\nremote = { column = "n", map = { yes = "true" }, otherwise = "false" }\n'
        'actors = { column = "t", split = "-" }',
    )
    ended = found.records[ROW].to_list() + found.refused["row"].unique().to_list()
    assert sorted(ended) == list(range(1, len(rows) + 1))


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%Y-%m-%dT%H:%M:%S%z", "2026-07-01T12:00:00+0200"),
        ("%Y-%m-%dT%H:%M:%S%:z", "2026-07-01T12:00:00+02:00"),
        ("%Y-%m-%dT%H:%M:%S%#z", "2026-07-01T12:00:00+02"),
        ("%+", "2026-07-01T12:00:00+02:00"),
        ("%s", "1782900000"),
        ("iso", "2026-07-01T12:00:00+02:00"),
    ],
)
def test_a_time_that_tells_its_offset_is_not_moved_by_the_zone_as_well(form: str, text: str) -> None:
    """The zone of the mapping is for times that tell none, however the offset is written."""
    time = f'started_at = {{ column = "t", format = "{form}", zone = "Asia/Tokyo" }}'
    found = taken({"id": ["a"], "t": [text]}, f'order_id = {{ column = "id" }}\n{time}')
    assert values(found, "started_at") == [1_782_900_000_000_000]


@pytest.mark.parametrize("form", ["iso", "%Y-%m-%d"])
def test_a_day_that_has_no_midnight_begins_an_hour_later(form: str) -> None:
    """Clocks of Cairo went from 2025-04-24 24:00 to 01:00: the day is there, and began at 22:00 UTC."""
    time = f'started_at = {{ column = "t", format = "{form}", zone = "Africa/Cairo" }}'
    found = taken({"id": ["a"], "t": ["2025-04-25"]}, f'order_id = {{ column = "id" }}\n{time}')
    assert values(found, "started_at") == [1_745_532_000_000_000]
    assert values(found, "started_at_precision") == ["day"]


def test_a_word_for_nothing_is_nothing_inside_a_template_and_blanks_around_words_do_not_count() -> None:
    """An id made of NA would be one id for all such rows; exports of fixed width fill with blanks."""
    found = taken(
        {"plant": ["1200 ", "1200", "1300"], "nr": ["7", "NA", "8"]},
        'order_id = { template = "{plant}-{nr}" }',
        'nulls = ["", "NA"]\nonly = { plant = ["1200"] }',
    )
    assert (values(found, "order_id"), found.skipped, found.refused["row"].to_list()) == (["1200-7"], 1, [2])


def test_scaled_numbers_are_rounded_and_numbers_without_a_value_are_refused() -> None:
    """1.001 s are 1001 ms; not a number, and more than any, are no numbers."""
    found = taken(
        {"id": ["a", "b", "c"], "n": ["1.001", "0.57", None], "p": ["1", "nan", "inf"]},
        'order_id = { column = "id" }\ncount = { column = "n", scale = 1000 }\ncost = { column = "p" }',
    )
    assert (values(found, "count"), found.refused["row"].to_list()) == ([1001], [2, 3])


def test_numbers_with_a_decimal_comma_are_read_where_the_mapping_says_so() -> None:
    """Points stand between thousands then, and nowhere else: 1.5 is refused rather than taken for 15."""
    columns: dict[str, list[str | None]] = {
        "id": list("abcde"),
        "p": ["1,5", "-1.234,50", "12.345", "1.5", "7"],
        "n": ["7", "1.200", None, "8", "9"],
    }
    fields = 'order_id = { column = "id" }\ncost = { column = "p" }\ncount = { column = "n" }'
    found = taken(columns, fields, '[file]\nseparator = ";"\ndecimal = ","')
    assert (values(found, "cost"), values(found, "count")) == ([1.5, -1234.5, 12345.0, 7.0], [7, 1200, None, 9])
    assert found.refused.select("row", "field", "value").rows() == [(4, "cost", "1.5")]
    assert taken(columns, fields).refused["row"].unique().to_list() == [1, 2]
    assert 'file.decimal: write "." or ","' in faults('kind = "order"\n[file]\ndecimal = "x"\n[fields]\n')
