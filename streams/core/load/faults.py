"""Faults of a mapping file. Enter: places and what is wrong there. Leaves: one error that lists all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from collections.abc import Mapping as Dict
from typing import Any


class MappingFaults(ValueError):
    """The mapping file is wrong; the message lists every fault, one per line."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join([f"{len(self.faults)} fault(s) in the mapping file:", *self.faults]))


class Faults:
    """Collects faults with their places."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.places: set[str] = set()

    def add(self, place: str, problem: str) -> None:
        """Note a fault."""
        self.places.add(place.removeprefix("fields."))
        self.lines.append(f"  {place}: {problem}")

    def known(self, prefix: str, table: Any, names: set[str]) -> dict[str, Any]:
        """Those members of a table that have a known name; all others are faults."""
        if not isinstance(table, dict):
            self.add(prefix.rstrip("."), "write a table")
            return {}
        for name in table.keys() - names:
            self.add(prefix + name, f"no such key{near(name, names)}")
        return {name: value for name, value in table.items() if name in names}

    def table(self, name: str, top: Dict[str, Any]) -> dict[str, Any]:
        """A member that must be a table; empty where it is none."""
        value = top.get(name, {})
        if not isinstance(value, dict):
            self.add(name, "write a table")
            return {}
        return value

    def texts(self, place: str, value: Any) -> tuple[str, ...]:
        """A list of texts; empty where it is none."""
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            return tuple(value)
        self.add(place, 'write a list of texts, such as ["NA", "-"]')
        return ()


def near(name: str, known: Iterable[str]) -> str:
    """What may be meant: the nearest known name, or all of them."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1)
    if nearest:
        return f"; did you mean {nearest[0]!r}?"
    return f"; there are {', '.join(names)}" if len(names) <= 40 else ""
