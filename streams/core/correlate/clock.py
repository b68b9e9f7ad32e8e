"""Event time of a site. Enter: evidence, processing time. Leave: how far it has come, what is beyond the horizon.

A site's clock is the highest event time that was seen, less the allowed disorder; where nothing comes and everything
there was has been read, it goes on with processing time. It never goes back.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from streams.core.correlate import lifecycle
from streams.core.correlate.tables import (
    EVIDENCE_TABLE,
    KEY,
    MEMBER_TABLE,
    REPAIR_TABLE,
    SEEN_TABLE,
    SITE_TABLE,
    TOLD_TABLE,
    Ledger,
)
from streams.core.stage import Moment
from streams.core.times import NEVER_US


def hear(ledger: Ledger, frame: pl.DataFrame, now_us: int) -> None:
    """Take in the event times of a chunk (columns site, event_time, `_time`): none is later than its record."""
    heard = frame.group_by("site").agg(_latest=pl.min_horizontal("event_time", "_time").max())
    rows = heard.join(ledger[SITE_TABLE], on="site", how="left").with_columns(
        latest_us=pl.max_horizontal("latest_us", "_latest"),
        clock_us=pl.col("clock_us").fill_null(NEVER_US),
        heard_us=pl.lit(now_us, pl.Int64),
    )
    ledger.upsert(SITE_TABLE, rows)


def begun(frame: pl.DataFrame, before: Mapping[str, int]) -> dict[str, int]:
    """Where the sites of a chunk were: by their clocks, or at its first event time where they were never heard."""
    return dict(frame.group_by("site").agg(pl.col("event_time").min()).iter_rows()) | dict(before)


def clocks(ledger: Ledger, disorder_us: int) -> dict[str, int]:
    """Event time that each site has reached."""
    reached = pl.max_horizontal("clock_us", pl.col("latest_us") - disorder_us)
    return dict(ledger[SITE_TABLE].select("site", reached).iter_rows())


def idle(ledger: Ledger, disorder_us: int, moment: Moment) -> dict[str, int]:
    """`clocks`, and where they would be by processing time; nothing passes while there is more to read."""
    since_us = moment.caught_up_since_us
    if since_us is None:
        return clocks(ledger, disorder_us)
    passed = moment.now_us - pl.max_horizontal("heard_us", pl.lit(since_us, pl.Int64))
    reached = pl.max_horizontal("clock_us", pl.col("latest_us") - disorder_us + passed)
    return dict(ledger[SITE_TABLE].select("site", reached).iter_rows())


def advance(ledger: Ledger, to: dict[str, int]) -> None:
    """Remember that clocks have come so far."""
    there = pl.DataFrame(list(to.items()), schema={"site": pl.String(), "_to": pl.Int64()}, orient="row")
    rows = ledger[SITE_TABLE].join(there, on="site").with_columns(clock_us=pl.max_horizontal("clock_us", "_to"))
    ledger.upsert(SITE_TABLE, rows)


def within(horizon_us: int, times: Mapping[str, int], heard: pl.Expr | None = None) -> pl.Expr:
    """Which rows of evidence are not beyond the horizon: they stand, or ended within it.

    `times`: clocks of sites; `heard`: how far a row's site had come before it within its chunk (null: not told), see
    `running`.
    """
    clock = pl.col("site").replace_strict(list(times), list(times.values()), default=NEVER_US, return_dtype=pl.Int64)
    stands = (pl.col("state") == "active") & pl.col("end_time").is_null()
    last = pl.max_horizontal("event_time", "end_time")
    return stands | (last >= (clock if heard is None else pl.max_horizontal(clock, heard)) - horizon_us)


def running(disorder_us: int) -> pl.Expr:
    """Event time that the site of each row (with `_time`, in the order of the log) had reached by the rows before it.

    A chunk may hold a year: what is late is late by what came before, not by what the chunk ends with.
    """
    return pl.min_horizontal("event_time", "_time").cum_max().shift(1).over("site") - disorder_us


def forget(ledger: Ledger, times: dict[str, int], horizon_us: int, near_us: int) -> None:
    """Drop what is beyond the horizon: incidents with all their evidence, and evidence that nothing can need.

    What was told of an incident stays as long again, as the repair times of its month may still be corrected.
    """
    clock = pl.DataFrame(list(times.items()), schema={"site": pl.String(), "_clock": pl.Int64()}, orient="row")
    told = ledger[TOLD_TABLE].join(clock, on="site").filter(pl.col("state") != lifecycle.OPEN)
    age = pl.col("_clock") - pl.coalesce("over_us", "begin_us")
    members = ledger[MEMBER_TABLE]
    over = members.join(told.filter(age > horizon_us).select("incident_id"), on="incident_id", how="semi")
    ledger.delete(EVIDENCE_TABLE, over)
    ledger.delete(MEMBER_TABLE, over)
    others = ledger[EVIDENCE_TABLE].join(members, on=list(KEY), how="anti").join(clock, on="site")
    last = pl.max_horizontal("event_time", "end_time")
    ledger.delete(EVIDENCE_TABLE, others.filter(last < pl.col("_clock") - horizon_us - near_us))
    gone = told.filter(age > 2 * horizon_us).select("incident_id")
    ledger.delete(TOLD_TABLE, gone)
    ledger.delete(SEEN_TABLE, ledger[SEEN_TABLE].join(ledger[TOLD_TABLE], on="incident_id", how="anti"))
    repairs = ledger[REPAIR_TABLE].join(clock, on="site")
    ledger.delete(REPAIR_TABLE, repairs.filter(pl.col("period_end") < pl.col("_clock") - 2 * horizon_us))
