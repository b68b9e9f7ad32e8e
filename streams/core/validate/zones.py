"""Local time to UTC. Enter: wall-clock stamps encoded as if they were UTC, with their zones. Leave: UTC and doubt.

- The repeated hour of autumn is two instants for one stamp. Which one is taken depends on the reading alone, so that
  order, repetition and restarts change nothing: the later one, where it is at most LIVE_US before the time at which the
  reading was seen (gateway, else broker) and not after it; else the earlier one. A backlog of that hour, and a reading
  that nobody stamped, is therefore read as the earlier one.
- The hour that spring leaves out does not exist: such a stamp is read by the clock that was not yet set.
Both are marked (AMBIGUOUS_TIME).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.times import DAY_US, SECOND_US

# A reading that was seen no longer than this after its instant is live: half of the hour that is in question.
LIVE_US: Final = 1_800 * SECOND_US
# Clocks of source and gateway may differ by so much.
TOLERANCE_US: Final = 60 * SECOND_US
# Stamps outside 1900..2200 are no local times: they stay as they are, and are judged as what they say.
_EARLIEST_US: Final = -25_567 * DAY_US
_LATEST_US: Final = 84_006 * DAY_US


def to_utc(frame: pl.DataFrame, zones: pl.Series) -> pl.DataFrame:
    """`frame` with source_time in UTC and `ambiguous` (Boolean).

    Of `frame`: source_time (wall clock in us), reference (us; null: nobody stamped it), historical. `zones`: a known
    zone per row; null: source_time is UTC already.
    """
    names = zones.cast(pl.String)
    local = pl.col("source_time").is_between(_EARLIEST_US, _LATEST_US)
    utc, doubt = pl.col("source_time"), pl.lit(value=False)
    for name in names.unique().drop_nulls().to_list():
        here = local & (pl.col("_zone") == name)
        instant, unsure = _instants(name)
        utc = pl.when(here).then(instant).otherwise(utc)
        doubt = pl.when(here).then(unsure).otherwise(doubt)
    return frame.with_columns(names.alias("_zone")).with_columns(source_time=utc, ambiguous=doubt).drop("_zone")


def _instants(zone: str) -> tuple[pl.Expr, pl.Expr]:
    """UTC of source_time in `zone`, and whether that is in doubt."""
    wall = pl.when(pl.col("source_time").is_between(_EARLIEST_US, _LATEST_US)).then("source_time")
    earlier, later = _utc(wall, zone, "earliest"), _utc(wall, zone, "latest")
    live = later.is_between(pl.col("reference") - LIVE_US, pl.col("reference") + TOLERANCE_US)
    live = live.fill_null(value=False) & ~pl.col("historical").fill_null(value=False)
    chosen = pl.when(live).then(later).otherwise(earlier)
    # No zone was ever set twice within a day: a day before, the clock shows what it showed until the gap.
    before = _utc(wall - DAY_US, zone, "latest") + DAY_US
    return pl.coalesce(chosen, before), (earlier != later).fill_null(value=True)


def _utc(wall: pl.Expr, zone: str, ambiguous: str) -> pl.Expr:
    """Microseconds UTC; null for a stamp that does not exist."""
    naive = wall.cast(pl.Datetime("us"))
    # The name is one of the two that polars takes besides expressions.
    return naive.dt.replace_time_zone(zone, ambiguous=ambiguous, non_existent="null").cast(pl.Int64)  # type: ignore[arg-type]
