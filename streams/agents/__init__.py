"""The services, one file each: settings in, `Service` out. What they compute is in `streams.core`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from streams import topology
from streams.kafka.service import Service
from streams.settings import Settings


def service_factory(name: str) -> Callable[[Settings], Service]:
    """What makes the service `name` (a stage of the topology) from settings; KeyError names the known ones."""
    stage = topology.stage(name)
    factory: Callable[[Settings], Service] = import_module(f"streams.agents.{stage.name}").service
    return factory


__all__ = ["service_factory"]
