"""A file as records that can be loaded. Enters: a file, its mapping, what is loaded already. Leaves: records, refusals.

Everything is read and judged before the first record is sent: what is sent is known to be good, and whole.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from streams.core.load import checks, mapping, persons, years
from streams.core.load.faults import MappingFaults
from streams.core.load.mapping import Field, Mapping
from streams.core.load.take import REFUSED, ROW, take
from streams.load import files, kinds
from streams.load.formats import FileFault

log = logging.getLogger(__name__)

SAY_EVERY_S: Final = 2.0
SHOWN: Final = 80


@dataclass(frozen=True)
class Prepared:
    """`records`: what to send, the oldest versions first; `again`: what is there already and is to be sent behind them.

    `refused` as take.REFUSED.

    Counts: rows of the file, repeats in it, rows of other kinds, texts left out, records that are there already.
    """

    records: pl.DataFrame
    refused: pl.DataFrame
    rows: int
    repeats: int
    skipped: int
    texts: int
    unchanged: int
    # Columns that the mapping says to be optional, and that the file lacks.
    absent: tuple[str, ...] = ()
    again: pl.DataFrame = field(default_factory=pl.DataFrame)


def mapped(kind: str, file: Path, year: int | None = None) -> Mapping:
    """The mapping in a file; `year` is that of times that tell none.

    Raises MappingFaults, which list everything that is wrong with it, or OSError.
    """
    try:
        text = file.read_text("utf-8-sig")  # editors on Windows write a byte order mark
    except UnicodeDecodeError as why:
        raise MappingFaults([f"  no UTF-8 ({why.reason}): convert the file (iconv -t UTF-8)"]) from why
    said = mapping.parse(text, {name: kinds.fields(name) for name in kinds.KINDS}, year)
    faults = persons.leaks(said, kinds.fields(said.kind))
    if said.kind != kind:
        faults.append(f"  kind = {said.kind!r}: the command says {kind!r}; use the mapping of that kind")
    if faults:
        raise MappingFaults(faults)
    return said


@dataclass
class _Read:
    """What a file holds; counts as in `Prepared`, `unmatched`: lines of no use."""

    records: list[pl.DataFrame]
    refused: list[pl.DataFrame]
    absent: tuple[str, ...] = ()
    rows: int = 0
    left_out: int = 0
    unmatched: int = 0
    texts: int = 0


def prepare(
    said: Mapping, file: Path, key: Callable[[], bytes], known: Callable[[], pl.DataFrame], now_us: int
) -> Prepared:
    """Read, protect and judge the rows of a file; `key` and `known` are asked for only where they are needed.

    Raises MappingFaults where the file lacks columns, FileFault (also where it gives no row at all), and what `key` and
    `known` raise.
    """
    fields = kinds.fields(said.kind)
    secret = key() if persons.identities(said, fields) else None
    found = _read(said, fields, file, secret)
    taken = pl.concat(found.records)
    if row := years.turn(taken, said):
        raise FileFault(
            f"{file}: the time of row {row} is more than half a year away from that of the row before it, so New Year "
            f"lies between; load the lines of each year by themselves, with their year"
        )
    there = known()
    told = kinds.completed(said.kind, taken)
    judged = checks.judge(said.kind, kinds.identity(said.kind), told, there, now_us)
    records = kinds.unlike(said.kind, judged.records, there)
    if "valid_from" in records.columns:
        records = records.sort("valid_from", maintain_order=True)
    again = kinds.newer(said.kind, records, there)
    short = pl.col("value").str.slice(0, SHOWN)
    faults = pl.concat([*found.refused, judged.refused]).with_columns(short).sort("row", "field")
    unchanged, skipped = judged.records.height - records.height, found.left_out + found.unmatched
    counts = (found.rows, judged.repeats, skipped, found.texts, unchanged)
    return Prepared(records, faults, *counts, found.absent, again)


def _read(said: Mapping, fields: dict[str, Field], file: Path, secret: bytes | None) -> _Read:
    """The records of a file without persons."""
    found, seen = _Read([], [pl.DataFrame(schema=REFUSED)]), set[str]()
    spoken = time.monotonic()
    for part in files.read(file, said):
        seen.update(name for name in part.table.columns if name != ROW)
        lacking = [name for name in said.columns if name not in part.table.columns]
        # Objects may lack members, and a part of them may all do so; a heading lacks a column for good.
        if said.format in mapping.HEADED and not said.needed.isdisjoint(lacking):
            break
        table = part.table.with_columns(pl.lit(None, pl.String).alias(name) for name in lacking)
        taken = take(table, said, fields)
        kept, dropped = persons.protected(taken.records, said, fields, secret)
        found.records.append(kept)
        found.refused += [part.refused, taken.refused]
        found.rows += part.table.height + part.refused.height
        found.left_out += taken.skipped
        found.unmatched += part.skipped
        found.texts += dropped
        if time.monotonic() - spoken > SAY_EVERY_S:
            spoken = time.monotonic()
            log.info("reading", extra={"file": file.name, "rows": found.rows})
    # Nothing is known of the members of objects where no object is.
    if (seen or said.format in mapping.HEADED) and (faults := mapping.missing_columns(said, seen, fields)):
        raise MappingFaults(faults)
    # An export of a day on which nothing happened has a heading, and is right.
    if found.rows == found.left_out and found.rows + found.unmatched:
        raise FileFault(f"{file}: {_nothing(said, found)}; nothing is loaded")
    found.absent = tuple(name for name in said.columns if seen and name not in seen)
    return found


def _nothing(said: Mapping, found: _Read) -> str:
    """Why nothing of what is in a file counts: it looks like success, and is mostly a wrong file or mapping."""
    if found.rows:
        words = ", ".join(f"{name} = {' or '.join(map(repr, words))}" for name, words in said.only.items())
        return f"`only` skips all of its {found.rows} rows (it wants {words}); is it the right file?"
    return f"file.pattern fits none of its {found.unmatched} lines; correct the pattern, or name the right file"
