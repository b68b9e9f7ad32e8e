"""What can explain an alert. Enter: versions of work orders and changes. Leave: explanations, each a place and a time.

Of every order the newest version speaks (highest `valid_from`, then the last written): an order has its own clocks
inside, and is typed days late. Clocks count with the precisions exact, typed_later and day; a day is covered whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

import polars as pl

from streams import topology
from streams.core.context import Context
from streams.core.times import DAY_US, HOUR_US, microseconds
from streams.core.verdict.kept import Kept

WORK_ORDER: Final = "work_order"
CHANGE: Final = "change"
# When work is, or was, really done; when a permission is, or was, in force. Any other status never explains.
ACTIVE_ORDER: Final = ("released", "started", "arrived", "finished", "verified")
ACTIVE_CHANGE: Final = ("approved", "active", "closed")
CORRECTIVE: Final = "corrective"
STANDING: Final = "standing"
EXACT: Final = "exact"
DAY: Final = "day"
TYPED_LATER: Final = "typed_later"
TOLD: Final = (EXACT, DAY, TYPED_LATER)

# A place as one text: what kind of name it is, then the name. Machines may be told with or without their line.
AT_ASSET: Final = "a:"
AT_PATH: Final = "p:"
AT_UNIT_OF_LINE: Final = "u:"
AT_UNIT: Final = "m:"
AT_LINE: Final = "l:"
BETWEEN: Final = "\x1f"

# `opens`: begins that lie in [opens, until) are within; `start` is what was told. `whole`: everything below, too.
EXPLANATION: Final = pl.Schema(
    {
        "key": pl.String(),
        "by": pl.String(),
        "reference": pl.String(),
        "activity": pl.String(),
        "allowed": pl.List(pl.String()),
        "start": pl.Int64(),
        "opens": pl.Int64(),
        "until": pl.Int64(),
        "day": pl.Boolean(),
        "typed": pl.Boolean(),
        "planned": pl.Boolean(),
        "endless": pl.Boolean(),
        "whole": pl.Boolean(),
    }
)


# Where to find explanations: by place and by each bucket of time that they touch; `at` is the row among them.
FINDER: Final = pl.Schema(
    {name: pl.String() if name == "key" else pl.Int64() for name in ("key", "bucket", "opens", "start", "until")}
    | {"whole": pl.Boolean(), "at": pl.UInt32()}
)


@dataclass(frozen=True)
class Policy:
    """The numbers of the verdicts, in microseconds of event time.

    `standing_us`: what lasts longer is a standing order and explains nothing; what has no end counts for so long.
    `grace_us`: work may begin so much before its clock was pressed. Work on a failure explains nothing that began
    before it was released, whatever its own begin is: what an alert brought about does not explain it. A permission has
    no grace.
    """

    standing_us: int = 72 * HOUR_US
    grace_us: int = microseconds(300)

    @property
    def bucket_us(self) -> int:
        """Length of the buckets of time that intervals are found by: the longest touches eight."""
        return max(self.standing_us // 6, self.grace_us, 1)


def explanations(context: Context, policy: Policy) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
    """Explanations (EXPLANATION) and their FINDER, by topic of the context."""
    kept = zip(_kept(policy), (topology.WORK_ORDER, topology.CHANGE), strict=True)
    frames = [(of, finder, context.frames.get(topic.name)) for (of, finder), topic in kept]
    found = [(of.of(frame), finder) for of, finder, frame in frames if frame is not None and frame.height]
    return [(one, finder.of(one)) for one, finder in found if one.height]


def told(column: str) -> pl.Expr:
    """A text of a record; null where it is empty."""
    return pl.when(pl.col(column) != "").then(pl.col(column))


def path(text: pl.Expr) -> pl.Expr:
    """A path without the slash that some systems write at its end; null where nothing is left."""
    bare = text.str.strip_chars_end("/")
    return pl.when(bare != "").then(bare)


@lru_cache(maxsize=4)
def _kept(policy: Policy) -> tuple[tuple[Kept, Kept], ...]:
    """What is kept of work orders and of changes: explanations, and their finder."""
    return tuple(
        (Kept(partial(build, policy=policy)), Kept(partial(_finder, policy=policy)))
        for build in (_of_orders, _of_changes)
    )


def _finder(found: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    first, last = (pl.col(name) // policy.bucket_us for name in ("opens", "until"))
    return (
        found.with_row_index("at")
        .with_columns(bucket=pl.int_ranges(first, last + 1))
        .select(FINDER.names())
        .explode("bucket")
        .cast(FINDER)
    )


def _newest(frame: pl.DataFrame, key: str) -> pl.DataFrame:
    """The newest version of each `key`."""
    rows = frame.select(key, "valid_from").with_row_index("_at").sort("valid_from", maintain_order=True)
    return frame[rows.unique(key, keep="last", maintain_order=True)["_at"]]


def _of_orders(frame: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    active = pl.col("status").is_in(ACTIVE_ORDER) & (pl.col("kind").fill_null("") != STANDING)
    start, start_is, start_planned = _clock("started_at", "planned_start")
    end, end_is, end_planned = _clock("finished_at", "planned_end")
    rows = _newest(frame, "order_id").filter(active).select(
        key=_place(),
        by=pl.lit(WORK_ORDER),
        reference=pl.col("order_id"),
        activity=pl.col("activity"),
        allowed=pl.col("actors"),
        start=start,
        start_is=start_is,
        start_planned=start_planned,
        end=pl.when(end_is == DAY).then(end + DAY_US).otherwise(end),
        end_is=end_is,
        end_planned=end_planned,
        whole=pl.lit(value=False),
        opens=_opens(start, start_is, policy),
    )  # fmt: skip
    # Work that began after its planned end: that plan says nothing any more.
    overtaken = pl.col("end_planned") & ~pl.col("start_planned") & (pl.col("end") <= pl.col("start"))
    stands = ~overtaken.fill_null(value=False)
    rows = rows.with_columns(pl.when(stands).then(name).alias(name) for name in ("end", "end_is", "end_planned"))
    rows = rows.with_columns(
        day=_either(DAY),
        typed=_either(TYPED_LATER),
        planned=pl.col("start_planned") | pl.col("end_planned").fill_null(value=False),
    )
    return _intervals(rows, policy)


def _opens(start: pl.Expr, start_is: pl.Expr, policy: Policy) -> pl.Expr:
    """From when on an order explains what begins: of corrective ones nothing that began before their release."""
    soonest = pl.when(start_is == DAY).then(start).otherwise(start - policy.grace_us)
    told = pl.col("released_at_precision").is_in(TOLD).fill_null(value=False)
    released = pl.when(told).then("released_at")
    by_day = released.is_null() | (pl.col("released_at_precision") == DAY)
    since = pl.max_horizontal(pl.when(by_day).then(start).otherwise(soonest), released)
    return pl.when(pl.col("kind").fill_null(CORRECTIVE) == CORRECTIVE).then(since).otherwise(soonest)


def _either(precision: str) -> pl.Expr:
    return pl.any_horizontal((pl.col(name) == precision).fill_null(value=False) for name in ("start_is", "end_is"))


def _clock(first: str, second: str) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """The time that counts of two clocks, its precision (null: neither was told), and whether it is the second."""
    counts = [
        (pl.col(name).is_not_null() & pl.col(f"{name}_precision").is_in(TOLD)).fill_null(value=False)
        for name in (first, second)
    ]
    time, precision = (
        pl.when(counts[0]).then(f"{first}{part}").when(counts[1]).then(f"{second}{part}") for part in ("", "_precision")
    )
    return time, precision, ~counts[0] & counts[1]


def _place() -> pl.Expr:
    """The narrowest place that an order names: its asset, else its path, else its machine, else its line."""
    line, unit = told("work_center"), told("work_unit")
    return pl.coalesce(
        AT_ASSET + told("asset_id"),
        AT_PATH + path(pl.col("asset_path")),
        AT_UNIT_OF_LINE + line + BETWEEN + unit,
        AT_UNIT + unit,
        AT_LINE + line,
    )


def _of_changes(frame: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    rows = _newest(frame, "change_id").filter(pl.col("status").is_in(ACTIVE_CHANGE))
    no = pl.lit(value=False)
    parts = [
        rows.explode(column, empty_as_null=False, keep_nulls=False).select(
            key=key,
            by=pl.lit(CHANGE),
            reference=pl.col("change_id"),
            activity=pl.col("activity"),
            allowed=pl.col("actors"),
            start=pl.col("start"),
            end=pl.col("end"),
            opens=pl.col("start"),
            day=no,
            typed=no,
            planned=no,
            whole=pl.lit(value=column == "asset_paths"),
        )
        for column, key in (
            ("asset_ids", AT_ASSET + told("asset_ids")),
            ("asset_paths", AT_PATH + path(pl.col("asset_paths"))),
        )
    ]
    return _intervals(pl.concat(parts), policy)


def _intervals(rows: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """The rows that name a place and have an interval which is not empty, and not that of a standing order."""
    lasts = pl.col("until") - pl.col("start")
    return (
        rows.with_columns(
            endless=pl.col("end").is_null(),
            until=pl.col("end").fill_null(pl.col("start") + policy.standing_us),
        )
        .filter(pl.col("key").is_not_null(), lasts > 0, lasts <= policy.standing_us, pl.col("opens") < pl.col("until"))
        .select(pl.col(name).cast(dtype) for name, dtype in EXPLANATION.items())
    )
