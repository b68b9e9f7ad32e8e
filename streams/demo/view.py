"""What the demo shows. In: the model, width and height of the terminal. Out: something rich prints, exactly that large.

Colours and symbols say the same twice, so that nothing is lost without colour.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from streams.demo.model import Model, ServiceLine, UnitKpis
from streams.plant.model import UNITS

# ISO 22400-2: OEE is the product of the other three.
KPIS: Final = (
    ("oee", "OEE"),
    ("availability", "= Avail."),
    ("effectiveness", "* Effect."),
    ("quality_ratio", "* Quality"),
)
PERIODS: Final = ("hour", "shift", "order", "day")
_STYLE: Final = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}
_SERVICE: Final = {"ready": ("●", "green"), "starting": ("○", "yellow"), "stopped": ("✗", "bold red")}
# Mark, clock and the gaps between them.
_INDENT: Final = 11
# Ratios of less planned time than this say nothing yet.
_BEGUN_S: Final = 5.0
# Least lines for alerts and for incidents, their heading included.
_LEAST: Final = 4
_INCIDENTS: Final = 4


def render(model: Model, width: int = 80, height: int = 24) -> RenderableType:
    """The whole screen of the demo; readable from 80 columns and 24 lines on."""
    head = _head(model, width)
    body = height - len(head)
    below = min(max(len(_rows(model)), 1) + 2, max(body - _LEAST - _INCIDENTS, 3))
    above = min(max((body - below) // 3, _INCIDENTS), body - below - _LEAST)
    parts = [Layout(Group(*head), size=len(head))]
    if above > 1:  # a heading alone says nothing
        parts.append(Layout(_incidents(model, width, above), size=above))
        body -= above
    parts += [
        Layout(_alerts(model, width, body - below), size=body - below),
        Layout(_kpis(model, below), size=below),
    ]
    screen = Layout()
    screen.split_column(*parts)
    return screen


def _head(model: Model, width: int) -> list[Text]:
    minutes, seconds = divmod(int(model.elapsed_s), 60)
    title = Text.assemble(("Plantweave", "bold"), f": simulated plant · {minutes:02d}:{seconds:02d}")
    title.append(f" · Kafka {model.bootstrap} · ")
    title.append("Ctrl-C ends it", style="bold")
    services = _services(model.services, width)
    figures = Text.assemble(
        (f"{model.readings_per_s:,.0f}", "bold"),
        " readings/s · ",
        (_open(model), "bold"),
        f" open windows, {model.windows:,} closed · ",
        (f"{model.alert_records:,}", "bold"),
        " alert and ",
        (f"{model.kpi_records:,}", "bold"),
        " KPI records",
    )
    lines = [title, services, figures]
    if model.silence is not None:
        lines.append(Text(model.silence, style="yellow"))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return lines


def _open(model: Model) -> str:
    return "-" if model.open_windows is None else f"{model.open_windows:,}"


def _services(services: Sequence[ServiceLine], width: int) -> Text:
    """All services in one line; where that is narrow, symbols say what words would, and only a lag is told."""
    line = Text("  ").join(_service(service, words=True) for service in services)
    return line if line.cell_len <= width else Text("  ").join(_service(service, words=False) for service in services)


def _service(service: ServiceLine, *, words: bool) -> Text:
    symbol, style = _SERVICE[service.state]
    lags = service.state == "ready" and service.lag is not None
    told = f"lag {service.lag:,}" if lags else service.state
    if not words and not (lags and service.lag):
        return Text.assemble((symbol, style), f" {service.name}")
    return Text.assemble((symbol, style), f" {service.name} ", (told, "dim"))


def _heading(text: str) -> Rule:
    return Rule(Text(text, style="bold", no_wrap=True), align="left", style="dim")


def _incidents(model: Model, width: int, height: int) -> RenderableType:
    lines = [(_mark(one.stands, one.priority), one.begin_us, one.message, one.stands) for one in model.newest_incidents]
    standing = sum(one.stands for one in model.incidents.values())
    title = f"Incidents: {standing} open ▲, {len(lines) - standing} closed ✓; since when, in UTC"
    return Group(_heading(title), _told(lines, width, height) if lines else _none("the first comes with an alert"))


def _alerts(model: Model, width: int, height: int) -> RenderableType:
    lines = [(_mark(one.stands, one.priority), one.time_us, one.message, one.stands) for one in model.newest_alerts]
    standing = sum(alert.stands for alert in model.alerts.values())
    title = f"Alerts: {standing} active ▲, {len(model.alerts) - standing} over ✓; newest first, times in UTC"
    return Group(_heading(title), _told(lines, width, height) if lines else _none("the first comes within a minute"))


def _none(when: str) -> Text:
    return Text(f"None yet: {when}.", style="dim")


def _told(lines: list[tuple[tuple[str, str], int, str, bool]], width: int, height: int) -> Table:
    """Marks, times (us) and sentences below a heading; what stands is in colour."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(ratio=1)
    left, room = height - 1, max(width - _INDENT, 20)
    for (mark, style), time_us, message, stands in lines:
        if left <= 0:
            break
        words = textwrap.wrap(message, room, break_on_hyphens=False)
        if len(words) > left:
            words = [*words[: left - 1], f"{words[left - 1][: room - 1]}…"]
        left -= len(words)
        clock = datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%H:%M:%S")
        grid.add_row(Text(mark, style=style), clock, Text("\n".join(words), style=style if stands else "dim"))
    return grid


def _mark(stands: bool, priority: str) -> tuple[str, str]:
    return ("▲", _STYLE.get(priority, "yellow")) if stands else ("✓", "green")


def _rows(model: Model) -> list[UnitKpis]:
    """One row per machine: its shortest period; machines line by line, in the order in which items pass them."""
    best: dict[str, UnitKpis] = {}
    for kpis in model.kpis.values():
        if (kpis.pbt_s or 0.0) < _BEGUN_S:
            continue
        held = best.get(kpis.work_unit)
        if held is None or _rank(kpis) < _rank(held):
            best[kpis.work_unit] = kpis
    return sorted(best.values(), key=_place)


def _place(kpis: UnitKpis) -> tuple[int, str, int]:
    line, _, unit = kpis.work_unit.rpartition("-")
    return len(line), line, UNITS.index(unit) if unit in UNITS else len(UNITS)


def _rank(kpis: UnitKpis) -> int:
    return PERIODS.index(kpis.period) if kpis.period in PERIODS else len(PERIODS)


def _kpis(model: Model, height: int) -> RenderableType:
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="dim")
    table.add_column("Machine", no_wrap=True)
    for name, title in KPIS:
        table.add_column(title, justify="right", no_wrap=True, style="bold" if name == "oee" else "")
    table.add_column("Good/made", justify="right", no_wrap=True)
    table.add_column("Known of", justify="right", no_wrap=True)
    rows = _rows(model)
    for kpis in rows[: max(height - 2, 1)]:
        cells = [_percent(kpis.values.get(name)) for name, _ in KPIS]
        table.add_row(kpis.work_unit, *cells, _items(kpis), _basis(kpis))
    periods = " / ".join(sorted({kpis.period for kpis in rows}))
    title = f"KPIs of the present {periods} (ISO 22400-2), known share of its planned time" if rows else "KPIs"
    content = table if rows else Text("None yet: the first come within a minute.", style="dim")
    return Group(_heading(title), content)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _items(kpis: UnitKpis) -> str:
    return "-" if kpis.pq is None or kpis.gq is None else f"{kpis.gq:,.0f}/{kpis.pq:,.0f}"


def _basis(kpis: UnitKpis) -> str:
    return "-" if kpis.pbt_s is None else f"{100 * kpis.coverage:.0f}% of {_duration(kpis.pbt_s)}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


class Teller:
    """The view without a terminal: alerts and incidents when they come; every ten seconds figures and the lowest OEE.

    Args:
        model: what to tell of.
        say: takes one line.
    """

    EVERY_S: Final = 10.0

    def __init__(self, model: Model, say: Callable[[str], None]) -> None:
        self._model = model
        self._say = say
        self._told_s = 0.0

    def tell(self) -> None:
        """Say what is new since the last call."""
        model = self._model
        while model.news:
            self._say(f"      alert: {model.news.popleft()}")
        while model.incident_news:
            self._say(f"   incident: {model.incident_news.popleft()}")
        if model.elapsed_s - self._told_s < self.EVERY_S:
            return
        self._told_s = model.elapsed_s
        self._say(
            f"{model.elapsed_s:5.0f} s  {model.readings_per_s:,.0f} readings/s, {_open(model)} windows open, "
            f"{model.windows:,} closed, {model.alert_records:,} alert and {model.kpi_records:,} KPI records"
        )
        known = [kpis for kpis in _rows(model) if kpis.values.get("oee") is not None]
        if known:
            self._say(f"      {_lowest(known)}")
        if model.silence is not None:
            self._say(f"      {model.silence}")


def _lowest(rows: list[UnitKpis]) -> str:
    kpis = min(rows, key=lambda one: one.values["oee"] or 0.0)
    oee, availability, effectiveness, quality = (_percent(kpis.values.get(name)) for name, _ in KPIS)
    return (
        f"lowest OEE of the {kpis.period}: {kpis.work_unit} {oee} = availability {availability} * effectiveness "
        f"{effectiveness} * quality {quality}; {_items(kpis)} items good, {_basis(kpis)} planned time known"
    )
