"""The validate stage against its row-by-row reference, and each bad input by name."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core import inventory
from streams.core.context import Context
from streams.core.dictionary import SIGNAL
from streams.core.frames import COORDINATES, READING
from streams.core.rejects import REJECTED
from streams.core.stage import Moment, Result, apply
from streams.core.unpack import ARRAYS, RAW
from streams.core.validate import Validate, ValidateConfig
from tests.core import reference_validate as reference

RAW_READING, RAW_BATCH = "ot.raw.reading.v1", "ot.raw.batch.v1"
NOW = 1_790_000_000_000_000
S = 1_000_000
DAY = 86_400 * S
MOMENT = Moment(NOW, NOW)

READING_SCHEMA = pl.Schema({name: RAW[name] for name in RAW.names() if name not in ("_position", "_source")})
BATCH_SCHEMA = pl.Schema(
    {
        name: pl.List(dtype) if name in ARRAYS else dtype
        for name, dtype in READING_SCHEMA.items()
        if name != "value_bytes"
    }
)
SCHEMAS = {RAW_READING: READING_SCHEMA, RAW_BATCH: BATCH_SCHEMA}


def signal(signal_id: str, address: str, **fields: Any) -> dict[str, Any]:
    """A dictionary row with the contract's defaults."""
    row: dict[str, Any] = dict.fromkeys(SIGNAL.names())
    row.update(site="hall", valid_from=0, source_id="edge-1", aliases=[], work_center="line-1", role="measurement")
    row.update(factor=1.0, offset=0.0, enumeration=[], reporting="periodic", window_lengths_s=[])
    return {**row, "signal_id": signal_id, "address": address, **fields}


def record(topic: str, offset: int, **fields: Any) -> tuple[str, dict[str, Any]]:
    """A raw record with the contract's defaults."""
    row: dict[str, Any] = dict.fromkeys(SCHEMAS[topic].names())
    row.update(source_id="edge-1", site="hall", _partition=3, _offset=offset, _time=NOW)
    if topic == RAW_READING:
        row.update(historical=False, birth=False, source_time=NOW - S)
    return topic, {**row, **fields}


def context(rows: Sequence[dict[str, Any]]) -> Context:
    """The signal dictionary as the shell hands it over."""
    return Context({"it.signal.v1": pl.DataFrame(list(rows), schema=SIGNAL)}, 1)


class Run:
    """Drives a stage as the shell does: applies its changes, collects what comes out."""

    def __init__(self, rows: Sequence[dict[str, Any]], config: ValidateConfig | None = None) -> None:
        self.stage = Validate(config)
        self.context = context(rows)
        self.state = {table.name: table.empty() for table in self.stage.tables}
        self.out: dict[str, list[pl.DataFrame]] = {}
        self.counts: Counter[tuple[str, str]] = Counter()

    def _take(self, result: Result) -> None:
        for table in self.stage.tables:
            if table.name in result.changes:
                self.state[table.name] = apply(table, self.state[table.name], result.changes[table.name])
        for topic, frame in result.out.items():
            assert frame.height, f"{topic}: an empty frame is no output"
            self.out.setdefault(topic, []).append(frame)
        self.counts.update(result.counts)

    def step(self, *records: tuple[str, dict[str, Any]]) -> Run:
        """One chunk of records of one topic."""
        topic = records[0][0]
        frame = pl.DataFrame([row for _, row in records], schema=SCHEMAS[topic], orient="row")
        self._take(self.stage.step(topic, frame, self.state, self.context, MOMENT))
        return self

    def timer(self, now_us: int) -> Run:
        """The second that ends at `now_us`."""
        self._take(self.stage.timer(self.state, self.context, Moment(now_us, now_us)))
        return self

    def rows(self, topic: str) -> list[dict[str, Any]]:
        """All that came out to `topic`."""
        return [row for frame in self.out.get(topic, []) for row in frame.to_dicts()]

    @property
    def readings(self) -> list[dict[str, Any]]:
        """All validated readings."""
        return self.rows("ot.reading.v1")

    @property
    def rejects(self) -> list[tuple[Any, ...]]:
        """All rejects, in the form of the reference."""
        names = ("reason", "topic", "partition", "offset", "position", "source_id", "address")
        return [tuple(row[name] for name in names) for row in self.rows("ot.reading.rejected.v1")]


# --- any input, any split ------------------------------------------------------------------------------------------

SOURCES = st.sampled_from(["edge-1", "edge-2"])
ADDRESSES = st.sampled_from(["a", "b", "c", "d", "é" * 600])
ROLE_NAMES = ["measurement", "setpoint", "good_counter", "state", "alarm", "batch_id", "phase"]
ROLES = st.sampled_from(ROLE_NAMES)
LONGS = st.one_of(st.integers(0, 3), st.integers(-(2**63), 2**63 - 1))
DOUBLES = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 2.0, 2.5, 1e308, 2.0**53, 2.0**60]), st.floats())
TEXT_VALUES = ["0", "1", "+2", "true", "run", "1e3", ".5", "5.", "-", ".", "NaN", "inf", "1_0", " 1", "1\n", ""]
TEXT_VALUES += ["9007199254740993", "9223372036854775808", "1e999", "é", "x" * 1024, "x" * 1025, "é" * 512, "é" * 513]
BYTE_VALUES = [b"", b"B-17", b"\xff", "é".encode(), b"x" * 1025]
TEXTS = st.sampled_from(TEXT_VALUES)
BYTES = st.sampled_from(BYTE_VALUES)
TIMES = st.one_of(
    st.none(),
    st.sampled_from([NOW - n * S for n in range(10)]),
    st.sampled_from([NOW + DAY, NOW + DAY + 1, NOW + 365 * DAY, 946_684_800 * S, 946_684_800 * S - 1, -1, 0,
                     2**63 - 1, -(2**63)]),
)  # fmt: skip
QUALITIES = st.one_of(
    st.none(),
    st.sampled_from([0, 192, 216, 219, 500, 64, 128, 0x40000000, 0x80000000, -(2**31), 0xC0000000, 0x80AB0000]),
    LONGS,
)
SCHEMES = st.sampled_from([None, None, "opcua", "opcda", "sparkplug", "iec61850"])


def _rarely(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.none(), strategy)


@st.composite
def dictionaries(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to six versions of up to four signals; addresses may be contested, versions may overlap."""
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        begin = draw(st.sampled_from([0, NOW - 8 * S, NOW - 4 * S]))
        rows.append(
            signal(
                draw(st.sampled_from(["s1", "s2", "s3", "s4"])),
                draw(ADDRESSES),
                source_id=draw(SOURCES),
                valid_from=begin,
                valid_to=draw(st.sampled_from([None, None, NOW - 6 * S if begin < NOW - 6 * S else NOW])),
                aliases=draw(st.lists(ADDRESSES, max_size=2)),
                work_center=draw(st.sampled_from(["line-1", "line-2"])),
                tenant=draw(st.sampled_from([None, "acme"])),
                role=draw(ROLES),
                factor=draw(st.sampled_from([1.0, 1.0, 0.1, -2.0])),
                offset=draw(st.sampled_from([0.0, 0.0, -40.0])),
                instrument_low=draw(st.sampled_from([None, -1.0])),
                instrument_high=draw(st.sampled_from([None, 2.0])),
                enumeration=[
                    {"key": key, "value": f"label {key}"} for key in draw(st.sets(st.sampled_from(["0", "1", "true"])))
                ],
            )
        )
    return rows


@st.composite
def raw_records(draw: st.DrawFn, offset: int) -> tuple[str, dict[str, Any]]:
    """A reading, or a batch whose arrays are mostly equally long."""
    common = {
        "source_id": draw(SOURCES),
        "gateway_time": draw(TIMES),
        "sequence": draw(_rarely(st.integers(0, 9))),
        "quality_scheme": draw(SCHEMES),
        "_time": draw(st.sampled_from([NOW, NOW, NOW - 3 * S, -1])),
    }
    values = {
        "address": ADDRESSES,
        "source_time": TIMES,
        "value_double": _rarely(DOUBLES),
        "value_long": _rarely(LONGS),
        "value_bool": _rarely(st.booleans()),
        "value_string": _rarely(TEXTS),
        "quality_raw": QUALITIES,
        "historical": st.booleans(),
        "birth": st.booleans(),
    }
    if draw(st.booleans()):
        fields = {name: draw(strategy) for name, strategy in values.items()}
        return record(RAW_READING, offset, **common, **fields, value_bytes=draw(_rarely(BYTES)))
    length = draw(st.integers(0, 4))
    arrays: dict[str, Any] = {}
    for name, strategy in values.items():
        items = st.one_of(st.none(), strategy)
        size = draw(st.sampled_from([length] * 30 + [length + 1]))
        arrays[name] = draw(st.lists(items, min_size=size, max_size=size))
        if name != "address" and draw(st.booleans()):
            arrays[name] = None
    return record(RAW_BATCH, offset, **common, **arrays)


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Up to twelve records."""
    return [draw(raw_records(offset)) for offset in range(draw(st.integers(0, 12)))]


def feed(run: Run, records: list[tuple[str, dict[str, Any]]], cuts: set[int]) -> Run:
    """Hand over the records, cut where the topic changes and before each of `cuts`."""
    chunk: list[tuple[str, dict[str, Any]]] = []
    for number, one in enumerate(records):
        if chunk and (number in cuts or chunk[0][0] != one[0]):
            run.step(*chunk)
            chunk = []
        chunk.append(one)
    return run.step(*chunk) if chunk else run


@settings(deadline=None, max_examples=60)
@given(dictionaries(), streams(), st.sets(st.integers(0, 12)))
def test_any_records_in_any_split_give_what_the_reference_gives(
    rows: list[dict[str, Any]], records: list[tuple[str, dict[str, Any]]], cuts: set[int]
) -> None:
    """Readings, rejects and inventory equal those of a row-by-row program, wherever the stream is cut."""
    run = feed(Run(rows, ValidateConfig(inventory_limit=3)), records, cuts)
    expected = reference.validate(records, rows, NOW, inventory_limit=3)
    assert run.readings == expected.readings
    assert Counter(run.rejects) == Counter(expected.rejects)
    assert_inventory(run.state["unknown"], expected)
    assert run.counts["unknown", "overflow"] == expected.overflow
    accounted = len(run.readings) + sum(seen["count"] for seen in expected.unknown.values()) + expected.overflow
    in_batch = [reason for reason in run.rejects if reason[0] != "unequal_lengths"]
    assert run.counts["readings", RAW_READING] + run.counts["readings", RAW_BATCH] == accounted + len(in_batch)


EVERY_VALUE = [
    *(
        {"value_double": value}
        for value in (0.0, -0.0, 1.0, 2.5, -3.0, 2.0**53, 2.0**53 + 2, 1e308, math.nan, math.inf)
    ),
    *({"value_long": value} for value in (0, 1, -3, 2**53 + 1, 2**63 - 1, -(2**63))),
    *({"value_bool": value} for value in (False, True)),
    *({"value_string": value} for value in TEXT_VALUES),
    *({"value_bytes": value} for value in BYTE_VALUES),
    {},
    {"value_double": 2.5, "value_long": 7, "value_bool": True, "value_string": "9", "value_bytes": b"0"},
    {"value_long": 7, "value_bool": True, "value_string": "9", "value_bytes": b"0"},
    {"value_bool": True, "value_string": "9", "value_bytes": b"0"},
    {"value_string": "9", "value_bytes": b"0"},
    {"value_double": math.nan, "value_long": 7},
]


def test_every_kind_of_value_under_every_role_and_scale() -> None:
    """The whole product at once: what was sent, role, factor and offset, enumeration, instrument range, quality."""
    shapes = itertools.product(ROLE_NAMES, ((1.0, 0.0), (0.5, 0.0), (1.0, 3.0)), ((), ("0", "1", "true", "9")))
    rows = [
        signal(
            f"s{number}",
            f"a{number}",
            role=role,
            factor=factor,
            offset=offset,
            enumeration=[{"key": key, "value": f"label {key}"} for key in keys],
            instrument_low=-3.0,
            instrument_high=7.0,
        )
        for number, (role, (factor, offset), keys) in enumerate(shapes)
    ]
    qualities = ((None, None), (0, "opcda"), (64, "opcda"))
    product = itertools.product(rows, EVERY_VALUE, qualities)
    sent = [
        record(RAW_READING, offset, address=row["address"], **value, quality_raw=code, quality_scheme=scheme)
        for offset, (row, value, (code, scheme)) in enumerate(product)
    ]
    run = Run(rows).step(*sent)
    expected = reference.validate(sent, rows, NOW)
    assert run.readings == expected.readings
    assert Counter(run.rejects) == Counter(expected.rejects)
    assert len({reject[0] for reject in run.rejects}) == 2


def test_every_edge_of_every_version_in_time() -> None:
    """A version holds from its begin (inclusive) to its end (exclusive) or the next one's begin; gaps are unknown."""
    t = NOW - 100
    bounds = [(0, None), (t, t + 10), (t + 10, None), (t + 20, t + 25), (t + 30, t + 40)]
    rows = [signal("one", "X", valid_from=begin, valid_to=end, site=f"v{begin}") for begin, end in bounds]
    rows += [signal("other", "Y", valid_from=t + 5, valid_to=t + 35, aliases=["Z"], site="other")]
    times = [edge + step for bound in bounds for edge in bound if edge for step in (-1, 0, 1)] + [t + 4, t + 5, t + 35]
    product = itertools.product(["X", "Y", "Z"], times)
    sent = [
        record(RAW_READING, offset, address=address, value_double=1.0, source_time=time)
        for offset, (address, time) in enumerate(product)
    ]
    expected = reference.validate(sent, rows, NOW)
    together = Run(rows).step(*sent)
    assert together.readings == expected.readings
    # One by one: the shortcut for chunks inside every version's time must not answer otherwise.
    assert feed(Run(rows), sent, set(range(len(sent)))).readings == expected.readings
    only = [row for row in rows if row["signal_id"] == "other"]
    assert feed(Run(only), sent, set(range(len(sent)))).readings == reference.validate(sent, only, NOW).readings


def assert_inventory(table: pl.DataFrame, expected: reference.Expected) -> None:
    """The inventory table says what the reference noted."""
    rows = {(row["source_id"], row["address"]): row for row in inventory.records(table).to_dicts()}
    assert rows.keys() == expected.unknown.keys()
    for key, seen in expected.unknown.items():
        row, types = rows[key], seen["types"]
        assert (row["first_seen"], row["last_seen"], row["count"]) == (
            seen["first_seen"],
            seen["last_seen"],
            seen["count"],
        )
        assert row["value_type"] == (next(iter(types)) if len(types) == 1 else "mixed" if types else "none")
        assert row["low"] == min(seen["numbers"], default=None)
        assert row["high"] == max(seen["numbers"], default=None)
        assert row["distinct_values"] == sorted(seen["texts"])[:16]


# --- what goes in and out, by name ---------------------------------------------------------------------------------


def test_a_reading_leaves_scaled_under_its_signal_and_line() -> None:
    """Value * factor + offset, identity from the dictionary, times, code and sequence as sent."""
    rows = [signal("t-1", "T", factor=0.1, offset=-40.0, work_center="line-7", tenant="acme")]
    sent = record(RAW_READING, 5, address="T", value_double=650.0, quality_raw=192, quality_scheme="opcda", sequence=8)
    assert Run(rows).step(sent).readings == [
        {
            "site": "hall",
            "tenant": "acme",
            "work_center": "line-7",
            "signal_id": "t-1",
            "source_id": "edge-1",
            "event_time": NOW - S,
            "ingest_time": NOW,
            "value_double": 25.0,
            "value_long": None,
            "value_string": None,
            "quality": 0,
            "quality_raw": 192,
            "quality_scheme": 2,
            "flags": 0,
            "sequence": 8,
        }
    ]


def test_frames_have_the_columns_and_types_of_the_contracts() -> None:
    """Readings are READING, rejects and inventory have the fields of their schemas, in any chunk."""
    run = Run([signal("t-1", "T")])
    run.step(
        record(RAW_READING, 1, address="T", value_double=1.0),
        record(RAW_READING, 2, address="T", value_string="x"),
        record(RAW_READING, 3, address="?", value_double=1.0),
    )
    assert run.out["ot.reading.v1"][0].schema == READING
    assert run.out["ot.reading.rejected.v1"][0].schema == REJECTED
    assert tuple(run.out["ot.signal.unknown.v1"][0].columns) == tuple(inventory.UNKNOWN)


def test_a_counter_beyond_2_53_stays_exact() -> None:
    """64-bit counts never pass through a float, sent as integer or as digits."""
    rows = [signal("c", "C", role="total_counter")]
    run = Run(rows).step(
        record(RAW_READING, 1, address="C", value_long=2**62 + 1),
        record(RAW_READING, 2, address="C", value_string=str(2**62 + 3)),
    )
    assert [(row["value_long"], row["value_double"]) for row in run.readings] == [(2**62 + 1, None), (2**62 + 3, None)]


def test_states_become_labels_and_what_has_no_label_is_uncertain() -> None:
    """The enumeration is asked for the raw value as text; a text it does not have passes as it is, uncertain."""
    labels = [{"key": "1", "value": "running"}, {"key": "false", "value": "stopped"}]
    run = Run([signal("s", "S", role="state", enumeration=labels)]).step(
        record(RAW_READING, 1, address="S", value_long=1),
        record(RAW_READING, 2, address="S", value_double=1.0),
        record(RAW_READING, 3, address="S", value_bool=True),
        record(RAW_READING, 4, address="S", value_bool=False),
        record(RAW_READING, 5, address="S", value_string="cleaning"),
    )
    found = [(row["value_string"], row["quality"]) for row in run.readings]
    assert found == [("running", 0), ("running", 0), ("running", 0), ("stopped", 0), ("cleaning", 1)]


def test_outside_the_instrument_range_passes_as_uncertain_outside_the_engineering_range_is_ordinary() -> None:
    """High-high alarms must see it: flag 8 and at least uncertain; bad stays bad; the range's ends belong to it."""
    rows = [signal("p", "P", factor=2.0, instrument_high=10.0, engineering_high=5.0)]
    sent = [5.0, 5.5, 4.0]
    run = Run(rows).step(*(record(RAW_READING, n, address="P", value_double=value) for n, value in enumerate(sent)))
    run.step(record(RAW_READING, 9, address="P", value_double=9.0, quality_raw=0, quality_scheme="opcda"))
    assert [(r["quality"], r["flags"]) for r in run.readings] == [(0, 0), (1, 8), (0, 0), (2, 8)]


@pytest.mark.parametrize("role", ["measurement", "total_counter", "state"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_leaves_a_bad_reading_without_value(value: float, role: str) -> None:
    """The gap stays visible: nothing is rejected, the value is null, the quality bad, and it is counted."""
    run = Run([signal("x", "X", role=role)]).step(record(RAW_READING, 1, address="X", value_double=value))
    (reading,) = run.readings
    assert (reading["value_double"], reading["value_long"], reading["value_string"]) == (None, None, None)
    assert reading["quality"] == 2
    assert run.counts["values", "not_finite"] == 1
    assert not run.rejects


def test_a_bad_reading_without_value_stays_a_good_one_is_rejected() -> None:
    """No value with a bad code is the message that there is none; with a good code it cannot be interpreted."""
    run = Run([signal("x", "X")]).step(
        record(RAW_READING, 1, address="X", quality_raw=0x80000000, quality_scheme="opcua"),
        record(RAW_READING, 2, address="X"),
    )
    assert [(row["quality"], row["value_double"]) for row in run.readings] == [(2, None)]
    assert run.rejects == [("no_value", RAW_READING, 3, 2, None, "edge-1", "X")]


def test_event_time_comes_from_the_source_then_the_gateway_then_the_broker() -> None:
    """What is not the source's own stamp is flagged as estimated (16)."""
    rows = [signal("x", "X")]
    run = Run(rows).step(
        record(RAW_READING, 1, address="X", value_double=1.0, gateway_time=NOW - 1),
        record(RAW_READING, 2, address="X", value_double=1.0, source_time=None, gateway_time=NOW - 2),
        record(RAW_READING, 3, address="X", value_double=1.0, source_time=None),
    )
    assert [(r["event_time"], r["flags"]) for r in run.readings] == [(NOW - S, 0), (NOW - 2, 16), (NOW, 16)]


@pytest.mark.parametrize("stamp", [NOW + 365 * DAY, 0, 2**63 - 1, NOW // 1_000])
def test_an_impossible_stamp_is_rejected_and_its_neighbours_survive(stamp: int) -> None:
    """A year ahead, 1970, the largest long, milliseconds taken for microseconds: rejected with both times."""
    run = Run([signal("x", "X")]).step(
        record(RAW_READING, 1, address="X", value_double=1.0),
        record(RAW_READING, 2, address="X", value_double=2.0, source_time=stamp),
        record(RAW_READING, 3, address="X", value_double=3.0),
    )
    assert [row["value_double"] for row in run.readings] == [1.0, 3.0]
    assert [reject[0] for reject in run.rejects] == ["impossible_time"]
    assert str(stamp) in run.rows("ot.reading.rejected.v1")[0]["detail"]
    assert run.counts["rejects", "impossible_time"] == 1


def test_a_record_without_any_time_is_rejected() -> None:
    """No stamp of the source, the gateway or the broker: there is nothing to order it by."""
    run = Run([signal("x", "X")]).step(
        record(RAW_READING, 1, address="X", value_double=1.0, source_time=None, _time=-1)
    )
    assert [reject[0] for reject in run.rejects] == ["no_time"]


def test_arrays_of_unequal_length_reject_their_batch_only() -> None:
    """The other batches of the chunk pass; the reject has the coordinates of the batch and no place in it."""
    run = Run([signal("x", "X")]).step(
        record(RAW_BATCH, 1, address=["X", "X"], value_double=[1.0, 2.0], gateway_time=NOW),
        record(RAW_BATCH, 2, address=["X", "X"], value_double=[3.0], gateway_time=NOW),
        record(RAW_BATCH, 3, address=None, value_double=[4.0], gateway_time=NOW),
        record(RAW_BATCH, 4, address=["X"], value_double=[5.0], gateway_time=NOW),
    )
    assert [row["value_double"] for row in run.readings] == [1.0, 2.0, 5.0]
    assert [(reject[0], reject[3], reject[4]) for reject in run.rejects] == [
        ("unequal_lengths", 2, None),
        ("unequal_lengths", 3, None),
    ]


def test_an_empty_batch_is_counted_and_gives_nothing() -> None:
    """Neither a reading nor a reject: empty arrays, or none at all."""
    run = Run([signal("x", "X")]).step(
        record(RAW_BATCH, 1, address=[], value_double=[]), record(RAW_BATCH, 2, address=None)
    )
    assert run.counts == {("batches", "empty"): 2}
    assert not run.out


def test_a_reject_inside_a_batch_names_its_place() -> None:
    """Coordinates are topic, partition, offset and the position in the batch."""
    run = Run([signal("x", "X")]).step(
        record(RAW_BATCH, 7, address=["X", None, "X"], value_string=["1.5", "2", "abc"], gateway_time=NOW)
    )
    assert run.rejects == [
        ("no_address", RAW_BATCH, 3, 7, 1, "edge-1", None),
        ("type_mismatch", RAW_BATCH, 3, 7, 2, "edge-1", "X"),
    ]
    assert "abc" in run.rows("ot.reading.rejected.v1")[1]["detail"]
    assert [row["value_double"] for row in run.readings] == [1.5]


def test_bytes_are_text_of_a_batch_id_and_nothing_else() -> None:
    """UTF-8 for batch_id and phase; for a measurement, or if they are no UTF-8, a type mismatch."""
    rows = [signal("b", "B", role="batch_id"), signal("x", "X"), signal("s", "S", role="state")]
    run = Run(rows).step(
        record(RAW_READING, 1, address="B", value_bytes=b"L-17"),
        record(RAW_READING, 2, address="B", value_bytes=b"\xff\xfe"),
        record(RAW_READING, 3, address="X", value_bytes=b"1"),
        record(RAW_READING, 4, address="S", value_bytes=b"1"),
    )
    assert [row["value_string"] for row in run.readings] == ["L-17"]
    assert [(reject[0], reject[3]) for reject in run.rejects] == [("type_mismatch", n) for n in (2, 3, 4)]


def test_a_move_to_another_line_takes_effect_at_its_event_time() -> None:
    """The version that holds at the event time says what a reading means, not the one that holds now."""
    rows = [
        signal("x", "X", valid_from=0, work_center="line-1", factor=2.0),
        signal("x", "X", valid_from=NOW - 5 * S, work_center="line-2"),
    ]
    run = Run(rows).step(
        record(RAW_READING, 1, address="X", value_double=1.0, source_time=NOW - 5 * S),
        record(RAW_READING, 2, address="X", value_double=1.0, source_time=NOW - 5 * S - 1),
    )
    assert [(row["work_center"], row["value_double"]) for row in run.readings] == [("line-2", 1.0), ("line-1", 2.0)]


def test_faults_of_the_dictionary_are_counted_once_per_version_and_cost_only_their_row() -> None:
    """A factor of 0 makes its signal unknown; the others pass; the next chunk does not count it again."""
    run = Run([signal("x", "X"), signal("y", "Y", factor=0.0)])
    for offset in (1, 2):
        run.step(
            record(RAW_READING, offset, address="X", value_double=1.0),
            record(RAW_READING, offset, address="Y", value_double=1.0),
        )
    assert run.counts["context_faults", "bad_scale"] == 1
    assert (len(run.readings), run.counts["unknown", "readings"]) == (2, 2)


def test_an_empty_dictionary_makes_every_signal_unknown() -> None:
    """Nothing is lost or rejected before the dictionary is written."""
    run = Run([]).step(record(RAW_READING, 1, address="X", value_double=1.0))
    assert run.counts["unknown", "readings"] == 1
    assert not run.readings
    assert not run.rejects


def test_a_chunk_without_rows_gives_nothing() -> None:
    """Of either topic."""
    run = Run([signal("x", "X")])
    for topic, schema in SCHEMAS.items():
        result = run.stage.step(topic, pl.DataFrame(schema=schema), run.state, run.context, MOMENT)
        assert (dict(result.changes), dict(result.out), dict(result.counts)) == ({}, {}, {})


def test_limits_that_are_not_positive_are_named() -> None:
    """A wrong setting stops the start, every fault in one message."""
    with pytest.raises(ValueError, match=r"max_future_s, inventory_limit: set a positive number"):
        ValidateConfig(max_future_s=0, inventory_limit=-1)


def test_the_frames_of_these_tests_are_those_of_the_contract() -> None:
    """Coordinates are part of every frame that a stage receives."""
    assert all(COORDINATES.items() <= schema.items() for schema in SCHEMAS.values())
