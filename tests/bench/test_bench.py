"""The benchmark's own parts, without a broker: what is sent, what is expected, what is reported."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro
import polars as pl
import pytest

from tests.bench import report, verify
from tests.bench.messages import marker, messages, schema
from tests.bench.shapes import (
    BATCH,
    PARTITIONS,
    SIGNALS,
    Readings,
    address,
    partition_of,
    readings,
    source_id,
    source_of,
)

COUNT = 30_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rows_of(part: Readings) -> list[tuple[str, str, int, float]]:
    """(source, address, time, value) of every reading."""
    columns = zip(part.signal.tolist(), part.time_us.tolist(), part.value.tolist(), strict=True)
    return [(source_id(source_of(number)), address(number), time_us, value) for number, time_us, value in columns]


def parsed(path: str) -> tuple[bytes, Any]:
    """First bytes of a contract's messages, and the contract parsed once."""
    return marker(schema(path)), fastavro.parse_schema(schema(path))


def micros(moment: Any) -> int:
    """Microseconds since 1970 UTC of what fastavro reads."""
    return int((moment - EPOCH) / timedelta(microseconds=1))


@pytest.mark.parametrize("shape", ["single", "unbatched"])
def test_single_messages_are_avro_of_the_contract(shape: Any) -> None:
    """By fastavro: it reads back every reading under the contract, and no byte is left over."""
    part, head, contract = readings(COUNT).part(2), *parsed("10-raw/ot.raw.reading.v1.avsc")
    keys, values = messages(part, shape)
    read = []
    for key, value in zip(keys, values, strict=True):
        body = io.BytesIO(value.removeprefix(head))
        row: Any = fastavro.schemaless_reader(body, contract, None)
        assert not body.read()
        assert key.decode() == row["source_id"]
        read.append((row["source_id"], row["address"], micros(row["source_time"]), row["value_double"]))
    assert read == rows_of(part)


def test_json_messages_have_the_readings() -> None:
    """JSON reads back every reading."""
    part = readings(COUNT).part(1)
    read = [json.loads(value) for value in messages(part, "json")[1]]
    found = [(row["source_id"], row["address"], row["source_time"], row["value_double"]) for row in read]
    assert found == rows_of(part)


def test_batches_hold_the_same_readings() -> None:
    """Each batch is of one source and has 100 readings; together they are the readings of the partition."""
    part, head, contract = readings(COUNT).part(3), *parsed("10-raw/ot.raw.batch.v1.avsc")
    found = []
    for value in messages(part, "batch100")[1]:
        body = io.BytesIO(value.removeprefix(head))
        row: Any = fastavro.schemaless_reader(body, contract, None)
        assert not body.read()
        assert len(row["address"]) == len(row["source_time"]) == len(row["value_double"]) == BATCH
        arrays = zip(row["address"], row["source_time"], row["value_double"], strict=True)
        found += [(row["source_id"], *items) for items in arrays]
    assert sorted(found) == sorted(rows_of(part))


def test_readings_are_never_later_than_the_disorder_allows() -> None:
    """No reading comes two seconds or more behind the latest of its partition, and no signal repeats a millisecond."""
    data = readings(COUNT)
    for number in range(PARTITIONS):
        part = data.part(number)
        frame = pl.DataFrame({"time": part.time_us})
        assert frame.select((pl.col("time").cum_max() - pl.col("time")).max()).item() < 2_000_000
    stamps = pl.DataFrame({"signal": data.signal, "ms": data.time_us // 1_000})
    assert stamps.n_unique() == COUNT
    assert (readings(COUNT + 20_000).time_us[:COUNT] == data.time_us).all()


def plain_windows(stage: str) -> dict[tuple[str, int], dict[str, Any]]:
    """The windows by a plain loop over the readings."""
    data = readings(COUNT)
    found: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for number, time_us, value in zip(data.signal.tolist(), data.time_us.tolist(), data.value.tolist(), strict=True):
        name = f"sig-{number:03d}" if stage == "chain" else address(number)
        sent = value * 0.5 + 10.0 if stage == "chain" else value
        found.setdefault((name, time_us // 60_000_000 * 60_000_000), []).append((time_us, sent))
    latest = {number: int(data.part(number).time_us.max()) - 2_000_000 for number in range(PARTITIONS)}
    closed = {}
    for (name, start), rows in found.items():
        number = int(name[-3:]) if stage == "chain" else next(n for n in range(SIGNALS) if address(n) == name)
        if start + 60_000_000 > latest[partition_of(number)]:
            continue
        values = [value for _, value in rows]
        closed[name, start] = {
            "signal": name,
            "window_start": start,
            "count": len(rows),
            "uncertain": sum(value > 59.5 for value in values) if stage == "chain" else 0,
            "sum": sum(values),
            "min": min(values),
            "max": max(values),
            "first": min(rows)[1],
            "last": max(rows)[1],
            "mean": sum(values) / len(values),
        }
    return closed


@pytest.mark.parametrize("stage", verify.STAGES)
def test_reference_equals_a_plain_loop(stage: verify.Stage) -> None:
    """What engines are compared with is what a loop over the readings gives."""
    expected = verify.reference("single", stage, COUNT)
    plain = plain_windows(stage)
    assert expected.height == len(plain) > 0
    assert verify.difference(expected, list(plain.values())) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[1:], "1 of 400 windows are missing"),
        (lambda rows: [*rows, rows[0]], "1 windows were written twice"),
        (lambda rows: [{**rows[0], "count": rows[0]["count"] + 1}, *rows[1:]], "wrong: count in 1 windows"),
        (lambda rows: [{**rows[0], "sum": rows[0]["sum"] * 1.000001}, *rows[1:]], "wrong: sum in 1 windows"),
        (lambda rows: [{**rows[0], "last": -1.0}, *rows[1:]], "wrong: last in 1 windows"),
        (lambda rows: [*rows, {**rows[0], "signal": "nobody"}], "1 windows were written that no reading belongs to"),
        (lambda rows: [*rows, {**rows[0], "window_start": rows[0]["window_start"] + 3_600_000_000}], None),
    ],
)
def test_a_difference_is_told(change: Any, said: str | None) -> None:
    """A lost, doubled, changed or invented window is told; one behind the last expected is allowed."""
    expected = verify.reference("single", "window", COUNT)
    assert verify.difference(expected, change(expected.to_dicts())) == said


def test_a_number_of_readings_that_ends_at_a_windows_end_is_refused() -> None:
    """Where the peers' wait and ours would close different windows, no reference is given."""
    with pytest.raises(ValueError, match="end too near"):
        verify.reference("batch100", "window", 10_000)


def test_ratios_compare_medians_with_what_is_expected() -> None:
    """Twice the rate of Kafka Streams is met at 2.0 and not at 1.9; rows without figures are left out."""
    ours = report.row("plantweave", "window", "single", [1_900, 2_000, 2_300], [1.0, 1.2, 0.9], "")
    peer = report.row("kafka-streams-eos", "window", "single", [1_000, 990, 1_010], [5.0], "")
    slower = report.row("kafka-streams-eos", "window", "single", [1_053], [5.0], "")
    absent = report.row("faust", "window", "single", [], [], "is not installed")
    assert (ours["rate_min"], ours["rate_median"], ours["rate_max"], ours["cpu_s_per_million"]) == (
        1_900,
        2_000,
        2_300,
        1.0,
    )
    assert [(one["against"], one["rate_ratio"], one["met"]) for one in report.ratios([ours, peer, absent])] == [
        ("kafka-streams-eos/single", 2.0, True)
    ]
    assert not report.ratios([ours, slower])[0]["met"]
    assert "is not installed" in report.table({"rows": [ours, absent], "ratios": []})
