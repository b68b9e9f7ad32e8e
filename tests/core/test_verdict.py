"""Verdicts: what makes an alert expected, possible or expired, and what never explains it."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import streams
from streams.core.context import Context
from streams.core.verdict import VERDICT, Policy, verdicts
from streams.core.verdict.catalogue import ACTIVITIES
from streams.core.verdict.kept import Kept
from tests.core.verdict_scene import FILLER, LINE, H, Row, alert, at, change, context, frame, order, said

ROOT = Path(__file__).parents[2]
NOT_TOLD = {"asset_id": None}
PLAN = {"started_at": None, "finished_at": None, "planned_start": at(9), "planned_end": at(12)}


def _label(row: Row) -> tuple[Any, Any, Any]:
    return row["verdict"], row["verdict_by"], row["verdict_reference"]


@pytest.mark.parametrize(
    ("of", "by", "text"),
    [
        ({}, {}, "asset, time and activity repair match"),
        ({"actors": ["bert"]}, {"actors": ["anna", "bert"], "activity": None}, "asset, time and actor match"),
        ({"actors": ["bert"]}, {"actors": ["bert"]}, "asset, time, activity repair and actor match"),
        ({}, NOT_TOLD | {"asset_path": "e/s/line-1/filler"}, "asset, time and activity repair match"),
        ({}, NOT_TOLD | {"asset_path": "e/s/line-1/filler/"}, "asset, time and activity repair match"),
        ({"domain": "telemetry"}, {}, "asset, time and activity repair match"),
        ({"domain": "prediction"}, {}, "asset, time and activity repair match"),
        ({}, PLAN | {"status": "released"}, "asset, time and activity repair match; its times are planned"),
        (
            {},
            {"finished_at_precision": "typed_later"},
            "asset, time and activity repair match; its times were typed later",
        ),
        ({}, {"finished_at": None}, "asset, time and activity repair match; it has no end: 72 h count"),
    ],
)
def test_asset_time_and_activity_or_actor_make_it_expected(of: Row, by: Row, text: str) -> None:
    """The order is named, with what matched in words and what is less sure about it."""
    row = said(alert(**of), [order(**by)])
    assert (*_label(row), row["verdict_text"]) == ("expected", "work_order", "WO-1", text)


@pytest.mark.parametrize(
    ("by", "text"),
    [
        ({"activity": "test"}, "asset and time match"),
        ({"activity": None}, "asset and time match"),
        ({"asset_id": "L1"}, "order on e/s/line-1 above; time and activity repair match"),
        (NOT_TOLD | {"asset_path": "e/s"}, "order on e/s above; time and activity repair match"),
        (
            NOT_TOLD | {"work_center": "line-1", "activity": None},
            "order on line line-1, without an asset; time matches",
        ),
        (
            {"asset_id": "", "asset_path": "", "work_center": "line-1", "work_unit": "filler"},
            "order on machine filler, without an asset; time and activity repair match",
        ),
        (
            NOT_TOLD | {"work_unit": "filler"},
            "order on machine filler, without an asset; time and activity repair match",
        ),
        (
            {"started_at": at(0), "started_at_precision": "day"},
            "asset, time and activity repair match; it names only the day",
        ),
    ],
)
def test_less_than_that_is_possible(by: Row, text: str) -> None:
    """Place and time match, but the reason does not, the order is told for more than the asset, or for a day."""
    row = said(alert(), [order(**by)])
    assert (*_label(row), row["verdict_text"]) == ("possible", "work_order", "WO-1", text)


@pytest.mark.parametrize(
    "by",
    [
        {"asset_id": "M"},  # a part of the alert's asset
        {"asset_id": "F2"},  # another asset
        {"asset_id": "F2", "work_center": "line-1"},  # another asset of the line
        NOT_TOLD,
        NOT_TOLD | {"asset_path": "e/s/line-1/fill"},  # no path above: the beginning of a name
        NOT_TOLD | {"asset_path": "/"},
        NOT_TOLD | {"work_center": "line-2"},
        NOT_TOLD | {"work_center": "line-2", "work_unit": "filler"},
        NOT_TOLD | {"work_center": "line-1", "work_unit": "capper"},
        {"status": "planned"},
        {"status": "cancelled"},
        {"status": "on hold"},
        {"kind": "standing"},
        {"finished_at": at(9 + 72.01)},  # a standing order by its length
        {"started_at": at(-63), "finished_at": None},  # open for longer than 72 h when the alert began
        {"finished_at": at(10)},  # ended as the alert began
        {"finished_at": at(9)},
        {"finished_at": at(8)},
        {"started_at": at(10.1)},  # begun after the alert: it is for the alert
        {"started_at": None},
        {"started_at_precision": "absent"},
        {"started_at_precision": None},
        {"started_at_precision": "about"},
    ],
)
def test_what_never_explains(by: Row) -> None:
    """Another place, another time, no status of work that is done, or a standing order: no verdict at all."""
    row = said(alert(), [order(**by)])
    assert row == dict.fromkeys(VERDICT.names()) | {"verdict": "none"}


@pytest.mark.parametrize(
    ("by", "label"),
    [
        ({"finished_at": at(9 + 72)}, "expected"),  # 72 h are no standing order yet
        ({"started_at": at(-61), "finished_at": None}, "expected"),
        ({"started_at": at(10) + 300_000_000}, "expected"),  # the clock was pressed within the grace
        ({"started_at": at(10) + 300_000_001}, "none"),
        ({"started_at": at(10) + 12_000_000, "released_at": at(10) + 4_000_000}, "none"),  # the alert brought it about
        ({"started_at": at(10) + 12_000_000, "released_at": None}, "none"),  # nobody knows whether it did
        ({"started_at": at(10) + 12_000_000, "released_at": None, "kind": "preventive"}, "expected"),
        # Planned, or typed, to have begun before it was there: the alert at 10 h brought it about.
        ({"released_at": at(10.1), "started_at": None, "planned_start": at(9)}, "none"),
        ({"released_at": at(10.1), "started_at": at(9), "started_at_precision": "typed_later"}, "none"),
        ({"released_at": at(10.1), "started_at": at(0), "started_at_precision": "day"}, "none"),
        ({"released_at": at(10), "started_at": at(9)}, "expected"),
        ({"released_at": at(10.1), "started_at": at(9), "kind": "preventive"}, "expected"),
        ({"released_at": at(0), "released_at_precision": "day"}, "expected"),
        ({"released_at": at(24), "released_at_precision": "day"}, "none"),
        ({"finished_at": at(10) + 1}, "expired"),
        ({"status": "started", "finished_at": None, "planned_end": at(12)}, "expected"),
        ({"status": "started", "finished_at": None, "planned_end": at(9.5)}, "none"),
        ({"status": "started", "finished_at": None, "planned_end": at(8)}, "expected"),  # begun after its planned end
        ({"finished_at_precision": "absent", "planned_end": at(12)}, "expected"),
        ({"finished_at": at(0), "finished_at_precision": "day"}, "possible"),  # some time that day
        ({"started_at": at(10) + 1, "started_at_precision": "day"}, "none"),  # a day has no grace
        ({"started_at": at(-24), "finished_at": at(-24), "finished_at_precision": "day"}, "none"),
    ],
)
def test_the_interval_is_what_the_clocks_that_count_tell(by: Row, label: str) -> None:
    """Real clocks go before planned ones, ends are exclusive, a day is covered whole, a grace lies before the begin."""
    assert said(alert(), [order(**by)])["verdict"] == label


@pytest.mark.parametrize(
    ("of", "label"),
    [
        ({"end_time": at(12)}, "expected"),
        ({"end_time": at(12) + 1}, "expired"),
        ({"end_time": None, "known_until": at(12)}, "expected"),
        ({"end_time": None, "known_until": at(13)}, "expired"),
        ({"end_time": None, "known_until": None}, "expected"),
        ({"end_time": at(11), "known_until": at(13)}, "expected"),  # it was over by then
    ],
)
def test_the_label_expires_with_the_order(of: Row, label: str) -> None:
    """An alert that goes on after the interval is not explained any more; the reference and the end stay named."""
    row = said(alert(**of), [order()])
    assert (row["verdict"], row["verdict_reference"], row["verdict_until"]) == (label, "WO-1", at(12))
    assert ("it ended, the alert goes on" in row["verdict_text"]) == (label == "expired")


def test_the_newest_version_speaks_whenever_it_was_written() -> None:
    """An order typed days after the alert explains it; cancelled after that, it does not; of equal ones the last."""
    planned, typed = order(status="planned"), order(valid_from=at(100))
    cancelled = order(valid_from=at(200), status="cancelled")
    assert said(alert(), [planned])["verdict"] == "none"
    assert said(alert(), [typed, planned])["verdict"] == "expected"
    assert said(alert(), [planned, cancelled, typed])["verdict"] == "none"
    assert said(alert(), [planned, order(valid_from=planned["valid_from"])])["verdict"] == "expected"


def test_an_asset_is_above_as_of_the_begin_of_the_alert() -> None:
    """The order's asset was taken out of the line at 10 h: an alert before that may be explained, one after not."""
    moved = [LINE, LINE | {"valid_from": at(10), "path": "e/stores/line-1"}, FILLER]
    by = [order(asset_id="L1", started_at=at(5))]
    assert said(alert(begin_time=at(9.9)), by, assets=moved)["verdict"] == "possible"
    assert said(alert(begin_time=at(10)), by, assets=moved)["verdict"] == "none"
    gone = [LINE | {"valid_to": at(10)}, FILLER]
    assert said(alert(begin_time=at(10)), by, assets=gone)["verdict"] == "none"


@pytest.mark.parametrize(
    ("by", "label", "text"),
    [
        ({"activity": "repair"}, "expected", "asset, time and activity repair match"),
        ({}, "possible", "asset and time match"),
        (
            {"asset_ids": [], "asset_paths": ["e/s/line-1"], "activity": "clean"},
            "expected",
            "change for all below e/s/line-1; asset, time and activity clean match",
        ),
        (
            {"asset_ids": ["L1"], "activity": "clean"},
            "possible",
            "change on e/s/line-1 above; time and activity clean match",
        ),
        ({"asset_ids": [], "asset_paths": []}, "none", None),
        ({"status": "requested"}, "none", None),
        ({"status": "cancelled"}, "none", None),
        ({"start": None}, "none", None),
        ({"start": at(10) + 1}, "none", None),  # a permission has no grace
        ({"end": at(100)}, "none", None),  # a permission that is always there
        ({"end": None}, "possible", "asset and time match; it has no end: 72 h count"),
        ({"status": "closed", "end": at(10.5)}, "expired", "asset and time match; it ended, the alert goes on"),
    ],
)
def test_a_change_explains_as_an_order_does(by: Row, label: str, text: str | None) -> None:
    """While it is approved, active or closed, in its interval; its paths include all below."""
    row = said(alert(), changes=[change(**by)])
    assert (row["verdict"], row["verdict_text"]) == (label, text)
    assert row["verdict_by"] == (None if label == "none" else "change")


STRICT = "for such evidence only a change of the asset with its actor is enough"


@pytest.mark.parametrize("domain", ["security", "it", None])
def test_security_evidence_needs_a_change_with_its_actor(domain: str | None) -> None:
    """A work order that matches in everything leaves it possible, and so does a change for somebody else."""
    one = alert(domain=domain, actors=["anna"], activities=["setpoint", "repair"])
    by_order = said(one, [order(actors=["anna"])])
    assert _label(by_order) == ("possible", "work_order", "WO-1")
    assert by_order["verdict_text"] == f"asset, time, activity repair and actor match; {STRICT}"
    assert _label(said(one, changes=[change(actors=["bert"])])) == ("possible", "change", "CH-1")
    assert _label(said(one, changes=[change(asset_ids=["L1"])])) == ("possible", "change", "CH-1")
    both = said(one, [order(actors=["anna"])], [change(activity=None)])
    assert _label(both) == ("expected", "change", "CH-1")
    assert both["verdict_text"] == "asset, time and actor match"


def test_of_several_the_strongest_is_told() -> None:
    """Expected before possible, what holds before what ended, the nearest, the last begun, the smallest number."""
    line, late = order("WO-0", asset_id="L1"), order("WO-9", started_at=at(9.5))
    assert _label(said(alert(), [line, order("WO-2"), order("WO-1")]))[::2] == ("expected", "WO-1")
    assert _label(said(alert(), [order("WO-1"), late]))[::2] == ("expected", "WO-9")
    assert _label(said(alert(end_time=at(13)), [order("WO-1"), order("WO-2", finished_at=at(14))]))[2] == "WO-2"
    area = order("WO-3", asset_id=None, asset_path="e", started_at=at(9.9))
    assert _label(said(alert(), [area, line]))[::2] == ("possible", "WO-0")
    machine = order("WO-4", asset_id=None, work_unit="filler", started_at=at(9.9))
    assert _label(said(alert(), [machine, area]))[2] == "WO-3"
    assert _label(said(alert(), [machine, order("WO-5", asset_id=None, work_center="line-1")]))[2] == "WO-4"
    assert _label(said(alert(), [line], [change(activity="clean")]))[::2] == ("expected", "CH-1")


def test_for_security_a_change_goes_before_an_order() -> None:
    """Both are possible: the change on the line is told, not the order on the asset."""
    one = alert(domain="security")
    assert _label(said(one, [order()], [change(asset_ids=["L1"])])) == ("possible", "change", "CH-1")
    assert _label(said(one | {"domain": "process", "activities": []}, [order()], [change(asset_ids=["L1"])])) == (
        "possible", "work_order", "WO-1",
    )  # fmt: skip


def test_context_that_is_not_there_explains_nothing() -> None:
    """A stage that declares no orders, and a plant without any, get a verdict per row: none."""
    rows = frame(alert(), alert())
    for nothing in (Context(), context(assets=[]), context()):
        found = verdicts(rows, nothing)
        assert found.schema == VERDICT
        assert found["verdict"].to_list() == ["none", "none"]
    without_assets = Context({k: f for k, f in context([order()]).frames.items() if k != "it.asset.v1"})
    assert verdicts(rows, without_assets)["verdict"].to_list() == ["expected", "expected"]
    assert verdicts(frame(), context([order()])).schema == VERDICT


def test_rows_keep_their_order_and_what_is_not_known_matches_nothing() -> None:
    """Alerts without asset, path, line, activities or actors have a verdict in their place."""
    unknown = dict.fromkeys(alert()) | {"begin_time": at(10)}
    rows = frame(unknown, alert(), alert(begin_time=at(20)), alert(activities=None, actors=[None]), unknown)
    orders = [order(actors=[]), order("WO-2", asset_id=None, activity=None)]
    found = verdicts(rows, context(orders))["verdict"].to_list()
    assert found == ["none", "expected", "none", "possible", "none"]


def test_the_numbers_are_data() -> None:
    """A policy of 8 h makes an order of 9 h a standing one; without grace the clock's begin is the begin."""
    long, rows = [order(started_at=at(5), finished_at=at(14))], frame(alert())
    assert verdicts(rows, context(long))["verdict"].item() == "expected"
    assert verdicts(rows, context(long), Policy(standing_us=8 * H))["verdict"].item() == "none"
    late = context([order(started_at=at(10) + 1)])
    assert verdicts(rows, late)["verdict"].item() == "expected"
    assert verdicts(rows, late, Policy(grace_us=0))["verdict"].item() == "none"


def test_what_was_derived_lives_as_long_as_its_frame() -> None:
    """It is built once per frame, and forgotten with it."""
    built: list[int] = []

    def build(of: pl.DataFrame) -> pl.DataFrame:
        built.append(of.height)
        return of.head(1)

    kept, one = Kept(build), pl.DataFrame({"a": [1, 2]})
    assert kept.of(one) is kept.of(one)
    assert (built, len(kept)) == ([2], 1)
    del one
    gc.collect()
    assert len(kept) == 0


def test_authors_find_every_word_of_the_catalogue() -> None:
    """The rules' README names the activities that a rule may have."""
    readme = (Path(streams.__file__).parent / "rules" / "README.md").read_text(encoding="utf-8")
    assert [word for word in ACTIVITIES if f"`{word}`" not in readme] == []
    assert list(ACTIVITIES) == sorted(ACTIVITIES)


def test_an_order_explains_the_parts_below_it_and_not_what_is_above() -> None:
    """An order on the filler may explain what its motor tells, and not the other way round."""
    motor = alert(asset_id="M", asset_path="e/s/line-1/filler/motor")
    assert said(motor, [order()])["verdict"] == "possible"
    assert said(alert(), [order(asset_id="M")])["verdict"] == "none"


CROWDED = """
import resource
from streams.core.verdict import verdicts
from tests.core.verdict_scene import alert, at, context, frame, order
times = [n * 840 / 12_500 for n in range(12_500)]
line = {"asset_id": None, "work_center": "line-1"}
work = [order(str(n), started_at=at(t), released_at=at(t), finished_at=at(t + 30), **line) for n, t in enumerate(times)]
known, asked = context(work), frame(*[alert(begin_time=at(t), end_time=at(t + 1)) for t in times])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = verdicts(asked, known)["verdict"].to_list()
print(found.count("possible"), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_many_orders_on_one_line_take_bounded_memory() -> None:
    """12,500 alerts on a line that had 12,500 orders in five weeks, each of which covers 450 of the alerts."""
    done = subprocess.run([sys.executable, "-c", CROWDED], check=True, capture_output=True, text=True, cwd=ROOT)
    explained, memory = map(int, done.stdout.split())
    assert explained == 12_500
    assert memory < 400
