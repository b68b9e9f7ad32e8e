"""`plantweave context load KIND FILE --mapping M`. Enters: settings, arguments. Leaves: records sent, and a report.

Exit code 0: every row was taken; 3: some were refused, the report says which and what to do, the others are loaded;
1: the file, the key or the broker cannot be used, also where the file gives no row at all; 2: the mapping file or the
command is wrong. After 1 and 2 nothing is loaded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from streams import topology
from streams.kafka.context import ContextStore
from streams.load import kinds
from streams.load.key import read_key
from streams.load.prepare import Prepared, mapped, prepare
from streams.load.publish import publish
from streams.settings import Settings

SHOWN: Final = 20
SOME_REFUSED: Final = 3


@dataclass(frozen=True)
class Report:
    """What became of the rows of a file."""

    kind: str
    of: Prepared
    sent: bool

    def counts(self) -> dict[str, int]:
        """By what became of them: all rows, records to send, and so on."""
        found = self.of
        return {
            "rows": found.rows,
            "records": found.records.height,
            "refused": found.refused["row"].n_unique(),
            "repeated": found.repeats,
            "skipped": found.skipped,
            "unchanged": found.unchanged,
            "texts_left_out": found.texts,
        }

    def text(self) -> str:
        """For people."""
        count = self.counts()
        head = (
            f"{self.kind}: {count['rows']} rows, {count['records']} records "
            f"{'loaded' if self.sent else 'to load (dry run)'}, {count['refused']} rows refused, "
            f"{count['repeated']} repeated, {count['unchanged']} unchanged, {count['skipped']} skipped"
        )
        texts = f"  {count['texts_left_out']} texts left out, as they may name persons; `clear = true` would keep them"
        absent = f"  columns that the file lacks (optional): {', '.join(self.of.absent)}"
        refused = self.of.refused
        told = [
            f"  row {row}{'' if field is None else ', ' + field}: {'' if value is None else repr(value) + ' '}"
            f"{problem}; {remedy}"
            for row, field, value, problem, remedy in refused.head(SHOWN).iter_rows()
        ]
        more = [f"  and {refused.height - SHOWN} more; --report FILE writes all of them"]
        notes = [*([texts] if count["texts_left_out"] else []), *([absent] if self.of.absent else [])]
        return "\n".join([head, *notes, *told, *(more if refused.height > SHOWN else [])])

    def line(self) -> str:
        """For programs."""
        absent = list(self.of.absent)
        return json.dumps({"kind": self.kind, **self.counts(), "absent_columns": absent, "loaded": self.sent})


def load(
    settings: Settings, kind: str, file: Path, mapping_file: Path, dry_run: bool, year: int | None = None
) -> Report:
    """Load a file, or only say what would be loaded; `year` is that of times that tell none.

    Raises MappingFaults, FileFault, KeyFault, NotSent, OSError; nothing is sent then.
    """
    topic = kinds.KINDS[kind]
    said = mapped(kind, mapping_file, year)

    def known() -> pl.DataFrame:
        return asyncio.run(_there(settings, topic)) if topic in topology.CONTEXT else pl.DataFrame()

    found = prepare(said, file, lambda: read_key(settings.pseudonym_key_file), known, time.time_ns() // 1_000)
    if not dry_run and found.records.height:
        publish(settings, topic, found.records, found.again)
    return Report(kind, found, sent=not dry_run)


async def _there(settings: Settings, topic: topology.Topic) -> pl.DataFrame:
    store = ContextStore(settings, (topic,))
    try:
        await store.start()
        return store.current.frame(topic.name)
    finally:
        await store.stop()


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `plantweave context load`."""
    command.add_argument("kind", choices=list(kinds.KINDS), help="what the rows are")
    command.add_argument("file", type=Path, help="CSV, JSON, JSON lines, Zeek log or lines; also compressed by gzip")
    command.add_argument("--mapping", type=Path, required=True, help="TOML file: which column makes which field")
    command.add_argument("--year", type=int, help="year of times that tell none, as those of syslog")
    command.add_argument("--dry-run", action="store_true", help="send nothing, only report")
    command.add_argument("--report", type=Path, help="write what was refused to this file (JSON lines)")
    command.add_argument("--json", action="store_true", help="report as one JSON object")


def told(settings: Settings, given: argparse.Namespace) -> tuple[str, int]:
    """Run the command; what to print, and its exit code. Raises what `load` raises."""
    if given.report is not None:
        given.report.write_text("")  # before anything is sent: a folder that is not there is told now
    report = load(settings, given.kind, given.file, given.mapping, given.dry_run, given.year)
    if given.report is not None:
        report.of.refused.write_ndjson(given.report)
    return report.line() if given.json else report.text(), SOME_REFUSED if report.of.refused.height else 0
