"""`window`: validated readings in, closed windows with their revisions out."""

from __future__ import annotations

from streams import topology
from streams.agents import service_of
from streams.core.times import SECOND_US
from streams.core.window.stage import Window, WindowConfig
from streams.kafka.service import Service
from streams.settings import Settings


def config(settings: Settings) -> WindowConfig:
    """What the settings say of event time."""
    return WindowConfig(
        allowed_disorder_us=settings.allowed_disorder_ms * 1000,
        idle_after_us=settings.idle_after_ms * 1000,
        correction_horizon_us=settings.correction_horizon_s * SECOND_US,
    )


def service(settings: Settings) -> Service:
    """The service, ready for a worker."""
    return service_of(topology.WINDOW_STAGE, Window(config(settings)), settings)
