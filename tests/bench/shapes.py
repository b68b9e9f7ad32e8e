"""The benchmark's input, the same for every engine: 200 signals at 1 Hz.

In: a number of readings. Out: arrays of the readings, names, and the signal dictionary.

20 sources of 10 signals each; all readings of a source are in one partition, and a line's sources share a partition,
as gateways of one line do. Event time runs from 2023-11-14T22:13:20Z, one second per round of the 200 signals, plus
up to 1.9 s of disorder: every reading is inside the 2 s that the windows wait, so nothing is late and every engine
must give the same windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Shape = Literal["single", "unbatched", "json", "batch100"]
SHAPES: Final[tuple[Shape, ...]] = ("single", "unbatched", "json", "batch100")

SIGNALS: Final = 200
SOURCES: Final = 20
PARTITIONS: Final = 4
START_US: Final = 1_700_000_000_000_000
WINDOW_US: Final = 60_000_000
BATCH: Final = 100
# How long windows wait for readings out of order. A batch holds ten seconds of one source, so that within a partition
# (the scope of the peers' watermark) sources are up to ten seconds apart.
DISORDER_MS: Final[dict[Shape, int]] = {"single": 2_000, "unbatched": 2_000, "json": 2_000, "batch100": 15_000}

FACTOR: Final = 0.5
OFFSET: Final = 10.0
INSTRUMENT_LOW: Final = 10.0
INSTRUMENT_HIGH: Final = 59.5


@dataclass(frozen=True)
class Readings:
    """Readings in the order of acquisition: number of the signal, event time in us since 1970 UTC, value as sent."""

    signal: NDArray[np.int64]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]

    def part(self, partition: int) -> Readings:
        """Those of one partition, in order."""
        mask = partition_of(self.signal) == partition
        return Readings(self.signal[mask], self.time_us[mask], self.value[mask])


def readings(count: int) -> Readings:
    """The first `count` readings; a smaller count is a prefix of a larger one. Raises ValueError on a broken round."""
    if count <= 0 or count % (SIGNALS * 10):
        raise ValueError(f"{count} readings: give a multiple of {SIGNALS * 10}, so that every batch is full")
    index = np.arange(count, dtype=np.int64)
    second = index // SIGNALS
    # Even milliseconds in even seconds, odd in odd ones: no two readings of a signal fall into one millisecond, which
    # is as fine as some engines see.
    random = np.random.default_rng(1).integers(0, 950_000, count)
    jitter = (2 * (random // 1_000) + second % 2) * 1_000 + random % 1_000
    value = np.round(np.random.default_rng(2).random(count) * 100.0, 3)
    return Readings(index % SIGNALS, START_US + second * 1_000_000 + jitter, value)


def source_of(signal: Any) -> Any:
    """Number of the source that sends a signal."""
    return signal // (SIGNALS // SOURCES)


def partition_of(signal: Any) -> Any:
    """Partition of a signal's source."""
    return source_of(signal) % PARTITIONS


def source_id(source: int) -> str:
    """Name of a source; all have the same length."""
    return f"edge-{source:02d}"


def address(signal: int) -> str:
    """Address of a signal at its source; all have the same length, and no two are equal."""
    return f"area-1/press-{source_of(signal):02d}/value-{signal % 10}"


def signal_id(signal: int) -> str:
    """Identity of a signal in the dictionary."""
    return f"sig-{signal:03d}"


def work_center(signal: int) -> str:
    """Line of a signal; murmur2 of these four names gives the four partitions, each once."""
    return ("line-1", "line-6", "line-3", "line-7")[partition_of(signal)]


def dictionary() -> list[dict[str, Any]]:
    """Rows of `it.signal.v1` for the 200 signals."""
    return [
        {
            "signal_id": signal_id(signal),
            "site": "site-1",
            "source_id": source_id(source_of(signal)),
            "address": address(signal),
            "work_center": work_center(signal),
            "work_unit": f"press-{source_of(signal):02d}",
            "factor": FACTOR,
            "offset": OFFSET,
            "instrument_low": INSTRUMENT_LOW,
            "instrument_high": INSTRUMENT_HIGH,
            "reporting": "periodic",
            "period_ms": 1_000,
            "window_lengths_s": [60],
        }
        for signal in range(SIGNALS)
    ]
