"""`alert`: validated readings in, transitions of alerts and alarms out."""

from __future__ import annotations

from pathlib import Path

from streams import topology
from streams.agents import redundancy, service_of, texts
from streams.core.alert import rule
from streams.core.alert.stage import Alert
from streams.core.times import SECOND_US
from streams.kafka.service import Service
from streams.settings import Settings

BUNDLED = Path(__file__).resolve().parents[1] / "rules"


def rules(settings: Settings) -> list[rule.Rule]:
    """The rules of `rules_dir`, or the bundled ones. Raises `rule.RuleFaults` with every fault of every file."""
    folder = Path(settings.rules_dir) if settings.rules_dir else BUNDLED
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise rule.RuleFaults((f"{folder}: no rule files (*.toml); set PLANTWEAVE_RULES_DIR to a folder with rules",))
    return rule.load(*texts(files))


def service(settings: Settings) -> Service:
    """The service, ready for a worker."""
    disorder_us = settings.allowed_disorder_ms * 1000
    core = Alert(
        rules(settings),
        disorder_us=disorder_us,
        redundancy=redundancy(settings),
        horizon_us=settings.correction_horizon_s * SECOND_US,
    )
    return service_of(topology.ALERT_STAGE, core, settings)
