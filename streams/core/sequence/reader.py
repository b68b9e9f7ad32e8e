"""Reads a file with lists of tables. Enters: a text. Leave: typed values, and one fault for everything wrong."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from streams.core.alert.rule_table import Faults, TableReader


class Reader(TableReader):
    """A table that may hold lists of tables, and flags."""

    def __init__(self, name: str, where: str, table: Mapping[str, Any] | None, faults: Faults) -> None:
        super().__init__(name, where, table, faults)
        self._of = (name, where, faults)

    def table(self, field: str) -> Reader:
        """The table called `field`, which must be there."""
        name, where, faults = self._of
        value = self._take(field)
        if not isinstance(value, dict):
            self.fault(field, f"is missing; write a table [{field}]" if value is None else "must be a table")
        return Reader(name, f"{where}{field}.", value if isinstance(value, dict) else None, faults)

    def tables(self, field: str, *, at_least: int) -> Iterator[Reader]:
        """The tables of the list `field`, which has so many at least; what is no table is a fault and left out."""
        name, where, faults = self._of
        value = self._take(field)
        rows = value if isinstance(value, list) else []
        if value is not None and not isinstance(value, list):
            self.fault(field, f"must be a list of tables; write [[{field}]]")
        elif self.present and len(rows) < at_least:
            self.fault(field, f"is missing; write a table [[{field}]] for each")
        for number, row in enumerate(rows, start=1):
            if isinstance(row, dict):
                yield Reader(name, f"{where}{field}[{number}].", row, faults)
            else:
                self.fault(f"{field}[{number}]", f"must be a table; write [[{field}]]")

    def flag(self, field: str) -> bool | None:
        """A truth value; None where it is missing or wrong."""
        value = self._take(field)
        if value is not None and not isinstance(value, bool):
            self.fault(field, f"is {value!r}; write true or false")
        return value if isinstance(value, bool) else None


def parsed(name: str, text: str, faults: Faults) -> dict[str, Any] | None:
    """The table of a file; None, and a fault, where it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        faults.add(name, "file", f"is not TOML: {error}; the format is described in streams/rules/README.md")
        return None


def identity(name: str, top: TableReader) -> str:
    """The id of a file, which is its name: so no two files have the same."""
    rule_id = top.text("id", pattern=r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
    stem = PurePosixPath(name).stem
    if rule_id and rule_id != stem:
        top.fault("id", f"is {rule_id!r} in a file called {stem!r}; a sequence's file is called <id>.toml")
    return rule_id
