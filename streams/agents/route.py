"""`route`: alerts, logons, flows and alarms of sources in, evidence by site out."""

from __future__ import annotations

from streams import topology
from streams.agents import pseudonym_key, service_of
from streams.core.route.stage import Route
from streams.kafka.service import Service
from streams.settings import Settings


def service(settings: Settings) -> Service:
    """The service, ready for a worker."""
    return service_of(topology.ROUTE, Route(pseudonym_key(settings)), settings)
