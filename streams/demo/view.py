"""What the demo shows. In: the model, width and height of the terminal. Out: something rich prints, exactly that large.

Colours and symbols say the same twice, so that nothing is lost without colour.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streams.demo.model import AlertLine, Model, ServiceLine, UnitKpis

WIDE: Final = 130
KPIS: Final = (("oee", "OEE"), ("availability", "Avail."), ("effectiveness", "Effect."), ("quality_ratio", "Quality"))
PERIODS: Final = ("hour", "shift", "order", "day")
KPI_WIDTH: Final = 64
_HEAD: Final = 4
_FRAME: Final = 2
_STYLE: Final = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}
_SERVICE: Final = {"ready": ("●", "green"), "starting": ("○", "yellow"), "stopped": ("✗", "bold red")}


def render(model: Model, width: int = 80, height: int = 24) -> RenderableType:
    """The whole screen of the demo; readable from 80 columns and 24 lines on, side by side from 130 columns on."""
    screen = Layout()
    head = Layout(_head(model, width), size=_HEAD)
    body = height - _HEAD
    if width >= WIDE:
        alerts = Layout(_alerts(model, width - KPI_WIDTH, body), name="alerts")
        columns = Layout()
        columns.split_row(alerts, Layout(_kpis(model, body), name="kpis", size=KPI_WIDTH))
        screen.split_column(head, columns)
        return screen
    below = min(len(_rows(model)) + 1 + _FRAME, max(body // 2 + 1, 5)) if model.kpis else 3
    alerts = Layout(_alerts(model, width, body - below), size=body - below)
    screen.split_column(head, alerts, Layout(_kpis(model, below), size=below))
    return screen


def _head(model: Model, width: int) -> RenderableType:
    minutes, seconds = divmod(int(model.elapsed_s), 60)
    title = Text.assemble(("Plantweave", "bold"), " · bottling plant · Kafka at ", model.bootstrap)
    title.append(f" · {minutes:02d}:{seconds:02d} · Ctrl-C stops")
    services = Text("  ").join(_service(service) for service in model.services)
    windows = "-" if model.open_windows is None else f"{model.open_windows:,}"
    figures = Text.assemble(
        (f"{model.readings_per_s:,.0f}", "bold"),
        f" readings/s ({model.readings:,})   ",
        (windows, "bold"),
        f" open windows ({model.windows:,} closed)   ",
        (f"{model.alert_records:,}", "bold"),
        " alerts   ",
        (f"{model.kpi_records:,}", "bold"),
        " KPIs",
    )
    note = Text(model.silence or "", style="yellow")
    lines = [title, services, figures, note]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return Group(*lines)


def _service(service: ServiceLine) -> Text:
    symbol, style = _SERVICE[service.state]
    told = service.state if service.state != "ready" else "ready" if service.lag is None else f"lag {service.lag:,}"
    return Text.assemble((symbol, style), f" {service.name} ", (told, "dim"))


def _alerts(model: Model, width: int, height: int) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(ratio=1)
    left = height - _FRAME
    for alert in model.alerts:
        mark, style = _mark(alert)
        # Frame, margins, mark and clock take 16 columns.
        lines = textwrap.wrap(alert.message, max(width - 16, 20))
        if left <= 0:
            break
        if len(lines) > left:
            lines = [
                *lines[: left - 1],
                textwrap.shorten(" ".join(lines[left - 1 :]), max(width - 16, 20), placeholder="…"),
            ]
        left -= len(lines)
        clock = datetime.fromtimestamp(alert.time_us / 1e6, UTC).strftime("%H:%M:%S")
        grid.add_row(Text(mark, style=style), clock, Text("\n".join(lines), style=style if mark == "▲" else "dim"))
    content = grid if model.alerts else Text("None yet: the first comes within a minute.", style="dim")
    return Panel(content, title="Alerts (▲ active, ✓ cleared; UTC)", title_align="left", border_style="dim")


def _mark(alert: AlertLine) -> tuple[str, str]:
    return ("✓", "green") if alert.state == "cleared" else ("▲", _STYLE.get(alert.priority, "yellow"))


def _rows(model: Model) -> list[UnitKpis]:
    """One row per machine: its shortest period, machines in order of their names."""
    best: dict[str, UnitKpis] = {}
    for kpis in model.kpis.values():
        held = best.get(kpis.work_unit)
        if held is None or _rank(kpis) < _rank(held):
            best[kpis.work_unit] = kpis
    return [best[unit] for unit in sorted(best)]


def _rank(kpis: UnitKpis) -> int:
    return PERIODS.index(kpis.period) if kpis.period in PERIODS else len(PERIODS)


def _kpis(model: Model, height: int) -> RenderableType:
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
    table.add_column("Machine", no_wrap=True, ratio=1)
    for _, title in KPIS:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Known", justify="right", no_wrap=True, style="dim")
    rows = _rows(model)
    for kpis in rows[: max(height - _FRAME - 1, 1)]:
        cells = [_percent(kpis.values.get(name)) for name, _ in KPIS]
        table.add_row(kpis.work_unit, *cells, _percent(kpis.coverage))
    periods = sorted({f"{kpis.period}" for kpis in rows})
    title = f"KPIs of the present {' / '.join(periods)}" if periods else "KPIs"
    content = table if rows else Text("None yet: the first come within a minute.", style="dim")
    return Panel(content, title=title, title_align="left", border_style="dim")


def _percent(value: float | None) -> Text:
    return Text("-", style="dim") if value is None else Text(f"{100 * value:.1f} %")


class Teller:
    """The view without a terminal: a line of figures every ten seconds, and every alert when it comes.

    Args:
        model: what to tell of.
        say: takes one line.
    """

    EVERY_S: Final = 10.0

    def __init__(self, model: Model, say: Callable[[str], None]) -> None:
        self._model = model
        self._say = say
        self._told_s = 0.0
        self._alerts = 0

    def tell(self) -> None:
        """Say what is new since the last call."""
        model = self._model
        new = min(model.alert_records - self._alerts, len(model.alerts))
        for number in range(new - 1, -1, -1):
            self._say(f"      alert: {model.alerts[number].message}")
        self._alerts = model.alert_records
        if model.elapsed_s - self._told_s >= self.EVERY_S:
            self._told_s = model.elapsed_s
            windows = "-" if model.open_windows is None else f"{model.open_windows:,}"
            self._say(
                f"{model.elapsed_s:5.0f} s  {model.readings_per_s:,.0f} readings/s, {windows} windows open, "
                f"{model.windows:,} closed, {model.alert_records:,} alerts, {model.kpi_records:,} KPIs"
            )
            if model.silence is not None:
                self._say(f"      {model.silence}")
