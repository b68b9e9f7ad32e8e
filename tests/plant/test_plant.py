"""The simulated plant: the same in any step, and true to its contracts and to its dictionary."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import topology
from streams.core import dictionary
from streams.plant.model import PRODUCTS, SECOND_US, STATES
from streams.plant.plant import Plant, PlantError
from tests.plant.published import BATCH, HOUR_US, SINGLE, START_US, flat


def schema(topic: topology.Topic) -> Any:
    """The contract of a topic, as fastavro reads it."""
    text = (Path(__file__).parents[2] / "schemas" / topic.schema_path).read_text("utf-8")
    return fastavro.parse_schema(json.loads(text))


@given(
    seed=st.integers(0, 2**31),
    cuts=st.lists(st.integers(0, 90 * SECOND_US), min_size=1, max_size=6, unique=True),
)
@settings(max_examples=15, deadline=None)
def test_a_span_has_the_same_records_however_it_is_cut(seed: int, cuts: list[int]) -> None:
    """Readings of [a, c) are those of [a, b) followed by those of [b, c): values, sequences, batches, all."""
    whole = Plant(START_US, seed=seed).readings(START_US, START_US + 90 * SECOND_US)
    stepped = Plant(START_US, seed=seed)
    edges = [START_US, *(START_US + cut for cut in sorted(cuts)), START_US + 90 * SECOND_US]
    pieces = [stepped.readings(begin, end) for begin, end in itertools.pairwise(edges)]
    for topic, frame in whole.items():
        joined = pl.concat([piece[topic] for piece in pieces])
        assert joined.sort("source_id", "sequence").equals(frame.sort("source_id", "sequence"))


def test_another_seed_is_another_plant() -> None:
    """Chance depends on the seed."""
    span = START_US, START_US + SECOND_US
    assert not Plant(START_US, seed=1).readings(*span)[SINGLE].equals(Plant(START_US, seed=2).readings(*span)[SINGLE])


def test_every_record_fits_its_contract() -> None:
    """All raw records and context rows of half an hour validate against the schemas, with no field beside them."""
    plant = Plant(START_US, lines=3)
    now = START_US + HOUR_US // 2
    records = {topic: frame.to_dicts() for topic, frame in plant.readings(now - 20 * SECOND_US, now).items()}
    for topic, rows in (records | plant.context(now)).items():
        parsed = schema(topology.topic(topic))
        assert rows, topic
        for row in rows:
            assert fastavro.validate(row, parsed, strict=True, raise_errors=True), (topic, row)


def test_the_dictionary_has_no_fault_and_one_signal_is_not_in_it() -> None:
    """The signal dictionary passes its checks; what it does not know is the vibration sensor of each filler."""
    plant = Plant(START_US)
    rows = plant.context(START_US)[topology.SIGNAL.name]
    frame = pl.DataFrame(
        [row | {"enumeration": [{"key": k, "value": v} for k, v in row["enumeration"].items()]} for row in rows],
        schema=dictionary.SIGNAL,
    )
    assert dictionary.check(frame) == []
    read = flat(plant, START_US, START_US + 5 * SECOND_US)
    unknown = read.filter(pl.col("signal_id").is_null())["address"].unique().to_list()
    assert sorted(unknown) == ["Line2.Filler.Vibration", "ns=2;s=Line1.Filler.Vibration"]
    assert set(read["signal_id"].drop_nulls()) == {row["signal_id"] for row in rows}


def test_sequences_count_without_gap_and_batches_have_equal_lengths() -> None:
    """Each source's sequence runs from 0 by 1; the arrays of a batch are of one length."""
    for frame in Plant(START_US).readings(START_US, START_US + 60 * SECOND_US).values():
        for rows in frame.partition_by("source_id"):
            assert rows["sequence"].to_list() == list(range(rows.height))
    batches = Plant(START_US).readings(START_US, START_US + 60 * SECOND_US)[BATCH]
    lengths = batches["address"].list.len()
    for name, dtype in batches.schema.items():
        if isinstance(dtype, pl.List):
            assert ((batches[name].list.len() == lengths) | batches[name].is_null()).all(), name


def test_orders_follow_one_another_and_the_set_points_follow_the_orders() -> None:
    """At each instant of two hours one order per line runs; the changeover brings its number and its fill volume."""
    plant = Plant(START_US, seed=5, rate=10)
    for now in range(START_US, START_US + 2 * HOUR_US, HOUR_US // 12):
        orders = plant.context(now)[topology.PRODUCTION_ORDER.name]
        for line in ("line-1", "line-2"):
            status = [order["status"] for order in orders if order["work_center"] == line]
            assert status == ["completed"] * (len(status) - 2) + ["running", "released"]
    rows = flat(plant, START_US, START_US + 2 * HOUR_US)
    sent = rows.filter(pl.col("signal_id") == "line-1-filler-order")["value_string"].to_list()
    orders = plant.context(START_US + 2 * HOUR_US)[topology.PRODUCTION_ORDER.name]
    mine = [order for order in orders if order["work_center"] == "line-1" and order["actual_start"]]
    assert sent == [order["order_id"] for order in mine]
    assert [order["actual_end"] for order in mine[:-1]] == [order["actual_start"] for order in mine[1:]]
    fill = {product.name: product.fill_ml for product in PRODUCTS}
    volumes = rows.filter(pl.col("signal_id") == "line-1-filler-fill-setpoint")["value"].to_list()
    expected = [fill[order["product"]] for order in mine]
    assert volumes == expected[: len(volumes)]
    assert len(volumes) >= len(expected) - 1 > 2


def test_changes_of_context_are_told_once_and_only_orders_and_calendar_change() -> None:
    """Row by row, the context of the start and all later changes lead to the context of the end."""
    plant, step = Plant(START_US, seed=2), 30 * SECOND_US
    key = {topology.PRODUCTION_ORDER.name: "order_id", topology.CALENDAR.name: "entry_id"}
    key[topology.WORK_ORDER.name] = "order_id"
    known = {
        name: {row[key[name]]: row for row in rows} for name, rows in plant.context(START_US).items() if name in key
    }
    for now in range(START_US, START_US + HOUR_US, step):
        for topic, rows in plant.context_changes(now, now + step).items():
            assert not rows or topic in key
            known.get(topic, {}).update({row[key[topic]]: row for row in rows})
    final = plant.context(START_US + HOUR_US)
    assert known == {topic: {row[name]: row for row in final[topic]} for topic, name in key.items()}


def test_shifts_cover_every_instant_and_planned_downtime_stops_the_line() -> None:
    """There is always exactly one shift; when cleaning is planned, the filler stands."""
    plant, end = Plant(START_US, seed=4), START_US + 3 * HOUR_US
    entries = plant.context(START_US)[topology.CALENDAR.name]
    for now in range(START_US, end, HOUR_US):
        assert sum(entry["kind"] == "shift" and entry["start"] <= now < entry["end"] for entry in entries) == 1
    down = next(entry for entry in entries if entry["work_center"] == "line-1" and entry["kind"] == "planned_downtime")
    plant.readings(end, end + 1)
    middle = np.array([(down["start"] + down["end"]) // 2])
    assert START_US < down["start"] < end
    assert STATES[plant.lines[0].segments[0].state[plant.lines[0].segments[0].at(middle)][0]] == "stopped"


def test_the_rate_is_what_was_asked_for() -> None:
    """A plant of 20 lines at 20,000 readings/s sends that many, give or take 5 %, in batches of bounded size."""
    plant = Plant(START_US, lines=20, rate=20_000)
    frames = plant.readings(START_US + SECOND_US, START_US + 3 * SECOND_US)
    sizes = frames[BATCH]["address"].list.len()
    assert frames[SINGLE].height + int(sizes.sum()) == pytest.approx(40_000, rel=0.05)
    assert sizes.max() <= 2_000  # type: ignore[operator]


@pytest.mark.parametrize(("lines", "rate"), [(0, None), (1, 1e6), (2, 0.0)])
def test_an_impossible_plant_is_refused_with_advice(lines: int, rate: float | None) -> None:
    """No lines, more readings than there are milliseconds, no rate: the message says what to give."""
    with pytest.raises(PlantError, match=r"give a number|ask for at most"):
        Plant(START_US, lines=lines, rate=rate)


def test_a_tripped_bearing_has_an_order_whose_clocks_are_told_when_they_are_due() -> None:
    """Released, arrived, repaired as the machine starts again, verified: no clock is ahead of its instant."""
    plant, end = Plant(START_US, seed=4), START_US + 2 * HOUR_US
    plant.readings(end, end + 1)
    bearings = [episode for episode in plant.lines[0].episodes if episode.kind == "bearing" and episode.end_us < end]
    final = {row["order_id"]: row for row in plant.context(end)[topology.WORK_ORDER.name]}
    repaired = [row for row in final.values() if row["kind"] == "corrective" and row["work_center"] == "line-1"]
    assert [row["finished_at"] for row in repaired[: len(bearings)]] == [episode.end_us for episode in bearings]
    for now in range(START_US, end, 7 * SECOND_US):
        for row in plant.context(now)[topology.WORK_ORDER.name]:
            told = [row[name] for name in ("released_at", "started_at", "arrived_at", "finished_at", "verified_at")]
            assert all(at is None or at <= now for at in told)
            assert [at for at in told if at is not None] == sorted(at for at in told if at is not None)
            assert told == sorted(told, key=lambda at: at is None), "no clock is told before the one before it"
