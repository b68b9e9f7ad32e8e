"""How files are written. Enters: lines. Leaves: rows, each with its number, its cells by name, or what is wrong."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from streams.core.load.mapping import Mapping
from streams.core.load.take import ITEM_END

# JSON is one value that is read at once, at about six times its size.
JSON_MAX: Final = 64 << 20
csv.field_size_limit(1 << 20)


class FileFault(Exception):
    """The file cannot be read; the message says what to do."""


class Found(NamedTuple):
    """A row: its cells, or its problem; neither where it is of no use."""

    row: int
    cells: dict[str, str | None] | None
    problem: str | None = None


def found(lines: Iterator[str], mapping: Mapping) -> tuple[list[str], Iterator[Found]]:
    """The columns that the file names (none: its rows do), and its rows. Raises FileFault, also while it is read."""
    if mapping.format == "csv":
        return _csv(lines, mapping.separator)
    if mapping.format == "zeek":
        return _zeek(lines)
    if mapping.format == "lines":
        pattern = re.compile(mapping.pattern or "")
        return list(pattern.groupindex), _matches(lines, pattern)
    return [], _json(lines) if mapping.format == "json" else _jsonl(lines)


def _once(names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileFault(f"the heading has {', '.join(map(repr, twice))} more than once; give each column its own name")
    return names


def _row(number: int, names: list[str], cells: list[str]) -> Found:
    if len(cells) == len(names):
        return Found(number, dict(zip(names, cells, strict=True)))
    return Found(number, None, f"has {len(cells)} cells, the heading has {len(names)}")


def _csv(lines: Iterator[str], separator: str) -> tuple[list[str], Iterator[Found]]:
    # strict: a quote that is never closed would otherwise take all the rest of the file into one cell.
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        names = _once([name.strip() for name in next(reader)])
    except (csv.Error, StopIteration) as why:
        raise FileFault(f"line 1 names no columns ({why}); is the separator {separator!r} right?") from why
    if not names:
        raise FileFault("the first line is empty; it must name the columns")

    def rows() -> Iterator[Found]:
        number = 0
        while True:
            number, line = number + 1, reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as why:
                if "end of data" in str(why) or "field larger" in str(why):
                    text = f"line {line}: {why}; a quote is opened there and never closed"
                    raise FileFault(f"{text}; is the separator {separator!r} right?") from why
                yield Found(number, None, f"cannot be read ({why})")
                continue
            if cells:  # an empty line is none
                yield _row(number, names, cells)

    return names, rows()


def _zeek(lines: Iterator[str]) -> tuple[list[str], Iterator[Found]]:
    head: dict[str, str] = {}
    first = None
    for line in lines:
        if not line.startswith("#"):
            first = line
            break
        name, _, value = line.rstrip("\r\n")[1:].replace(" ", "\t", 1).partition("\t")
        head[name] = value
    if "fields" not in head:
        raise FileFault("no #fields line: this is no Zeek log in its tab-separated form")
    separator = head.get("separator", "\\x09").encode().decode("unicode_escape")
    nothing = {head.get("unset_field", "-"), head.get("empty_field", "(empty)")}
    names = _once(head["fields"].split(separator or "\t"))

    def rows() -> Iterator[Found]:
        number = 0
        for line in (line for told in ([] if first is None else [first], lines) for line in told):
            if line.startswith("#fields") and line.rstrip("\r\n").split(separator or "\t")[1:] != names:
                raise FileFault("a second #fields line names other columns: load each of the joined logs by itself")
            if not line.startswith("#"):
                number += 1
                told = _row(number, names, line.rstrip("\r\n").split(separator or "\t"))
                cells = {name: None if cell in nothing else cell for name, cell in (told.cells or {}).items()}
                yield told._replace(cells=cells if told.problem is None else None)

    return names, rows()


def _matches(lines: Iterable[str], pattern: re.Pattern[str]) -> Iterator[Found]:
    for number, line in enumerate(lines, 1):
        match = pattern.search(line.rstrip("\r\n"))
        yield Found(number, match.groupdict() if match else None)


def _json(lines: Iterable[str]) -> Iterator[Found]:
    parts, size = [], 0
    for line in lines:
        parts.append(line)
        size += len(line)
        if size > JSON_MAX:
            raise FileFault(f"more than {JSON_MAX >> 20} MiB in one value; write JSON lines (format = 'jsonl')")
    try:
        content = json.loads("".join(parts))
    except (ValueError, RecursionError) as why:
        raise FileFault(f"no JSON ({why}); is it JSON lines (format = 'jsonl')?") from why
    if not isinstance(content, list):
        raise FileFault("the file must hold a list of objects")
    for number, one in enumerate(content, 1):
        yield _object(number, one)


def _jsonl(lines: Iterable[str]) -> Iterator[Found]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _object(number, json.loads(line))
            except (ValueError, RecursionError) as why:
                yield Found(number, None, f"is no JSON ({why})")


def _object(number: int, one: Any) -> Found:
    if isinstance(one, dict):
        return Found(number, dict(_cells("", one)))
    return Found(number, None, "is no object")


def _cells(prefix: str, one: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Members of an object as texts; those of objects in it by names with dots between, lists as items with ends."""
    for name, value in one.items():
        if isinstance(value, dict):
            yield from _cells(f"{prefix}{name}.", value)
        elif isinstance(value, list):
            items = (item if isinstance(item, str) else json.dumps(item) for item in value)
            yield prefix + name, "".join(item + ITEM_END for item in items)
        elif isinstance(value, str) or value is None:
            yield prefix + name, value
        else:
            yield prefix + name, json.dumps(value)
