"""`validate`: raw readings in, validated readings, rejects and the inventory of unknown signals out."""

from __future__ import annotations

from streams import topology
from streams.core.validate.stage import Validate
from streams.kafka.serde import AvroSerde
from streams.kafka.service import Service
from streams.settings import Settings


def service(settings: Settings) -> Service:
    """The service, ready for a worker."""
    stage = topology.VALIDATE
    serde = AvroSerde(settings, stage)
    return Service(stage.name, stage.reads, stage.writes, Validate(), serde, stage.context)
