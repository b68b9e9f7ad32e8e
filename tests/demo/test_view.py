"""What the demo shows, rendered to text from recorded records: no broker, no terminal."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
from rich.console import Console

from streams.demo.model import Model, ServiceLine
from streams.demo.view import Teller, render

ALERT_US = 1_790_001_012 * 1_000_000
SENTENCE = (
    "High bearing temperature at Filler of line 1 since 14:30:12: 85.3 Cel is above 85 Cel; order PO-line-1-0001 "
    "(Still water 0.5 l). maintenance-mechanical: check lubrication, then stop the filler."
)
SERVICES = ("validate", "window", "alert", "kpi", "route", "correlate", "plant")
UNITS = [f"line-{line}-{unit}" for line in (1, 2) for unit in ("filler", "capper", "labeller", "packer")]


def alert(number: int, state: str = "active", message: str = SENTENCE, alert_id: str = "") -> dict[str, Any]:
    """The fields of an ops.alert.v1 record that the view reads."""
    event = {"event_time": ALERT_US + number * 1_000_000, "state": state, "priority": "high", "message": message}
    return {"alert_id": alert_id or str(number), **event}


def kpi(unit: str, name: str, value: float | None, period_id: str = "14:00", period: str = "hour") -> dict[str, Any]:
    """The fields of an ops.kpi.v1 record that the view reads."""
    basis = {"coverage": 0.5, "pbt_s": 84.0, "pq": 1_418.0, "gq": 1_412.0}
    return {"work_unit": unit, "kpi": name, "value": value, "period": period, "period_id": period_id, **basis}


def incident(number: int, state: str = "open", message: str = "", priority: str = "high") -> dict[str, Any]:
    """The fields of an ops.incident.v1 record that the view reads."""
    told = {"begin_time": ALERT_US, "state": state, "priority": priority, "member_count": 3}
    return {"incident_id": str(number), "message": message or f"Filler of line {number} stands.", **told}


def running() -> Model:
    """A demo after a minute: 280 readings/s, three alerts, KPIs of two lines."""
    services = tuple(ServiceLine(name, "ready", 0) for name in SERVICES if name != "window")
    window = ServiceLine("window", "ready", 3, 118)
    model = Model(bootstrap="127.0.0.1:29123", began_s=100.0, services=(*services[:1], window, *services[1:]))
    for second in range(101, 161):
        for _ in range(4):
            model.observe("ot.reading.v1", {"event_time": list(range(70))}, float(second))
    for number in range(12):
        model.observe("ot.window.v1", {"window_id": str(number)}, 111.0)
    model.observe("ops.alert.v1", alert(0), 108.25)
    model.observe("ops.alert.v1", alert(20, message="Filler of line 1 is in fault.", alert_id="fault"), 128.0)
    model.observe("ops.alert.v1", alert(30, message="Capper of line 1 is starved.", alert_id="starved"), 138.0)
    model.observe("ops.alert.v1", alert(40, "cleared", "Capper of line 1 runs again.", "starved"), 148.0)
    model.observe("ops.incident.v1", incident(1), 109.0)
    model.observe("ops.incident.v1", incident(1, message="Filler of line 1 stands: bearing."), 120.0)
    for unit in UNITS:
        for name, value in (("availability", 0.75), ("effectiveness", 0.9), ("quality_ratio", 0.996), ("oee", 0.672)):
            model.observe("ops.kpi.v1", kpi(unit, name, value), 130.0)
    model.tick(160.0)
    return model


def text(model: Model, width: int, height: int) -> list[str]:
    """The lines that a terminal of that size shows."""
    console = Console(record=True, width=width, height=height, file=io.StringIO(), color_system=None)
    console.print(render(model, width, height))
    return console.export_text().rstrip("\n").split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 40), (160, 50), (80, 10)])
def test_the_view_fills_the_terminal_and_no_more(width: int, height: int) -> None:
    """Exactly as many lines as the terminal has, none wider, before the first record as after a minute."""
    for model in (Model(), running()):
        lines = text(model, width, height)
        assert len(lines) == height
        assert max(len(line) for line in lines) <= width


def test_80_by_24_has_services_figures_alerts_and_all_kpis() -> None:
    """A plain terminal shows it all: whole alert sentences, and per machine KPIs with what they rest on."""
    lines = text(running(), 80, 24)
    assert "01:00" in lines[0]
    assert "127.0.0.1:29123" in lines[0]
    assert [word for word in lines[1].split() if word in SERVICES] == list(SERVICES)
    assert "window lag 3" in lines[1]
    assert lines[2].rstrip() == "280 readings/s · 118 open windows, 12 closed · 4 alert and 32 KPI records"
    assert SENTENCE in " ".join(" ".join(line.split()) for line in lines)
    for unit in UNITS:
        row = next(line for line in lines if unit in line)
        ratios = "67.2 % 75.0 % 90.0 % 99.6 %"
        assert " ".join(row.split()) == f"{unit} {ratios} 1,412/1,418 50% of 84 s"


def test_machines_stand_in_the_order_in_which_items_pass_them() -> None:
    """Line by line, filler before capper before labeller before packer; line 10 comes after line 2."""
    model = running()
    model.observe("ops.kpi.v1", kpi("line-10-filler", "oee", 0.5), 160.0)
    lines = text(model, 80, 30)
    shown = [line.split()[0] for line in lines if line.startswith("line-")]
    assert shown == [*UNITS, "line-10-filler"]


def test_alerts_that_stand_come_first_and_an_alert_is_shown_once() -> None:
    """The newest one that stands is on top; of one that is over only its end is told, below."""
    lines = text(running(), 80, 24)
    joined = " ".join(" ".join(line.split()) for line in lines)
    shown = [joined.index(told) for told in ("2 active ▲, 1 over ✓", "is in fault.", SENTENCE, "Capper of line 1 runs")]
    assert shown == sorted(shown)
    assert "is starved" not in joined


def test_alerts_that_are_over_are_forgotten_after_fifty_and_those_that_stand_are_not() -> None:
    """A long demo keeps what stands, and the newest fifty of the rest."""
    model = Model()
    model.observe("ops.alert.v1", alert(0, alert_id="stands"), 0.0)
    for number in range(1, 80):
        model.observe("ops.alert.v1", alert(number, "cleared"), float(number))
    assert set(model.alerts) == {"stands", *(str(number) for number in range(30, 80))}


def test_an_alert_that_does_not_fit_is_cut_and_says_so() -> None:
    """With little room the newest alert stays, shortened with an ellipsis; older ones go."""
    model = Model()
    for number in range(5):
        model.observe("ops.alert.v1", alert(number, message=f"Number {number}: {SENTENCE}"), float(number))
    lines = text(model, 80, 8)
    assert any("Number 4" in line for line in lines)
    assert any(line.rstrip().endswith("…") for line in lines)
    assert not any("Number 3" in line for line in lines)


def test_text_from_records_is_not_taken_for_markup() -> None:
    """Square brackets in an alert, as in UCUM's [degF], appear as they are."""
    model = Model()
    model.observe("ops.alert.v1", alert(0, message="Bearing at 185 [degF] [bold]"), 1.0)
    assert any("Bearing at 185 [degF] [bold]" in line for line in text(model, 80, 24))


def test_the_newest_period_of_a_machine_replaces_the_last_and_unknown_values_are_dashes() -> None:
    """After the hour is over only the new hour's KPIs show; a KPI without value is a dash."""
    model = running()
    model.observe("ops.kpi.v1", kpi("line-1-filler", "availability", None, "15:00"), 161.0)
    model.observe("ops.kpi.v1", kpi("line-1-capper", "oee", 0.1, "late", "shift"), 161.0)
    lines = text(model, 80, 24)
    filler = next(line for line in lines if "line-1-filler" in line)
    assert filler.split() == ["line-1-filler", "-", "-", "-", "-", "1,412/1,418", "50%", "of", "84", "s"]
    capper = next(line for line in lines if "line-1-capper" in line)
    assert "67.2 %" in capper


def test_kpis_of_a_period_that_has_just_begun_wait() -> None:
    """Ratios of less than five seconds of planned time are not shown: they say nothing."""
    model = Model()
    model.observe("ops.kpi.v1", {**kpi("line-1-filler", "oee", 0.0), "pbt_s": 4.9}, 1.0)
    assert not any("line-1-filler" in line for line in text(model, 80, 24))
    model.observe("ops.kpi.v1", {**kpi("line-1-filler", "oee", 0.9), "pbt_s": 5.0}, 2.0)
    assert any("line-1-filler" in line for line in text(model, 80, 24))


def test_first_times_count_from_the_start_of_the_plant() -> None:
    """The JSON line has the seconds from the start to the first alert, KPI and incident, and the counts."""
    assert running().summary() == {
        "readings": 16_800,
        "alerts": 4,
        "kpis": 32,
        "incidents": 2,
        "first_alert_s": 8.2,
        "first_kpi_s": 30.0,
        "first_incident_s": 9.0,
    }
    assert Model().summary()["first_alert_s"] is None


def test_silence_is_told_with_where_to_look() -> None:
    """Nothing after 20 s, or no alert and no KPI after a minute, is said; a running demo says nothing."""
    model = Model(began_s=0.0)
    model.tick(19.0)
    assert model.silence is None
    model.tick(21.0)
    assert "plant.log" in str(model.silence)
    assert any("No reading" in line for line in text(model, 80, 24))
    model.observe("ot.reading.v1", {"event_time": [1]}, 22.0)
    assert model.silence is None
    model.tick(61.0)
    assert "alert.log and kpi.log" in str(model.silence)
    assert running().silence is None


def test_a_service_that_is_not_ready_is_seen() -> None:
    """Starting and stopped services are named as such."""
    model = Model(services=(ServiceLine("validate", "starting"), ServiceLine("window", "stopped")))
    assert "validate starting" in text(model, 80, 24)[1]
    assert "window stopped" in text(model, 80, 24)[1]


def test_without_a_terminal_each_alert_and_the_figures_of_every_ten_seconds_are_told_once() -> None:
    """Plain lines for logs: an alert when it comes; figures and the lowest OEE no more often than every ten seconds."""
    model = Model(began_s=0.0)
    said: list[str] = []
    teller = Teller(model, said.append)
    for tenth in range(250):
        if tenth == 83:
            model.observe("ops.alert.v1", alert(0), tenth / 10)
        if tenth == 120:
            for name, value in (("availability", 0.75), ("effectiveness", 0.9), ("quality_ratio", 0.99), ("oee", 0.67)):
                model.observe("ops.kpi.v1", kpi("line-1-capper", name, value), tenth / 10)
            model.observe("ops.kpi.v1", kpi("line-1-filler", "oee", 0.7), tenth / 10)
        model.observe("ot.reading.v1", {"event_time": list(range(30))}, tenth / 10)
        model.tick(tenth / 10)
        teller.tell()
    assert [line for line in said if "alert: " in line] == [f"      alert: {SENTENCE}"]
    figures = [line for line in said if "readings/s" in line]
    assert [line.split()[0] for line in figures] == ["10", "20"]
    assert all("300 readings/s" in line for line in figures)
    assert said.index(f"      alert: {SENTENCE}") < said.index(figures[0])
    told = [line.strip() for line in said if "OEE" in line]
    assert len(told) == 1
    assert told[0] == (
        "lowest OEE of the hour: line-1-capper 67.0 % = availability 75.0 % * effectiveness 90.0 % * quality 99.0 %;"
        " 1,412/1,418 items good, 50% of 84 s planned time known"
    )
    assert all(before != after for before, after in itertools.pairwise(said))


def test_incidents_are_shown_open_ones_first_and_go_where_another_takes_them_in() -> None:
    """An incident is one line through all its revisions; merged into another, or retracted, it is shown no more."""
    model = running()
    model.observe("ops.incident.v1", incident(2, "closed", "Line 2 had starved."), 130.0)
    lines = text(model, 100, 40)
    ours = ("Filler of line 1 stands: bearing", "had starved")
    shown = [line for line in lines if any(text in line for text in ours)]
    assert ["▲" in line for line in shown] == [True, False]
    assert any("Incidents: 1 open" in line for line in lines)
    model.observe("ops.incident.v1", incident(1, "merged"), 131.0)
    assert not any("Filler of line 1 stands" in line for line in text(model, 100, 40))


def test_incidents_are_told_when_they_open_and_close() -> None:
    """Without a terminal, an incident is a line when it opens, closes or opens again; not for every revision."""
    model, said = running(), list[str]()
    model.observe("ops.incident.v1", incident(1, "closed", "Over."), 130.0)
    Teller(model, said.append).tell()
    assert [line.split(": ", 1)[1] for line in said if "incident:" in line] == ["Filler of line 1 stands.", "Over."]


def test_events_are_counted_and_not_shown() -> None:
    """With each order the setpoints change: what asks nobody for anything takes no line from what does."""
    model = running()
    shown, news = model.newest_alerts, list(model.news)
    model.observe(
        "ops.alert.v1", alert(50, message="Fill setpoint was changed.", alert_id="set") | {"kind": "event"}, 158.0
    )
    assert (model.newest_alerts, list(model.news)) == (shown, news)
    assert model.alert_records == 5
