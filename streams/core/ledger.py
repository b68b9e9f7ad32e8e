"""The tables of a stage within one step. Enter: the state of a task. Leaves: the tables as they stand, what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import polars as pl

from streams.core.stage import Change, Table, Tables, apply, combine


class Ledger:
    """Tables as they stand within one step, the changes that led there, and what was counted on the way."""

    def __init__(self, tables: Sequence[Table], state: Tables) -> None:
        self._frames = {table.name: state[table.name] for table in tables}
        self.changes: dict[str, Change] = {}
        self.counts: Counter[tuple[str, str]] = Counter()

    def __getitem__(self, table: Table) -> pl.DataFrame:
        return self._frames[table.name]

    def change(self, table: Table, change: Change) -> None:
        """Apply `change` to `table` and remember it."""
        name = table.name
        self._frames[name] = apply(table, self._frames[name], change)
        self.changes[name] = combine(table, self.changes[name], change) if name in self.changes else change

    def upsert(self, table: Table, rows: pl.DataFrame) -> None:
        """Write rows with the table's columns; none are no change."""
        if rows.height:
            self.change(table, Change(upsert=rows.select(table.schema.names())))

    def delete(self, table: Table, keys: pl.DataFrame) -> None:
        """Remove the rows with these keys; none are no change."""
        if keys.height:
            self.change(table, Change(delete=keys.select(table.key)))
