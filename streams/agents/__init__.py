"""The services, one file each: settings in, `Service` out. What they compute is in `streams.core`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path

from streams import topology
from streams.core.redundancy.selection import Redundancy
from streams.core.stage import StageCore
from streams.core.times import DAY_US, HOUR_US, SECOND_US
from streams.kafka.persons import Persons
from streams.kafka.serde import AvroSerde
from streams.kafka.service import Service
from streams.load.key import read_key
from streams.settings import Settings


def service_factory(name: str) -> Callable[[Settings], Service]:
    """What makes the service `name` (a stage of the topology) from settings; KeyError names the known ones."""
    stage = topology.stage(name)
    factory: Callable[[Settings], Service] = import_module(f"streams.agents.{stage.name}").service
    return factory


def service_of(stage: topology.Stage, core: StageCore, settings: Settings) -> Service:
    """The service that runs `core` on the topics of `stage`, with the contracts' serde. Raises KeyFault."""
    persons = Persons(stage.texts, pseudonym_key(settings))
    return Service(stage.name, stage.reads, stage.writes, core, AvroSerde(settings, stage), stage.context, persons)


def pseudonym_key(settings: Settings) -> bytes | None:
    """The key of pseudonyms, where this worker is given one: none needs it. Raises KeyFault where it cannot be read."""
    return read_key(settings.pseudonym_key_file) if settings.pseudonym_key_file else None


def redundancy(settings: Settings) -> Redundancy:
    """Which gateway counts, as the settings say; every service that computes has its own."""
    # What a correction reads of the log reaches a day, the limit of carried values, further back than its horizon.
    known_us = settings.correction_horizon_s * SECOND_US + DAY_US + HOUR_US
    return Redundancy(settings.failover_after_ms * 1000, settings.failback_after_ms * 1000, known_us)


def texts(files: Iterable[Path]) -> tuple[dict[str, str], list[str]]:
    """Contents of rule files by name, and what is wrong with those that have none."""
    found, faults = {}, []
    for file in files:
        try:
            found[file.name] = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as why:
            faults.append(f"{file.name}: file: is not UTF-8 text (byte {why.start}: {why.reason}); save it as UTF-8")
        except OSError as why:
            faults.append(f"{file.name}: file: cannot be read: {why.strerror}; make it a readable file, or remove it")
    return found, faults


__all__ = ["pseudonym_key", "redundancy", "service_factory", "service_of", "texts"]
