"""ISO 22400-2 elements. Enter: state and counter readings, source liveness, context. Leave: elementary slices.

A slice is a stretch of one work unit's time that no hour, day, shift, planned downtime, order or planned run time cuts;
every period is a sum of slices. Durations are Int64 us, quantities Int64 millionths of an item: sums are exact, so they
do not depend on the order in which readings came.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.counters import MICRO
from streams.core.kpi.directory import GOOD_COUNTER, REJECT_COUNTER, TOTAL_COUNTER, Directory
from streams.core.kpi.policy import NO_SHIFT, PLANNED_DOWN, PRODUCTION, UNKNOWN, KpiPolicy
from streams.core.times import HOUR_US

DURATIONS: Final = {
    PRODUCTION: "apt_us",
    "setup": "aust_us",
    "delay": "adet_us",
    "down": "adot_us",
    PLANNED_DOWN: "planned_down_us",
    NO_SHIFT: "no_shift_us",
    UNKNOWN: "unknown_us",
}
SUMS: Final = (*DURATIONS.values(), "uncertain_us", "pq_u", "gq_u", "rq_u", "pri_pq_us", "pri_gq_us", "unpriced_u")
# `priced`: an order with a planned run time was on; `first_ingest_us`: earliest receipt of a reading of the slice.
SLICE: Final = pl.Schema(
    {"work_unit": pl.String(), "start_us": pl.Int64(), "end_us": pl.Int64()}
    | {name: pl.Int64() for name in SUMS}
    | {"priced": pl.Boolean(), "order_id": pl.String(), "product": pl.String(), "first_ingest_us": pl.Int64()}
)


def cuts(spans: pl.DataFrame, directory: Directory) -> pl.DataFrame:
    """Where slices begin, inside `spans` (work_unit, from_us, to_us, frontier_us): work_unit, at."""
    unit = pl.col("work_unit")
    first = (pl.col("from_us") // HOUR_US) * HOUR_US
    hours = spans.select(unit, at=pl.int_ranges(first, pl.col("to_us") + 1, HOUR_US)).explode("at")
    zones = spans.join(directory.units.select("work_unit", "time_zone"), on="work_unit")
    parts = [
        hours,
        *(spans.select(unit, at=pl.col(name)) for name in ("from_us", "to_us", "frontier_us")),
        *(frame.select(unit, at=pl.col(end)) for frame in _boundaries(directory) for end in ("start", "end")),
        directory.orders.join(directory.run_times, on="order_id").select(unit, at="valid_from"),
        *(days(part, str(zone)).select(unit, at="start") for (zone,), part in zones.group_by("time_zone")),
    ]
    inside = (pl.col("at") >= pl.col("from_us")) & (pl.col("at") <= pl.col("to_us"))
    return pl.concat(parts).unique().join(spans, on="work_unit").filter(inside).select("work_unit", "at")


def _boundaries(directory: Directory) -> tuple[pl.DataFrame, ...]:
    return directory.in_shift, directory.planned_down, directory.shifts, directory.orders


def days(spans: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Calendar days of `zone` (IANA) that touch spans (work_unit, from_us, to_us): work_unit, start, end (us)."""
    utc = {name: pl.from_epoch(name, time_unit="us").dt.replace_time_zone("UTC") for name in ("from_us", "to_us")}
    local = spans.select(
        "work_unit",
        utc["from_us"].dt.convert_time_zone(zone).dt.date().alias("first"),
        utc["to_us"].dt.convert_time_zone(zone).dt.date().alias("last"),
    )
    dates = local.select("work_unit", date=pl.date_ranges("first", "last")).explode("date")

    def midnight(date: pl.Expr) -> pl.Expr:
        # A zone may skip midnight or have it twice on the night the clocks change: the day begins at the first instant.
        local = date.cast(pl.Datetime("us"))
        zoned = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        skipped = (local + pl.duration(hours=1)).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        return pl.coalesce(zoned, skipped).dt.timestamp("us")

    date = pl.col("date")
    return dates.select("work_unit", start=midnight(date), end=midnight(date.dt.offset_by("1d")))


def lives(living: pl.DataFrame, directory: Directory) -> pl.DataFrame:
    """When the sources of each unit spoke on its lines: work_unit, source_id, start_us, end_us, sorted by begin.

    `living` is the table. Stretches of several lines may overlap: `end_us` is the latest of those begun by then.
    """
    rows = directory.sources.join(living, on=["source_id", "work_center"]).sort("start_us")
    ends = pl.col("end_us").cum_max().over("work_unit", "source_id")
    return rows.select("work_unit", "source_id", "start_us", end_us=ends)


def slices(
    spans: pl.DataFrame,
    state_rows: pl.DataFrame,
    counts: pl.DataFrame,
    seen: pl.DataFrame,
    living: pl.DataFrame,
    directory: Directory,
    policy: KpiPolicy,
) -> pl.DataFrame:
    """Slices (SLICE) of every span (work_unit, from_us, to_us, frontier_us), which they partition exactly.

    `state_rows` as `states` gives them, the last one before each span included; `counts` as `increments`; `seen`:
    work_unit, event_us, ingest_us of all readings; `living` as `lives` gives it.
    """
    marks = cuts(spans, directory)
    segments = _segments(spans, marks, state_rows, living)
    segments = _classified(segments, state_rows, living, directory, policy)
    known = pl.col("category").is_in([PRODUCTION, "setup", "delay", "down"])
    length = pl.col("end_us") - pl.col("start_us")
    totals = segments.group_by("work_unit", "slice_us", maintain_order=True).agg(
        pl.col("end_us").max(),
        *(length.filter(pl.col("category") == category).sum().alias(name) for category, name in DURATIONS.items()),
        length.filter(known & pl.col("uncertain")).sum().alias("uncertain_us"),
    )
    totals = totals.rename({"slice_us": "start_us"}).sort("start_us")
    return _priced(_counted(totals, counts, seen), directory).select(
        pl.col(name).cast(dtype) for name, dtype in SLICE.items()
    )


def _segments(spans: pl.DataFrame, marks: pl.DataFrame, state_rows: pl.DataFrame, living: pl.DataFrame) -> pl.DataFrame:
    """Stretches in which nothing changes: work_unit, start_us, end_us, slice_us (begin of their slice)."""
    points = pl.concat(
        [
            *(state_rows.select("work_unit", at=pl.col(name)) for name in ("event_us", "hold_us", "limit_us")),
            *(living.select("work_unit", at=pl.col(name)) for name in ("start_us", "end_us")),
        ]
    ).unique()
    inside = (pl.col("at") > pl.col("from_us")) & (pl.col("at") < pl.col("to_us"))
    points = points.join(spans, on="work_unit").filter(inside).select("work_unit", "at", cut=False)
    return (
        pl.concat([marks.select("work_unit", "at", cut=True), points])
        .group_by("work_unit", "at")
        .agg(pl.col("cut").any())
        .sort("work_unit", "at")
        .select(
            "work_unit",
            start_us="at",
            end_us=pl.col("at").shift(-1).over("work_unit"),
            slice_us=pl.when("cut").then("at").forward_fill().over("work_unit"),
        )
        .filter(pl.col("end_us").is_not_null())
        .sort("start_us")
    )


def _asof(left: pl.DataFrame, right: pl.DataFrame, on: str, by: str | list[str], at: str = "start_us") -> pl.DataFrame:
    """The last row of `right` at or before each row's `at`; both sorted by time."""
    return left.join_asof(right.sort(on), left_on=at, right_on=on, by=by, strategy="backward", check_sortedness=False)


def _classified(
    segments: pl.DataFrame, state_rows: pl.DataFrame, living: pl.DataFrame, directory: Directory, policy: KpiPolicy
) -> pl.DataFrame:
    """Segments with their category, by precedence of calendar and state."""
    at = pl.col("start_us")
    rows = _asof(segments, state_rows.rename({"category": "state"}), "event_us", "work_unit")
    alive = living.select("work_unit", "source_id", alive_us="start_us", alive_end_us="end_us")
    rows = _asof(rows, alive, "alive_us", ["work_unit", "source_id"])
    for name, spans in (("shift", directory.in_shift), ("planned", directory.planned_down)):
        renamed = spans.rename({"start": f"{name}_us", "end": f"{name}_end_us"})
        rows = _asof(rows, renamed, f"{name}_us", "work_unit")
    rows = rows.join(directory.units.select("work_unit", "has_calendar"), on="work_unit", maintain_order="left")
    known = ((at < pl.col("alive_end_us")) | (at < pl.col("hold_us"))) & (at < pl.col("limit_us"))
    planned = pl.when((at < pl.col("planned_end_us")).fill_null(value=False)).then(pl.lit(PLANNED_DOWN))
    off = pl.col("has_calendar") & ~(at < pl.col("shift_end_us")).fill_null(value=False)
    state = pl.when(known.fill_null(value=False)).then("state").otherwise(pl.lit(UNKNOWN))
    closed = pl.when(off).then(pl.lit(NO_SHIFT))
    return rows.with_columns(policy.first(closed, planned, state).alias("category"))


def _counted(totals: pl.DataFrame, counts: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """Slices with the items of each counter role and the earliest receipt."""
    starts = totals.select("work_unit", slice_us="start_us", slice_end_us="end_us")
    inside = pl.col("event_us") < pl.col("slice_end_us")
    count = pl.col("count_u")
    roles = {"good": GOOD_COUNTER, "reject": REJECT_COUNTER, "total": TOTAL_COUNTER}
    summed = (
        _asof(counts.sort("event_us"), starts, "slice_us", "work_unit", "event_us")
        .filter(inside)
        .group_by("work_unit", "slice_us")
        .agg(count.filter(pl.col("role") == role).sum().alias(f"{name}_u") for name, role in roles.items())
    )
    received = (
        _asof(seen.sort("event_us"), starts, "slice_us", "work_unit", "event_us")
        .filter(inside)
        .group_by("work_unit", "slice_us")
        .agg(first_ingest_us=pl.col("ingest_us").min())
    )
    keys = {"left_on": ["work_unit", "start_us"], "right_on": ["work_unit", "slice_us"]}
    return (
        totals.join(summed, how="left", maintain_order="left", **keys)  # type: ignore[arg-type]
        .join(received, how="left", maintain_order="left", **keys)  # type: ignore[arg-type]
        .with_columns(pl.col(f"{name}_u").fill_null(0) for name in roles)
    )


def _priced(rows: pl.DataFrame, directory: Directory) -> pl.DataFrame:
    """Slices with PQ, GQ, RQ, the order that was on, and earned time PRI * quantity."""
    rows = rows.join(
        directory.units.select("work_unit", "good", "reject", "total"), on="work_unit", maintain_order="left"
    )
    good, reject, total = pl.col("good_u"), pl.col("reject_u"), pl.col("total_u")
    rows = rows.with_columns(
        pq_u=pl.when("total").then(total).when(pl.col("good") & pl.col("reject")).then(good + reject),
        gq_u=pl.when("good").then(good).when(pl.col("total") & pl.col("reject")).then(total - reject),
        rq_u=pl.when("reject").then(reject).when(pl.col("total") & pl.col("good")).then(total - good),
    )
    orders = directory.orders.select("work_unit", "order_id", order_us="start", order_end_us="end")
    # The order that started last is the one that runs; where it ended and no other started, none does.
    rows = _asof(rows, orders, "order_us", "work_unit")
    running = (pl.col("start_us") < pl.col("order_end_us")).fill_null(value=False)
    rows = rows.with_columns(pl.when(running).then("order_id").alias("order_id"))
    # Planned run time as of event time: a later version of the order does not reprice what was made before.
    rows = _asof(rows, directory.run_times, "valid_from", "order_id")

    def earned(quantity: str) -> pl.Expr:
        # Null where it is beyond all measure: a planned run time of days per item, and millions of items.
        return (pl.col("pri_us") * (pl.col(quantity) / MICRO)).round().cast(pl.Int64, strict=False)

    priced = pl.col("pri_us").is_not_null()
    return rows.with_columns(
        priced=priced,
        pri_pq_us=earned("pq_u"),
        pri_gq_us=earned("gq_u"),
        unpriced_u=pl.when(priced).then(0).otherwise("pq_u"),
    )
