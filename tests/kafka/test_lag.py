"""What a task's state says of its lag."""

from __future__ import annotations

import polars as pl

from streams.core.frames import ID
from streams.core.times import NEVER_US
from streams.core.window.past import PENDING, WAITING
from streams.core.window.watermark import SOURCE, Patience
from streams.kafka.lag import Late, judged
from streams.kafka.state import Restored

SECOND = 1_000_000
NOW = 1_700_000_000 * SECOND
PATIENCE = Patience(2 * SECOND, 10 * SECOND, 60 * SECOND)
ORIGIN = {"service": "window"}


def restored(watermark_s: float, *sources: tuple[str, float, float]) -> Restored:
    """A state: watermark, and per source its highest event time and when it was last seen, all in s before now."""
    rows = [
        [name, *(NOW - round(second * SECOND) for second in (event, seen, seen)), NEVER_US]
        for name, event, seen in sources
    ]
    table = pl.DataFrame(rows, schema=SOURCE.schema.names(), orient="row").with_columns(pl.col("source_id").cast(ID))
    return Restored({SOURCE.name: table}, origin=ORIGIN, watermark_us=NOW - round(watermark_s * SECOND))


def test_who_holds_the_watermark_is_told() -> None:
    """As committed, where everything is read and the slowest source still sends."""
    found = judged("window", 0, 1, restored(32, ("slow", 30, 1), ("fast", 1, 1)), {"in": 0}, PATIENCE, NOW)
    assert found.watermark_us == NOW - 32 * SECOND
    assert [(one.source_id, one.status) for one in found.sources] == [("slow", "holding"), ("fast", "ahead")]


def test_time_moves_the_watermark_of_a_silent_task() -> None:
    """The state of a task to which nothing comes stands still; what it says does not, unless something waits."""
    state = restored(302, ("edge", 300, 299))
    silent = judged("window", 0, 1, state, {"in": 0}, PATIENCE, NOW)
    assert silent.watermark_us == NOW - 302 * SECOND + 299 * SECOND
    assert [one.status for one in silent.sources] == ["released"]
    waiting = judged("window", 0, 1, state, {"in": 7}, PATIENCE, NOW)
    assert waiting.watermark_us == NOW - 302 * SECOND
    assert [one.status for one in waiting.sources] == ["holding"]


def test_a_task_that_has_read_nothing_has_no_watermark() -> None:
    """Nor one that has never committed; the mark before all times is none."""
    nothing = judged("window", 0, 0, Restored({SOURCE.name: SOURCE.empty()}), {"in": 3}, PATIENCE, NOW)
    assert (nothing.begun, nothing.watermark_us, list(nothing.sources)) == (False, None, [])
    empty = Restored({SOURCE.name: SOURCE.empty()}, origin=ORIGIN, watermark_us=NEVER_US)
    assert judged("window", 0, 1, empty, {"in": 0}, PATIENCE, NOW).watermark_us is None


def test_what_waits_for_a_correction_is_told() -> None:
    """Signals, readings, and since when; nothing where nothing waits, or where memory is all there is."""
    state = restored(2, ("edge", 1, 1))
    assert judged("window", 0, 1, state, {"in": 0}, PATIENCE, NOW).late is None
    rows = [["s", 1, 0, 9, 3, 7], ["s", 2, 0, 9, 4, 8], ["t", 1, 0, 9, 1, 8]]
    pending = pl.DataFrame(rows, schema=PENDING.schema.names(), orient="row")
    state.tables[PENDING.name] = pending
    for begun, expected in ((NEVER_US, None), (NOW - 5 * SECOND, Late(2, 8, NOW - 5 * SECOND))):
        row = {"task": [0], "begun": [begun], "grown": [begun], "reach": [0]}
        state.tables[WAITING.name] = pl.DataFrame(row, schema=WAITING.schema)
        assert judged("window", 0, 1, state, {"in": 0}, PATIENCE, NOW).late == expected
