"""How far each unit's event time has come. Enter: what was heard of sources, the directory, processing time. Leave: per
unit its watermark and frontier, which units are due, and the task's own watermark.

A source's watermark is its highest event time minus the allowed disorder; one that the dictionary expects and that
never spoke holds back too. A source silent for longer than the idle limit no longer does: silence is measured in the
log's append times while records flow, and in processing time once the task has read all there was. For closing periods
the time of an idle source follows that clock. The correction horizon follows the sources that speak, never a clock:
replayed history that pauses must not become late.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from streams.core.kpi.directory import Directory
from streams.core.kpi.periods import PERIODS
from streams.core.kpi.tables import SLICE_TABLE, SOURCE_TABLE, UNIT_TABLE, Ledger
from streams.core.stage import Moment
from streams.core.times import DAY_US, HOUR_US, NEVER_US, microseconds


@dataclass(frozen=True)
class KpiConfig:
    """Settings of the stage, times in us.

    `idle_after_us`: a source silent for longer no longer holds periods open. `silence_us`: between two readings of a
    source (any of its signals) that lie further apart in event time it is not known to have lived, and states are
    unknown. `told_silence_us`: silent hours of a unit that is planned to run are told (coverage 0) when it comes back
    within this. `update_s`: shortest time between two provisional records of one period. `retention_us`: how long
    slices are kept for periods that last (orders).
    """

    allowed_disorder_us: int = 10_000_000
    idle_after_us: int = 30_000_000
    silence_us: int = 900_000_000
    correction_horizon_us: int = DAY_US
    update_s: float = 10.0
    periods: tuple[str, ...] = PERIODS
    told_silence_us: int = DAY_US
    retention_us: int = 35 * DAY_US

    def __post_init__(self) -> None:
        faults = [
            f"{name}: {getattr(self, name)}; give {what}"
            for name, what, holds in (
                ("allowed_disorder_us", "0 us or more", self.allowed_disorder_us >= 0),
                ("idle_after_us", "more than 0 us", self.idle_after_us > 0),
                ("silence_us", "more than 0 us", self.silence_us > 0),
                ("correction_horizon_us", "0 us or more", self.correction_horizon_us >= 0),
                ("told_silence_us", "0 us or more", self.told_silence_us >= 0),
                ("update_s", "0 s or more", self.update_s >= 0),
                ("retention_us", "at least correction_horizon_us", self.retention_us >= self.correction_horizon_us),
                ("periods", f"one or more of {', '.join(PERIODS)}", {*self.periods} <= {*PERIODS} and self.periods),
            )
            if not holds
        ]
        if faults:
            raise ValueError("KPI settings: " + "; ".join(faults))


@dataclass(frozen=True)
class Progress:
    """`units`: rows of the table of units with mark_us (watermark), heard_us (frontier), context_changed.

    `watermark_us`: of the task, over the sources that speak; None: none does.
    """

    units: pl.DataFrame
    watermark_us: int | None


def progress(ledger: Ledger, directory: Directory, config: KpiConfig, moment: Moment) -> Progress:
    """Where every unit of the task that the dictionary still has stands."""
    units = ledger[UNIT_TABLE]
    expected = directory.sources.join(units.select("work_unit"), on="work_unit", how="semi")
    told = expected.join(ledger[SOURCE_TABLE], on=["source_id", "work_center"], how="left")
    # A unit that was on several lines has each of its sources once.
    told = told.group_by("work_unit", "source_id", maintain_order=True).agg(
        pl.col("max_us", "seen_us", "logged_us").max(), pl.col("first_logged_us").min()
    )
    sources, clock_us = _idle(told, config, moment)
    own = pl.col("max_us") - config.allowed_disorder_us
    live = own.fill_null(NEVER_US)
    sources = sources.with_columns(live_us=pl.when(~pl.col("idle")).then(live))
    lowest = sources["live_us"].min()
    # An idle source is never behind those that speak: the horizon follows them.
    behind_us = max(clock_us - config.idle_after_us, lowest if isinstance(lowest, int) else NEVER_US)
    idle_mark = pl.when(pl.col("max_us").is_not_null()).then(pl.max_horizontal(own, pl.lit(behind_us, dtype=pl.Int64)))
    sources = sources.with_columns(mark_us=pl.when("idle").then(idle_mark).otherwise(live))
    marks = sources.group_by("work_unit").agg(
        pl.col("mark_us").min(),
        heard_us=pl.coalesce(pl.col("max_us").filter(~pl.col("idle")).min(), pl.col("max_us").max()),
    )
    rows = units.join(marks, on="work_unit").join(
        directory.units.select("work_unit", current_key="context_key"), on="work_unit"
    )
    rows = rows.filter(pl.col("heard_us").is_not_null()).with_columns(
        context_changed=(pl.col("context_key") != pl.col("current_key")).fill_null(value=False)
    )
    return Progress(_marked(rows, ledger), lowest if isinstance(lowest, int) and lowest > NEVER_US else None)


def _idle(sources: pl.DataFrame, config: KpiConfig, moment: Moment) -> tuple[pl.DataFrame, int]:
    """`sources` with the column idle, and the clock (us) that idle sources follow."""
    first, last = sources["first_logged_us"].min(), sources["logged_us"].max()
    logged_us = last if isinstance(last, int) else moment.now_us
    began_us = first if isinstance(first, int) else logged_us
    idle = pl.lit(logged_us, dtype=pl.Int64) - pl.col("logged_us").fill_null(began_us) > config.idle_after_us
    if moment.caught_up_since_us is None:
        return sources.with_columns(idle=idle), logged_us
    since = pl.max_horizontal("seen_us", pl.lit(moment.caught_up_since_us, dtype=pl.Int64))
    return sources.with_columns(idle=idle | (moment.now_us - since > config.idle_after_us)), moment.now_us


def _marked(rows: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """Units whose context changed are to be looked at anew from the begin of the horizon (or of their slices)."""
    if not rows["context_changed"].any():
        return rows
    first = ledger[SLICE_TABLE].group_by("work_unit").agg(first_us=pl.col("start_us").min())
    rows = rows.join(first, on="work_unit", how="left")
    begin = pl.max_horizontal("first_us", pl.lit(ledger.floor_us, dtype=pl.Int64))
    dirty = pl.when("context_changed").then(pl.min_horizontal("dirty_us", begin)).otherwise("dirty_us")
    return rows.with_columns(dirty_us=dirty).drop("first_us")


def due(units: pl.DataFrame, config: KpiConfig, now_us: int, folding: bool) -> pl.DataFrame:
    """The units to evaluate now: a period ends, or something is new and the last time was `update_s` ago.

    `folding`: the horizon is about to move, and what is new must be in the slices before the readings go.
    """
    waited = (now_us - pl.col("evaluated_us") >= microseconds(config.update_s)).fill_null(value=True)
    fresh = pl.col("dirty_us").is_not_null() & (pl.lit(folding) | waited)
    closing = (pl.col("next_close_us") <= pl.col("mark_us")).fill_null(value=False)
    return units.filter(fresh | closing)


def next_floor(watermark_us: int | None, floor_us: int | None, config: KpiConfig) -> int | None:
    """Begin of the horizon (a full hour) if it is to move, else None."""
    if watermark_us is None:
        return None
    new = (watermark_us - config.correction_horizon_us) // HOUR_US * HOUR_US
    return new if floor_us is None or new > floor_us else None
