"""Moving the correction horizon. Enters: the tables, all slices up to date. Leaves: tables without what lies behind."""

from __future__ import annotations

import polars as pl

from streams.core.frames import BAD
from streams.core.kpi.directory import STATE
from streams.core.kpi.policy import KpiPolicy
from streams.core.kpi.readings import distinct, telling
from streams.core.kpi.tables import (
    ANCHOR_TABLE,
    LIVING_TABLE,
    PERIOD_TABLE,
    READING_TABLE,
    SLICE_TABLE,
    Ledger,
)
from streams.core.stage import Change


def fold(ledger: Ledger, policy: KpiPolicy, floor_us: int, told_us: int, retention_us: int) -> None:
    """Drop readings before `floor_us` but the last of each signal, old liveness, old slices and frozen periods."""
    old = ledger[ANCHOR_TABLE]
    passed = ledger[READING_TABLE].filter(pl.col("event_us") < floor_us)
    if passed.height:
        anchors = _last(pl.concat([old, passed]), policy)
        key = list(ANCHOR_TABLE.key)
        ledger.change(ANCHOR_TABLE, Change(upsert=anchors, delete=old.select(key).join(anchors, on=key, how="anti")))
    ledger.change(READING_TABLE, Change(floor=("event_us", floor_us)))
    living = ledger[LIVING_TABLE]
    # The last stretch stays: what a source says next follows on it.
    last = pl.col("end_us").max().over("source_id", "work_center")
    ended = (pl.col("end_us") < floor_us - told_us) & (pl.col("end_us") < last)
    ledger.change(LIVING_TABLE, Change(delete=living.filter(ended).select(LIVING_TABLE.key)))
    ledger.change(SLICE_TABLE, Change(floor=("start_us", floor_us - retention_us)))
    # Not by a floor: within one step a row that is not to go may be replaced by one that is.
    frozen = ledger[PERIOD_TABLE].filter(pl.col("keep_us") < floor_us)
    ledger.change(PERIOD_TABLE, Change(delete=frozen.select(PERIOD_TABLE.key)))
    ledger.remember(floor_us, ledger.settled_us)


def _last(readings: pl.DataFrame, policy: KpiPolicy) -> pl.DataFrame:
    """The last reading of each signal; with minor stops also the one that began the stop it belongs to."""
    rows = distinct(telling(readings))
    last = pl.col("event_us") == pl.col("event_us").max().over("signal_id")
    if policy.minor_stop_us is not None:
        labels = {label: policy.category(label) in {"delay", "down"} for label in rows["label"].drop_nulls().unique()}
        stop = pl.col("label").replace_strict(labels, default=False, return_dtype=pl.Boolean) & (
            pl.col("quality") != BAD
        )
        rows = rows.sort("work_unit", "event_us", "sequence", "signal_id").with_columns(
            run=pl.when(pl.col("role") == STATE).then(stop.rle_id().over("work_unit", "role"))
        )
        begins = pl.col("event_us") == pl.col("event_us").min().over("work_unit", "run")
        current = pl.col("run") == pl.col("run").max().over("work_unit")
        last |= (begins & current).fill_null(value=False)
        return rows.filter(last).drop("run")
    return rows.filter(last)
