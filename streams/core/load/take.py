"""Rows of a file as records. Enters: a table of texts, a `Mapping`. Leaves: a frame of the contract, and the refused.

Each column is read whole; a row of which one field cannot be read is refused with all its faults, and the rest goes on.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from streams.core.load import persons
from streams.core.load.forms import ISO, UNIX
from streams.core.load.mapping import PLACE, ROW_NUMBER, Field, Mapping, Origin

# `row` is the number of the row in the file, from 1 on, without headings; `value` is null where it may name a person.
REFUSED: Final = pl.Schema(
    {"row": pl.Int64(), "field": pl.String(), "value": pl.String(), "problem": pl.String(), "remedy": pl.String()}
)
ROW: Final = "_row"
PRECISION: Final = "_precision"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
THOUSANDS: Final = r"^[+-]?\d{1,3}(\.\d{3})+(,\d*)?$"
# Ends each item of a list that was one in the file already.
ITEM_END: Final = "\x1e"
# Parts of a form that tell more than the day, and those that tell the offset from UTC, or are in UTC.
HOURS: Final = re.compile(r"%[-_0]?[HIklTRXrcs+]")
OFFSET: Final = re.compile(r"%(:{0,3}|#)z|%\+|%s")
# An ISO 8601 date without a time: as calendar day, or by the week.
ISO_DATE: Final = r"^\d{4}(-?\d{2}-?\d{2}|-?W\d{2}(-?\d)?)$"


@dataclass(frozen=True)
class Taken:
    """`records` have the contract's columns and `_row`; `refused` as REFUSED; `skipped` rows are none of ours."""

    records: pl.DataFrame
    refused: pl.DataFrame
    skipped: int


def take(table: pl.DataFrame, mapping: Mapping, fields: Dict[str, Field]) -> Taken:
    """The records of a table (columns String, and `_row`) that has the columns of `mapping`."""
    rows = table
    for name, words in mapping.only.items():
        rows = rows.filter(pl.col(name).str.strip_chars().is_in(list(words)))
    columns, faults = [rows[ROW]], [pl.DataFrame(schema=REFUSED)]
    named = persons.columns(mapping, fields)
    for name, one in fields.items():
        origin = mapping.fields.get(name)
        if origin is None:
            continue
        text = _text(rows, origin)
        if not isinstance(one.dtype, pl.List) or origin.words is not None:
            text = _shown(text)
        value = _value(text, one, origin, mapping.decimal).alias(name)
        columns.append(value)
        found = _faults(rows, one, origin, _shown(text), value)
        hide = bool(one.personal) or not named.isdisjoint(origin.columns)
        faults.append(found.with_columns(value=pl.lit(None, pl.String)) if hide else found)
        told = precision_of(name)
        if one.time and told in fields and told not in mapping.fields:
            columns.append(_precision(text, value, origin).alias(told))
    refused = pl.concat(faults).sort("row", "field")
    records = pl.DataFrame(columns).filter(~pl.col(ROW).is_in(refused["row"].unique().implode()))
    return Taken(records, refused, table.height - rows.height)


def precision_of(name: str) -> str:
    """The field that tells how precise a time is; that of an event's own time is named shorter."""
    return f"time{PRECISION}" if name == "event_time" else f"{name}{PRECISION}"


def _text(rows: pl.DataFrame, origin: Origin) -> pl.Series:
    """What stands in the file for a field: stripped, null where nothing does."""
    if origin.value is not None:
        return pl.Series([origin.value], dtype=pl.String).new_from_index(0, rows.height)
    if origin.column is not None:
        found = pl.col(origin.column).str.strip_chars()
    else:
        assert origin.template is not None
        pieces = PLACE.split(origin.template)  # texts and names in turn
        parts = [
            pl.lit(piece) if place % 2 == 0 else _place(piece, origin) for place, piece in enumerate(pieces) if piece
        ]
        found = pl.concat_str(parts)  # null where one of them is
    found = _told(found, origin)
    return rows.select(found.alias("text")).to_series()


def _place(name: str, origin: Origin) -> pl.Expr:
    return pl.col(ROW).cast(pl.String) if name == ROW_NUMBER else _told(pl.col(name).str.strip_chars(), origin)


def _told(text: pl.Expr, origin: Origin) -> pl.Expr:
    return pl.when(~text.is_in([*origin.nulls, ""])).then(text)


def _shown(text: pl.Series) -> pl.Series:
    """Lists of the file with commas between their items."""
    return text.str.strip_suffix(ITEM_END).str.replace_all(ITEM_END, ",", literal=True)


def _value(text: pl.Series, one: Field, origin: Origin, decimal: str) -> pl.Series:
    """The field's value; null where the text says nothing, or cannot be read."""
    if origin.words is not None:
        replaced = text.replace_strict(list(origin.words), list(origin.words.values()), default=None)
        if origin.otherwise is not None:
            replaced = replaced.fill_null(origin.otherwise)
        text = replaced
    elif origin.otherwise is not None:
        text = text.fill_null(origin.otherwise)
    if one.time:
        return _time(text, origin)
    if isinstance(one.dtype, pl.List):
        return _list(text, origin, one.dtype)
    if one.dtype == pl.Boolean():
        words = {"true": True, "false": False, "t": True, "f": False, "yes": True, "no": False, "1": True, "0": False}
        return text.str.to_lowercase().replace_strict(list(words), list(words.values()), default=None)
    if one.dtype == pl.String():
        return text
    if decimal == ",":
        text = _with_point(text)
    if one.dtype.is_integer() and origin.scale is None:
        return text.cast(one.dtype, strict=False)
    number = text.cast(pl.Float64, strict=False) * (1.0 if origin.scale is None else origin.scale)
    # 0.57 times 100 is a little less than 57.
    number = number.round() if one.dtype.is_integer() else number
    return number.set(~number.is_finite(), None).cast(one.dtype, strict=False)


def _with_point(text: pl.Series) -> pl.Series:
    """Numbers with a decimal comma as those with a point; null where a point stands elsewhere than at thousands."""
    bare = text.zip_with(~text.str.contains(THOUSANDS), text.str.replace_all(".", "", literal=True))
    point = bare.str.contains(".", literal=True)
    return bare.set(point, None).str.replace(",", ".", literal=True)


def _list(text: pl.Series, origin: Origin, dtype: pl.List) -> pl.Series:
    """Parts of a text; those of a map are NAME=VALUE. Null where one of them cannot be read."""
    stripped = pl.element().str.strip_chars()
    own = pl.col("text").str.split(origin.split) if origin.split is not None else pl.concat_list("text")
    own = pl.when(pl.col("text").str.ends_with(ITEM_END)).then(pl.col("text").str.split(ITEM_END)).otherwise(own)
    parts = text.to_frame("text").select(own.list.eval(stripped.filter(stripped != ""))).to_series()
    if isinstance(dtype.inner, pl.Struct):
        pair = pl.element().str.splitn("=", 2).struct.rename_fields(["key", "value"])
        read = parts.list.eval(pl.when(pl.element().str.contains("=", literal=True)).then(pair))
    else:
        read = parts.list.eval(pl.element().cast(dtype.inner, strict=False))
    broken = read.list.eval(pl.element().is_null()).list.any() & text.is_not_null()
    empty = pl.Series([[]], dtype=dtype)
    read = read.cast(dtype).zip_with(text.is_not_null(), empty.new_from_index(0, len(text)))
    return read.to_frame("read").select(pl.when(~broken).then("read").alias("read")).to_series()


def _time(text: pl.Series, origin: Origin) -> pl.Series:
    """Microseconds UTC. Of an hour that occurs twice the first is taken; an hour that does not occur cannot be read."""
    if origin.format in UNIX:
        number = text.cast(pl.Decimal(38, 9), strict=False)
        return (number * UNIX[origin.format]).cast(pl.Int64, strict=False)
    form = origin.format or ISO
    if form == ISO:
        zone = zoneinfo.ZoneInfo(origin.zone)
        return pl.Series(text.name, [None if one is None else _iso(one, zone) for one in text], pl.Int64)
    if origin.year is not None:
        form, text = f"%Y {form}", pl.select(pl.format("{} {}", pl.lit(origin.year), text)).to_series()
    naive = text.str.to_datetime(form, time_unit="us", strict=False)
    if OFFSET.search(form):
        return naive.to_physical()
    known = _in_zone(naive, origin.zone)
    if not HOURS.search(form):
        # Where clocks go on at midnight, a day begins an hour later.
        known = known.zip_with(known.is_not_null(), _in_zone(naive + timedelta(hours=1), origin.zone))
    return known.dt.convert_time_zone("UTC").to_physical()


def _in_zone(naive: pl.Series, zone: str) -> pl.Series:
    return naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")


def _iso(text: str, zone: zoneinfo.ZoneInfo) -> int | None:
    """Microseconds UTC of an ISO 8601 time; one without an offset is a time of `zone`."""
    try:
        told = datetime.fromisoformat(text)
        if told.tzinfo is None:
            local, told = told, told.replace(tzinfo=zone).astimezone(UTC)
            skipped = told.astimezone(zone).replace(tzinfo=None) != local  # by clocks that went on
            if skipped and not re.match(ISO_DATE, text):
                return None
        return (told - EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None


def _precision(text: pl.Series, value: pl.Series, origin: Origin) -> pl.Series:
    """As the mapping says; else of each time what its writing tells."""
    if origin.format == ISO:
        day = text.str.contains(ISO_DATE)
    else:
        by_day = origin.format not in UNIX and not HOURS.search(origin.format or "")
        day = pl.Series([by_day]).new_from_index(0, len(text))
    told = pl.when(day).then(pl.lit("day")).otherwise(pl.lit("exact"))
    told = told if origin.precision is None else pl.lit(origin.precision)
    return pl.select(pl.when(value.is_not_null()).then(told).otherwise(pl.lit("absent"))).to_series()


def _faults(rows: pl.DataFrame, one: Field, origin: Origin, text: pl.Series, value: pl.Series) -> pl.DataFrame:
    unreadable = text.is_not_null() & value.is_null()
    absent = text.is_null() & value.is_null() if one.required else pl.Series([False]).new_from_index(0, len(text))
    wrong = unreadable | absent
    if not wrong.any():
        return pl.DataFrame(schema=REFUSED)
    problem = pl.when(pl.Series(absent)).then(pl.lit("is not told")).otherwise(pl.lit(_unreadable(one, origin)))
    remedy = f"correct the row, or fields.{one.name} in the mapping file"
    return (
        pl.DataFrame({"row": rows[ROW], "value": text})
        .with_columns(pl.lit(one.name).alias("field"), problem.alias("problem"), pl.lit(remedy).alias("remedy"))
        .filter(wrong)
        .select(REFUSED.names())
    )


def _unreadable(one: Field, origin: Origin) -> str:
    if origin.words is not None:
        return "is none of the words of map, and there is no otherwise"
    if one.time:
        year = "" if origin.year is None else f" of {origin.year}"
        return f"is no time of the form {origin.format}{year} in {origin.zone}"
    if isinstance(one.dtype, pl.List):
        return "is no list of what belongs there"
    return "is neither yes nor no" if one.dtype == pl.Boolean() else "is no number that fits"
