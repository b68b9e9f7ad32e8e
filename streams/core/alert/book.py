"""The conditions of one task. Enter: rows of the table `condition`. Leave: `Condition`s, and the rows to write back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any, Final

import polars as pl

from streams.core.alert.rule import Rule
from streams.core.alert.rule_match import Compiled
from streams.core.alert.state import ACTIVE, NORMAL, PENDING, Condition, Reading
from streams.core.frames import ID
from streams.core.stage import Table

CONDITION: Final = Table(
    "condition",
    pl.Schema(
        {
            "rule_id": ID,
            "signal_id": ID,
            "rule_version": pl.Int32(),
            "condition": ID,
            "kind": ID,
            "priority": ID,
            "site": ID,
            "tenant": ID,
            "work_center": ID,
            "source_id": ID,
            "phase": ID,
            "begin_time": pl.Int64(),
            "active_time": pl.Int64(),
            "end_time": pl.Int64(),
            "due": pl.Int64(),
            "revision": pl.Int32(),
            "annunciated": pl.Boolean(),
            "behind": pl.Boolean(),
            "limit": pl.Float64(),
            "begin_evidence": pl.String(),
            "begin_unknown_us": pl.Int64(),
            "alert_id": pl.String(),
            "value": pl.Float64(),
            "value_string": ID,
            "quality": pl.Int8(),
            "ingest_time": pl.Int64(),
            "evidence": pl.String(),
        }
    ),
    key=("rule_id", "signal_id"),
)
_READING: Final = tuple(field.name for field in fields(Reading))
_OWN: Final = tuple(field.name for field in fields(Condition) if field.name != "last")

Key = tuple[str, str]


class Book:
    """Conditions by (rule id, signal id): those open from the start, others as they are asked for."""

    def __init__(self, table: pl.DataFrame) -> None:
        self._table = table
        self._all = {(c.rule_id, c.signal_id): c for c in _conditions(table.filter(pl.col("phase") != NORMAL))}
        self._touched: dict[Key, Condition] = {}

    def open(self) -> list[Condition]:
        """Conditions that are not in their normal phase."""
        return [condition for condition in self._all.values() if condition.phase != NORMAL]

    def known(self, key: Key) -> Condition | None:
        """The condition of a key that was loaded; None: it never held."""
        return self._all.get(key)

    def put(self, condition: Condition) -> None:
        """This one takes the place of what was known of its key."""
        self._all[condition.rule_id, condition.signal_id] = condition
        self.touch(condition)

    def touch(self, condition: Condition) -> None:
        """Write this one back."""
        self._touched[condition.rule_id, condition.signal_id] = condition

    def load(self, keys: Iterable[Key]) -> None:
        """Make what the table knows of `keys` available; of a closed condition that is its last alert."""
        wanted = [key for key in keys if key not in self._all]
        if wanted and self._table.height:
            keys_frame = pl.DataFrame(wanted, schema=CONDITION.schema.names()[:2], orient="row").cast({pl.String: ID})
            for found in _conditions(self._table.join(keys_frame, on=list(CONDITION.key), how="semi")):
                self._all[found.rule_id, found.signal_id] = found

    def of(self, rule: Rule, row: dict[str, Any], signal_id: str) -> Condition:
        """The condition of `rule` on the signal of a judged reading, judged by the rule as it is now."""
        key = (rule.id, signal_id)
        condition = self._all.get(key)
        if condition is None:
            condition = self._all[key] = Condition(
                rule.id, signal_id, rule.version, rule.condition.fingerprint, rule.kind, rule.priority,
                row["site"], row["tenant"], row["work_center"], row["source_id"],
            )  # fmt: skip
        elif condition.phase == NORMAL:
            condition.condition = rule.condition.fingerprint
            condition.site, condition.tenant = row["site"], row["tenant"]
            condition.work_center, condition.source_id = row["work_center"], row["source_id"]
        condition.rule_version, condition.kind, condition.priority = rule.version, rule.kind, rule.priority
        self.touch(condition)
        return condition

    def held(self, compiled: Compiled) -> pl.DataFrame:
        """(pair, held, line) of every open condition that the rules still know."""
        rows = [
            (pair, condition.phase in {PENDING, ACTIVE}, condition.work_center)
            for condition in self.open()
            if (pair := compiled.pair_number.get((condition.rule_id, condition.signal_id))) is not None
        ]
        return pl.DataFrame(rows, schema={"pair": pl.Int64(), "held": pl.Boolean(), "line": ID}, orient="row")

    def upsert(self) -> pl.DataFrame:
        """Rows of every touched condition."""
        rows = [
            [getattr(c, name) for name in _OWN] + [getattr(c.last, name, None) for name in _READING]
            for c in self._touched.values()
        ]
        frame = pl.DataFrame(rows, schema={name: CONDITION.schema[name] for name in (*_OWN, *_READING)}, orient="row")
        return frame.select(CONDITION.schema.names())


def _conditions(frame: pl.DataFrame) -> Iterator[Condition]:
    for row in frame.iter_rows(named=True):
        last = Reading(*(row[name] for name in _READING)) if row["evidence"] is not None else None
        yield Condition(**{name: row[name] for name in _OWN}, last=last)
