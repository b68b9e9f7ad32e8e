"""The plant whose state is measured, without a broker."""

from __future__ import annotations

import polars as pl
import pytest

from streams.core.frames import COORDINATES, READING
from tests.bench.state_plant import END_US, Plant

PLANT = Plant(400, 60)
MINUTE_US = 60_000_000


def test_each_measurement_comes_once_per_period() -> None:
    """Nine of ten signals every 60 s; the tenth at most once in 300 s; columns as stages get them, in log order."""
    chunk = PLANT.readings(-300, 0)
    assert chunk is not None
    assert chunk.schema == {**READING, **COORDINATES}
    assert chunk["_offset"].is_sorted()
    assert chunk["event_time"].is_between(END_US - 5 * MINUTE_US, END_US - 1).all()
    counts = chunk["signal_id"].cast(pl.String()).value_counts().rows_by_key("signal_id", unique=True)
    assert {number: counts[f"line-0.signal-{number}"][0] for number in (0, 1, 9, 10, 399)} == {
        0: 1, 1: 5, 9: 5, 10: 1, 399: 5,
    }  # fmt: skip
    assert len(counts) == 400
    assert chunk.height == pytest.approx(PLANT.rate * 300)


def test_chunks_leave_nothing_out() -> None:
    """The same signals at the same seconds, however time is cut; `part` takes of so many signals one."""
    parts = [PLANT.readings(begin, begin + 10) for begin in range(-120, 0, 10)]
    cut = pl.concat([part for part in parts if part is not None])
    whole = PLANT.readings(-120, 0)
    assert whole is not None

    def seconds(frame: pl.DataFrame) -> list[tuple[str, int]]:
        name = frame["signal_id"].cast(pl.String())
        return sorted(zip(name.to_list(), (frame["event_time"] // 1_000_000).to_list(), strict=True))

    assert seconds(cut) == seconds(whole)
    few = PLANT.readings(-300, 0, 100)
    assert few is not None
    assert set(few["signal_id"].cast(pl.String())) == {f"line-0.signal-{number}" for number in (0, 100, 200, 300)}


def test_raw_records_are_what_the_dictionary_names() -> None:
    """Source and address of every raw record are those of its signal."""
    chunk = PLANT.readings(-60, 0)
    assert chunk is not None
    raw = PLANT.raw(chunk)
    entries = PLANT.context().frame("it.signal.v1")
    known = set(entries.select("source_id", "address").rows())
    assert set(raw.select("source_id", "address").rows()) <= known
    assert raw["source_time"].to_list() == chunk["event_time"].to_list()
