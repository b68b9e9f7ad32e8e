"""The clocks of a repair: where they come from, how precise they are, which are calculated with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from streams.core.correlate.clocks import Clock
from streams.core.correlate.repair import repair_kpis
from streams.core.correlate.tables import CLOCKS, INCIDENT
from streams.core.load import mapping
from streams.core.load.take import take
from streams.load import files, kinds
from tests.core.correlate_scene import DAY, MINUTE, Row, alert, event
from tests.core.incident_scene import at, order, say
from tests.core.kpi_run import ROOT

REPAIR: Row = {"released_at": 4, "arrived_at": 12, "finished_at": 41, "verified_at": 50, "status": "verified"}
MAPPING = ROOT / "tests" / "evaluation" / "mappings" / "nist_work_orders.toml"
# In the form of the corpus: number, machine, what was typed, begin, type.
NIST = """#,Asset,OriginalShorttext,BscStartDate,PMType
1,A,REPLACE LIP,2004-07-01,PM01
2,A,1000 HR SERVICE,2004-07-09,PM02
3,B,BUCKET WON'T OPEN,2004-07-20,PM01
"""


def filler(name: str = "a", begin: float = 0, end: float | None = 45, **fields: Any) -> Row:
    """An alert of the filler."""
    return alert(name, begin, end, **{"asset": "filler", "work_unit": "filler", **fields})


def clock(said: dict[str, Any], name: str) -> tuple[Any, ...]:
    """Minutes after T0, source and precision of a clock."""
    time = said[f"{name}_at"]
    return None if time is None else (time - at(0)) / MINUTE, said[f"{name}_source"], said[f"{name}_precision"]


def test_six_clocks_and_two_durations() -> None:
    """Fault 0, detected 0.1, acknowledged 3, arrived 12, repaired 41, verified 50: down 41 min, repair 29 min."""
    near = [event("k", 3, "alarm", state="acknowledged", asset_id="filler", source_id="plc")]
    said = say(filler(detection_time=at(0.1)), near=near, work_order=[order(**REPAIR, failure_mode="bearing worn")])
    assert [clock(said, name) for name in CLOCKS] == [
        (0, "alert:a", "exact"),
        (0.1, "alert:a", "exact"),
        (3, "alarm:k", "exact"),
        (12, "work_order:WO-1", "exact"),
        (41, "work_order:WO-1", "exact"),
        (50, "work_order:WO-1", "exact"),
    ]
    assert (said["down_s"], said["repair_s"]) == (41 * 60, 29 * 60)
    assert said["failure_mode"] == "bearing worn"
    assert not [word for word in said["context_missing"] if word.startswith("work_order")]


def test_without_an_order_there_is_no_repair() -> None:
    """The clocks are absent, and the order that was looked for is named."""
    said = say(filler())
    assert [clock(said, name) for name in CLOCKS[2:]] == [(None, None, "absent")] * 4
    assert (said["down_s"], said["repair_s"]) == (None, None)
    assert "work_order" in said["context_missing"]


@pytest.mark.parametrize("precision", ["typed_later", "day"])
def test_imprecise_clocks_are_told_and_not_calculated_with(precision: str) -> None:
    """Typed a day later, or known by the day."""
    said = say(filler(), work_order=[order(**REPAIR, precision=precision)])
    assert clock(said, "repaired") == (41, "work_order:WO-1", precision)
    assert (said["down_s"], said["repair_s"]) == (None, None)


def test_an_absent_clock_is_absent_whatever_stands_in_its_field() -> None:
    """A system that writes a default date and says so."""
    said = say(filler(), work_order=[order(**REPAIR, finished_at_precision="absent")])
    assert clock(said, "repaired") == (None, None, "absent")
    assert (said["down_s"], said["repair_s"]) == (None, None)


def test_an_imprecise_fault_gives_no_down_time() -> None:
    """But the technician's work has a length."""
    said = say(filler(time_precision="typed_later"), work_order=[order(**REPAIR)])
    assert (said["fault_precision"], said["down_s"], said["repair_s"]) == ("typed_later", None, 29 * 60)


def test_the_begin_of_work_is_no_arrival() -> None:
    """It is shown in its place, named, and not calculated with."""
    said = say(filler(), work_order=[order(started_at=15, finished_at=41)])
    assert clock(said, "arrived") == (15, "work_order:WO-1", "exact")
    assert (said["down_s"], said["repair_s"]) == (41 * 60, None)
    assert "work_order:WO-1 arrived_at" in said["context_missing"]


@pytest.mark.parametrize(
    ("clocks", "down", "work"),
    [
        ({"arrived_at": 42}, None, None),  # arrived after it was repaired
        ({"arrived_at": -5}, 41 * 60, None),  # before the fault
        ({"verified_at": 30}, None, None),  # verified before it was repaired
        ({"arrived_at": 41}, 41 * 60, 0),  # at once is no contradiction
    ],
)
def test_contradictions_are_kept_and_named(clocks: Row, down: float | None, work: float | None) -> None:
    """Times that cannot be are shown as they are, and no duration rests on them."""
    said = say(filler(), work_order=[order(**{**REPAIR, **clocks})])
    for name, minutes in clocks.items():
        assert clock(said, name.removesuffix("_at"))[0] == minutes
    assert (said["down_s"], said["repair_s"]) == (down, work)
    named = "work_order:WO-1 clocks contradict" in said["context_missing"]
    assert named == (clocks != {"arrived_at": 41})


def test_a_day_contradicts_only_as_a_day() -> None:
    """The day of the fault is not before the fault; the day before it is."""
    exact = Clock(at(0), "a", "exact")
    assert not Clock(at(0) - DAY + 1, "b", "day").before(exact)
    assert Clock(at(0) - DAY, "b", "day").before(exact)
    assert exact.before(Clock(at(0) + 1, "b", "day"))
    assert not Clock().before(exact)
    assert not exact.before(exact)


def test_what_was_known_before_it_was_is_named() -> None:
    """A clock that runs ahead somewhere."""
    said = say(filler(detection_time=at(-1)))
    assert "alert:a clocks contradict" in said["context_missing"]
    assert clock(say(filler(detection_time=0)), "detected") == (None, None, "absent")


def test_acknowledgements() -> None:
    """Of the asset or of the same alarm, not before the fault, the first of them."""

    def told(name: str, time: float, **fields: Any) -> Row:
        return event(name, time, "alarm", **{"state": "acknowledged", "source_id": "plc", "type": "E1", **fields})

    member = event("m", 0, "alarm", state="active", source_id="plc", type="E1", asset_id=None)
    near = [
        told("early", -1),
        told("later", 5),
        told("first", 4),
        told("other", 2, type="E2"),
        told("c", 1, state="cleared"),
    ]
    assert clock(say(member, near=near), "acknowledged") == (4, "alarm:first", "exact")
    assert clock(say(filler(), near=near), "acknowledged") == (None, None, "absent")
    assert clock(say(filler(), near=[told("asset", 2, type="E9", asset_id="filler")]), "acknowledged")[0] == 2


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({}, True),
        ({"kind": "preventive"}, False),
        ({"kind": "standing"}, False),
        ({"status": "cancelled"}, False),
        ({"asset_id": "filler/valve"}, True),
        ({"asset_id": "line-1"}, False),
        ({"asset_id": "capper"}, False),
        ({"asset_id": None, "asset_path": "acme/site-1/hall/line-1/filler/"}, True),
        ({"asset_id": None, "work_center": "line-1", "work_unit": "filler"}, True),
        ({"asset_id": None, "work_center": "line-1"}, False),
        (
            {"released_at": 74, "arrived_at": 74.5, "finished_at": 80, "verified_at": 81},
            True,
        ),  # half an hour after its end
        ({"released_at": 76, "arrived_at": 77, "finished_at": 80, "verified_at": 81}, False),
        ({"released_at": -9, "arrived_at": -8, "finished_at": 0, "verified_at": None}, False),  # over when it began
        ({"site": "elsewhere"}, False),
        ({"site": ""}, True),
    ],
)
def test_which_order_repairs(fields: Row, fits: bool) -> None:
    """A corrective order on the asset, its machine or a part of that, at work during the incident or just after it."""
    said = say(filler(), work_order=[order(**{**REPAIR, **fields})])
    assert (said["repaired_source"] == "work_order:WO-1") is fits


def test_of_several_orders_the_nearest_repairs() -> None:
    """The asset's own before the valve's; one that began after the fault before an older one; the smallest number."""
    own, valve = order("WO-9", **REPAIR), order("WO-1", **REPAIR, asset_id="filler/valve")
    older, same = order("WO-2", **{**REPAIR, "released_at": -2}), order("WO-8", **REPAIR)
    for told in ([own, valve, older], [older, valve, own]):
        said = say(filler(), work_order=told)
        assert (said["repaired_source"], said["work_orders"]) == ("work_order:WO-9", ["WO-2", "WO-1", "WO-9"])
    assert say(filler(), work_order=[own, same])["repaired_source"] == "work_order:WO-8"
    planned = order("WO-0", planned_start=1, planned_end=60, status="planned")
    assert say(filler(), work_order=[planned, valve])["repaired_source"] == "work_order:WO-1"


def test_an_order_written_days_late_repairs_what_was_then() -> None:
    """Its newest version speaks, whenever it was written and in whichever order versions come."""
    first, last = order(released_at=4, status="released"), order(**REPAIR, valid_from=at(5000))
    for told in ([first, last], [last, first]):
        assert say(filler(), work_order=told)["down_s"] == 41 * 60


def nist(tmp_path: Path) -> list[Row]:
    """Orders as `plantweave context load` makes them of rows like those of the corpus."""
    file = tmp_path / "excavators.csv"
    file.write_text(NIST, "utf-8")
    said = mapping.parse(MAPPING.read_text("utf-8"), {name: kinds.fields(name) for name in kinds.KINDS})
    taken = [take(part.table, said, kinds.fields("work_order")) for part in files.read(file, said)]
    assert all(part.refused.is_empty() for part in taken)
    return [{"site": "site-1", "valid_from": 0, **row} for part in taken for row in part.records.to_dicts()]


def test_orders_with_dates_only_give_no_mean_but_are_counted(tmp_path: Path) -> None:
    """NIST's excavators: the day of the work is told as a day, no repair time follows, both are counted as left out."""
    orders = nist(tmp_path)
    begins = [row["started_at"] + DAY // 2 for row in orders if row["kind"] == "corrective"]
    assert len(begins) == 2
    rows = []
    for number, (asset, begin_us) in enumerate(zip(("excavator-A", "excavator-B"), begins, strict=True)):
        minutes = (begin_us - at(0)) / MINUTE
        said = say(
            filler(str(number), minutes, minutes + 60, asset=asset, work_unit=None, work_center="quarry"),
            work_order=orders,
        )
        assert (said["arrived_precision"], said["arrived_at"]) == ("day", begin_us - DAY // 2)
        assert (said["arrived_source"], said["down_s"], said["repair_s"]) == (
            f"work_order:{asset[-1]}-{1 if asset[-1] == 'A' else 3}",
            None,
            None,
        )
        rows.append({**dict.fromkeys(INCIDENT), **said, "incident_id": str(number), "revision": 1, "state": "closed"})
    kpis = repair_kpis(pl.DataFrame(rows, schema=INCIDENT, orient="row"))
    told = kpis.select("kpi", "asset_id", "value", "failure_events", "excluded_events", "period_id").rows()
    assert told == [
        (kpi, asset, None, 0, 1, "2004-07")
        for kpi in ("mttr_iso", "mttr_smrp")
        for asset in ("excavator-A", "excavator-B")
    ]
