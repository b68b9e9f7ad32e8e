"""A line with a temperature, sent every second, and a valve, sent when it moves: what the window tests play with."""

from __future__ import annotations

from typing import Any

from streams.core.window.stage import WindowConfig
from tests.simulation.reference import SECOND, Reading, Signal
from tests.simulation.window_run import T0, Run, context, version

TEMPERATURE = Signal("temperature", period=SECOND)
VALVE = Signal("valve", on_change=True, role="state", lengths=(10,))
CONTEXT = context([version(TEMPERATURE), version(VALVE)])


def at(second: float, value: float | None = 1.0, signal: str = "temperature", **fields: Any) -> Reading:
    """A reading `second` seconds after the begin."""
    given: dict[str, Any] = {"source": "edge-1", "value": value} | fields
    return Reading(signal=signal, time=T0 + round(second * SECOND), **given)


def ends(run: Run, length_s: int = 10) -> list[tuple[int, int, str]]:
    """What was emitted: end in s after the begin, revision, reason."""
    rows = [row for row in run.windows if row["length_s"] == length_s]
    return [((row["window_end"] - T0) // SECOND, row["revision"], row["reason"]) for row in rows]


def started(**config: int) -> Run:
    """A task that knows the dictionary."""
    return Run(WindowConfig(**config), CONTEXT)  # type: ignore[arg-type]
