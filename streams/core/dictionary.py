"""The signal dictionary: enters the frame of `it.signal.v1`, leaves faults, usable versions, and versions as of a time.

A faulty row never stops a stage: it is skipped, or its faulty field is set aside, and `check` names it with what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import polars as pl

from streams import topology
from streams.core.context import Context
from streams.core.frames import ID
from streams.core.times import FOREVER_US

T = TypeVar("T")

DAY_S: Final = 86_400
YEAR_S: Final = 366 * DAY_S
MAX_PERIOD_MS: Final = YEAR_S * 1000

NUMBERS: Final = ("measurement", "setpoint")
COUNTERS: Final = ("good_counter", "reject_counter", "total_counter")
TEXTS: Final = ("batch_id", "phase")
LABELS: Final = ("state", "alarm", *TEXTS)
ROLES: Final = (*NUMBERS, *COUNTERS, *LABELS)

# Columns of `it.signal.v1` as the shell hands them over: the contract's fields, times Int64 microseconds UTC.
SIGNAL: Final = pl.Schema(
    {
        "signal_id": pl.String(),
        "site": pl.String(),
        "tenant": pl.String(),
        "valid_from": pl.Int64(),
        "valid_to": pl.Int64(),
        "source_id": pl.String(),
        "address": pl.String(),
        "aliases": pl.List(pl.String()),
        "work_center": pl.String(),
        "work_unit": pl.String(),
        "asset_id": pl.String(),
        "name": pl.String(),
        "role": pl.String(),
        "unit_raw": pl.String(),
        "unit": pl.String(),
        "factor": pl.Float64(),
        "offset": pl.Float64(),
        "instrument_low": pl.Float64(),
        "instrument_high": pl.Float64(),
        "engineering_low": pl.Float64(),
        "engineering_high": pl.Float64(),
        "enumeration": pl.List(pl.Struct({"key": pl.String(), "value": pl.String()})),
        "reporting": pl.String(),
        "period_ms": pl.Int64(),
        "rollover": pl.Int64(),
        "expected_dwell_s": pl.Float64(),
        "time_zone": pl.String(),
        "redundant_of": pl.String(),
        "setpoint_of": pl.String(),
        "window_lengths_s": pl.List(pl.Int32()),
    }
)
_IDS: Final = [
    "signal_id",
    "site",
    "tenant",
    "source_id",
    "work_center",
    "work_unit",
    "asset_id",
    "role",
    "unit",
    "redundant_of",
    "setpoint_of",
]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one version of a signal, and what to do about it."""

    signal_id: str
    valid_from: int
    kind: str
    detail: str


@dataclass(frozen=True)
class _Check:
    """A fault as an expression; with a repair the version stays and the field is set aside, without it is skipped."""

    kind: str
    faulty: pl.Expr
    detail: str
    repair: tuple[pl.Expr, ...] = ()


def _empty(*columns: str) -> pl.Expr:
    return pl.any_horizontal(pl.col(column).fill_null("") == "" for column in columns)


def _range(name: str) -> _Check:
    low, high = pl.col(f"{name}_low"), pl.col(f"{name}_high")
    faulty = (low >= high) | low.is_nan() | high.is_nan()
    nothing = tuple(pl.lit(None, pl.Float64).alias(f"{name}_{end}") for end in ("low", "high"))
    return _Check(f"bad_{name}_range", faulty, f"{name}_low must be below {name}_high: the range is ignored", nothing)


_NO_LENGTHS: Final = pl.lit([], pl.List(pl.Int32)).alias("window_lengths_s")
_LENGTH: Final = pl.element()
_CHECKS: Final = (
    _Check("no_identity", _empty("signal_id", "source_id", "address"), "give signal_id, source_id and address"),
    _Check("no_work_center", _empty("work_center"), "name the line (work_center) that the signal belongs to"),
    _Check(
        "unknown_role", ~pl.col("role").is_in(ROLES).fill_null(value=False), f"role must be one of {', '.join(ROLES)}"
    ),
    _Check(
        "bad_scale",
        ~(pl.col("factor").is_finite() & pl.col("offset").is_finite() & (pl.col("factor") != 0)).fill_null(value=False),
        "factor must be finite and not 0, offset finite",
    ),
    _Check("empty_validity", pl.col("valid_to") <= pl.col("valid_from"), "valid_to must be after valid_from"),
    _range("instrument"),
    _range("engineering"),
    _Check(
        "bad_window_length",
        # A length that does not divide a day would shift its windows from day to day.
        pl.col("window_lengths_s").list.eval((_LENGTH <= 0) | (DAY_S % _LENGTH != 0) | _LENGTH.is_null()).list.any(),
        "each window length must be a whole number of seconds that divides a day: the defaults are used",
        (_NO_LENGTHS,),
    ),
    _Check(
        "bad_reporting",
        ~pl.col("reporting").is_in(["periodic", "on_change"]).fill_null(value=False),
        "reporting must be periodic or on_change: periodic is assumed",
        (pl.lit("periodic").alias("reporting"),),
    ),
    *(
        # Not a number counts as greater than any number.
        _Check(
            f"bad_{name}",
            (pl.col(name) <= 0) | (pl.col(name) > most),
            f"{name} must be positive, at most {most}: it is ignored",
            (pl.lit(None).alias(name),),
        )
        for name, most in (("period_ms", MAX_PERIOD_MS), ("rollover", 2**62), ("expected_dwell_s", YEAR_S))
    ),
)


class Memo(Generic[T]):
    """What was derived from the signal dictionary, kept until the context holds another frame (one entry)."""

    def __init__(self, build: Callable[[pl.DataFrame], T]) -> None:
        self._build = build
        self._entry: tuple[pl.DataFrame, T] | None = None

    def of(self, context: Context) -> T:
        """What `build` makes of the context's `it.signal.v1`."""
        frame = context.frame(topology.SIGNAL.name)
        if self._entry is None or self._entry[0] is not frame:
            self._entry = (frame, self._build(frame))
        return self._entry[1]


def check(frame: pl.DataFrame) -> list[Fault]:
    """Every fault of the rows of `it.signal.v1` (columns SIGNAL), in order of kind; ids that are missing read ''."""
    found: list[tuple[pl.DataFrame, str, str]] = [(frame.filter(one.faulty), one.kind, one.detail) for one in _CHECKS]
    contested = addresses(versions(frame)).filter("contested")
    detail = "another signal holds this source_id and address (or alias) then: it stays with the one that began first"
    found.append((contested.unique(["signal_id", "valid_from"], maintain_order=True), "duplicate_address", detail))
    return [
        Fault(signal_id or "", valid_from or 0, kind, detail)
        for rows, kind, detail in found
        for signal_id, valid_from in rows.select("signal_id", "valid_from").rows()
    ]


def usable(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows that can be worked with, faulty optional fields replaced by their defaults; order and columns kept."""
    for one in _CHECKS:
        if not one.repair:
            frame = frame.filter(one.faulty.fill_null(value=False).not_())
    for one in _CHECKS:
        frame = frame.with_columns(
            pl.when(one.faulty).then(value).otherwise(pl.col(value.meta.output_name())).alias(value.meta.output_name())
            for value in one.repair
        )
    return frame


def versions(frame: pl.DataFrame) -> pl.DataFrame:
    """Usable versions that never overlap within a signal: columns SIGNAL, sorted by signal_id and valid_from.

    A version ends where the signal's next one begins, however its valid_to reads; of two with the same valid_from the
    row that comes last counts. valid_to is never null (FOREVER_US).
    """
    rows = usable(frame).select(SIGNAL.names()).with_columns(pl.col("valid_from").fill_null(0))
    rows = rows.unique(["signal_id", "valid_from"], keep="last").sort("signal_id", "valid_from")
    following = pl.col("valid_from").shift(-1).over("signal_id")
    return rows.with_columns(valid_to=pl.min_horizontal(pl.col("valid_to").fill_null(FOREVER_US), following))


def addresses(rows: pl.DataFrame) -> pl.DataFrame:
    """Every address of `versions`, aliases included: row (UInt32), source_id, address, signal_id, valid_from, valid_to.

    Sorted by source_id, address and valid_from. `contested`: a signal that began earlier holds the address meanwhile.
    """
    every = pl.concat_list(pl.col("aliases").fill_null([]), "address").list.drop_nulls().list.unique()
    columns = ("row", "source_id", "address", "signal_id", "valid_from", "valid_to")
    entries = rows.with_row_index("row").with_columns(address=every).select(columns)
    entries = entries.explode("address").sort("source_id", "address", "valid_from", "signal_id")
    taken_until = pl.col("valid_to").cum_max().shift(1).over("source_id", "address")
    return entries.with_columns(contested=(taken_until > pl.col("valid_from")).fill_null(value=False))


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    return versions(frame).with_columns(pl.col(_IDS).cast(ID))


_VERSIONS: Final = Memo(_typed)


def latest(context: Context) -> pl.DataFrame:
    """One row per signal_id: the version that began last. Columns SIGNAL; ids, role and unit Categorical; sorted."""
    return _VERSIONS.of(context).unique("signal_id", keep="last", maintain_order=True)


def as_of(context: Context, frame: pl.DataFrame, columns: Sequence[str], on: str = "event_time") -> pl.DataFrame:
    """`frame` (signal_id Categorical, `on` Int64 us) with `columns` of the version valid at `on`; its order is kept.

    Null where no version is valid then. ValueError where `frame` has one of `columns` already.
    """
    if clash := set(columns) & set(frame.columns):
        raise ValueError(f"the frame has {', '.join(sorted(clash))} already: drop or rename it before as_of")
    rows = _VERSIONS.of(context)
    known = rows.select("signal_id", pl.col("valid_from").alias("_from"), pl.col("valid_to").alias("_to"), *columns)
    if rows["signal_id"].n_unique() == rows.height:
        joined = frame.join(known, on="signal_id", how="left", maintain_order="left")
    else:
        ordered = frame.with_row_index("_row").sort(on)
        joined = ordered.join_asof(
            known.sort("_from"), left_on=on, right_on="_from", by="signal_id", coalesce=False, check_sortedness=False
        ).sort("_row")
        joined = joined.drop("_row")
    valid = (pl.col(on) >= pl.col("_from")) & (pl.col(on) < pl.col("_to"))
    return joined.with_columns(pl.when(valid).then(pl.col(list(columns))).name.keep()).drop("_from", "_to")
