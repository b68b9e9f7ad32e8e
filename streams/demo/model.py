"""What the demo knows. In: records of the output topics and the state of the services. Out: figures, newest first.

Nothing here reads a clock: times are arguments, `now_s` in seconds of any clock that does not step back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streams import topology
from streams.core.alert.rule import EVENT

ALERTS_KEPT: Final = 50
RATE_OVER_S: Final = 5.0
# Nothing for so long after the start is worth a word.
SILENCE_S: Final = 20.0


@dataclass(frozen=True)
class AlertLine:
    """Where one alert stands: event time of its newest transition (us UTC), state, priority, that one's sentence."""

    time_us: int
    state: str
    priority: str
    message: str

    @property
    def stands(self) -> bool:
        """The condition holds still."""
        return self.state != "cleared"


@dataclass(frozen=True)
class IncidentLine:
    """Where one incident stands: begin (event time, us UTC), state, priority, number of members, its sentence."""

    begin_us: int
    state: str
    priority: str
    members: int
    message: str

    @property
    def stands(self) -> bool:
        """It is open still."""
        return self.state == "open"


@dataclass
class UnitKpis:
    """The newest KPIs of one machine in one kind of period, and what they rest on.

    `values`: ratios by KPI name. `coverage`: share of the planned busy time `pbt_s` (s) in which the state was known.
    `pq`, `gq`: items produced, and good ones.
    """

    work_unit: str
    period: str
    period_id: str
    values: dict[str, float | None] = field(default_factory=dict)
    coverage: float = 0.0
    pbt_s: float | None = None
    pq: float | None = None
    gq: float | None = None


@dataclass(frozen=True)
class ServiceLine:
    """One process of the demo: `starting`, `ready` or `stopped`, and how many records it is behind (None: unknown)."""

    name: str
    state: str = "starting"
    lag: int | None = None
    open_windows: int | None = None


@dataclass
class Model:
    """All that the view shows; `began_s` is when the services were ready and the plant was started."""

    bootstrap: str = ""
    began_s: float | None = None
    now_s: float = 0.0
    services: tuple[ServiceLine, ...] = ()
    readings: int = 0
    windows: int = 0
    alert_records: int = 0
    kpi_records: int = 0
    incident_records: int = 0
    first_alert_s: float | None = None
    first_kpi_s: float | None = None
    first_incident_s: float | None = None
    alerts: dict[str, AlertLine] = field(default_factory=dict)
    incidents: dict[str, IncidentLine] = field(default_factory=dict)
    # Sentences nobody has taken yet; of incidents those that opened, closed or opened again.
    news: deque[str] = field(default_factory=lambda: deque(maxlen=ALERTS_KEPT))
    incident_news: deque[str] = field(default_factory=lambda: deque(maxlen=ALERTS_KEPT))
    kpis: dict[tuple[str, str], UnitKpis] = field(default_factory=dict)
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    def observe(self, topic: str, row: Mapping[str, Any], now_s: float) -> None:
        """Take in one record of an output topic (name without prefix; its contract's fields, times in microseconds)."""
        self.now_s = now_s
        if topic == topology.READING.name:
            count = len(row["event_time"] or ())
            self.readings += count
            self._recent.append((now_s, count))
        elif topic == topology.WINDOW.name:
            self.windows += 1
        elif topic == topology.ALERT.name:
            self.alert_records += 1
            if row.get("kind") == EVENT:
                return  # with each order the setpoints change: that would be all there is to see
            self.first_alert_s = self._since_start(now_s) if self.first_alert_s is None else self.first_alert_s
            self._take_alert(row)
        elif topic == topology.KPI.name:
            self.kpi_records += 1
            self.first_kpi_s = self._since_start(now_s) if self.first_kpi_s is None else self.first_kpi_s
            self._take_kpi(row)
        elif topic == topology.INCIDENT.name:
            self.incident_records += 1
            self.first_incident_s = self._since_start(now_s) if self.first_incident_s is None else self.first_incident_s
            self._take_incident(row)

    def tick(self, now_s: float) -> None:
        """Time goes by, also where nothing arrives."""
        self.now_s = now_s
        while self._recent and self._recent[0][0] <= now_s - RATE_OVER_S:
            self._recent.popleft()

    @property
    def elapsed_s(self) -> float:
        """Seconds since services were ready and the plant was started; 0 before."""
        return 0.0 if self.began_s is None else self.now_s - self.began_s

    @property
    def readings_per_s(self) -> float:
        """Validated readings per second over the last five."""
        return sum(count for at, count in self._recent if at > self.now_s - RATE_OVER_S) / RATE_OVER_S

    @property
    def newest_alerts(self) -> list[AlertLine]:
        """Alerts that stand, then those that are over; each the newest first."""
        newest = list(reversed(self.alerts.values()))
        return sorted(newest, key=lambda alert: (not alert.stands, -alert.time_us))

    @property
    def newest_incidents(self) -> list[IncidentLine]:
        """Incidents that are open, then those that are over; each the newest first."""
        return sorted(self.incidents.values(), key=lambda one: (not one.stands, -one.begin_us))

    @property
    def open_windows(self) -> int | None:
        """Windows that have begun and are not closed; None until the window service tells."""
        told = [service.open_windows for service in self.services if service.open_windows is not None]
        return sum(told) if told else None

    @property
    def silence(self) -> str | None:
        """What has not arrived although it should have, and where to look; None where all is well."""
        if self.elapsed_s < SILENCE_S:
            return None
        if not self.readings:
            return f"No reading has come out after {self.elapsed_s:.0f} s: look into plant.log and validate.log."
        missing = [name for name, count in (("alert", self.alert_records), ("kpi", self.kpi_records)) if not count]
        if missing and self.elapsed_s > 3 * SILENCE_S:
            logs = " and ".join(f"{name}.log" for name in missing)
            return f"Readings flow, but no {' and no '.join(missing)} after {self.elapsed_s:.0f} s: look into {logs}."
        return None

    def summary(self) -> dict[str, int | float | None]:
        """The demo in seven figures."""
        return {
            "readings": self.readings,
            "alerts": self.alert_records,
            "kpis": self.kpi_records,
            "incidents": self.incident_records,
            "first_alert_s": self.first_alert_s,
            "first_kpi_s": self.first_kpi_s,
            "first_incident_s": self.first_incident_s,
        }

    def _since_start(self, now_s: float) -> float:
        return round(now_s - (self.began_s if self.began_s is not None else now_s), 1)

    def _take_alert(self, row: Mapping[str, Any]) -> None:
        self.alerts.pop(row["alert_id"], None)
        self.alerts[row["alert_id"]] = AlertLine(row["event_time"], row["state"], row["priority"], row["message"])
        self.news.append(row["message"])
        over = [key for key, alert in self.alerts.items() if not alert.stands]
        for key in over[: max(len(over) - ALERTS_KEPT, 0)]:
            del self.alerts[key]

    def _take_incident(self, row: Mapping[str, Any]) -> None:
        ident, state = row["incident_id"], row["state"]
        told = self.incidents.pop(ident, None)
        if state in {"merged", "retracted"}:
            return  # another incident has taken it in, or there was none
        self.incidents[ident] = IncidentLine(
            row["begin_time"], state, row["priority"], row["member_count"], row["message"]
        )
        if told is None or told.state != state:
            self.incident_news.append(row["message"])
        over = [key for key, incident in self.incidents.items() if not incident.stands]
        for key in over[: max(len(over) - ALERTS_KEPT, 0)]:
            del self.incidents[key]

    def _take_kpi(self, row: Mapping[str, Any]) -> None:
        unit, period = row["work_unit"], row["period"]
        # The newest record moves its machine to the end of the table's order.
        held = self.kpis.pop((unit, period), None)
        if held is None or held.period_id != row["period_id"]:
            held = UnitKpis(unit, period, row["period_id"])
        held.values[row["kpi"]] = row["value"]
        held.coverage, held.pbt_s, held.pq, held.gq = row["coverage"], row["pbt_s"], row["pq"], row["gq"]
        self.kpis[unit, period] = held
