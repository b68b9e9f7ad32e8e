"""How data of one writer schema becomes the reader's columns. Enters: two schemas. Leaves: a `Writer` plan.

Schema resolution as in the Avro 1.11 specification: fields by name or by the reader's alias, promotions, defaults.
`polars.read_avro` ignores reader schemas, so the fast path resolves here, once per writer schema, as expressions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import fastavro
import numpy as np
import numpy.typing as npt
import polars as pl

from streams.kafka.avro import contracts

if TYPE_CHECKING:
    from streams.kafka.avro.flat import Layout

PRIMITIVES: Final[Mapping[str, pl.DataType]] = {
    "boolean": pl.Boolean(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "bytes": pl.Binary(),
    "string": pl.String(),
}
_MICROSECONDS: Final = "timestamp-micros"
_PER_UNIT: Final = {"timestamp-millis": 1_000}


def stripped(schema: Any) -> Any:
    """The schema without logical types, docs, defaults and aliases of its writer: only what decides about bytes."""
    if isinstance(schema, list):
        return [stripped(branch) for branch in schema]
    if not isinstance(schema, Mapping):
        return schema
    if schema["type"] in PRIMITIVES:
        return schema["type"]
    kept = {name: schema[name] for name in ("type", "name", "namespace", "symbols", "size") if name in schema}
    for inner in ("items", "values"):
        if inner in schema:
            kept[inner] = stripped(schema[inner])
    if "fields" in schema:
        kept["fields"] = [
            {name: stripped(part[name]) if name == "type" else part[name]
             for name in ("name", "type", "default", "aliases") if name in part}
            for part in schema["fields"]
        ]  # fmt: skip
    return kept


def core(schema: Any) -> tuple[Any, bool]:
    """(type, nullable) of a stripped type: what a union of null and one type holds, or the type itself."""
    if isinstance(schema, list) and len(schema) == 2 and "null" in schema:
        return schema[1 - schema.index("null")], True
    return schema, False


def dtype(schema: Any) -> pl.DataType:
    """The column type of a stripped Avro type; times are integers, maps lists of key and value, records structs."""
    kind, _ = core(schema)
    if isinstance(kind, str) and kind in PRIMITIVES:
        return PRIMITIVES[kind]
    if isinstance(kind, Mapping) and kind["type"] == "array":
        return pl.List(dtype(kind["items"]))
    if isinstance(kind, Mapping) and kind["type"] == "map":
        return pl.List(pl.Struct({"key": pl.String(), "value": dtype(kind["values"])}))
    if isinstance(kind, Mapping) and kind["type"] == "record":
        return pl.Struct({part["name"]: dtype(part["type"]) for part in kind["fields"]})
    if isinstance(kind, Mapping) and kind["type"] == "enum":
        return pl.String()
    if isinstance(kind, Mapping) and kind["type"] == "fixed":
        return pl.Binary()
    raise contracts.ContractError(
        f"contracts hold primitives, enums, fixed, records, arrays and maps of these, not {kind}"
    )


def columns(schema: contracts.Schema) -> pl.Schema:
    """Columns of a frame with the fields of a record schema."""
    return pl.Schema({part["name"]: dtype(part["type"]) for part in stripped(schema)["fields"]})


def flat(schema: Any) -> bool:
    """True for what `read_avro` decodes and `avro_sizes` measures: (nullable) primitives and arrays of such."""
    kind, _ = core(schema)
    if isinstance(kind, Mapping) and kind["type"] == "array":
        item, _ = core(kind["items"])
        return isinstance(item, str) and item in PRIMITIVES
    return isinstance(kind, str) and kind in PRIMITIVES


@dataclass(frozen=True)
class Writer:
    """One writer schema seen by one reader. `fault`: why nothing it wrote can be read; otherwise it can.

    `fields` are the writer's fields where `read_avro` can decode them all, None where only fastavro can. `complete`
    makes the reader's columns of the writer's; `times` then converts units. The parsed schemas are fastavro's.
    `foreign`: others write it, and may write what no encoder of ours does.
    """

    fields: tuple[Mapping[str, Any], ...] | None = None
    complete: tuple[pl.Expr, ...] = ()
    times: tuple[pl.Expr, ...] = ()
    parsed_writer: Any = None
    parsed_reader: Any = None
    fault: str = ""
    foreign: bool = False

    @cached_property
    def layout(self) -> Layout | None:
        """For the compiled scan; None where a field is more than a (nullable) primitive.

        Its engine is imported only where there is something for it: it takes 60 MB.
        """
        if self.fields is None or any(isinstance(core(part["type"])[0], Mapping) for part in self.fields):
            return None
        from streams.kafka.avro import flat

        return flat.layout(self.fields)

    def sound(self, data: bytes | memoryview, begins: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_] | None:
        """Which of the well-formed values of foreign records with arrays, at `begins`, name branches that there are.

        None where there is nothing to check: the compiled scan checks flat records itself.
        """
        if not self.foreign or self.fields is None or self.layout is not None:
            return None
        from streams.kafka.avro import branches

        return branches.sound(data, begins, branches.codes(self.fields))


def plan(writer: contracts.Schema, reader: contracts.Schema, *, foreign: bool = False) -> Writer:
    """The plan for data of schema `writer`, read as `reader`; see `Writer.foreign`."""
    faults = _hazards(writer) or contracts.incompatibilities(reader, writer)
    if faults:
        return Writer(fault=f"the writer's schema does not resolve to the contract: {'; '.join(faults)}")
    bare, target = stripped(writer), stripped(reader)
    scales = _scales(writer, reader)
    parsed = (fastavro.parse_schema(bare), fastavro.parse_schema(target))
    times = tuple(pl.col(name) * scale for name, scale in scales.items())
    pairs = [(part, _source(part, bare["fields"])) for part in target["fields"]]
    if not all(flat(part["type"]) for part in bare["fields"]) or any(_narrows(*pair) for pair in pairs):
        return Writer(None, (), times, *parsed)
    complete = tuple(_column(part, source) for part, source in pairs)
    fields = tuple({"name": part["name"], "type": part["type"]} for part in bare["fields"])
    return Writer(fields, complete, times, *parsed, foreign=foreign)


def _source(part: Mapping[str, Any], fields: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The writer's field that a reader's field takes its value from."""
    names = [part["name"], *part.get("aliases", ())]
    return next((candidate for name in names for candidate in fields if candidate["name"] == name), None)


def _narrows(part: Mapping[str, Any], source: Mapping[str, Any] | None) -> bool:
    """True where single values may not fit (null where the reader has none): fastavro judges record by record."""
    if source is None:
        return not flat(part["type"])
    (written, written_null), (read, read_null) = core(source["type"]), core(part["type"])
    if written_null and not read_null:
        return True
    if isinstance(written, Mapping) and isinstance(read, Mapping):
        return core(written["items"])[1] and not core(read["items"])[1]
    # bytes to string is a promotion whose values may be no UTF-8.
    return not flat(part["type"]) or (written == "bytes") != (read == "bytes")


def _column(part: Mapping[str, Any], source: Mapping[str, Any] | None) -> pl.Expr:
    if source is None:
        return pl.lit(part["default"], dtype=dtype(part["type"])).alias(part["name"])
    expression = pl.col(source["name"])
    if dtype(source["type"]) != dtype(part["type"]):
        expression = expression.cast(dtype(part["type"]))
    return expression.alias(part["name"])


def _scales(writer: contracts.Schema, reader: contracts.Schema) -> dict[str, int]:
    """Reader fields in microseconds whose writer counts another unit: {name: factor}."""
    scales = {}
    for part in reader["fields"]:
        source = _source(part, writer["fields"])
        unit = _PER_UNIT.get(_logical(source["type"])) if source is not None else None
        if unit and _logical(part["type"]) == _MICROSECONDS:
            scales[part["name"]] = unit
    return scales


def _logical(schema: Any) -> str:
    kind, _ = core(schema)
    return str(kind.get("logicalType", "")) if isinstance(kind, Mapping) else ""


def _hazards(schema: Any, inside: tuple[str, ...] = ()) -> list[str]:
    """What would let a few bytes claim unbounded memory or stack: recursion, arrays of nothing."""
    if isinstance(schema, str):
        return [f"{schema} contains itself"] if schema.rpartition(".")[2] in inside else []
    if isinstance(schema, list):
        return [fault for branch in schema for fault in _hazards(branch, inside)]
    kind = schema["type"]
    if kind in {"array", "map"}:
        inner = schema["items" if kind == "array" else "values"]
        return ["an array of items without bytes"] if _empty(inner) else _hazards(inner, inside)
    if kind == "record":
        inside = (*inside, str(schema["name"]).rpartition(".")[2])
        return [fault for part in schema["fields"] for fault in _hazards(part["type"], inside)]
    return _hazards(kind, inside) if isinstance(kind, (list, Mapping)) else []


def _empty(schema: Any) -> bool:
    """True for types whose values take no bytes."""
    if not isinstance(schema, Mapping):
        return bool(schema == "null")
    if schema["type"] == "record":
        return all(_empty(part["type"]) for part in schema["fields"])
    return schema["type"] == "null" or schema.get("size") == 0
