"""What can be loaded: kinds of records, each with its topic. Leaves: the fields of a kind, from its contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from streams import topology
from streams.core.load.mapping import Field
from streams.kafka.avro import contracts, writer

KINDS: Final[Mapping[str, topology.Topic]] = {
    "asset": topology.ASSET,
    "signal": topology.SIGNAL,
    "work_order": topology.WORK_ORDER,
    "production_order": topology.PRODUCTION_ORDER,
    "calendar": topology.CALENDAR,
    "change": topology.CHANGE,
    "operator_position": topology.OPERATOR_POSITION,
    "access": topology.ACCESS,
    "flow": topology.FLOW,
    "alarm": topology.RAW_ALARM,
}
TIME: Final = "timestamp-micros"


def identity(kind: str) -> str:
    """Name of the field that tells records of `kind` apart: their first."""
    return next(iter(fields(kind)))


def fields(kind: str) -> dict[str, Field]:
    """The fields of records of `kind` by name; KeyError where there is no such kind."""
    schema = contracts.load(KINDS[kind].name).schema
    columns = writer.columns(schema)
    return {
        part["name"]: Field(
            part["name"],
            _dtype(columns[part["name"]]),
            "default" not in part,
            _is_time(part["type"]),
            part.get("personal", ""),
        )
        for part in schema["fields"]
    }


def completed(kind: str, records: pl.DataFrame) -> pl.DataFrame:
    """`records` with the contract's default where a row says nothing and the contract has no null."""
    defaults = {
        part["name"]: part["default"]
        for part in contracts.load(KINDS[kind].name).schema["fields"]
        if isinstance(part.get("default"), str | int | float)
    }
    return records.with_columns(
        pl.col(name).fill_null(default) for name, default in defaults.items() if name in records.columns
    )


def unlike(kind: str, records: pl.DataFrame, there: pl.DataFrame) -> pl.DataFrame:
    """`records` without those that say what `there` (records of the contract) says already, in order."""
    if there.is_empty():
        return records
    schema = contracts.load(KINDS[kind].name).schema
    # What the file does not tell is sent as the default; that of a map has no entries, and is a list of them here.
    told = records.with_columns(
        pl.lit([] if part.get("default") == {} else part.get("default"), there.schema[part["name"]]).alias(part["name"])
        for part in schema["fields"]
        if part["name"] not in records.columns
    ).with_row_index("_at")
    names = [part["name"] for part in schema["fields"]]
    texts = [_text(name, there.schema[name]) for name in names]
    same = told.select("_at", *texts).join(there.select(texts), on=names, how="semi", nulls_equal=True)
    return records.filter(~pl.int_range(pl.len()).is_in(same["_at"].implode()))


def newer(kind: str, records: pl.DataFrame, there: pl.DataFrame) -> pl.DataFrame:
    """Newest versions in `there` of entities of which `records` tell older ones only.

    Versions of an entity share its key, and compaction keeps the record of a key that was written last: where the past
    is told after the present, the present is to be told once more.
    """
    key = identity(kind)
    if there.is_empty() or "valid_from" not in there.columns:
        return there.clear()
    since = pl.col("valid_from") if "valid_from" in records.columns else pl.lit(0, pl.Int64)
    told = records.group_by(key).agg(since.max().alias("_since"))
    newest = there.sort("valid_from", maintain_order=True).unique(key, keep="last", maintain_order=True)
    found = newest.join(told, on=key, maintain_order="left")
    return found.filter(pl.col("valid_from") > pl.col("_since")).select(there.columns)


def _text(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column that can be compared: lists as one text."""
    if not isinstance(dtype, pl.List):
        return pl.col(name)
    one = pl.element()
    if isinstance(dtype.inner, pl.Struct):
        one = pl.concat_str(one.struct.field("key"), one.struct.field("value"), separator="=")
    return pl.col(name).list.eval(one.cast(pl.String)).list.join("\x1f").alias(name)


def _dtype(dtype: pl.DataType | type[pl.DataType]) -> pl.DataType:
    return dtype() if isinstance(dtype, type) else dtype


def _is_time(told: Any) -> bool:
    options = told if isinstance(told, list) else [told]
    return any(isinstance(option, Mapping) and option.get("logicalType") == TIME for option in options)
