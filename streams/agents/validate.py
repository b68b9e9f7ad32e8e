"""`validate`: raw readings in, validated readings, rejects and the inventory of unknown signals out."""

from __future__ import annotations

from streams import topology
from streams.agents import service_of
from streams.core.validate.skew import ClockConfig
from streams.core.validate.stage import Validate, ValidateConfig
from streams.kafka.service import Service
from streams.settings import Settings


def config(settings: Settings) -> ValidateConfig:
    """What the settings say of clocks; a skew ends below half of the limit above which it begins."""
    clock = ClockConfig(
        begin_s=settings.clock_skew_s,
        end_s=settings.clock_skew_s // 2,
        readings=settings.clock_skew_readings,
        span_s=settings.clock_skew_span_s,
    )
    return ValidateConfig(clock=clock)


def service(settings: Settings) -> Service:
    """The service, ready for a worker."""
    return service_of(topology.VALIDATE, Validate(config(settings)), settings)
