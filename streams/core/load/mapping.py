"""What a mapping file says: which columns of a file make which fields of a record. Enters: TOML. Leaves: `Mapping`.

A field takes its text from one place: `column`, `template` ("{Asset}-{#}", # is the row's number) or `value`. Then, in
this order: what is in `nulls` is nothing; `map` replaces words, `otherwise` stands for all others and for nothing;
`split` makes a list; `format`, `zone` and `year` read a time; `scale` multiplies a number. All faults are told at once.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import polars as pl

from streams.core.load.faults import Faults, MappingFaults, near
from streams.core.load.forms import time_faults, year_of

FORMATS: Final = ("csv", "json", "jsonl", "zeek", "lines")
# Formats whose columns are the same in every row.
HEADED: Final = ("csv", "zeek", "lines")
PLACE: Final = re.compile(r"\{([^{}]+)\}")
ROW_NUMBER: Final = "#"

FileFormat = Literal["csv", "json", "jsonl", "zeek", "lines"]


@dataclass(frozen=True)
class Field:
    """A field of the contract: its column type, whether it must be told, and whether it is a time (Int64 us UTC)."""

    name: str
    dtype: pl.DataType
    required: bool
    time: bool
    # As the contract marks it: "identity" tells who a person is, "text" may name persons.
    personal: str = ""


@dataclass(frozen=True)
class Origin:
    """Where a field comes from and how its text is read; see the module. One of column, template and value is set.

    `clear`: a text that the contract marks as personal names nobody, and is kept. `year`: that of times that tell none.
    `optional`: the file may lack its columns.
    """

    column: str | None = None
    template: str | None = None
    value: str | None = None
    nulls: tuple[str, ...] = ()
    words: Dict[str, str] | None = None
    otherwise: str | None = None
    split: str | None = None
    format: str | None = None
    zone: str = "UTC"
    precision: str | None = None
    scale: float | None = None
    clear: bool = False
    year: int | None = None
    optional: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The file's columns that it needs."""
        if self.template is not None:
            return tuple(name for name in PLACE.findall(self.template) if name != ROW_NUMBER)
        return () if self.column is None else (self.column,)


@dataclass(frozen=True)
class Mapping:
    """A mapping file. `only` names columns with the words that a row must have there; other rows are skipped.

    `decimal` stands before the decimals of numbers; where it is a comma, points may stand between thousands.
    """

    kind: str
    format: FileFormat = "csv"
    separator: str = ","
    pattern: str | None = None
    encoding: str = "utf-8"
    only: Dict[str, tuple[str, ...]] = field(default_factory=dict)
    fields: Dict[str, Origin] = field(default_factory=dict)
    decimal: str = "."

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the file that it names, once."""
        named = [name for origin in self.fields.values() for name in origin.columns]
        return tuple(dict.fromkeys([*self.only, *named]))

    @property
    def needed(self) -> frozenset[str]:
        """Those without which nothing is loaded."""
        return frozenset(self.only).union(*(one.columns for one in self.fields.values() if not one.optional))


def parse(text: str, kinds: Dict[str, Dict[str, Field]], year: int | None = None) -> Mapping:
    """The mapping that a file says; `kinds` has the contract's fields by kind. Raises MappingFaults.

    `year` is that of times that tell none; it goes before that of the file.
    """
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise MappingFaults([f"  no TOML ({why}): write NAME = VALUE, one per line, and [fields.NAME] tables"]) from why
    kind = str(said.get("kind"))
    if kind not in kinds:
        raise MappingFaults([f"  kind = {kind!r}: no such kind of record{near(kind, kinds)}"])
    faults = Faults()
    top = faults.known("", said, {"kind", "file", "only", "nulls", "time", "fields"})
    file = faults.known("file.", top.get("file", {}), {"format", "separator", "pattern", "encoding", "decimal"})
    time = faults.known("time.", top.get("time", {}), {"format", "zone", "precision", "year"})
    time |= {} if year is None else {"year": year}
    nulls = faults.texts("nulls", top.get("nulls", [""]))
    only = {name: faults.texts(f"only.{name}", words) for name, words in faults.table("only", top).items()}
    fields = kinds[kind]
    origins: dict[str, Origin] = {}
    for name, row in faults.table("fields", top).items():
        if name not in fields:
            faults.add(f"fields.{name}", f"{kind} has no such field{near(name, fields)}")
        elif isinstance(row, dict):
            origins[name] = _origin(faults, fields[name], row, time, nulls)
        else:
            faults.add(f"fields.{name}", 'write a table, such as { column = "Asset" } or { value = "mine" }')
    missing = [name for name, one in fields.items() if one.required and name not in origins]
    for name in sorted(set(missing) - set(faults.places)):
        faults.add(f"fields.{name}", f"{kind} needs it: say where it comes from")
    if "year" in time and not faults.lines and all(one.year is None for one in origins.values()):
        faults.add("time.year", "no time of the mapping needs it, as each tells its year: leave year (or --year) out")
    mapping = _file(faults, file, Mapping(kind, only=only, fields=origins))
    if faults.lines:
        raise MappingFaults(faults.lines)
    return mapping


def missing_columns(mapping: Mapping, columns: Iterable[str], fields: Dict[str, Field]) -> list[str]:
    """What the mapping needs and the file does not have, each with the nearest name that it has."""
    there = list(columns)
    return [
        f"  column {name!r}: the file has no such column{near(name, there)}{_option(mapping, name, fields)}"
        for name in mapping.columns
        if name in mapping.needed and name not in there
    ]


def _option(mapping: Mapping, column: str, fields: Dict[str, Field]) -> str:
    """How to say that a file may lack a column; nothing helps where `only` or the contract needs it."""
    drawn = [name for name, one in mapping.fields.items() if column in one.columns and not one.optional]
    if column in mapping.only or any(fields[name].required for name in drawn):
        return ""
    return f" (if files may lack it: optional = true at fields.{' and fields.'.join(drawn)})"


_TEXTS: Final[tuple[str, ...]] = ("column", "template", "value", "otherwise", "split", "format", "zone", "precision")
_KEYS: Final = {*_TEXTS, "nulls", "map", "scale", "clear", "optional"}


def _origin(faults: Faults, one: Field, row: Dict[str, Any], time: Dict[str, Any], nulls: tuple[str, ...]) -> Origin:
    place = f"fields.{one.name}"
    row = faults.known(f"{place}.", row, _KEYS)
    texts = {name: row[name] for name in _TEXTS if name in row}
    for name in [name for name, value in texts.items() if not isinstance(value, str)]:
        faults.add(f"{place}.{name}", "write a text between quotes")
        texts.pop(name)
    words = row.get("map")
    if words is not None and not (isinstance(words, dict) and all(isinstance(word, str) for word in words.values())):
        faults.add(f"{place}.map", 'write a table of texts, such as { PM01 = "corrective" }')
        words = None
    if len({"column", "template", "value"} & texts.keys()) != 1:
        faults.add(place, "say where it comes from by exactly one of column, template and value")
    scale = row.get("scale")
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, (int, float))):
        faults.add(f"{place}.scale", "write a number")
        scale = None
    clear = row.get("clear", False)
    if not isinstance(clear, bool) or (clear and one.personal != "text"):
        faults.add(f"{place}.clear", "write true or false, at a free text that may name persons")
    year = None
    if one.time:
        texts = {**time, **texts}
        year = texts.pop("year", None)
        year = year_of(faults, place, year, texts) if time_faults(faults, place, texts) else None
    elif {"format", "zone", "precision"} & texts.keys():
        faults.add(place, f"{one.name} is no time: format, zone and precision do not apply")
    own = faults.texts(f"{place}.nulls", row["nulls"]) if "nulls" in row else nulls
    read = Origin(**texts, nulls=own, words=words, scale=None if scale is None else float(scale), clear=clear is True)
    return replace(read, year=year, optional=_optional(faults, one, row.get("optional", False), read))


def _optional(faults: Faults, one: Field, said: Any, origin: Origin) -> bool:
    place = f"fields.{one.name}.optional"
    if not isinstance(said, bool):
        faults.add(place, "write true or false")
    elif said and origin.value is not None:
        faults.add(place, "a value needs no column: leave optional out")
    elif said and one.required and origin.otherwise is None:
        faults.add(
            place, "the contract needs the field: leave optional out, or say by otherwise what stands for nothing"
        )
    return said is True


def _file(faults: Faults, file: Dict[str, Any], mapping: Mapping) -> Mapping:
    form, separator, pattern = file.get("format", "csv"), file.get("separator", ","), file.get("pattern")
    encoding, decimal = file.get("encoding", "utf-8"), file.get("decimal", ".")
    if decimal not in (".", ","):
        faults.add("file.decimal", 'write "." or ","')
    if not isinstance(encoding, str) or not _of_ascii(encoding):
        faults.add("file.encoding", "write one that holds ASCII as it is, such as utf-8, cp1252 or latin-1")
    if form not in FORMATS:
        faults.add("file.format", f"write one of {', '.join(FORMATS)}")
    if not isinstance(separator, str) or len(separator) != 1 or not separator.isascii():
        faults.add("file.separator", "write one character")
    if (form == "lines") != (pattern is not None):
        faults.add("file.pattern", "a file of lines needs one, with named groups; no other file has one")
    elif pattern is not None:
        try:
            if not re.compile(pattern).groupindex:
                faults.add("file.pattern", "name what it finds: (?P<user>...)")
        except (re.error, TypeError) as why:
            faults.add("file.pattern", f"no regular expression ({why})")
    return Mapping(mapping.kind, form, separator, pattern, encoding, mapping.only, mapping.fields, decimal)


def _of_ascii(encoding: str) -> bool:
    """Whether lines can be told before they are decoded."""
    try:
        return "a,\n".encode(encoding) == b"a,\n"
    except (LookupError, ValueError):
        return False
