"""What happens on the simulated lines: machines, counters and sensors are never at odds with each other."""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
import polars as pl
import pytest

from streams.plant.model import CONVEYOR_US, COUNTER_START, PRODUCTS, ROLLOVER, SECOND_US, UNITS, unit_id
from streams.plant.plant import Plant
from tests.plant.published import HOUR_US, START_US, flat, states


def test_counters_agree_and_stand_while_a_machine_stands() -> None:
    """Good and rejected items add up to all, before and after each count; a machine that stands counts nothing."""
    rows = flat(Plant(START_US, seed=3), START_US, START_US + HOUR_US // 2)
    rolled = 0
    for unit in (unit_id(line, number) for line in range(2) for number in range(len(UNITS))):
        mine = rows.filter(pl.col("work_unit") == unit)
        total, good, reject = (counter(mine, kind) for kind in ("total", "good", "reject"))
        rolled += total["rollovers"].to_list()[-1]
        before, after = (joined(total, good, reject, strategy) for strategy in ("backward", "forward"))
        assert min(before.height, after.height) > 3_000
        assert (before["items_good"] + before["items_reject"] <= before["items"]).all()
        assert (after["items_good"] + after["items_reject"] >= after["items"]).all()
        labelled = total.join_asof(states(mine, unit).with_row_index("segment"), on="source_time")
        still = labelled.filter(pl.col("label") != "running").group_by("segment").agg(pl.col("items").n_unique())
        assert still.height > 5
        assert (still["items"] == 1).all()
        assert (good["items"].diff().drop_nulls() >= 0).all()
    assert rolled == 2 * len(UNITS)


def joined(
    total: pl.DataFrame, good: pl.DataFrame, reject: pl.DataFrame, strategy: Literal["backward", "forward"]
) -> pl.DataFrame:
    """Each count of all items beside the counts of good and rejected items next before, or next after."""
    both = total.join_asof(good, on="source_time", strategy=strategy, suffix="_good")
    return both.join_asof(reject, on="source_time", strategy=strategy, suffix="_reject").drop_nulls()


def counter(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    """A counter unwrapped: source_time, rollovers so far and items since the start."""
    mine = rows.filter(pl.col("role") == f"{kind}_counter").sort("source_time").select("source_time", raw="value_long")
    rollovers = (pl.col("raw") < pl.col("raw").shift(1)).fill_null(value=False).cast(pl.Int64).cum_sum()
    return mine.with_columns(rollovers=rollovers).with_columns(
        items=pl.col("raw") + pl.col("rollovers") * (ROLLOVER + 1) - COUNTER_START[kind]
    )


@pytest.mark.parametrize("seed", range(4))
def test_no_item_is_made_or_lost_between_machines(seed: int) -> None:
    """What a machine let pass and the next has not taken stays between none and what the conveyor can hold."""
    plant = Plant(START_US, seed=seed)
    plant.readings(START_US + 4 * HOUR_US, START_US + 4 * HOUR_US + 1)
    times = np.arange(START_US, START_US + 4 * HOUR_US, SECOND_US // 2)
    holds = 2 * max(product.speed_per_s for product in PRODUCTS) * CONVEYOR_US / SECOND_US + 3
    for line in plant.lines:
        for before, after in itertools.pairwise(line.segments):
            made = before.count_made(times)
            waiting = made - before.count_rejected(made) - after.count_made(times)
            assert waiting.max() - waiting.min() <= holds


@pytest.mark.parametrize("seed", range(5))
def test_the_first_bearing_passes_its_limit_at_once_stops_the_line_and_recovers(seed: int) -> None:
    """Within 10 s the bearing is past 85 Cel; within 20 s the filler is in fault, then its neighbours starve."""
    rows = flat(Plant(START_US, seed=seed), START_US, START_US + 120 * SECOND_US)
    hot = rows.filter((pl.col("signal_id") == "line-1-filler-bearing-temperature") & (pl.col("value") > 85.0))
    assert hot["source_time"].min() < START_US + 10 * SECOND_US  # type: ignore[operator]
    filler = states(rows, "line-1-filler")
    assert filler["label"].to_list()[:3] == ["running", "fault", "running"]
    trip, repaired = filler["source_time"].to_list()[1:3]
    assert trip < START_US + 20 * SECOND_US
    for distance, unit in enumerate(("capper", "labeller", "packer"), start=1):
        shift = distance * CONVEYOR_US
        expected = [(START_US, "running"), (trip + shift, "starved"), (repaired + shift, "running")]
        assert states(rows, f"line-1-{unit}").rows()[:3] == expected
    cooled = rows.filter(pl.col("signal_id") == "line-1-filler-bearing-temperature").filter(
        pl.col("source_time").is_between(repaired, repaired + 5 * SECOND_US)
    )
    assert cooled["value"].max() < 85.0  # type: ignore[operator]


def test_a_jam_blocks_what_is_before_it_and_starves_what_is_behind() -> None:
    """Upstream of a stopped machine the line is blocked, downstream it starves."""
    plant = Plant(START_US, seed=1)
    rows = flat(plant, START_US, START_US + HOUR_US // 4)
    jam = next(episode for episode in plant.lines[1].episodes if episode.kind == "jam")
    assert 0 < jam.unit < len(UNITS) - 1
    expected = ["blocked"] * jam.unit + ["stopped"] + ["starved"] * (len(UNITS) - jam.unit - 1)
    # Half a second after the stop has reached both ends, and before it is over.
    at = jam.begin_us + 2 * CONVEYOR_US + SECOND_US // 2
    assert at < jam.end_us
    found = [
        states(rows, unit_id(1, unit)).filter(pl.col("source_time") <= at)["label"].to_list()[-1]
        for unit in range(len(UNITS))
    ]
    assert found == expected


def test_raw_units_differ_and_published_temperatures_agree() -> None:
    """Line 1 sends degrees Fahrenheit, line 2 integer tenths of a degree Celsius; scaled, both are about normal."""
    rows = flat(Plant(START_US, seed=1), START_US + 130 * SECOND_US, START_US + 135 * SECOND_US)
    first = rows.filter(pl.col("signal_id") == "line-1-filler-bearing-temperature")
    second = rows.filter(pl.col("signal_id") == "line-2-filler-bearing-temperature")
    assert first["value_double"].min() > 120.0  # type: ignore[operator]
    assert second["value_long"].min() > 600  # type: ignore[operator]
    for values in (first["value"], second["value"]):
        assert values.is_between(50.0, 95.0).all()


def test_a_sensor_fails_and_its_source_says_so() -> None:
    """In ten minutes torque readings are bad for a while, glue temperatures uncertain, bearing temperatures never."""
    rows = flat(Plant(START_US), START_US, START_US + 600 * SECOND_US)
    codes = {
        name: set(rows.filter(pl.col("signal_id") == f"line-1-{name}")["quality_raw"])
        for name in ("capper-torque", "packer-glue-temperature", "filler-bearing-temperature")
    }
    assert codes["capper-torque"] == {0, 0x808C0000}
    assert codes["packer-glue-temperature"] == {192, 500}
    assert codes["filler-bearing-temperature"] == {0}
