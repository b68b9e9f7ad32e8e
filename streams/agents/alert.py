"""`alert`: validated readings in, transitions of alerts and alarms out."""

from __future__ import annotations

from pathlib import Path

from streams import topology
from streams.core.alert import rule
from streams.core.alert.stage import Alert
from streams.kafka.serde import AvroSerde
from streams.kafka.service import Service
from streams.settings import Settings

BUNDLED = Path(__file__).resolve().parents[1] / "rules"


def rules(settings: Settings) -> list[rule.Rule]:
    """The rules of `rules_dir`, or the bundled ones. Raises `rule.RuleFaults` with every fault of every file."""
    folder = Path(settings.rules_dir) if settings.rules_dir else BUNDLED
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise rule.RuleFaults((f"{folder}: no rule files (*.toml); set PLANTWEAVE_RULES_DIR to a folder with rules",))
    return rule.load({file.name: file.read_text(encoding="utf-8") for file in files})


def service(settings: Settings) -> Service:
    """The service, ready for a worker."""
    stage = topology.ALERT_STAGE
    serde = AvroSerde(settings, stage)
    core = Alert(rules(settings), disorder_us=settings.allowed_disorder_ms * 1000)
    return Service(stage.name, stage.reads, stage.writes, core, serde, stage.context)
