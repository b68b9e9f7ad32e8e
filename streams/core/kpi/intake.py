"""Taking readings in. Enters: chunks of ot.reading.v1. Leave: changes to the tables of what was heard, and counts.

A chunk costs two queries: who spoke (all rows) and which rows are state or counter readings (few); both are only put
aside. `settle`, about once a second, works them in, so measurements cost next to nothing.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.frames import BAD
from streams.core.kpi.directory import STATE, Directory, merge
from streams.core.kpi.policy import KpiPolicy
from streams.core.kpi.readings import READINGS
from streams.core.kpi.tables import (
    LIVING_TABLE,
    PENDING_TABLE,
    READING_TABLE,
    SOURCE_TABLE,
    SPOKEN_TABLE,
    UNIT_TABLE,
    Ledger,
)
from streams.core.stage import Change
from streams.core.winners import KEPT

_SPEAKER: Final = ["source_id", "work_center"]


def put_aside(
    ledger: Ledger, frame: pl.DataFrame, chosen: pl.DataFrame, directory: Directory, silence_us: int, now_us: int
) -> None:
    """Put aside what the stage needs of a chunk (READING and COORDINATES); `chosen`: the readings of it that count."""
    batch = pl.lit(now_us, dtype=pl.Int64).alias("batch")
    at = pl.col("event_time")
    spoken = frame.group_by(*_SPEAKER, at // silence_us).agg(
        start_us=at.min(), end_us=at.max(), first_logged_us=pl.col("_time").min(), logged_us=pl.col("_time").max()
    )
    spoken = spoken.join(directory.speakers, on=_SPEAKER, how="semi").select(batch, *SPOKEN_TABLE.schema.names()[1:])
    if spoken.height:
        ledger.change(SPOKEN_TABLE, Change(upsert=spoken))
    readings = _readings(chosen, directory)
    if readings.height:
        ledger.change(PENDING_TABLE, Change(upsert=readings.select(batch, *READINGS)))


def _readings(frame: pl.DataFrame, directory: Directory) -> pl.DataFrame:
    """State and counter rows (READINGS), by the dictionary's version as of event time; what tells nothing may win."""
    at, number = pl.col("event_time"), pl.col("value_double")
    rows = frame.join(directory.signals.drop("source_id"), on="signal_id", maintain_order="left")
    rows = rows.filter(at >= pl.col("valid_from"), at < pl.col("valid_to")).with_columns(
        # A number that is not finite tells nothing, as if bad.
        pl.when(number.is_finite() | number.is_null()).then("quality").otherwise(pl.lit(BAD, pl.Int8())),
        pl.when(number.is_finite()).then(number).alias("value_double"),
        (pl.col("flags").fill_null(0) & KEPT).cast(pl.Int8),
    )
    renamed = {"event_time": "event_us", "ingest_time": "ingest_us", "value_string": "label"}
    return rows.rename(renamed).select(READINGS.names())


def settle(ledger: Ledger, directory: Directory, policy: KpiPolicy, silence_us: int) -> dict[tuple[str, str], int]:
    """Work in what was put aside; counts what is beyond the horizon, and states that the policy does not know."""
    spoken, rows = ledger[SPOKEN_TABLE], ledger[PENDING_TABLE].drop("batch")
    counts = {("rejects", "unknown_state"): _unknown_states(rows, policy)}
    _mark_sources(ledger, spoken)
    floor_us = ledger.floor_us
    if floor_us is not None:
        counts["late", "beyond_horizon"] = rows.filter(pl.col("event_us") < floor_us).height
        rows = rows.filter(pl.col("event_us") >= floor_us)
        spoken = spoken.filter(pl.col("end_us") >= floor_us).with_columns(pl.col("start_us").clip(lower_bound=floor_us))
    rows = _unheard(rows, ledger[READING_TABLE])
    ledger.change(READING_TABLE, Change(upsert=rows))
    learnt = rows.select(pl.col("work_unit").cast(pl.String), dirty_us="event_us")
    _mark_units(ledger, pl.concat([learnt, _live(ledger, spoken, directory, silence_us)]))
    for table in (SPOKEN_TABLE, PENDING_TABLE):
        batch = ledger[table]["batch"].max()
        if isinstance(batch, int):
            ledger.change(table, Change(floor=("batch", batch + 1)))
    return {key: count for key, count in counts.items() if count}


def _unknown_states(rows: pl.DataFrame, policy: KpiPolicy) -> int:
    labels = rows.filter(pl.col("role") == STATE, pl.col("quality") != BAD)["label"].cast(pl.String)
    return sum(count for label, count in labels.value_counts().rows() if policy.category(label) is None)


def _unheard(rows: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """`rows` without what is kept already; a copy counts only where it was received earlier than the one kept."""
    if not rows.height:
        return rows
    same = [name for name in READINGS if name not in {"ingest_us", "role", "work_unit"}]
    rows = rows.sort("ingest_us", maintain_order=True).unique(same, keep="first", maintain_order=True)
    between = pl.col("event_us").is_between(rows["event_us"].min(), rows["event_us"].max())
    earlier = kept.filter(between).group_by(same).agg(kept_us=pl.col("ingest_us").min())
    joined = rows.join(earlier, on=same, how="left", nulls_equal=True, maintain_order="left")
    return joined.filter(pl.col("kept_us").is_null() | (pl.col("ingest_us") < pl.col("kept_us"))).drop("kept_us")


def _live(ledger: Ledger, spoken: pl.DataFrame, directory: Directory, silence_us: int) -> pl.DataFrame:
    """Extend the times at which sources lived; leaves from where on each unit learnt something: work_unit, dirty_us."""
    heard = spoken.select(pl.col(_SPEAKER).cast(pl.String), start="start_us", end="end_us")
    table = ledger[LIVING_TABLE]
    old = table.join(heard.select(_SPEAKER).unique(), on=_SPEAKER, how="semi")
    merged = merge(pl.concat([old.select(*_SPEAKER, start="start_us", end="end_us"), heard]), silence_us)
    merged = merged.rename({"start": "start_us", "end": "end_us"})
    key = [*_SPEAKER, "start_us"]
    new = merged.join(old, on=[*key, "end_us"], how="anti")
    grown = new.join(old.rename({"end_us": "old_us"}), on=key, how="left")
    gone = old.join(merged, on=key, how="anti").select(key)
    ledger.change(LIVING_TABLE, Change(upsert=new, delete=gone if gone.height else None))
    grown = grown.select(*_SPEAKER, dirty_us=pl.coalesce("old_us", "start_us"))
    return directory.sources.join(grown, on=_SPEAKER).select("work_unit", "dirty_us")


def _mark_sources(ledger: Ledger, spoken: pl.DataFrame) -> None:
    latest = spoken.select(
        pl.col(_SPEAKER).cast(pl.String), "first_logged_us", "logged_us", max_us="end_us", seen_us="batch"
    )
    lowest = pl.col("first_logged_us").min()
    rows = pl.concat(
        [ledger[SOURCE_TABLE].join(latest.select(_SPEAKER), on=_SPEAKER, how="semi"), latest], how="diagonal"
    )
    rows = rows.group_by(_SPEAKER).agg(pl.col("max_us", "seen_us", "logged_us").max(), lowest)
    ledger.change(SOURCE_TABLE, Change(upsert=rows))


def _mark_units(ledger: Ledger, dirty: pl.DataFrame) -> None:
    lowest = dirty.group_by("work_unit").agg(new_us=pl.col("dirty_us").min())
    rows = lowest.join(ledger[UNIT_TABLE], on="work_unit", how="left")
    rows = rows.with_columns(dirty_us=pl.min_horizontal("dirty_us", "new_us")).drop("new_us")
    ledger.change(UNIT_TABLE, Change(upsert=rows))
