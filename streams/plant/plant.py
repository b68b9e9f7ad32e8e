"""The plant. In: a seed, a start, a number of lines, a rate. Out: IT context and raw readings, as functions of time.

Equal arguments give equal records, whatever steps they are asked for in, and on every machine.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams import topology
from streams.plant.context import Row, asset_rows, calendar_rows, order_rows, signal_rows
from streams.plant.edge import Pace, batches, single
from streams.plant.line import Line
from streams.plant.maintenance import position_rows, work_order_rows
from streams.plant.model import SECOND_US, edges

MAX_LINES: Final = 1_000
# About so many readings a batch holds, whatever the rate.
_BATCH_READINGS: Final = 1_000
_BATCH_US: Final = SECOND_US // 2
_MIN_BATCH_US: Final = 20_000


class PlantError(ValueError):
    """The plant cannot be built as asked for; the message says what to change."""


class Plant:
    """A bottling plant; site `bottling`, lines `line-1`, `line-2`, ..., each with filler, capper, labeller and packer.

    Args:
        start_us: when it starts, microseconds UTC; before, there are no readings.
        seed: what its chance depends on.
        lines: number of lines, 1 to 1,000.
        rate: raw readings per second of the whole plant, about; None leaves the signals' own periods (138 per line).

    Raises PlantError where the rate would need sampling periods below a millisecond.
    """

    def __init__(self, start_us: int, *, seed: int = 1, lines: int = 2, rate: float | None = None) -> None:
        if not 1 <= lines <= MAX_LINES:
            raise PlantError(f"{lines} lines: give a number from 1 to {MAX_LINES}.")
        self.start_us = start_us
        self.lines: Final = tuple(Line(seed, number, start_us) for number in range(lines))
        self.pace: Final = _pace(self.lines, rate)

    @property
    def rate(self) -> float:
        """Sampled readings per second; events come on top."""
        return _rate(self.lines, self.pace)

    def context(self, now_us: int) -> dict[str, list[Row]]:
        """All rows of the context topics, by topic, as they stand at `now_us`."""
        return {
            topology.SIGNAL.name: signal_rows(self.lines, self.pace),
            topology.ASSET.name: asset_rows(self.lines),
            topology.OPERATOR_POSITION.name: position_rows(self.lines),
            **self._passing(now_us),
        }

    def context_changes(self, from_us: int, to_us: int) -> dict[str, list[Row]]:
        """Rows of the context topics that stand at `to_us` and did not at `from_us`, by topic.

        Production and work orders are released, begin and end, and the calendar goes on; what else there is stays.
        """
        before, after = self._passing(from_us), self._passing(to_us)
        changes: dict[str, list[Row]] = {}
        for topic, rows in after.items():
            name = topology.topic(topic).key
            known = {row[name]: row for row in before[topic]}
            changes[topic] = [row for row in rows if known.get(row[name]) != row]
        return changes

    def _passing(self, now_us: int) -> dict[str, list[Row]]:
        self._prepare(now_us)
        return {
            topology.PRODUCTION_ORDER.name: [row for line in self.lines for row in order_rows(line, now_us)],
            topology.CALENDAR.name: calendar_rows(self.lines, self.start_us, now_us),
            topology.WORK_ORDER.name: [row for line in self.lines for row in work_order_rows(line, now_us)],
        }

    def readings(self, from_us: int, to_us: int) -> dict[str, pl.DataFrame]:
        """Raw records that the edge nodes send from `from_us` (inclusive) until `to_us` (exclusive), by topic.

        Frames have the fields of the topic's schema; times are Int64 microseconds, arrays are lists. Rows of one source
        are in the order in which it sends them.
        """
        self._prepare(to_us)
        out: dict[str, list[pl.DataFrame]] = {topology.RAW_READING.name: [], topology.RAW_BATCH.name: []}
        for line in self.lines:
            for edge in edges(line.number):
                if edge.batches:
                    out[topology.RAW_BATCH.name].append(batches(line, edge, self.pace, from_us, to_us))
                else:
                    out[topology.RAW_READING.name].append(single(line, edge, self.pace, from_us, to_us))
        return {topic: pl.concat(frames) for topic, frames in out.items()}

    def _prepare(self, until_us: int) -> None:
        for line in self.lines:
            line.prepare(until_us)


def _rate(lines: tuple[Line, ...], pace: Pace) -> float:
    periods = (pace.period_ms(signal) for line in lines for signal in line.signals)
    return sum(1_000.0 / period for period in periods if period is not None)


def _pace(lines: tuple[Line, ...], rate: float | None) -> Pace:
    natural = _rate(lines, Pace())
    if rate is None:
        return Pace()
    if not rate > 0:
        raise PlantError(f"A rate of {rate} readings/s: give a number above 0.")
    factor = natural / rate
    highest = sum(1_000.0 for line in lines for signal in line.signals if signal.period_ms is not None)
    shortest = min(signal.period_ms for signal in lines[0].signals if signal.period_ms is not None)
    if shortest * factor < 1.0:
        raise PlantError(
            f"{rate:.0f} readings/s from {len(lines)} lines need sampling periods below 1 ms: "
            f"ask for at most {natural * shortest:.0f} readings/s, or for more lines (--lines)."
        )
    per_source = min(rate, highest) / (2 * len(lines))
    batch_us = min(_BATCH_US, max(_MIN_BATCH_US, int(_BATCH_READINGS / per_source * SECOND_US)))
    return Pace(factor, batch_us)
