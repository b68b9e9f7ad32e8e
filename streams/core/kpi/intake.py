"""Taking readings in. Enters: chunks of ot.reading.v1. Leave: changes to the tables of what was heard, and counts.

A chunk costs two queries: who spoke (all rows) and which rows are state or counter readings (few); both are only put
aside. `settle`, about once a second, works them in, so measurements cost next to nothing.
"""

from __future__ import annotations

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


def put_aside(
    ledger: Ledger, frame: pl.DataFrame, chosen: pl.DataFrame, directory: Directory, silence_us: int, now_us: int
) -> None:
    """Put aside what the stage needs of a chunk (READING and COORDINATES); `chosen`: the readings of it that count."""
    batch = pl.lit(now_us, dtype=pl.Int64).alias("batch")
    at = pl.col("event_time")
    spoken = frame.group_by("source_id", at // silence_us).agg(
        start_us=at.min(), end_us=at.max(), first_logged_us=pl.col("_time").min(), logged_us=pl.col("_time").max()
    )
    spoken = spoken.join(directory.speakers, on="source_id", how="semi").select(batch, *SPOKEN_TABLE.schema.names()[1:])
    if spoken.height:
        ledger.change(SPOKEN_TABLE, Change(upsert=spoken))
    readings = _readings(chosen, directory)
    if readings.height:
        ledger.change(PENDING_TABLE, Change(upsert=readings.select(batch, *READINGS)))


def _readings(frame: pl.DataFrame, directory: Directory) -> pl.DataFrame:
    """State and counter rows (READINGS), with the dictionary's version as of event time."""
    at = pl.col("event_time")
    number = pl.col("value_long").is_not_null() | pl.col("value_double").is_finite()
    counted = (pl.col("quality") != BAD) & number.fill_null(value=False)
    rows = frame.join(directory.signals.drop("source_id"), on="signal_id", maintain_order="left")
    rows = rows.filter(at >= pl.col("valid_from"), at < pl.col("valid_to"), (pl.col("role") == STATE) | counted)
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
    same = [name for name in READINGS if name not in {"ingest_us", "role", "work_unit", "source_id"}]
    rows = rows.sort("ingest_us", maintain_order=True).unique(same, keep="first", maintain_order=True)
    between = pl.col("event_us").is_between(rows["event_us"].min(), rows["event_us"].max())
    earlier = kept.filter(between).group_by(same).agg(kept_us=pl.col("ingest_us").min())
    joined = rows.join(earlier, on=same, how="left", nulls_equal=True, maintain_order="left")
    return joined.filter(pl.col("kept_us").is_null() | (pl.col("ingest_us") < pl.col("kept_us"))).drop("kept_us")


def _live(ledger: Ledger, spoken: pl.DataFrame, directory: Directory, silence_us: int) -> pl.DataFrame:
    """Extend the times at which sources lived; leaves from where on each unit learnt something: work_unit, dirty_us."""
    heard = spoken.select(pl.col("source_id").cast(pl.String), start="start_us", end="end_us")
    table = ledger[LIVING_TABLE]
    old = table.join(heard.select("source_id").unique(), on="source_id", how="semi")
    merged = merge(pl.concat([old.select("source_id", start="start_us", end="end_us"), heard]), silence_us)
    merged = merged.rename({"start": "start_us", "end": "end_us"})
    key = ["source_id", "start_us"]
    new = merged.join(old, on=[*key, "end_us"], how="anti")
    grown = new.join(old.rename({"end_us": "old_us"}), on=key, how="left")
    gone = old.join(merged, on=key, how="anti").select(key)
    ledger.change(LIVING_TABLE, Change(upsert=new, delete=gone if gone.height else None))
    grown = grown.select("source_id", dirty_us=pl.coalesce("old_us", "start_us"))
    return directory.sources.join(grown, on="source_id").select("work_unit", "dirty_us")


def _mark_sources(ledger: Ledger, spoken: pl.DataFrame) -> None:
    latest = spoken.select(
        pl.col("source_id").cast(pl.String), "first_logged_us", "logged_us", max_us="end_us", seen_us="batch"
    )
    lowest = pl.col("first_logged_us").min()
    rows = pl.concat(
        [ledger[SOURCE_TABLE].join(latest.select("source_id"), on="source_id", how="semi"), latest], how="diagonal"
    )
    rows = rows.group_by("source_id").agg(pl.col("max_us", "seen_us", "logged_us").max(), lowest)
    ledger.change(SOURCE_TABLE, Change(upsert=rows))


def _mark_units(ledger: Ledger, dirty: pl.DataFrame) -> None:
    lowest = dirty.group_by("work_unit").agg(new_us=pl.col("dirty_us").min())
    rows = lowest.join(ledger[UNIT_TABLE], on="work_unit", how="left")
    rows = rows.with_columns(dirty_us=pl.min_horizontal("dirty_us", "new_us")).drop("new_us")
    ledger.change(UNIT_TABLE, Change(upsert=rows))
