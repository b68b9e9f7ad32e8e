"""Clocks of sources against a plain reference, over any stream, split and restart."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.validate.clock import TABLE
from streams.core.validate.skew import ClockConfig
from streams.core.validate.stage import Validate, ValidateConfig
from tests.core import reference_clock, reference_validate
from tests.core.clock_scene import HOUR, SIGNALS, YEAR, Record, alerts, steadily
from tests.core.validate_run import NOW, RAW_BATCH, RAW_READING, Run, S, feed, record

REGIMES = [0, 0, 20 * S, 45 * S, 70 * S, -70 * S, HOUR, HOUR + 4 * S, HOUR + 40 * S, -HOUR, 2 * YEAR, -NOW + HOUR]


def stamp(chance: random.Random, seen: int, ahead: int) -> int | None:
    jitter = chance.choice([0] * 8 + [chance.randint(-S, S), chance.randint(-40 * S, 0)])
    odd = [None, seen + YEAR, 0, 2**63 - 1, -(2**63), seen - 600 * S]
    return chance.choice(odd) if chance.random() < 0.05 else seen + ahead + jitter


def scenario(seed: int, length: int) -> list[Record]:
    """Two sources whose clocks change now and then, with jitter, delays, batches, births, outliers, missing times."""
    chance = random.Random(seed)
    seen, ahead, records = NOW, {"edge-1": 0, "edge-2": 0}, []
    for offset in range(length):
        source = chance.choice(["edge-1", "edge-1", "edge-2"])
        if chance.random() < 0.05:
            ahead[source] = chance.choice(REGIMES)
        seen += chance.choice([0, S // 10, S, S, 3 * S, -S])
        delay = chance.choice([0] * 20 + [S, 40 * S, 100 * S, HOUR])
        gateway = chance.choice([seen] * 20 + [None, None, None, seen + delay, seen - HOUR, seen + HOUR, 0, 2**63 - 1])
        common = {"source_id": source, "gateway_time": gateway, "_time": chance.choice([seen + delay] * 9 + [-1])}

        count = chance.randint(0, 12) if offset // 20 % 3 == 1 else None
        rare = [chance.random() < 0.05 for _ in range(2)]
        if count is None:
            fields = {"source_time": stamp(chance, seen, ahead[source]), "historical": rare[0], "birth": rare[1]}
            records.append(record(RAW_READING, offset, address="X", value_double=1.0, **common, **fields))
        else:
            arrays = {
                "address": [chance.choice(["X", "X", "X", "X", None, "?"]) for _ in range(count)],
                "source_time": [stamp(chance, seen, ahead[source]) for _ in range(count)],
                "value_double": [1.0] * count,
                "historical": [rare[0]] * count if rare[1] else None,
            }
            records.append(record(RAW_BATCH, offset, **common, **arrays))
    return records


def assert_as_the_reference_has_it(run: Run, records: list[Record], limits: reference_clock.Limits) -> None:
    """Readings, rejects, alerts and steps of the offset."""
    expected = reference_validate.validate(records, SIGNALS, NOW, limits=limits)
    assert run.readings == expected.readings
    assert Counter(run.rejects) == Counter(expected.rejects)
    told = [row for row in expected.clocks if row["kind"] != "moved"]
    states = {"begun": "active", "ended": "cleared"}
    assert alerts(run) == [(states[row["kind"]], row["source_id"], row["offset"] / S) for row in told]
    times = [(row["event_time"], row["begin_time"]) for row in run.rows("ops.alert.v1")]
    assert times == [(row["at"], row["begin"]) for row in told]
    assert run.counts["clocks", "moved"] == len(expected.clocks) - len(told)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32),
    st.sets(st.integers(0, 120), max_size=12),
    st.sampled_from([(2, 1), (3, 2), (5, 3), (20, 10)]),
)
def test_any_stream_in_any_split_gives_what_the_reference_gives(
    seed: int, cuts: set[int], shape: tuple[int, int]
) -> None:
    """A record-by-record program re-times and tells the same, wherever the stream is cut."""
    limits = reference_clock.Limits(readings=shape[0], span_s=shape[1])
    records = scenario(seed, 120)
    run = Run(SIGNALS, ValidateConfig(clock=ClockConfig(readings=shape[0], span_s=shape[1])))
    assert_as_the_reference_has_it(feed(run, records, cuts), records, limits)


def test_scenarios_have_turns() -> None:
    """The property above speaks of skews that begin and end, not of streams in which nothing happens."""
    turns: Counter[str] = Counter()
    for seed in range(20):
        limits = reference_clock.Limits(readings=3, span_s=2)
        expected = reference_validate.validate(scenario(seed, 120), SIGNALS, NOW, limits=limits)
        turns.update(row["kind"] for row in expected.clocks)
    assert turns["begun"] > 20
    assert turns["ended"] > 5
    assert turns["moved"] > 2


def test_a_restart_in_a_skew_goes_on_with_it() -> None:
    """All that a stage needs is in its table: a new one after every chunk says the same as one that stays."""
    sent = [*steadily(range(150), HOUR), *steadily(range(150, 250))]
    stays, starts = Run(SIGNALS).step(*sent), Run(SIGNALS)
    for begin in range(0, 250, 7):
        starts.stage = Validate()
        starts.step(*sent[begin : begin + 7])
    assert starts.readings == stays.readings
    assert starts.rows("ops.alert.v1") == stays.rows("ops.alert.v1")
    assert starts.state["clock"].schema == TABLE.schema
