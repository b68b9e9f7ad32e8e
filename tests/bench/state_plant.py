"""The plant whose state is measured: one task's share. In: sizes. Out: a dictionary, and chunks as stages get them.

Nine of ten signals are measurements with a period; the tenth is a state that changes every five minutes, or the good
count of a machine. 100 signals to an edge node, 20 edge nodes to a line. Of the time before memory begins only a few
signals are sent: enough for clocks, indices and books, and a hundred times faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from streams import topology
from streams.core.context import Context
from streams.core.dictionary import SIGNAL, check
from streams.core.frames import COORDINATES, GOOD, ID, READING
from streams.core.times import SECOND_US
from streams.kafka.avro import codec, contracts, writer

END_US: Final = 1_790_000_000 // 86_400 * 86_400 * SECOND_US
PER_EDGE: Final = 100
PER_LINE: Final = 2000
DAY_S: Final = 86_400
SPARSE: Final = 100  # of so many signals one, before memory begins
SPARSE_STEP_S: Final = 300
RECORDS_PER_S: Final = 10  # of each line: one per commit of `validate`


@dataclass(frozen=True)
class Plant:
    """One task's share: `signals` of them, a measurement every `period_s`."""

    signals: int
    period_s: int

    @cached_property
    def names(self) -> pl.Series:
        """Signal ids, by number."""
        return pl.Series("signal_id", [f"line-{i // PER_LINE}.signal-{i}" for i in range(self.signals)], dtype=ID)

    @cached_property
    def edges(self) -> pl.Series:
        """The source of each signal."""
        return pl.Series("source_id", [f"edge-{i // PER_EDGE}" for i in range(self.signals)], dtype=ID)

    @cached_property
    def rate(self) -> float:
        """Readings per second."""
        kinds = np.arange(self.signals) % 10
        every = np.where(kinds == 0, 300, self.period_s)
        return float((1 / every).sum())

    def context(self) -> Context:
        """The dictionary; the other topics are empty."""
        frames = {topic.name: codec.frame((), topic.name) for topic in topology.CONTEXT}
        rows = [self._entry(number) for number in range(self.signals)]
        signals = pl.DataFrame(rows, schema=SIGNAL)
        if faults := check(signals):
            raise ValueError(
                f"the plant's dictionary is faulty, what is measured would be something else: {faults[:3]}"
            )
        return Context(frames | {topology.SIGNAL.name: signals}, 1)

    def _entry(self, number: int) -> dict[str, Any]:
        edge, line, kind = number // PER_EDGE, number // PER_LINE, number % 10
        role = "measurement" if kind else ("state" if number % 20 else "good_counter")
        return {
            "signal_id": f"line-{line}.signal-{number}",
            "site": "site-1",
            "source_id": f"edge-{edge}",
            "address": f"machine-{edge}/value-{number % PER_EDGE}",
            "work_center": f"line-{line}",
            "work_unit": f"machine-{edge}",
            "role": role,
            "unit": "Cel" if kind else None,
            "factor": 1.0,
            "offset": 0.0,
            "reporting": "periodic" if kind else "on_change",
            "period_ms": self.period_s * 1000 if kind else None,
            "window_lengths_s": [60],
        }

    def readings(self, begin_s: int, end_s: int, part: int = 1) -> pl.DataFrame | None:
        """The readings of [begin, end) (seconds before the end are negative) as one chunk; `part`: of so many one."""
        time_s, number = self._times(begin_s, end_s, part)
        if not len(number):
            return None
        random = np.random.default_rng(END_US // SECOND_US + begin_s)
        kind, measured = number % 20, number % 10 != 0
        event = END_US + time_s * SECOND_US + random.integers(0, 900_000, len(number))
        order = np.argsort(event, kind="stable")
        event, number, kind, measured = event[order], number[order], kind[order], measured[order]
        line, logged = number // PER_LINE, event + SECOND_US
        lines = self.signals // PER_LINE + 1
        offset = (logged - END_US + 2 * DAY_S * SECOND_US) * RECORDS_PER_S // SECOND_US * lines + line
        count = len(number)
        nothing = {name: pl.Series(name, [None], dtype).new_from_index(0, count) for name, dtype in READING.items()}
        states = pl.Series(["producing", "stopped", "starved"], dtype=ID)
        given = {
            "site": pl.Series(["site-1"], dtype=ID).new_from_index(0, count),
            "work_center": pl.Series([f"line-{i}" for i in range(lines)], dtype=ID).gather(line),
            "signal_id": self.names.gather(number),
            "source_id": self.edges.gather(number),
            "event_time": pl.Series(event),
            "ingest_time": pl.Series(logged),
            "value_double": pl.DataFrame({"value": np.round(random.normal(60, 3, count), 2), "own": measured}).select(
                pl.when("own").then("value")
            )["value"],
            "value_long": pl.DataFrame({"value": event // SECOND_US, "own": kind == 0}).select(
                pl.when("own").then("value")
            )["value"],
            "value_string": pl.DataFrame({"value": states.gather(time_s[order] // 300 % 3), "own": kind == 10}).select(
                pl.when("own").then("value")
            )["value"],
            "quality": pl.Series([GOOD], dtype=pl.Int8()).new_from_index(0, count),
            "sequence": pl.Series(event // SECOND_US),
            "_partition": pl.Series([0], dtype=pl.Int32()).new_from_index(0, count),
            "_offset": pl.Series(offset),
            "_time": pl.Series(logged),
        }
        return (
            pl.DataFrame(nothing | given)
            .select(pl.col(name).cast(dtype) for name, dtype in (READING | COORDINATES).items())
            .sort("_offset", maintain_order=True)
        )

    def _times(self, begin_s: int, end_s: int, part: int) -> tuple[Any, Any]:
        """(second, signal) of each reading: each signal at its own phase of its period."""
        number = np.arange(0, self.signals, part)
        every = np.where(number % 10 == 0, 300, self.period_s)
        first = begin_s + (number * 7 - begin_s) % every
        counts = np.maximum(0, -((first - end_s) // every))
        owner = np.repeat(np.arange(len(number)), counts)
        step = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        return first[owner] + step * every[owner], number[owner]

    def day(self, whole_s: int, chunk_s: int) -> Iterator[tuple[int, pl.DataFrame]]:
        """(time, chunk) of a day up to a minute before the end; all readings of the last `whole_s`, few before."""
        for begin in range(-DAY_S, -60, SPARSE_STEP_S if whole_s < DAY_S else chunk_s):
            end = min(begin + SPARSE_STEP_S, -60)
            if end <= -whole_s:
                chunk = self.readings(begin, end, SPARSE)
                if chunk is not None:
                    yield END_US + end * SECOND_US, chunk
                continue
            for at in range(begin, end, chunk_s):
                chunk = self.readings(at, min(at + chunk_s, end))
                if chunk is not None:
                    yield END_US + (at + chunk_s) * SECOND_US, chunk

    def raw(self, chunk: pl.DataFrame) -> pl.DataFrame:
        """The same readings as `validate` gets them: one raw record each."""
        text = pl.col("signal_id").cast(pl.String())
        number = text.str.split("-").list.last().cast(pl.Int64())
        address = pl.format("machine-{}/value-{}", number // PER_EDGE, number % PER_EDGE)
        renamed = chunk.with_columns(address.alias("address"), pl.col("event_time").alias("source_time"))
        wanted = {**writer.columns(contracts.load(topology.RAW_READING.name).schema), **COORDINATES}
        return renamed.select(
            (pl.col(name) if name in renamed.columns and name != "quality_scheme" else pl.lit(None))
            .cast(kind)
            .alias(name)
            for name, kind in wanted.items()
        )
