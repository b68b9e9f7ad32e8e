"""`correlate`: evidence of sites in, incidents and repair times out."""

from __future__ import annotations

from pathlib import Path

from streams import topology
from streams.agents import service_of, texts
from streams.core.correlate.links import LinkFaults, Links, parse
from streams.core.correlate.stage import Correlate
from streams.core.correlate.weights import WeightFaults, Weights
from streams.core.correlate.weights import parse as parse_weights
from streams.core.sequence import rule
from streams.core.sequence.rule import Sequence
from streams.kafka.service import Service
from streams.settings import Settings

RULES = Path(__file__).resolve().parents[1] / "rules"
BUNDLED = RULES / "incidents" / "links.toml"
CAUSES = RULES / "incidents" / "causes.toml"


def links(settings: Settings) -> Links:
    """The links of `incident_links_file`, or the bundled ones. Raises LinkFaults with every fault."""
    path = Path(settings.incident_links_file) if settings.incident_links_file else BUNDLED
    try:
        return parse(path.read_text(encoding="utf-8"))
    except LinkFaults as why:
        raise LinkFaults(tuple(f"{path}: {fault}" for fault in why.faults)) from why
    except (OSError, UnicodeDecodeError) as why:
        raise LinkFaults((f"{path}: {why}; make it a readable file, or set PLANTWEAVE_INCIDENT_LINKS_FILE",)) from why


def weights(settings: Settings) -> Weights:
    """The weights of `incident_causes_file`, or the bundled ones. Raises WeightFaults with every fault."""
    path = Path(settings.incident_causes_file) if settings.incident_causes_file else CAUSES
    try:
        return parse_weights(path.read_text(encoding="utf-8"))
    except WeightFaults as why:
        raise WeightFaults(tuple(f"{path}: {fault}" for fault in why.faults)) from why
    except (OSError, UnicodeDecodeError) as why:
        told = f"{path}: {why}; make it a readable file, or set PLANTWEAVE_INCIDENT_CAUSES_FILE"
        raise WeightFaults((told,)) from why


def sequences(settings: Settings) -> list[Sequence]:
    """The sequences in the folder `sequences` of `rules_dir`, if it has one; without `rules_dir` the bundled ones.

    Raises `RuleFaults` with every fault of every file.
    """
    folder = Path(settings.rules_dir) if settings.rules_dir else RULES
    return rule.load(*texts(sorted((folder / "sequences").glob("*.toml"))))


def service(settings: Settings) -> Service:
    """The service, ready for a worker."""
    disorder_us = settings.allowed_disorder_ms * 1000
    core = Correlate(links(settings), sequences(settings), weights=weights(settings), disorder_us=disorder_us)
    return service_of(topology.CORRELATE_STAGE, core, settings)
