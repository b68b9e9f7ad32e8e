"""`validate`: raw readings in, validated readings, rejects and the inventory of unknown signals out."""

from __future__ import annotations

from streams import topology
from streams.agents import service_of
from streams.core.validate.stage import Validate
from streams.kafka.service import Service
from streams.settings import Settings


def service(settings: Settings) -> Service:
    """The service, ready for a worker."""
    return service_of(topology.VALIDATE, Validate(), settings)
