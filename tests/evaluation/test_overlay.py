"""The overlay on small recordings of the same form, through the services on a simulated clock."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from streams import topology
from streams.core.alert import rule
from tests.evaluation import overlay, overlay_plain, replay_core, run
from tests.evaluation.overlay_context import Overlay
from tests.evaluation.overlay_context import overlay as lay
from tests.evaluation.overlay_replay import Played, through_core
from tests.evaluation.scenario import ReplayFailure

ROWS, BAD = 460, (420, 440)
ALERT, INCIDENT = topology.ALERT.name, topology.INCIDENT.name
BEGIN = datetime(2021, 3, 1, 9, tzinfo=UTC)
# Both excavators worked on the days that become those of the runs, B on the first, A on the second.
ORDERS = [
    "2004-06-01,A,WASH,PM02,1",
    "2008-05-05,B,Bob: SEAL LEAKS,PM01,2",
    "2008-05-06,A,SWAP PUMP,PM01,3",
    "2011-01-01,A,X,PM01,4",
]
LOG = [
    "Dec 31 23:59:00 host sshd[7]: Failed password for invalid user zhangyan from 10.9.9.9 port 1 ssh2",
    "Dec 31 23:59:30 host sshd[8]: Accepted password for ingrid from 10.9.9.8 port 2 ssh2",
    "Dec 31 23:59:31 host sshd[8]: pam_unix(sshd:session): session opened for user ingrid by (uid=0)",
]


def recordings(folder: Path, runs: int = 3) -> Path:
    """Runs of two sensors, of which the first leaves its range; two pumps, so that the third is on the next day."""
    for number in range(runs):
        lines = ["datetime;Pressure;Voltage;anomaly;changepoint"]
        for row in range(ROWS):
            time = BEGIN + timedelta(hours=number, seconds=row)
            pressure = 9.0 if BAD[0] <= row < BAD[1] else math.sin(row)
            lines.append(f"{time:%Y-%m-%d %H:%M:%S};{pressure};{230 + math.cos(row)};0.0;0.0")
        write(folder / "skab" / "valve1" / f"{number}.csv.gz", lines)
    write(folder / "skab" / "anomaly-free" / "anomaly-free.csv.gz", ["datetime;Pressure", "2021-01-01 00:00:00;1"])
    head = "BscStartDate,Asset,OriginalShorttext,PMType,Cost"
    write(folder / "excavator_mwo" / "excavators.csv.gz", [head, *ORDERS])
    write(folder / "loghub" / "OpenSSH_2k.log.gz", LOG)
    return folder


def write(path: Path, lines: list[str]) -> None:
    """A file as the sets have it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join([*lines, ""]).encode()))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Overlay, Played]:
    """The small overlay, and what the services wrote."""
    data = recordings(tmp_path_factory.mktemp("data"))
    laid = lay(data, tmp_path_factory.mktemp("retimed"))
    return laid, through_core(laid)


def test_every_alert_has_its_context_and_every_incident_its_clocks(played: tuple[Overlay, Played]) -> None:
    """Three runs, three alerts, three incidents: two with a work order of their day, of which only the day is told."""
    metrics = overlay.figures(*played)
    assert {name: metrics[name] for name in overlay.WRONG} == dict.fromkeys(overlay.WRONG, 0)
    assert (metrics["readings"], metrics["logons"], metrics["work_orders"]) == (3 * ROWS * 2, 2, 3)
    assert metrics["work_orders_after_the_overlay"] == 1
    assert (metrics["alerts"], metrics["incidents"]) == (3, 3)
    assert (metrics["alert_verdict_none"], metrics["alert_verdict_possible"]) == (1, 2)
    assert metrics["alert_missing_production_order"] == 3
    assert metrics["incidents_with_work_order"] == 2
    assert metrics["incidents_with_logon"] == 1
    assert (metrics["clocks_exact"], metrics["clocks_day"], metrics["clocks_absent"]) == (6, 2, 10)
    assert (metrics["mttr_failures"], metrics["mttr_excluded"]) == (0, 3)  # the day alone gives no repair time
    assert len(metrics["details"]["sentences"]) == 2


def test_the_clock_keeps_what_it_promises(played: tuple[Overlay, Played]) -> None:
    """Runs keep their time of day, one each day on a pump; orders move together; the log goes on only with a run."""
    laid, _ = played
    assert [(one.pump, str(one.day), one.times[0] // 3_600_000_000 % 24) for one in laid.runs] == [
        ("pump-A", "2021-03-01", 9),
        ("pump-B", "2021-03-01", 10),
        ("pump-A", "2021-03-02", 11),
    ]
    assert [row["BscStartDate"] for row in laid.orders] == ["2017-03-28", "2021-03-01", "2021-03-02"]
    assert [line.split(" sshd", 1)[0] for line in laid.lines[:2]] == [
        "2021-03-01T09:00:00Z 10.0.1.11",
        "2021-03-01T09:00:30Z 10.0.1.11",
    ]


def test_limits_are_fitted_on_the_first_rows_only(played: tuple[Overlay, Played]) -> None:
    """What comes behind them does not widen them; the files are good rules."""
    laid, _ = played
    rules = rule.load(laid.rules)
    assert len(rules) == 6
    high = next(one for one in rules if one.id == "pressure-unusual-00").condition.high
    assert high is not None
    assert 3.5 < high < 3.6  # 5 standard deviations of a sine


def test_what_comes_late_or_twice_changes_no_alert(played: tuple[Overlay, Played]) -> None:
    """In order and once each, the batches bring about the same alerts."""
    laid, whole = played
    assert whole.repeated > 0
    steps = []
    for step in laid.steps:
        once = {(row["boot_id"], row["sequence"]): row for row in step.rows}
        rows = [once[name] for name in sorted(once)]
        assert rows == [] or rows != list(step.rows)
        steps.append(step._replace(rows=rows))
    in_order = through_core(replace(laid, steps=steps))
    facts = [
        {(row["alert_id"], row["begin_time"], row["end_time"]) for row in overlay.latest(one.rows[ALERT], "alert_id")}
        for one in (whole, in_order)
    ]
    assert facts[0] == facts[1]
    assert len(facts[0]) == 3


def _drop_owner(rows: dict[str, list[dict[str, Any]]]) -> None:
    for row in rows[ALERT]:
        row["owner"] = None


def _drop_clock(rows: dict[str, list[dict[str, Any]]]) -> None:
    for row in rows[INCIDENT]:
        row["fault_source"] = None


def _name(rows: dict[str, list[dict[str, Any]]]) -> None:
    rows[INCIDENT][0]["message"] = "Logon of Ingrid, shortly before."


def _verdict(rows: dict[str, list[dict[str, Any]]]) -> None:
    for row in rows[ALERT]:
        row["verdict"] = "none"


def _order(rows: dict[str, list[dict[str, Any]]]) -> None:
    for row in rows[INCIDENT]:
        row["work_orders"] = ["A-1"]


def _logon(rows: dict[str, list[dict[str, Any]]]) -> None:
    for row in rows[INCIDENT]:
        row["causes"] = [one for one in row["causes"] if one["kind"] != "it_event"]


@pytest.mark.parametrize(
    ("spoil", "metric", "count"),
    [
        (_drop_owner, "alerts_without_context", 3),
        (_drop_clock, "incidents_without_clocks", 3),
        (_name, "clear_names", 1),
        (_verdict, "context_differences", 2),
        (_order, "context_differences", 3),
        (_logon, "context_differences", 1),
    ],
)
def test_what_is_wrong_is_found(
    played: tuple[Overlay, Played], spoil: Callable[[dict[str, list[dict[str, Any]]]], None], metric: str, count: int
) -> None:
    """The check is not blind: context, a clock, a verdict, an order or a logon that is lost, a name that is told."""
    laid, whole = played
    rows = deepcopy(dict(whole.rows))
    spoil(rows)
    metrics = overlay.figures(laid, Played(rows, whole.raw, whole.sent, accepted=whole.accepted))
    assert {name: metrics[name] for name in overlay.WRONG if metrics[name]} == {metric: count}


def test_a_name_in_the_bytes_is_found(played: tuple[Overlay, Played]) -> None:
    """As Avro writes it, in a topic whose rows nobody looked at."""
    laid, whole = played
    raw = {**whole.raw, topology.ACCESS.name: [b"\x02\x10zhangyan\x00"]}
    metrics = overlay.figures(laid, Played(whole.rows, raw, whole.sent, accepted=whole.accepted))
    assert metrics["details"]["names"] == [f"{topology.ACCESS.name}: zhangyan"]
    assert {one.user for one in overlay_plain.logons(laid)} == {"zhangyan", "ingrid"}


def test_a_set_that_is_missing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which file, or that there is no run; `make evaluate` ends with 1."""
    data = recordings(tmp_path, runs=1)
    (data / "loghub" / "OpenSSH_2k.log.gz").unlink()
    out = tmp_path / "out.json"
    assert run.main(["--data", str(data), "--out", str(out), "--replay", "core"]) == 1
    assert "OpenSSH_2k.log.gz is missing" in capsys.readouterr().err
    for path in (data / "skab").rglob("*.gz"):
        path.unlink()
    with pytest.raises(ReplayFailure, match="holds no run"):
        overlay.evaluate(data / overlay.PLACE, replay_core.replay, lambda _line: None)
