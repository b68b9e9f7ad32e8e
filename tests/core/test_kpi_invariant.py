"""The latest record of every period against the minute-by-minute reference, however the input was cut and ordered."""

from __future__ import annotations

import math
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.kpi.progress import KpiConfig
from tests.core.kpi_run import NOW, SECOND, T0, Run, plant_context, plant_policy, plant_readings
from tests.core.reference_kpi import HOUR, MINUTE, Plant, elements, kpis, periods, tells

ELEMENTS = (
    "pbt_s",
    "apt_s",
    "aust_s",
    "adet_s",
    "adot_s",
    "planned_down_s",
    "no_shift_s",
    "unknown_s",
    "pq",
    "gq",
    "rq",
)
EARNED = ("pri_pq_s", "pri_gq_s")
SHORT, LONG = 6 * 60, 40 * 60  # minutes
DAY = 24 * HOUR


def at(minute: int) -> int:
    """A minute of the trial as event time; it begins late in a day, so that midnight is inside."""
    return T0 + 21 * HOUR + minute * MINUTE


@st.composite
def plants(draw: st.DrawFn, span: int) -> Plant:
    """A work unit with `span` minutes of history, and context."""
    minutes = st.integers(0, span - 1)
    longest = span * 2 // 3

    def spans(names: str) -> list[tuple[str, int, int]]:
        bounds = draw(st.lists(st.tuples(minutes, st.integers(1, longest)), max_size=2))
        return [(f"{names}{i}", at(start), at(start + length)) for i, (start, length) in enumerate(bounds)]

    labels = st.sampled_from(["running", "setup", "blocked", "fault", "cleaning", "other"])
    states = draw(st.dictionaries(minutes, st.tuples(labels, st.sampled_from([0, 0, 0, 1, 2])), max_size=12))
    counts = st.dictionaries(minutes, st.integers(0, 120), max_size=8)
    starts = draw(st.lists(minutes, max_size=2, unique=True))
    orders: list[tuple[str, int, int | None, float]] = [
        (
            f"o{i}",
            at(start),
            draw(st.sampled_from([None, at(start + 50), at(start + longest)])),
            draw(st.sampled_from([0.5, 30.0])),
        )
        for i, start in enumerate(starts)
    ]
    return Plant(
        states=[(at(minute), label, quality) for minute, (label, quality) in states.items()],
        counters={
            role: [(at(minute), count) for minute, count in draw(counts).items()]
            for role in ("good_counter", "reject_counter")
        },
        heartbeats=[at(minute) for minute in draw(st.sets(minutes, max_size=6))],
        orders=orders,
        shifts=draw(st.sampled_from([None, spans("s")])) or None,
        planned_down=spans("p"),
        silence_us=draw(st.sampled_from([10, 45])) * MINUTE,
        rollover=draw(st.sampled_from([None, 120])),
        minor_stop_us=draw(st.sampled_from([None, 40 * MINUTE])),
    )


def check(run: Run, plant: Plant) -> None:
    """Every ended period with the reference's elements and KPIs; no other but what was told and turned out void.

    Of a period that goes on the first record rests on something: known time, or items.
    """
    latest = run.latest
    firsts = [record for record in run.records if record["revision"] == 1 and not record["final"]]
    assert all(record["pbt_s"] > record["unknown_s"] or record["pq"] or record["gq"] for record in firsts)
    finals = {(r["period"], r["kpi_id"].split("|")[3]) for r in latest.values() if r["final"]}
    expected = periods(plant)
    assert finals >= set(expected)
    for period, key in finals:
        record = latest[f"oee|filler|{period}|{key}"]
        start, end = expected.get((period, key), (record["period_start"], record["period_end"]))
        sums = elements(plant, start, end)
        assert ((period, key) in expected) == tells(sums)
        known = sums["pbt_s"] - sums["unknown_s"]
        for name, value in kpis(sums).items():
            record = latest[f"{name}|filler|{period}|{key}"]
            for element in ELEMENTS + EARNED:
                assert close(record[element], sums[element]), (period, key, element, record[element], sums[element])
            assert close(record["value"], value), (name, period, key)
            assert (record["period_start"], record["period_end"]) == (start, end)
            assert close(record["coverage"], known / sums["pbt_s"] if sums["pbt_s"] else 1.0)
            assert close(record["share_uncertain"], sums["uncertain_s"] / known if known else 0.0)


def close(ours: float | None, theirs: float | None) -> bool:
    """Equal but for rounding; null only equals null."""
    return ours is theirs if ours is None or theirs is None else math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-6)


def drive(
    run: Run, chunks: list[list[dict[str, Any]]], pace_us: int, restarts: set[int], caught_up: int | None
) -> None:
    """Chunks at a pace, some timers between; at the end long enough for all that is open to end."""
    for index, chunk in enumerate(chunks):
        now_us = NOW + index * pace_us
        run.step(*({**item, "_time": now_us} for item in chunk), now_us=now_us, caught_up=caught_up)
        if index in restarts:
            run.restart()
            run.timer(now_us, caught_up)
    for wait_s in (3600, 7200):
        run.timer(NOW + (len(chunks) + wait_s) * SECOND, NOW)


@settings(max_examples=60, deadline=None)
@given(plant=plants(SHORT), seed=st.integers(0, 2**32), update_s=st.sampled_from([0.0, 3.0]), caught_up=st.booleans())
def test_latest_payload_is_a_function_of_the_readings(
    plant: Plant, seed: int, update_s: float, caught_up: bool
) -> None:
    """Any order, any split, copies and restarts: the latest record of every period is the reference's."""
    chance = random.Random(seed)
    items = plant_readings(plant)
    items += chance.choices(items, k=len(items) // 3) if items else []
    chance.shuffle(items)
    cuts = sorted(chance.choices(range(len(items) + 1), k=chance.randint(0, 5)))
    chunks = [items[start:end] for start, end in zip([0, *cuts], [*cuts, len(items)], strict=True)]
    config = KpiConfig(silence_us=plant.silence_us, update_s=update_s)
    run = Run(plant_context(plant), config, plant_policy(plant))
    drive(
        run,
        [chunk for chunk in chunks if chunk],
        chance.choice([0, SECOND // 2, SECOND]),
        {chance.randint(0, 6)},
        NOW if caught_up else None,
    )
    check(run, plant)


@settings(max_examples=25, deadline=None)
@given(plant=plants(LONG), seed=st.integers(0, 2**32))
def test_what_lies_behind_the_horizon_is_kept_in_slices_only(plant: Plant, seed: int) -> None:
    """Days and orders longer than the correction horizon are exact although readings behind it are gone."""
    chance = random.Random(seed)
    # No reading is later than the horizon of two hours allows, the hour's rounding left aside.
    items = sorted(plant_readings(plant), key=lambda item: int(item["event_time"]) + chance.choice([0, 0, 1]) * HOUR)
    config = KpiConfig(
        correction_horizon_us=2 * HOUR, silence_us=plant.silence_us, told_silence_us=10 * DAY, allowed_disorder_us=0
    )
    run = Run(plant_context(plant), config, plant_policy(plant))
    chunks = [items[index : index + 3] for index in range(0, len(items), 3)]
    drive(run, chunks, SECOND, {chance.randint(0, 6)}, None)
    check(run, plant)
    floor = run.tables["task"]["floor_us"].to_list()
    if floor and floor[0] is not None:
        assert not run.tables["readings"].filter(run.tables["readings"]["event_us"] < floor[0]).height
        assert run.tables["anchors"].height <= 4
        assert not run.tables["pending"].height
