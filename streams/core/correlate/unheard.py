"""What stands and is not heard of any more. Enter: tables, clocks of sites. Leave: revisions that let it go.

A source that never clears its alarms would keep its incidents, and their evidence, for ever. What has stood for longer
than the horizon without any news is let go; if it comes again, it is another incident.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import polars as pl

from streams.core.correlate import clock, lifecycle
from streams.core.correlate.lifecycle import Found, Told
from streams.core.correlate.tables import EVIDENCE_TABLE, KEY, MEMBER_TABLE, TOLD, TOLD_TABLE, Ledger, under
from streams.core.times import DAY_US


def let_go(ledger: Ledger, times: Mapping[str, int], horizon_us: int) -> list[tuple[Told, str]]:
    """Revisions that close what stands and was not heard of for longer than the horizon; its evidence goes.

    News is the event time of a member's newest revision. Counted as (`let_go`, incident).
    """
    site = pl.DataFrame(list(times.items()), schema={"site": pl.String(), "_clock": pl.Int64()}, orient="row")
    told = ledger[TOLD_TABLE].filter(pl.col("state") == lifecycle.OPEN, pl.col("over_us").is_null())
    old = told.join(site, on="site").filter(pl.col("begin_us") < pl.col("_clock") - horizon_us)
    if not old.height:
        return []
    members = ledger[MEMBER_TABLE].join(old.select("incident_id"), on="incident_id", how="semi")
    news = under(ledger[EVIDENCE_TABLE], members).select(*KEY, "event_time").join(members, on=list(KEY))
    last = news.group_by("incident_id").agg(_last=pl.max_horizontal("event_time", "begin_us").max())
    gone = old.join(last, on="incident_id").filter(pl.col("_last") < pl.col("_clock") - horizon_us).sort("incident_id")
    found = [_revision(Told(*row), horizon_us) for row in gone.select(TOLD.names()).rows()]
    ledger.upsert(TOLD_TABLE, pl.DataFrame([tuple(now) for now, _ in found], schema=TOLD, orient="row"))
    dropped = members.join(gone.select("incident_id"), on="incident_id", how="semi")
    ledger.delete(EVIDENCE_TABLE, dropped)
    ledger.delete(MEMBER_TABLE, dropped)
    ledger.counts["let_go", "incident"] += len(found)
    return found


def _revision(told: Told, horizon_us: int) -> tuple[Told, str]:
    payload = json.loads(told.payload)
    said = f"{payload['message'].rstrip('.')}; nothing was heard of it for {horizon_us // DAY_US} days, it is let go."
    return lifecycle.proceed(told, Found(lifecycle.UNHEARD, told.begin_us, None, payload | {"message": said}))


def known(
    frame: pl.DataFrame, evidence: pl.DataFrame, times: Mapping[str, int], disorder_us: int, horizon_us: int
) -> pl.DataFrame:
    """`frame` (a chunk, columns EVIDENCE and `_time`) without what began beyond the horizon and was let go, or may be.

    A row that began so long ago is taken only if there was news of the same within the horizon before it: by what came
    before it in the log, and not by what was let go already, so that chunks make no difference.
    """
    reached = pl.col("site").replace_strict(list(times), list(times.values()), default=None, return_dtype=pl.Int64)
    horizon = pl.max_horizontal(reached, clock.running(disorder_us)) - horizon_us
    old = pl.col("begin_time") < horizon
    if not frame.select(old.fill_null(value=False).any()).item():
        return frame
    there = under(evidence, frame).select(*KEY, _known="event_time")
    before = pl.max_horizontal("_known", pl.col("event_time").cum_max().shift(1).over(KEY))
    rows = frame.join(there, on=list(KEY), how="left", maintain_order="left").with_columns(
        _old=old & (before.is_null() | (before < horizon))
    )
    lost = pl.col("_old").fill_null(value=False).cast(pl.Int8).cum_max().over(KEY) > 0
    return rows.filter(~lost).select(frame.columns)
