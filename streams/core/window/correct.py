"""What a look back changes. Enters: a page of recomputed windows, the tables as they are now. Leaves: a `Result`."""

from __future__ import annotations

import polars as pl

from streams import topology
from streams.core.stage import Change, Moment, Result, Tables, empty
from streams.core.window import past
from streams.core.window.excluded import EXCLUDED, singled
from streams.core.window.output import late, windows
from streams.core.window.recompute import Recomputation
from streams.core.window.revise import REVISED, numbered, remembered
from streams.core.window.signals import Signals


def corrected(back: Recomputation, state: Tables, signals: Signals, moment: Moment) -> Result:
    """New revisions of the windows of the next page, and what does not wait any more.

    Readings whose windows cannot be told again go to the late topic and are counted as `unavailable`.
    """
    page, reread = back.page(), back.reread
    watermark_us = int(state["task"]["watermark"][0])
    changed = numbered(page.differing, state[REVISED.name])
    changes = past.done(state, reread.state, page.signals, reread.log.end, moment.now_us)
    changes[REVISED.name] = Change(upsert=remembered(changed))
    counts = {("readings", "duplicate"): page.duplicates, ("readings", "conflict"): page.conflicts}
    counts |= {("windows", reason): number for reason, number in changed.group_by("reason").len().iter_rows()}
    out = {}
    if changed.height:
        out[topology.WINDOW.name] = windows(changed, signals, state["signal"], watermark_us, moment.now_us)
    lost = reread.lost(page.signals)
    if lost is not None and lost.height:
        out[topology.LATE.name] = late(lost, pl.Series("watermark", [watermark_us]).new_from_index(0, lost.height))
        counts["readings", "unavailable"] = lost.height
        changes[EXCLUDED.name] = Change(upsert=singled(lost))
    kept = {name: change for name, change in changes.items() if not empty(change)}
    return Result(kept, out, {name: number for name, number in counts.items() if number}, watermark_us)
