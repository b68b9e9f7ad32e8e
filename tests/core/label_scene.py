"""A filler with all its IT context for the tests of labels: records as they are told, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import polars as pl

from streams import topology
from streams.core.context import Context
from streams.core.dictionary import SIGNAL
from tests.core.alert_scene import ASSET, ORDER, T0, S, rule, signal
from tests.core.verdict_scene import CHANGE, CLOCKS, WORK_ORDER

POSITION: Final = pl.Schema(
    {name: pl.String() for name in ("position_id", "site", "tenant")}
    | {"valid_from": pl.Int64(), "valid_to": pl.Int64(), "name": pl.String()}
    | {"paths": pl.List(pl.String()), "work_centers": pl.List(pl.String()), "kind": pl.String()}
)
SCHEMAS: Final = {
    topology.SIGNAL.name: SIGNAL,
    topology.ASSET.name: ASSET,
    topology.PRODUCTION_ORDER.name: ORDER,
    topology.WORK_ORDER.name: WORK_ORDER,
    topology.CHANGE.name: CHANGE,
    topology.OPERATOR_POSITION.name: POSITION,
}
Row = dict[str, Any]
PATH: Final = "e/s/hall/line-1/filler-1"
BEARING: Final = signal("a", work_unit="filler-1", name="bearing temperature")
# Work that explains what these rules tell.
HOT: Final = replace(rule(), activities=("repair", "lubricate"))


def at(seconds: float) -> int:
    """An instant, seconds after T0."""
    return T0 + round(seconds * S)


def asset(asset_id: str = "filler-1", **fields: Any) -> Row:
    """The filler, or another asset, as it always was."""
    row = {
        "asset_id": asset_id, "valid_from": 0, "path": PATH, "name": "Filler 1", "work_center": "line-1",
        "work_unit": "filler-1", "criticality": "high", "owner": "mechanics", "zone": "cell-1",
    }  # fmt: skip
    return row | fields


def repair(order_id: str = "WO-7", begin: float = -60, end: float | None = 60, **fields: Any) -> Row:
    """A repair of the filler with exact times."""
    row = {
        "order_id": order_id, "valid_from": 0, "asset_id": "filler-1", "kind": "corrective", "status": "started",
        "activity": "repair", "actors": [], "started_at": at(begin), "planned_end": None if end is None else at(end),
    }  # fmt: skip
    return {f"{name}_precision": "exact" for name in CLOCKS} | row | fields


def permit(change_id: str = "CH-3", begin: float = -60, end: float = 60, **fields: Any) -> Row:
    """An approved change of the filler."""
    row = {
        "change_id": change_id, "valid_from": 0, "asset_ids": ["filler-1"], "asset_paths": [], "kind": "normal",
        "status": "approved", "activity": "lubricate", "start": at(begin), "end": at(end), "actors": [],
    }  # fmt: skip
    return row | fields


def position(position_id: str, *paths: str, **fields: Any) -> Row:
    """An operator position that answers for paths."""
    row = {"position_id": position_id, "valid_from": 0, "paths": list(paths), "work_centers": [], "kind": "operator"}
    return row | fields


def production(order_id: str = "PO-1", begin: float = -3600, end: float | None = None, **fields: Any) -> Row:
    """A production order that ran on the line."""
    row = {
        "order_id": order_id, "valid_from": 0, "work_center": "line-1", "product": "cola", "status": "running",
        "actual_start": at(begin), "actual_end": None if end is None else at(end),
    }  # fmt: skip
    return row | fields


class World:
    """What has been told of the context so far. A topic that nothing more is told of keeps its frame."""

    def __init__(self, *rows: tuple[topology.Topic, Mapping[str, Any]]) -> None:
        self._rows: dict[str, list[Mapping[str, Any]]] = {name: [] for name in SCHEMAS}
        self._frames = {name: pl.DataFrame(schema=schema) for name, schema in SCHEMAS.items()}
        self._version = 0
        for topic, row in rows:
            self.tell(topic, row)

    def tell(self, topic: topology.Topic, row: Mapping[str, Any]) -> Context:
        """The context once this record has come; a version takes the place of one with the same valid_from."""
        schema = SCHEMAS[topic.name]
        key = schema.names()[0]
        same = [known for known in self._rows[topic.name]
                if (known[key], known["valid_from"]) != (row[key], row["valid_from"])]  # fmt: skip
        self._rows[topic.name] = [*same, row]
        self._frames[topic.name] = pl.DataFrame(self._rows[topic.name], schema=schema)
        self._version += 1
        return self.now

    @property
    def now(self) -> Context:
        """The context as told so far."""
        return Context(dict(self._frames), self._version)


def plant(*rows: tuple[topology.Topic, Mapping[str, Any]]) -> World:
    """The filler, its signal, and more."""
    return World((topology.SIGNAL, BEARING), (topology.ASSET, asset()), *rows)
