"""The inventory of unknown signals: what it keeps, when it speaks, how it stays bounded, what it proposes."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core import dictionary
from streams.core.dictionary import SIGNAL
from streams.core.stage import apply
from streams.core.validate import inventory
from streams.core.validate.stage import ValidateConfig
from streams.core.validate.unpack import RAW
from tests.core.validate_run import NOW, RAW_READING, Run, S, context, record, signal

UNKNOWN = "ot.signal.unknown.v1"


def readings(*rows: dict[str, Any]) -> pl.DataFrame:
    """Raw readings with their event time."""
    defaults = {**dict.fromkeys(RAW.names()), "source_id": "edge-1", "address": "X", "site": "hall", "event_time": NOW}
    return pl.DataFrame([{**defaults, **row} for row in rows], schema={**RAW, "event_time": pl.Int64})


def add(state: pl.DataFrame, rows: pl.DataFrame, limit: int = 100) -> pl.DataFrame:
    """The inventory with these readings."""
    return apply(inventory.TABLE, state, inventory.add(state, rows, NOW, limit)[0])


def test_one_record_when_a_signal_is_new_and_then_one_a_minute_while_it_changes() -> None:
    """Not one record per reading: 1,000 readings of one signal give two records in two minutes."""
    run = Run([])
    for chunk in range(10):
        run.step(*(record(RAW_READING, chunk * 100 + n, address="X", value_long=n) for n in range(100)))
    assert [row["count"] for row in run.rows(UNKNOWN)] == [100]
    run.timer(NOW + 59 * S)
    assert len(run.rows(UNKNOWN)) == 1
    run.timer(NOW + 60 * S)
    assert [row["count"] for row in run.rows(UNKNOWN)] == [100, 1_000]
    run.timer(NOW + 120 * S)
    assert len(run.rows(UNKNOWN)) == 2, "nothing changed since"


def test_a_record_says_what_was_seen() -> None:
    """First and last event time, count, type, range, rate over event time, distinct texts."""
    run = Run([]).step(
        record(RAW_READING, 1, address="X", value_double=5.0, source_time=NOW - 8 * S),
        record(RAW_READING, 2, address="X", value_long=-3, source_time=NOW - 10 * S),
        record(RAW_READING, 3, address="X", value_string="on", source_time=NOW - 6 * S),
        record(RAW_READING, 4, address="X", value_double=float("inf"), source_time=NOW - 5 * S),
    )
    assert run.rows(UNKNOWN) == [
        {
            "source_id": "edge-1",
            "address": "X",
            "site": "hall",
            "tenant": None,
            "first_seen": NOW - 10 * S,
            "last_seen": NOW - 5 * S,
            "count": 4,
            "value_type": "mixed",
            "low": -3.0,
            "high": 5.0,
            "rate_per_s": 0.6,
            "distinct_values": ["on"],
        }
    ]


def test_a_rate_does_not_depend_on_its_neighbours() -> None:
    """Bit for bit: a record is the same, alone in its frame or among others."""
    rows = add(inventory.TABLE.empty(), readings(*({"event_time": NOW + n} for n in (0, 0, 0, 0, 5))))
    alone = inventory.records(rows)
    among = inventory.records(pl.concat([rows, rows]))
    assert alone["rate_per_s"].to_list() == [800_000.0]
    assert among["rate_per_s"].to_list() == [800_000.0, 800_000.0]


def test_a_signal_that_the_dictionary_names_leaves_the_inventory() -> None:
    """The timer forgets it, silently; its next readings are validated."""
    run = Run([]).step(record(RAW_READING, 1, address="X", value_double=1.0))
    run.context = context([signal("x", "X")])
    run.timer(NOW + S)
    assert run.state["unknown"].height == 0
    assert run.counts["unknown", "resolved"] == 1
    run.step(record(RAW_READING, 2, address="X", value_double=2.0))
    assert [row["value_double"] for row in run.readings] == [2.0]


def test_a_signal_that_is_named_only_for_later_stays_in_the_inventory() -> None:
    """As of the event time of its readings the dictionary still has nothing to say about them."""
    run = Run([signal("x", "X", valid_from=NOW)]).step(record(RAW_READING, 1, address="X", value_double=1.0))
    run.timer(NOW + S)
    assert run.state["unknown"].height == 1


def test_the_inventory_is_bounded_and_what_finds_no_room_is_counted() -> None:
    """The signals seen first stay and go on counting; the others have one label together."""
    run = Run([], ValidateConfig(inventory_limit=2))
    sent = [record(RAW_READING, n, address=address, value_double=1.0) for n, address in enumerate("ABCAD")]
    run.step(*sent).step(*sent)
    assert dict(run.state["unknown"].select("address", "count").rows()) == {"A": 4, "B": 2}
    assert run.counts["unknown", "overflow"] == 4
    assert run.counts["unknown", "new"] == 2


def test_texts_are_few_and_short() -> None:
    """16 of at most 64 characters, the smallest ones: what is kept does not depend on the order."""
    texts = [f"{number:03d}" + "x" * 100 for number in range(40, 0, -1)]
    rows = readings(*({"value_string": text} for text in texts * 2))
    table = add(inventory.TABLE.empty(), rows)
    assert table["distinct_values"].to_list() == [[f"{number:03d}" + "x" * 61 for number in range(1, 17)]]


@pytest.mark.parametrize(
    ("fields", "value_type"),
    [
        ({"value_double": 1.0}, "double"),
        ({"value_long": 1}, "long"),
        ({"value_bool": False}, "bool"),
        ({"value_string": ""}, "string"),
        ({"value_bytes": b""}, "bytes"),
        ({"value_double": 1.0, "value_long": 1}, "mixed"),
        ({}, "none"),
    ],
)
def test_the_type_is_that_of_the_fields_that_were_sent(fields: dict[str, Any], value_type: str) -> None:
    """One name per field of the raw reading; `none` where every reading was empty."""
    table = add(inventory.TABLE.empty(), readings(fields, fields))
    assert inventory.records(table)["value_type"].to_list() == [value_type]


READINGS = st.lists(
    st.fixed_dictionaries(
        {
            "address": st.sampled_from("XYZ"),
            "site": st.sampled_from(["hall", "yard"]),
            "tenant": st.sampled_from([None, "a", "b"]),
            "event_time": st.integers(NOW, NOW + 9),
            "value_double": st.none() | st.floats(),
            "value_long": st.none() | st.integers(-9, 9),
            "value_string": st.none() | st.text("ab", max_size=3),
        }
    ),
    min_size=1,
    max_size=20,
)


@settings(deadline=None)
@given(READINGS, st.randoms(use_true_random=False), st.integers(0, 20))
def test_the_same_readings_in_any_order_and_split_give_the_same_inventory(
    rows: list[dict[str, Any]], order: Any, cut: int
) -> None:
    """Every column merges: counts add, bounds widen, the smallest texts stay."""
    once = add(inventory.TABLE.empty(), readings(*rows))
    order.shuffle(rows)
    twice = inventory.TABLE.empty()
    for part in (rows[:cut], rows[cut:]):
        if part:
            twice = add(twice, readings(*part))
    assert inventory.records(twice).sort("address").equals(inventory.records(once).sort("address"))


def unknown(address: str, value_type: str, **fields: Any) -> dict[str, Any]:
    """An inventory record."""
    row: dict[str, Any] = dict.fromkeys(inventory.UNKNOWN)
    row.update(source_id="edge-1", site="hall", first_seen=NOW, last_seen=NOW + S, count=9, distinct_values=[])
    return {**row, "address": address, "value_type": value_type, **fields}


@pytest.mark.parametrize(
    ("address", "value_type", "fields", "role"),
    [
        ("Filler.Temperature", "double", {}, "measurement"),
        ("Filler.Temp_SP", "double", {}, "setpoint"),
        ("Filler.Respiration", "double", {}, "measurement"),
        ("Filler.Speed", "long", {"low": 0.0, "high": 5_000.0}, "measurement"),
        ("Filler.Bottles.TotalCount", "long", {"low": 0.0, "high": 5_000.0}, "total_counter"),
        ("Filler.RejectCount", "long", {"low": 0.0, "high": 7.0}, "reject_counter"),
        ("Filler.GoodCount", "long", {"low": 0.0, "high": 7.0}, "good_counter"),
        ("Filler.Status", "long", {"low": 0.0, "high": 7.0}, "state"),
        ("Filler.Status", "long", {"low": 0.0, "high": 70_000.0}, "measurement"),
        ("Filler.Running", "bool", {}, "state"),
        ("Filler.MotorFault", "bool", {}, "alarm"),
        ("Filler.BatchNo", "string", {}, "batch_id"),
        ("Filler.RecipeStep", "string", {}, "phase"),
        ("Filler.Level", "mixed", {}, "measurement"),
        ("Filler.Level", "none", {}, "measurement"),
    ],
)
def test_the_proposed_role_follows_type_and_words(
    address: str, value_type: str, fields: dict[str, Any], role: str
) -> None:
    """A guess from the value type and a few words of the address."""
    proposed = inventory.propose(pl.DataFrame([unknown(address, value_type, **fields)], infer_schema_length=None))
    assert proposed["role"].to_list() == [role]


@pytest.mark.parametrize(
    ("rate_per_s", "value_type", "reporting", "period_ms"),
    [
        (1.0, "double", "periodic", 1_000),
        (0.95, "double", "periodic", 1_000),
        (10.4, "double", "periodic", 100),
        (0.7, "double", "on_change", None),
        (None, "double", "on_change", None),
        (1.0, "bool", "on_change", None),
    ],
)
def test_a_number_at_a_round_mean_period_is_proposed_as_periodic(
    rate_per_s: float | None, value_type: str, reporting: str, period_ms: int | None
) -> None:
    """Within a tenth of a usual sampling period; everything else reports on change."""
    frame = pl.DataFrame([unknown("X", value_type, rate_per_s=rate_per_s)], schema_overrides={"rate_per_s": pl.Float64})
    assert inventory.propose(frame).select("reporting", "period_ms").rows() == [(reporting, period_ms)]


def test_a_proposal_is_a_dictionary_row_that_lacks_only_its_line() -> None:
    """All columns of it.signal.v1; `check` asks for the work centre, and with it the readings are validated."""
    run = Run([]).step(record(RAW_READING, 1, address="B", value_double=1.0), record(RAW_READING, 2, address="A"))
    proposed = inventory.propose(run.out[UNKNOWN][0])
    assert proposed.schema == SIGNAL
    assert proposed["signal_id"].to_list() == ["edge-1/A", "edge-1/B"]
    assert {fault.kind for fault in dictionary.check(proposed)} == {"no_work_center"}
    completed = proposed.with_columns(work_center=pl.lit("line-1"))
    assert dictionary.check(completed) == []
    run = Run(completed.to_dicts()).step(record(RAW_READING, 1, address="B", value_double=1.0))
    assert [row["signal_id"] for row in run.readings] == ["edge-1/B"]
