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

from streams.core.load import checks, mapping, persons
from streams.core.load.faults import MappingFaults
from streams.core.load.mapping import Field, Mapping
from streams.core.load.take import REFUSED, ROW, take
from streams.load import files, kinds

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
    again: pl.DataFrame = field(default_factory=pl.DataFrame)


def mapped(kind: str, file: Path) -> Mapping:
    """The mapping in a file. Raises MappingFaults, which list everything that is wrong with it, or OSError."""
    try:
        text = file.read_text("utf-8-sig")  # editors on Windows write a byte order mark
    except UnicodeDecodeError as why:
        raise MappingFaults([f"  no UTF-8 ({why.reason}): convert the file (iconv -t UTF-8)"]) from why
    said = mapping.parse(text, {name: kinds.fields(name) for name in kinds.KINDS})
    faults = persons.leaks(said, kinds.fields(said.kind))
    if said.kind != kind:
        faults.append(f"  kind = {said.kind!r}: the command says {kind!r}; use the mapping of that kind")
    if faults:
        raise MappingFaults(faults)
    return said


def prepare(
    said: Mapping, file: Path, key: Callable[[], bytes], known: Callable[[], pl.DataFrame], now_us: int
) -> Prepared:
    """Read, protect and judge the rows of a file; `key` and `known` are asked for only where they are needed.

    Raises MappingFaults where the file lacks columns, FileFault, and what `key` and `known` raise.
    """
    fields = kinds.fields(said.kind)
    secret = key() if persons.identities(said, fields) else None
    taken, refused, rows, skipped, texts = _read(said, fields, file, secret)
    there = known()
    told = kinds.completed(said.kind, taken)
    judged = checks.judge(said.kind, kinds.identity(said.kind), told, there, now_us)
    records = kinds.unlike(said.kind, judged.records, there)
    if "valid_from" in records.columns:
        records = records.sort("valid_from", maintain_order=True)
    again = kinds.newer(said.kind, records, there)
    short = pl.col("value").str.slice(0, SHOWN)
    faults = pl.concat([refused, judged.refused]).with_columns(short).sort("row", "field")
    unchanged = judged.records.height - records.height
    return Prepared(records, faults, rows, judged.repeats, skipped, texts, unchanged, again)


def _read(
    said: Mapping, fields: dict[str, Field], file: Path, secret: bytes | None
) -> tuple[pl.DataFrame, pl.DataFrame, int, int, int]:
    """Records without persons, the refused, and how many rows there are, are skipped, and had texts left out."""
    records, refused, seen = [], [pl.DataFrame(schema=REFUSED)], set[str]()
    rows = skipped = texts = 0
    spoken = time.monotonic()
    for part in files.read(file, said):
        seen.update(name for name in part.table.columns if name != ROW)
        lacking = [name for name in said.columns if name not in part.table.columns]
        # Objects may lack members, and a part of them may all do so; a heading lacks a column for good.
        if lacking and said.format in mapping.HEADED:
            break
        table = part.table.with_columns(pl.lit(None, pl.String).alias(name) for name in lacking)
        found = take(table, said, fields)
        kept, dropped = persons.protected(found.records, said, fields, secret)
        records.append(kept)
        refused += [part.refused, found.refused]
        rows += part.table.height + part.refused.height
        skipped += part.skipped + found.skipped
        texts += dropped
        if time.monotonic() - spoken > SAY_EVERY_S:
            spoken = time.monotonic()
            log.info("reading", extra={"file": file.name, "rows": rows})
    if faults := mapping.missing_columns(said, seen):
        raise MappingFaults(faults)
    return pl.concat(records), pl.concat(refused), rows, skipped, texts
