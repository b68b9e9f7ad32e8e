"""What cannot be, in records of one kind. Enters: records with `_row`, what is known. Leaves: good ones, refused ones.

A record that contradicts itself, another one or the hierarchy is refused, with every row that it concerns; the rest
goes on. A time of which only the day is known can be anywhere in that day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from streams.core.load.forms import PRECISIONS
from streams.core.load.hierarchy import NAMED, reasons
from streams.core.load.places import claimed
from streams.core.load.take import PRECISION, REFUSED, ROW
from streams.core.times import DAY_US

# Times that cannot be in another order: each is not after those that follow it. A release may be later than anything:
# of a breakdown the order is often written when the work has begun, or is done.
ORDER: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "work_order": (
        ("planned_start", "planned_end"),
        ("started_at", "finished_at", "verified_at"),
        ("arrived_at", "finished_at"),
    ),
    "production_order": (("planned_start", "planned_end"), ("actual_start", "actual_end")),
    "calendar": (("start", "end"),),
    "change": (("start", "end"),),
    "flow": (("event_time", "end_time"),),
}
# Work that ends without ever having begun would explain everything before. Of work orders only one time is often told.
NEEDS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {"change": (("end", "start"),)}
# Times of what happened: not after now, but for clocks and zones that are wrong by a day. Plans may be far ahead.
HAPPENED: Final = (
    *("event_time", "end_time", "released_at", "started_at", "arrived_at", "finished_at", "verified_at"),
    *("actual_start", "actual_end"),
)
PLANNED: Final = ("planned_start", "planned_end", "start", "end")
# 1990-01-01: earlier ones are what systems write for "never" (1900-01-01, 1970-01-01).
EARLIEST_US: Final = 631_152_000_000_000
# Years 0001 to 9999: others have no date.
SHOWN_US: Final = (-62_135_596_800_000_000, 253_402_300_799_999_999)
AHEAD_US: Final = 50 * 365 * DAY_US
# Words that decide whether a record counts at all, as the contracts tell them: with another word it never would.
STATUS: Final[Mapping[str, tuple[str, ...]]] = {
    "work_order": ("planned", "released", "started", "arrived", "finished", "verified", "cancelled"),
    "change": ("requested", "approved", "active", "closed", "cancelled"),
}
POSITIVE: Final[Mapping[str, tuple[str, ...]]] = {"production_order": ("planned_quantity", "planned_run_time_s")}


@dataclass(frozen=True)
class Judged:
    """`records` without `_row`; `refused` as take.REFUSED; `repeats`: rows that say what another one says."""

    records: pl.DataFrame
    refused: pl.DataFrame
    repeats: int


def judge(kind: str, key: str, records: pl.DataFrame, known: pl.DataFrame, now_us: int) -> Judged:
    """`records` of `kind` that can be, by `key`; `known` has those that are there already."""
    told = [name for name in records.columns if name != ROW]
    kept = records.unique(told, keep="first", maintain_order=True)
    repeats = records.height - kept.height
    faults = [
        *(_order(kind, kept), _needs(kind, kept), _plausible(kept, now_us), _positive(kind, kept)),
        *(_validity(kept), _contradictions(key, kept), _words(kind, kept)),
    ]
    refused, kept = _without(pl.DataFrame(schema=REFUSED), kept, pl.concat(faults))
    if kind == "asset":
        # What stands below an asset that is refused is an orphan: the hierarchy comes last.
        for field in ("path", "interfaces"):
            refused, kept = _without(refused, kept, _twice(kept, known, field))
        refused, kept = _without(refused, kept, hierarchy(kept, known))
    return Judged(kept.drop(ROW), refused.sort("row", "field"), repeats)


def _without(refused: pl.DataFrame, kept: pl.DataFrame, wrong: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both after rows were found wrong."""
    return pl.concat([refused, wrong]), kept.filter(~pl.col(ROW).is_in(wrong["row"].unique().implode()))


def _refuse(rows: pl.DataFrame, field: str, value: pl.Expr, problem: str, remedy: str) -> pl.DataFrame:
    return rows.select(
        pl.col(ROW).alias("row"),
        pl.lit(field).alias("field"),
        value.cast(pl.String).alias("value"),
        pl.lit(problem).alias("problem"),
        pl.lit(remedy).alias("remedy"),
    ).cast(REFUSED)


def _iso(name: str) -> pl.Expr:
    known = pl.col(name).is_between(SHOWN_US[0], SHOWN_US[1])
    time = pl.from_epoch(pl.when(known).then(name), time_unit="us").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return pl.coalesce(time, pl.format("{} us", name))


def _order(kind: str, rows: pl.DataFrame) -> pl.DataFrame:
    found = [pl.DataFrame(schema=REFUSED)]
    for names in ORDER.get(kind, ()):
        there = [name for name in names if name in rows.columns]
        for place, later in enumerate(there):
            for earlier in there[:place]:
                # Of a day, the time is its beginning: the later one may be up to its end.
                by_day = f"{later}{PRECISION}" in rows.columns
                room = pl.when(pl.col(f"{later}{PRECISION}") == "day").then(DAY_US - 1).otherwise(0) if by_day else 0
                wrong = rows.filter(pl.col(later) + room < pl.col(earlier))
                value = pl.format("{} {}, {} {}", pl.lit(earlier), _iso(earlier), pl.lit(later), _iso(later))
                found.append(_refuse(wrong, later, value, f"is before {earlier}", "correct one of the two times"))
    return pl.concat(found)


def _needs(kind: str, rows: pl.DataFrame) -> pl.DataFrame:
    found = [pl.DataFrame(schema=REFUSED)]
    for later, earlier in NEEDS.get(kind, ()):
        if later in rows.columns:
            absent = pl.col(earlier).is_null() if earlier in rows.columns else pl.lit(value=True)
            wrong = rows.filter(pl.col(later).is_not_null() & absent)
            found.append(_refuse(wrong, later, _iso(later), f"is told without {earlier}", f"say {earlier}, too"))
    return pl.concat(found)


def _plausible(rows: pl.DataFrame, now_us: int) -> pl.DataFrame:
    found = [pl.DataFrame(schema=REFUSED)]
    latest = dict.fromkeys(HAPPENED, now_us + DAY_US) | dict.fromkeys(PLANNED, now_us + AHEAD_US)
    for name in (name for name in rows.columns if name in latest):
        for wrong, problem in (
            (pl.col(name) < EARLIEST_US, "is before 1990"),
            (pl.col(name) > latest[name], "is in the future" if name in HAPPENED else "is more than 50 years ahead"),
        ):
            remedy = "correct the time, or its format; a word for never belongs into nulls of the mapping"
            found.append(_refuse(rows.filter(wrong), name, _iso(name), problem, remedy))
    return pl.concat(found)


def _twice(rows: pl.DataFrame, known: pl.DataFrame, field: str) -> pl.DataFrame:
    """Assets that claim the path or an address of another one at the same time."""
    word = "path" if field == "path" else "address"
    problem, remedy = f"another asset is at this {word} at the same time", "or end the other's version"
    return _refuse(claimed(rows, known, field), field, pl.col("_value"), problem, f"give each its own {word}, {remedy}")


def _positive(kind: str, rows: pl.DataFrame) -> pl.DataFrame:
    found = [pl.DataFrame(schema=REFUSED)]
    for name in POSITIVE.get(kind, ()):
        if name in rows.columns:
            wrong = rows.filter(~(pl.col(name) > 0) | ~pl.col(name).is_finite())
            found.append(_refuse(wrong, name, pl.col(name), "is not above 0", "correct the number, or leave it out"))
    return pl.concat(found)


def _words(kind: str, rows: pl.DataFrame) -> pl.DataFrame:
    found = [pl.DataFrame(schema=REFUSED)]
    known = {name: (*PRECISIONS, "absent") for name in rows.columns if name.endswith(PRECISION)}
    for name, words in (known | {"status": STATUS.get(kind, ())}).items():
        if words and name in rows.columns:
            wrong = rows.filter(~pl.col(name).is_in(words))
            told = f"is none of {', '.join(words)}"
            found.append(_refuse(wrong, name, pl.col(name), told, f"bring it to one of them by map in fields.{name}"))
    return pl.concat(found)


def _validity(rows: pl.DataFrame) -> pl.DataFrame:
    if not {"valid_from", "valid_to"} <= set(rows.columns):
        return pl.DataFrame(schema=REFUSED)
    wrong = rows.filter(pl.col("valid_to") <= pl.col("valid_from"))
    return _refuse(wrong, "valid_to", _iso("valid_to"), "is not after valid_from", "correct one of the two times")


def _contradictions(key: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Two rows for one version of an entity that say different things: nobody knows which is right."""
    of = [key, "valid_from"] if "valid_from" in rows.columns else [key]
    wrong = rows.filter(pl.len().over(of) > 1)
    # A few of them: where the wrong column is the key, all rows of a file are of one version.
    others = pl.col(ROW).cast(pl.String).head(NAMED).str.join(", ").over(of)
    beside = pl.len().over(of).cast(pl.Int64) - NAMED
    more = pl.when(beside > 0).then(pl.format(" and {} more", beside)).otherwise(pl.lit(""))
    value = pl.format("{} (rows {}{})", pl.col(key), others, more)
    problem = "several rows say different things of the same version"
    return _refuse(wrong, key, value, problem, "keep one of the rows, or give each version its own valid_from")


def hierarchy(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Rows of assets whose parents are nowhere (orphans), or that are above themselves (cycles)."""
    if "parent_id" not in rows.columns:
        return pl.DataFrame(schema=REFUSED)
    told = reasons(rows, known)
    cyclic = told.str.starts_with("cycle")
    parts = [
        _refuse(rows.with_columns(told).filter(mask), "parent_id", pl.col("_why"), problem, remedy)
        for mask, problem, remedy in (
            (cyclic, "the asset is above itself", "correct one of the parents"),
            (~cyclic, "an asset above it is nowhere", "load the asset above it too, or leave parent_id out"),
        )
    ]
    return pl.concat(parts)
