"""What the tests of clocks have in common: two sources, readings by second, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.core.validate_run import DAY, NOW, RAW_READING, Run, S, record, signal

HOUR = 3600 * S
YEAR = 365 * DAY
SIGNALS = [signal("x", "X"), signal("y", "X", source_id="edge-2", work_center="line-2", tenant="acme")]
Record = tuple[str, dict[str, Any]]


def second(number: int, ahead: int = 0, **fields: Any) -> Record:
    """A reading that a gateway saw, and the broker stamped, in this second; its own clock is `ahead` of that."""
    seen = NOW + number * S
    given_ = {"source_time": seen + ahead, "gateway_time": seen, "_time": seen, "address": "X", "value_double": 1.0}
    return record(RAW_READING, number, **{**given_, **fields})


def steadily(numbers: Iterable[int], ahead: int = 0, **fields: Any) -> list[Record]:
    """Readings of these seconds."""
    return [second(number, ahead, **fields) for number in numbers]


def off(run: Run) -> list[int]:
    """How far each reading's event time is from the time at which the broker saw it (us)."""
    return [row["event_time"] - row["ingest_time"] for row in run.readings]


def alerts(run: Run) -> list[tuple[str, str, float]]:
    """State, source and value of each alert."""
    return [(row["state"], row["alert_id"].split("|")[1], row["value"]) for row in run.rows("ops.alert.v1")]
