"""nab: two series of temperatures, one with an hour that comes twice, one with a gap of days.

Stamps are local clock readings without a zone, taken as UTC: an hour set back comes twice, with other values. Of an
instant that comes twice the later line counts and the other is a conflict. In a gap nothing is known.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.evaluation.scenario import SECOND_US, Outcome, Place, Replay, ReplayFailure, Row, Scenario, as_recorded
from tests.evaluation.windows import CLOCK, Expected, Sent, compared, expected, known_time

NAME: Final = "nab"
SEED: Final = 20131202
SERIES: Final = ("machine_temperature", "ambient_temperature")
PLACE: Final = Place("plant", "line-1", "logger")
# Windows: one period of the recording, and the longest of these that holds some of them.
LENGTHS_S: Final = (60, 300, 600, 1_800, 3_600, 21_600, 86_400)
HOLD_PERIODS: Final = 2.5


def place(series: str) -> Path:
    """Where one of SERIES lies in the folder of recordings."""
    return Path(NAME, "data", "realKnownCause", f"{series}_system_failure.csv.gz")


def evaluate_series(series: str) -> Callable[[Path, Replay, Callable[[str], None]], dict[str, Any]]:
    """The evaluation of one of SERIES."""

    def evaluate(path: Path, replay: Replay, say: Callable[[str], None]) -> dict[str, Any]:
        sent = read(path, series)
        period_s, lengths_s = _period_s(sent), _lengths_s(_period_s(sent))
        asked = scenario(sent, series, period_s, lengths_s)
        backwards = sum(second.time_us < first.time_us for first, second in itertools.pairwise(sent))
        say(f"{series}: {len(sent)} readings, one in {period_s} s, {backwards} times back in time")
        outcome = replay(asked)
        wanted = expected(sent, asked.readings, outcome.late, lengths_s)
        hold_us = int(period_s * HOLD_PERIODS * SECOND_US)
        metrics = compared(wanted, outcome, causes=0)
        metrics |= known_time(wanted, outcome, lengths_s[0], {series: hold_us}) | _gap(wanted, outcome, series, hold_us)
        return {"backward_stamps": backwards, **metrics}

    return evaluate


def read(path: Path, signal: str) -> list[Sent]:
    """The lines of a series in their order. Raises ReplayFailure where the file is missing or a line is no reading."""
    if not path.is_file():
        raise ReplayFailure(f"{path} is missing: put the recording there, or give another folder with --data")
    sent = []
    with gzip.open(path, "rb") as file:
        for place, row in enumerate(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline=""))):
            try:
                stamp = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
                number = float(row["value"])
            except (KeyError, ValueError, TypeError) as why:
                raise ReplayFailure(f"line {place + 2} of {path.name} cannot be read: {why}") from why
            sent.append(Sent(signal, round(stamp.timestamp()) * SECOND_US, place, number))
    if len(sent) < 2:
        raise ReplayFailure(f"{path} holds no two readings: it is not the recording")
    return sent


def scenario(sent: Sequence[Sent], signal: str, period_s: int, lengths_s: Sequence[int]) -> Scenario:
    """Dictionary and readings; the last one, of another signal, closes all windows."""
    readings = [_reading(one.time_us, signal, one.place, one.number) for one in sent]
    end_us = max(one.time_us for one in sent)
    longest_us = max(lengths_s) * SECOND_US
    last = _reading((end_us // longest_us + 2) * longest_us, CLOCK, len(sent), 0.0)
    starts = [(length_s, end_us // (length_s * SECOND_US) * length_s * SECOND_US) for length_s in lengths_s]
    return Scenario(
        context={"it.signal.v1": [_signal(name, period_s, lengths_s) for name in (signal, CLOCK)]},
        readings=[*as_recorded(readings, SEED), last],
        awaited=frozenset(f"{signal}/{length_s}/{start}" for length_s, start in starts),
        stage="window",
    )


def _reading(time_us: int, address: str, sequence: int, value: float | None) -> Row:
    return PLACE.reading(address, time_us, "1", sequence, value_double=value)


def _signal(name: str, period_s: int, lengths_s: Sequence[int]) -> Row:
    return PLACE.signal(name, "measurement", "periodic", lengths_s, unit="[degF]", period_ms=period_s * 1000)


def _period_s(sent: Sequence[Sent]) -> int:
    times = sorted({one.time_us for one in sent})
    steps = [after - before for before, after in itertools.pairwise(times)]
    return round(statistics.median(steps) / SECOND_US)


def _lengths_s(period_s: int) -> tuple[int, int]:
    fitting = [length_s for length_s in LENGTHS_S if length_s >= period_s]
    longer = [length_s for length_s in fitting if length_s >= 12 * period_s]
    return fitting[0], (longer or fitting)[0]


def _gap(wanted: Expected, outcome: Outcome, signal: str, hold_us: int) -> dict[str, Any]:
    """Windows that lie wholly in the longest time of which nothing is known, and those of them that claim to know."""
    times = list(wanted.winners[signal])
    begin, end = max(itertools.pairwise(times), key=lambda pair: pair[1] - pair[0])
    inside = 0
    for length_s in {length_s for _, length_s, _ in wanted.windows}:
        width = length_s * SECOND_US
        inside += max(0, end // width - -(-(begin + hold_us) // width))
    claims = [
        row["window_id"]
        for row in outcome.records.values()
        if row["signal_id"] == signal and row["window_start"] >= begin + hold_us and row["window_end"] <= end
        if row["coverage"] > 0 or row["count"] + row["count_bad"] > 0
    ]
    return {
        "gap_s": (end - begin) / SECOND_US,
        "gap_windows": inside,
        "gap_windows_reported_unknown": inside - len(claims),
        "gap_windows_claiming_coverage": len(claims),
    }
