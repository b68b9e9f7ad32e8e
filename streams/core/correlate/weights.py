"""What cause candidates weigh. Enters: the text of causes.toml. Leaves: `Weights`; every fault of the file is listed.

Confidence = weight * 2 ** -(span / half-life) * the factors of what is known, 0..1. The numbers are a published
judgement that orders candidates, not a probability that was measured.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from streams.core.times import DAY_US, SECOND_US, microseconds

_MOST_S: Final = 7 * DAY_US // SECOND_US
# Table, field, number of the bundled file. Shares are 0..1, names that end in _s are seconds, the rest are counts.
_NUMBERS: Final[Mapping[str, Mapping[str, float]]] = {
    "told": {"most": 5},
    "first_out": {"weight": 0.7, "lead_s": 30},
    "upstream": {"weight": 0.8, "within_s": 900, "half_life_s": 300, "step": 0.8, "steps": 3},
    "it_event": {"weight": 0.6, "within_s": 1800, "half_life_s": 900},
    "ot_event": {"weight": 0.6, "within_s": 1800, "half_life_s": 900},
    "change": {"weight": 0.7, "within_s": 86400, "half_life_s": 21600},
    "work_order": {"weight": 0.6, "within_s": 86400, "half_life_s": 28800, "imprecise": 0.5},
    "event": {"remote_logon": 1.0, "privilege": 0.9, "logon": 0.7, "attempt": 0.5, "failed_logon": 0.4, "flow": 0.6},
    "place": {"same": 1.0, "unit": 0.9, "above": 0.6},
    "criticality": {"high": 1.0, "medium": 0.9, "low": 0.8, "untold": 0.85},
    "repair": {"after_s": 1800},
}
_COUNTS: Final = ("most", "steps")


class WeightFaults(ValueError):
    """Everything that is wrong with a file of weights."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Weights:
    """What the file says: numbers by table and field."""

    numbers: Mapping[str, Mapping[str, float]]

    def share(self, table: str, field: str) -> float:
        """A weight or factor, 0..1."""
        return self.numbers[table][field]

    def span_us(self, table: str, field: str) -> int:
        """A span in microseconds (the file's field `<field>_s`)."""
        return microseconds(self.numbers[table][f"{field}_s"])

    def count(self, table: str, field: str) -> int:
        """A whole number."""
        return int(self.numbers[table][field])

    def confidence(self, kind: str, span_us: int, *factors: float) -> float:
        """Confidence of a candidate of `kind` that lies `span_us` before what it may have caused, 0..1."""
        value: float = self.share(kind, "weight") * 0.5 ** (span_us / self.span_us(kind, "half_life"))
        for factor in factors:
            value *= factor
        return round(value, 3)


DEFAULT: Final = Weights(_NUMBERS)


def parse(text: str) -> Weights:
    """Weights of a file. Raises WeightFaults with everything that is wrong with it."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise WeightFaults((f"not TOML: {why}; correct that line",)) from why
    faults = [
        f"{name}: no such table; known are version and {', '.join(_NUMBERS)}"
        for name in sorted(data.keys() - _NUMBERS.keys() - {"version"})
    ]
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        faults.append("version: give a whole number from 1, and raise it with every change")
    numbers = {name: _table(name, data.get(name), faults) for name in _NUMBERS}
    if faults:
        raise WeightFaults(tuple(faults))
    return Weights(numbers)


def _table(name: str, given: Any, faults: list[str]) -> dict[str, float]:
    fields = _NUMBERS[name]
    if not isinstance(given, dict):
        faults.append(f"{name}: give it as a table: [{name}] with {', '.join(fields)}")
        return {}
    unknown = sorted(given.keys() - fields.keys())
    faults += [f"{name}.{field}: no such field; known are {', '.join(fields)}" for field in unknown]
    for field in fields:
        low, most, whole = _limits(field)
        value = given.get(field)
        # A truth value is an int to Python, and no number to anybody else.
        kinds = (int,) if whole else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool) or not low <= value <= most:
            faults.append(f"{name}.{field}: give a {'whole ' if whole else ''}number from {low} to {most}")
    return {field: given[field] for field in fields if field in given}


def _limits(field: str) -> tuple[int, int, bool]:
    """Least, most, and whether it is a whole number."""
    if field in _COUNTS:
        return 1, 20, True
    return (1, _MOST_S, False) if field.endswith("_s") else (0, 1, False)
