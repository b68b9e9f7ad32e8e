"""Where sources stand. Enters: sources, the watermark, the time. Leaves: what each of them does to the watermark.

As gauges of the task (numbers only: a source's name is no label), and as rows with names for people who ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from streams.core.stage import Moment
from streams.core.times import NEVER_US
from streams.core.window.signals import Ints, codes
from streams.core.window.watermark import Patience, Sources

# Alive, and the watermark is as far as this one: everything waits for it. Alive, and further. Silent for longer than
# its limit. Returned, and too far behind to hold anything.
STATUSES: Final = ("holding", "ahead", "released", "backlog")
# How many of the slowest living sources are told as gauges.
SLOWEST: Final = 5


class Standing(NamedTuple):
    """One source: highest event time, processing and append time of its last reading, begin of its backlog, in us."""

    source_id: str
    status: str
    max_event_time: int
    last_seen: int
    last_logged: int
    backlog_since: int | None


def gauges(sources: Sources, watermark_us: int, moment: Moment, patience: Patience) -> dict[str, int]:
    """Number of sources by status, and the highest event times (us) of the slowest living ones, by rank from 1."""
    known = sources.known()
    status = _status(sources, watermark_us, moment, patience)[known]
    counts = {f"sources_{name}": int((status == number).sum()) for number, name in enumerate(STATUSES)}
    slowest = np.sort(sources.latest[known[status < STATUSES.index("released")]])[:SLOWEST]
    return counts | {f"slowest_source_{rank}": int(time) for rank, time in enumerate(slowest, start=1)}


def standings(table: pl.DataFrame, watermark_us: int, moment: Moment, patience: Patience) -> list[Standing]:
    """The rows of the `source` table with what they do, by status and then the slowest first."""
    status = _status(Sources.of(table), watermark_us, moment, patience)[codes(table["source_id"])]
    ordered = table.with_columns(pl.Series("status", status)).sort("status", "max_event_time", "source_id")
    return list(_named(ordered))


def _named(rows: pl.DataFrame) -> Iterator[Standing]:
    for row in rows.iter_rows(named=True):
        since = row["backlog_since"]
        yield Standing(
            row["source_id"],
            STATUSES[row["status"]],
            row["max_event_time"],
            row["last_seen"],
            row["last_logged"],
            None if since == NEVER_US else since,
        )


def _status(sources: Sources, watermark_us: int, moment: Moment, patience: Patience) -> Ints:
    """Place in STATUSES by source code; meaningless where a code is no source."""
    heard = sources.holding(sources.logged, int(sources.logged.max()), patience)
    if moment.caught_up_since_us is not None:
        since = np.maximum(sources.seen, moment.caught_up_since_us)
        heard &= sources.holding(since, moment.now_us, patience)
    marks = sources.latest - patience.disorders(sources.latest.size)
    return np.select([sources.backlog != NEVER_US, ~heard, marks <= watermark_us], [3, 2, 0], default=1)
