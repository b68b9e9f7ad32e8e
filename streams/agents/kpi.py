"""`kpi`: validated readings of states and counters in, ISO 22400-2 KPIs out."""

from __future__ import annotations

from pathlib import Path

from streams import topology
from streams.agents import redundancy, service_of
from streams.core.kpi import policy as kpi_policy
from streams.core.kpi.progress import KpiConfig
from streams.core.kpi.stage import Kpi
from streams.core.times import SECOND_US
from streams.kafka.service import Service
from streams.settings import Settings

BUNDLED = Path(__file__).resolve().parents[1] / "rules" / "kpi" / "iso22400.toml"


def config(settings: Settings) -> KpiConfig:
    """What the settings say of event time."""
    return KpiConfig(
        allowed_disorder_us=settings.allowed_disorder_ms * 1000,
        idle_after_us=settings.idle_after_ms * 1000,
        correction_horizon_us=settings.kpi_correction_horizon_s * SECOND_US,
    )


def policy(settings: Settings) -> kpi_policy.KpiPolicy:
    """The policy of `kpi_policy_file`, or the bundled one. Raises PolicyError with the file and every fault of it."""
    path = Path(settings.kpi_policy_file) if settings.kpi_policy_file else BUNDLED
    try:
        return kpi_policy.parse(path.read_text(encoding="utf-8"))
    except (kpi_policy.PolicyError, OSError, UnicodeDecodeError) as why:
        raise kpi_policy.PolicyError(f"{path}: {why}; correct it, or set PLANTWEAVE_KPI_POLICY_FILE") from why


def service(settings: Settings) -> Service:
    """The service, ready for a worker."""
    return service_of(topology.KPI_STAGE, Kpi(policy(settings), config(settings), redundancy(settings)), settings)
