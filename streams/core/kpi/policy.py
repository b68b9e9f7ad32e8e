"""KPI policy: which state label is which time, and who wins. Enters: the text of a policy file. Leaves: a `KpiPolicy`.

What plants argue about is data, versioned, and named in every record (STANDARDS: ISO 22400-2 leaves it open whether a
minor stop lowers availability, as here by default, or performance, as in TPM).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from streams.core.times import microseconds

NO_SHIFT: Final = "no_shift"
PLANNED_DOWN: Final = "planned_down"
PRODUCTION: Final = "production"
UNKNOWN: Final = "unknown"
# Exclusive time categories; every instant of a period is in exactly one.
CATEGORIES: Final = (NO_SHIFT, PLANNED_DOWN, PRODUCTION, "setup", "delay", "down", UNKNOWN)
# What a state signal can say; the others come from the calendar or from not knowing.
STATE_CATEGORIES: Final = (PRODUCTION, "setup", "delay", "down", PLANNED_DOWN)
HANDLINGS: Final = ("availability", "performance")
KNOWN_FIELDS: Final = frozenset({"id", "version", "model", "title", "precedence", "minor_stops", "states"})


class PolicyError(ValueError):
    """A KPI policy that cannot be used; the message lists every fault and what to do."""


@dataclass(frozen=True)
class KpiPolicy:
    """A checked policy.

    `states` maps a normalised label to its category. `minor_stop_us` is None where minor stops lower availability, else
    the length (us) below which delay and down count as production.
    """

    policy_id: str
    version: int
    model: str
    precedence: tuple[str, ...]
    states: Mapping[str, str]
    minor_stop_us: int | None = None

    @property
    def label(self) -> str:
        """What a KPI record says in `policy`: id and version."""
        return f"{self.policy_id}@{self.version}"

    def category(self, label: str | None) -> str | None:
        """Time category of a state label; None where no list has it."""
        return None if label is None else self.states.get(normalise(label))

    def first(self, *categories: pl.Expr) -> pl.Expr:
        """Of expressions that each give a category or null, the category that is first in the precedence."""
        rank = {category: index for index, category in enumerate(self.precedence)}
        ranks = [expr.replace_strict(rank, default=None, return_dtype=pl.Int8) for expr in categories]
        names = dict(enumerate(self.precedence))
        return pl.min_horizontal(ranks).replace_strict(names, default=UNKNOWN, return_dtype=pl.String)


def normalise(label: str) -> str:
    """`label` without differences of case, blank and hyphen."""
    return label.strip().lower().replace(" ", "_").replace("-", "_")


def parse(text: str) -> KpiPolicy:
    """The policy in `text` (TOML); PolicyError lists every fault."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise PolicyError(f"KPI policy: not valid TOML: {fault}; correct that line") from fault
    faults = [f"{name}: not a field of a KPI policy; remove it" for name in sorted(data.keys() - KNOWN_FIELDS)]
    policy_id = _text(data, "id", faults)
    model = _text(data, "model", faults)
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        faults.append("version: give a whole number from 1")
        version = 1
    precedence = _precedence(data.get("precedence", list(CATEGORIES)), faults)
    minor_stop_us = _minor_stops(data.get("minor_stops", {}), faults)
    states = _states(data.get("states"), faults)
    if faults:
        raise PolicyError(f"KPI policy {policy_id or '(without id)'}: " + "; ".join(faults))
    return KpiPolicy(policy_id, version, model, precedence, states, minor_stop_us)


def _text(data: dict[str, Any], name: str, faults: list[str]) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value.strip():
        faults.append(f"{name}: give a text")
        return ""
    return value


def _precedence(value: object, faults: list[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or sorted(map(str, value)) != sorted(CATEGORIES):
        faults.append(f"precedence: name each of {', '.join(CATEGORIES)} once, the strongest first")
        return CATEGORIES
    if value[-1] != UNKNOWN:
        faults.append("precedence: unknown must be the last, as it says that nothing else is known")
    return tuple(value)


def _minor_stops(value: object, faults: list[str]) -> int | None:
    if not isinstance(value, dict):
        faults.append("minor_stops: give a table with handling and below_s")
        return None
    handling, below_s = value.get("handling", HANDLINGS[0]), value.get("below_s", 300)
    if handling not in HANDLINGS:
        faults.append(f"minor_stops.handling: {handling!r} is not one of {', '.join(HANDLINGS)}")
    if not isinstance(below_s, int | float) or isinstance(below_s, bool) or not 0 < below_s <= 3600:
        faults.append("minor_stops.below_s: give seconds above 0 and up to 3600")
        return None
    return microseconds(below_s) if handling == "performance" else None


def _states(value: object, faults: list[str]) -> dict[str, str]:
    if not isinstance(value, dict) or not value.get(PRODUCTION):
        faults.append("states: give a table of lists of labels, `production` at least")
        return {}
    states: dict[str, str] = {}
    for category, labels in value.items():
        if category not in STATE_CATEGORIES:
            faults.append(f"states.{category}: not one of {', '.join(STATE_CATEGORIES)}")
            continue
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            faults.append(f"states.{category}: give a list of labels")
            continue
        for label in map(normalise, labels):
            other = states.setdefault(label, category)
            if other != category:
                faults.append(f"states: label {label!r} is in {other} and in {category}; keep one")
    return states
