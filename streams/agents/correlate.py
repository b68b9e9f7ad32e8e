"""`correlate`: evidence of sites in, incidents and repair times out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from streams import topology
from streams.agents import service_of, texts
from streams.core.correlate.links import LinkFaults, Links, parse
from streams.core.correlate.stage import Correlate
from streams.core.correlate.weights import WeightFaults, Weights
from streams.core.correlate.weights import parse as parse_weights
from streams.core.sequence import rule
from streams.core.sequence.rule import Sequence
from streams.kafka.service import Service
from streams.settings import PREFIX, Settings

T = TypeVar("T")
RULES = Path(__file__).resolve().parents[1] / "rules"
BUNDLED = RULES / "incidents" / "links.toml"
CAUSES = RULES / "incidents" / "causes.toml"


def links(settings: Settings) -> Links:
    """The links of `incident_links_file`, or the bundled ones. Raises LinkFaults with every fault."""
    return _parsed(settings.incident_links_file, BUNDLED, "INCIDENT_LINKS_FILE", parse, LinkFaults)


def weights(settings: Settings) -> Weights:
    """The weights of `incident_causes_file`, or the bundled ones. Raises WeightFaults with every fault."""
    return _parsed(settings.incident_causes_file, CAUSES, "INCIDENT_CAUSES_FILE", parse_weights, WeightFaults)


def _parsed(
    given: str, bundled: Path, setting: str, read: Callable[[str], T], fault: type[LinkFaults | WeightFaults]
) -> T:
    """What `read` makes of the file `given`, or of the `bundled` one; each fault is told with the file."""
    path = Path(given) if given else bundled
    try:
        return read(path.read_text(encoding="utf-8"))
    except (LinkFaults, WeightFaults) as why:
        raise fault(tuple(f"{path}: {each}" for each in why.faults)) from why
    except (OSError, UnicodeDecodeError) as why:
        raise fault((f"{path}: {why}; make it a readable file, or set {PREFIX}{setting}",)) from why


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
