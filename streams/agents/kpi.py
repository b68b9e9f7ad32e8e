"""`kpi`: validated readings of states and counters in, ISO 22400-2 KPIs out."""

from __future__ import annotations

from pathlib import Path

from streams import topology
from streams.core import kpi_policy
from streams.core.kpi import Kpi
from streams.core.kpi_progress import KpiConfig
from streams.kafka.serde import AvroSerde
from streams.kafka.service import Service
from streams.settings import Settings

POLICY = Path(__file__).resolve().parents[1] / "rules" / "kpi" / "iso22400.toml"


def config(settings: Settings) -> KpiConfig:
    """What the settings say of event time."""
    return KpiConfig(
        allowed_disorder_us=settings.allowed_disorder_ms * 1000,
        idle_after_us=settings.idle_after_ms * 1000,
        correction_horizon_us=settings.correction_horizon_s * 1_000_000,
    )


def service(settings: Settings) -> Service:
    """The service, ready for a worker."""
    stage = topology.KPI_STAGE
    serde = AvroSerde(settings, stage)
    core = Kpi(kpi_policy.parse(POLICY.read_text(encoding="utf-8")), config(settings))
    return Service(stage.name, stage.reads, stage.writes, core, serde, stage.context)
