"""The validate stage against its row-by-row reference: any input, any split."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.validate import inventory
from streams.core.validate.stage import ValidateConfig
from tests.core import reference_validate as reference
from tests.core.validate_run import (
    DAY,
    NOW,
    RAW_BATCH,
    RAW_READING,
    Run,
    S,
    feed,
    record,
    signal,
)

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
        "sequence": draw(st.one_of(st.none(), st.integers(-1, 4))),
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
    return record(RAW_BATCH, offset, **common, **arrays, boot_id=draw(st.sampled_from([None, "1", "1", "2"])))


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Up to twelve records."""
    return [draw(raw_records(offset)) for offset in range(draw(st.integers(0, 12)))]


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
    assert run.counts["repeats", "batch"] == expected.copies
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
