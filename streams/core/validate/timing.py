"""Event time: enter raw readings, leave those that have one, with what became of the clocks of their sources.

In this order: local time to UTC (`zones`), skewed clocks (`clock`), then what is no time is rejected.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from streams.core.stage import Change, Moment, Result
from streams.core.validate import clock, clock_alert, zones
from streams.core.validate.lookup import Lookup
from streams.core.validate.rejects import Rejects
from streams.core.validate.skew import ClockConfig


class Limits(NamedTuple):
    """What can be a time: at most `max_future_us` ahead of the broker, from `oldest_us` on; when a clock is skewed."""

    max_future_us: int
    oldest_us: int
    clock: ClockConfig


def timed(
    topic: str,
    raw: pl.DataFrame,
    clocks: pl.DataFrame,
    lookup: Lookup,
    moment: Moment,
    rejects: Rejects,
    limits: Limits,
) -> tuple[pl.DataFrame, Result]:
    """Rows that have an address and a time, and the changes of `clocks` (clock.TABLE) and alerts that come of them.

    The rows (unpack.RAW) get ingest_time, event_time, `estimated` (not the source's own stamp) and `ambiguous`.
    """
    broker = pl.when(pl.col("_time") >= 0).then("_time")
    reference = clock.reference(limits.clock, limits.oldest_us)
    raw = raw.with_columns(reference, ingest_time=broker.fill_null(moment.now_us), ambiguous=pl.lit(value=False))
    if raw["address"].null_count() or raw["source_id"].null_count():
        absent = raw["address"].is_null() | raw["source_id"].is_null()
        raw = rejects.take(raw, absent, "no_address", "give each reading source_id and address")
    if lookup.zoned:
        raw = _in_utc(raw, lookup, rejects)
    retimed = clock.retime(raw, clocks, lookup, limits.clock, limits.oldest_us)
    result = _told(topic, raw, retimed, limits, moment, rejects)
    own = pl.col("source_time")
    estimated = own.is_null()
    if retimed.offset_us is not None:
        offset = pl.lit(retimed.offset_us)
        estimated |= offset != 0
        # An offset is below 2^62: where this leaves 64 bits it comes out as a time that cannot be.
        own = own - offset
    raw = raw.with_columns(event_time=pl.coalesce(own, "gateway_time", broker), estimated=estimated)
    return _possible(raw, rejects, limits), result


def forgotten(clocks: pl.DataFrame, lookup: Lookup, moment: Moment, limits: Limits) -> Result:
    """The clocks of sources that the dictionary names no longer are forgotten, and their alerts cleared."""
    change, turns = clock.forgotten(clocks, lookup)
    if change is None:
        return Result()
    alerts = clock_alert.records(turns, pl.DataFrame(), "", limits.clock.begin_s, moment.now_us)
    return Result({clock.TABLE.name: change}, alerts, {("clocks", "forgotten"): len(turns)} if turns else {})


def _in_utc(raw: pl.DataFrame, lookup: Lookup, rejects: Rejects) -> pl.DataFrame:
    """The rows with source_time in UTC: its zone is that of the version that holds at the stamp as it is."""
    nominal = raw.select(pl.coalesce("source_time", "reference").fill_null(0)).to_series().to_numpy()
    named = lookup.zones(raw["_source"].to_numpy(), raw["address"], nominal)
    if named.null_count() == raw.height:
        return raw
    raw = zones.to_utc(raw, named)
    rejects.counts["local_time", "ambiguous"] += int(raw["ambiguous"].sum())
    return raw


def _told(
    topic: str, raw: pl.DataFrame, retimed: clock.Retimed, limits: Limits, moment: Moment, rejects: Rejects
) -> Result:
    """The change of the clocks' table, and an alert where a skew began or ended."""
    if retimed.offset_us is not None:
        rejects.counts["clocks", "retimed"] += int((retimed.offset_us != 0).sum())
    for turn in retimed.turns:
        rejects.counts["clocks", turn.event.kind] += 1
    alerts = clock_alert.records(retimed.turns, raw, topic, limits.clock.begin_s, moment.now_us)
    changes: dict[str, Change] = {} if retimed.change is None else {clock.TABLE.name: retimed.change}
    return Result(changes, alerts)


def _possible(raw: pl.DataFrame, rejects: Rejects, limits: Limits) -> pl.DataFrame:
    if raw["event_time"].null_count():
        detail = "give the reading a source_time or gateway_time, or let the broker stamp the record"
        raw = rejects.take(raw, raw["event_time"].is_null(), "no_time", detail)
    event, ingest = raw["event_time"], raw["ingest_time"]
    wrong = (event > ingest + limits.max_future_us) | (event < limits.oldest_us)
    if wrong.any():
        detail = "event time {} us, broker time {} us: set the clock of the source (UTC, microseconds since 1970)"
        raw = rejects.take(raw, wrong, "impossible_time", pl.format(detail, "event_time", "ingest_time"))
    return raw
