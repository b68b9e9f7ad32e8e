"""An edge node that was offline for six hours and then delivers its buffer: the windows say what they would have said.

The real service `window` on a real broker, memory of five minutes: what the buffer corrects is in the log only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer

from streams import topology
from tests.chaos.services import Encoder
from tests.integration import harness

pytestmark = pytest.mark.timeout(300)

HOUR: Final = 3600
BASE_S: Final = 1_790_000_000 // HOUR * HOUR
EDGES: Final = ("edge-1", "edge-2")
STATES: Final = ("producing", "stopped", "starved")
SETTINGS: Final = {
    "correction_horizon_s": 24 * HOUR,
    "correction_memory_s": 300,
    "idle_after_ms": 300,
    "allowed_disorder_ms": 2000,
}
# How and when a window came to be told, not what it says.
MANNER: Final = ("revision", "supersedes", "reason", "evidence", "watermark", "emitted_at", "provisional")
_READING: Final = Encoder(topology.READING)


def dictionary() -> list[dict[str, Any]]:
    """Per edge a measurement every ten seconds and a state that is told when it changes."""
    shared: dict[str, Any] = {"window_lengths_s": [60, 600], "factor": 1.0, "offset": 0.0}
    temperature = {"role": "measurement", "reporting": "periodic", "period_ms": 10_000, "unit": "Cel"}
    state = {"role": "state", "reporting": "on_change"}
    return [
        {"signal_id": f"{edge}-{name}", "source_id": edge, "address": name} | shared | own
        for edge in EDGES
        for name, own in (("temperature", temperature), ("state", state))
    ]


def records(edge: str, begin_s: int, end_s: int) -> list[tuple[int, bytes]]:
    """What an edge measures from `begin_s` to `end_s` of event time: (end, record) per five minutes."""
    found = []
    for begin in range(begin_s, end_s, 300):
        numbers, states = range(begin, begin + 300, 10), range(begin - begin % 420 + 420, begin + 300, 420)
        rows: list[tuple[int, int, float | None, str | None]] = [
            (0, number, 20.0 + number % 70 / 10, None) for number in numbers
        ]
        rows += [(1, number, None, STATES[number // 420 % 3]) for number in states]
        rows.sort(key=lambda row: row[1])
        signal, second, value, text = (list(column) for column in zip(*rows, strict=True))
        count = len(rows)
        record = {
            "site": "site-1",
            "work_center": "line-1",
            "signals": [f"{edge}-temperature", f"{edge}-state"],
            "sources": [edge],
            "signal": signal,
            "source": [0] * count,
            "event_time": [(BASE_S + one) * 1_000_000 for one in second],
            "value_double": value,
            "value_string": text,
            "quality": [0] * count,
        }
        found.append((begin + 300, _READING.value(record)))
    return found


class Line:
    """A deployment of `window`, and edges that send to it."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.target = harness.deploy(bootstrap, folder, ("window",), **SETTINGS)
        harness.write_dictionary(self.target, dictionary())
        self._producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})

    def send(self, *sent: list[tuple[int, bytes]]) -> None:
        """Records in the order of their event times; wait until they are processed."""
        for _, value in sorted(one for records_ in sent for one in records_):
            self._producer.produce(self.target.prefix + topology.READING.name, value, b"line-1", partition=0)
        assert self._producer.flush(30) == 0
        harness.until(lambda: self.target.settle(0) == 0, "all positions to reach the end")

    def windows(self) -> list[dict[str, Any]]:
        """All revisions that were written."""
        return harness.rows(self.target, topology.WINDOW)

    def told_until(self, second: int) -> None:
        """Wait until a window that ends at `second` is told."""
        end_us = (BASE_S + second) * 1_000_000

        def told() -> bool:
            return any(harness.microseconds(row["window_end"]) >= end_us for row in self.windows())

        harness.until(told, f"windows up to {second} s")


def latest(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What each window says last; retracted ones say nothing. No revision comes twice."""
    assert max(Counter((row["window_id"], row["revision"]) for row in rows).values()) == 1
    last = {row["window_id"]: row for row in sorted(rows, key=lambda row: int(row["revision"]))}
    return {
        name: {field: value for field, value in row.items() if field not in MANNER}
        for name, row in last.items()
        if row["reason"] != "retracted"
    }


@pytest.fixture
def lines(bootstrap: str, tmp_path: Path) -> Iterator[tuple[Line, Line]]:
    """One line whose edges are always there, and one of which an edge was away."""
    found = Line(bootstrap, tmp_path / "always"), Line(bootstrap, tmp_path / "away")
    yield found
    for line in found:
        line.target.stop()


def test_six_hours_offline_leave_no_trace(lines: tuple[Line, Line]) -> None:
    """Final windows equal those of a run without the outage, though the worker was killed while it read the log again:
    every field that is not about the manner of telling; nothing was too late.
    """
    always, away = lines
    for line in lines:
        harness.start(line.target, "window")
        line.send(*(records(edge, 0, HOUR) for edge in EDGES))
    for record in records("edge-2", HOUR, 7 * HOUR):  # one after another, so that it goes on while edge-1 is silent
        away.send([record])
    away.told_until(7 * HOUR - 600)  # without edge-1: it is idle, and was not waited for
    before = len(away.windows())
    away.send(records("edge-1", HOUR, 7 * HOUR))
    always.send(*(records(edge, HOUR, 7 * HOUR) for edge in EDGES))

    def said(message: str) -> int:
        return sum(line["message"] == message for line in harness.log_lines(away.target, "window-0"))

    harness.until(lambda: said("look-back begins"), "the log to be read again")
    away.target.kill("window-0")
    away.target.start("window", 0)
    for line in lines:
        line.send(*(records(edge, 7 * HOUR, 8 * HOUR) for edge in EDGES))
        line.told_until(8 * HOUR - 600)
    wanted = latest(always.windows())
    harness.until(lambda: latest(away.windows()) == wanted, "the windows to be the same", 90)
    assert len(wanted) > 2 * 2 * 7 * 60
    assert len(away.windows()) > before + 6 * 60, "the buffer came after its windows had been told"
    assert said("look-back ended") >= 1
    for line in lines:
        assert line.target.read(topology.LATE.name) == []
