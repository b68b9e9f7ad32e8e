"""IT context joined as of event time, and what is missing named."""

from __future__ import annotations

from typing import Any

import polars as pl

from streams.core.alert.enrich import enrich
from streams.core.context import Context
from tests.core.alert_scene import T0, S, context, signal

FILLER = {
    "asset_id": "filler-1", "valid_from": 0, "path": "e/s/hall/line-1/filler-1", "name": "Filler 1",
    "work_center": "line-1", "work_unit": "filler-1", "criticality": "high", "owner": "mechanics", "zone": "cell-1",
}  # fmt: skip
SIGNAL = signal("a", work_unit="filler-1", name="bearing temperature")


def _order(order_id: str, start: float | None, end: float | None = None, **fields: Any) -> dict[str, Any]:
    times = {
        "actual_start": None if start is None else T0 + round(start * S),
        "actual_end": None if end is None else T0 + round(end * S),
    }
    return {"order_id": order_id, "valid_from": 0, "work_center": "line-1", "product": f"product of {order_id}",
            "status": "running", **times, **fields}  # fmt: skip


def _at(context: Context, *times: float, signal_id: str = "a") -> list[dict[str, Any]]:
    rows = {
        "signal_id": [signal_id] * len(times),
        "work_center": ["line-1"] * len(times),
        "event_time": [T0 + round(at * S) for at in times],
    }
    return enrich(
        pl.DataFrame(rows, {"signal_id": pl.String, "work_center": pl.String, "event_time": pl.Int64}), context
    ).rows(named=True)


def test_asset_and_order_are_joined() -> None:
    """Everything a reader asks for is there, and nothing is missing."""
    (row,) = _at(context([SIGNAL], [FILLER], [_order("PO-1", 0)]), 1)
    assert row["signal_name"] == "bearing temperature"
    assert (row["asset_id"], row["asset_name"], row["asset_path"]) == ("filler-1", "Filler 1", FILLER["path"])
    assert (row["criticality"], row["owner"], row["zone"], row["work_unit"]) == (
        "high",
        "mechanics",
        "cell-1",
        "filler-1",
    )
    assert (row["order_id"], row["product"], row["unit"]) == ("PO-1", "product of PO-1", "Cel")
    assert row["context_missing"] == []


def test_versions_hold_as_of_event_time() -> None:
    """The owner changed at 10 s, the name of the signal at 20 s; rows keep their order, whatever their times."""
    assets = [FILLER, FILLER | {"valid_from": T0 + 10 * S, "owner": "electrics"}]
    signals = [SIGNAL, SIGNAL | {"valid_from": T0 + 20 * S, "name": "bearing 2 temperature"}]
    rows = _at(context(signals, assets), 25, 5, 10)
    assert [row["owner"] for row in rows] == ["electrics", "mechanics", "electrics"]
    assert [row["signal_name"] for row in rows] == [
        "bearing 2 temperature",
        "bearing temperature",
        "bearing temperature",
    ]


def test_after_its_last_version_an_entity_is_missing() -> None:
    """valid_to is exclusive; a gap between versions is a gap."""
    assets = [FILLER | {"valid_to": T0 + 10 * S}, FILLER | {"valid_from": T0 + 20 * S}]
    rows = _at(context([SIGNAL], assets, [_order("PO-1", 0)]), 9.9, 10, 20)
    assert [row["context_missing"] for row in rows] == [[], ["asset"], []]
    assert rows[1]["owner"] is None


def test_everything_that_is_missing_is_named() -> None:
    """No dictionary entry, no asset, no order: the row stays and says so."""
    (row,) = _at(context([]), 0)
    assert row["context_missing"] == ["signal", "asset", "production_order"]
    assert row["signal_name"] is None


def test_a_signal_belongs_to_its_own_asset_before_that_of_its_unit() -> None:
    """The motor of the filler is an asset of the same work unit; without one of its own a signal is the machine's."""
    motor = FILLER | {"asset_id": "motor-7", "path": "e/s/hall/line-1/filler-1/motor-7", "owner": "electrics"}
    signals = [SIGNAL, SIGNAL | {"signal_id": "b", "asset_id": "motor-7"}]
    known = context(signals, [motor, FILLER])
    assert [_at(known, 0, signal_id=name)[0]["owner"] for name in ("a", "b")] == ["mechanics", "electrics"]


def test_the_order_that_ran_then_is_found() -> None:
    """Start inclusive, end exclusive, none between; another line's and a cancelled one never."""
    orders = [
        _order("PO-1", 0, 10),
        _order("PO-2", 15),
        _order("PO-3", 0, work_center="line-2"),
        _order("PO-4", 0, status="cancelled"),
        _order("PO-5", None, status="released"),
    ]
    rows = _at(context([SIGNAL], [FILLER], orders), 0, 9.9, 10, 15)
    assert [row["order_id"] for row in rows] == ["PO-1", "PO-1", None, "PO-2"]
    assert rows[2]["context_missing"] == ["production_order"]


def test_an_order_of_the_machine_comes_before_one_of_the_line() -> None:
    """An order of another machine is none of ours."""
    orders = [_order("PO-U", 0, work_unit="filler-1"), _order("PO-L", 5), _order("PO-X", 6, work_unit="packer-1")]
    assert [row["order_id"] for row in _at(context([SIGNAL], [FILLER], orders), 1, 7)] == ["PO-U", "PO-U"]


def test_what_is_told_late_about_an_order_is_believed() -> None:
    """The newest version says when it ran, also for times before that version was written."""
    orders = [_order("PO-1", None, status="released"), _order("PO-1", 0, 10, valid_from=T0 + 3600 * S)]
    assert [row["order_id"] for row in _at(context([SIGNAL], [FILLER], orders), 5, 11)] == ["PO-1", None]


def test_no_rows_are_no_rows() -> None:
    """Nothing in, nothing out, with all columns."""
    assert _at(context([SIGNAL])) == []
