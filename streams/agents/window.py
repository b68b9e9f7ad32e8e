"""`window`: validated readings in, closed windows with their revisions out."""

from __future__ import annotations

from streams import limits, topology
from streams.agents import redundancy, service_of
from streams.core.redundancy.selected import Selected
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
        memory_us=settings.correction_memory_s * SECOND_US,
        disorder_of={name: ms * 1000 for name, ms in limits.parse(settings.allowed_disorder_by_source).items()},
        idle_of={name: ms * 1000 for name, ms in limits.parse(settings.idle_after_by_source).items()},
    )


def service(settings: Settings) -> Service:
    """The service, ready for a worker."""
    core = Selected(Window(config(settings)), redundancy(settings))
    return service_of(topology.WINDOW_STAGE, core, settings)
