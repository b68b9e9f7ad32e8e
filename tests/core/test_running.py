"""Which production order ran: against a plain look at every order."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import topology
from streams.core.alert.running import running
from tests.core.label_scene import World, at, production

PLACES = (None, "filler-1", "packer-1")


def plain(orders: list[dict[str, Any]], unit: str | None, time: int) -> str | None:
    """The running order of the machine, else of the line, that was started last."""
    ran = [
        order for order in orders
        if order["status"] != "cancelled" and order["actual_start"] is not None and order["work_center"] == "line-1"
        and order["actual_start"] <= time and (order["actual_end"] is None or time < order["actual_end"])
        and order["work_unit"] in {None, unit}
    ]  # fmt: skip
    ran.sort(key=lambda order: (order["work_unit"] is not None, order["actual_start"], order["order_id"]))
    return ran[-1]["order_id"] if ran else None


@st.composite
def _orders(draw: st.DrawFn) -> list[dict[str, Any]]:
    found = []
    for number in range(draw(st.integers(0, 7))):
        begin, lasts = draw(st.integers(0, 9)), draw(st.sampled_from((0, 1, 2, 5, 9, None)))
        row = production(f"PO-{number}", begin, None if lasts is None else begin + lasts)
        row["work_center"] = draw(st.sampled_from(("line-1", "line-1", "line-1", "line-2")))
        row["work_unit"] = draw(st.sampled_from(PLACES))
        row["status"] = draw(st.sampled_from(("running", "running", "running", "cancelled")))
        row["actual_start"] = draw(st.sampled_from((row["actual_start"], row["actual_start"], None)))
        found.append(row)
    return found


@settings(max_examples=300, deadline=None)
@given(_orders())
def test_the_order_that_was_started_last_and_still_runs(orders: list[dict[str, Any]]) -> None:
    """Whatever overlaps, on the line and on its machines: at every instant, asked for in any order of time."""
    asked = [(unit, at(second)) for unit in PLACES for second in (19, 0, 3, 1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, -1)]
    rows = pl.DataFrame(
        {"work_center": ["line-1"] * len(asked), "work_unit": [unit for unit, _ in asked],
         "event_time": [time for _, time in asked]},
        schema={"work_center": pl.String, "work_unit": pl.String, "event_time": pl.Int64},
    )  # fmt: skip
    found = running(rows, World(*((topology.PRODUCTION_ORDER, order) for order in orders)).now)
    assert found["order_id"].to_list() == [plain(orders, unit, time) for unit, time in asked]
    assert found.filter(pl.col("order_id").is_not_null())["product"].null_count() == 0
