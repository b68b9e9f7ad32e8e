"""Reads a TOML table field by field. Enters: a parsed table. Leave: typed values, and one fault for everything wrong.

A faulty field yields a harmless value, so that reading goes on and one look at the faults shows all there is to mend.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class Faults:
    """Faults of all files read so far, as `file: field: what is wrong; what to write`."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, name: str, field: str, text: str) -> None:
        """Note a fault of `field` in the file `name`."""
        self.found.append(f"{name}: {field}: {text}")


class TableReader:
    """One table of one file; `where` is its name with a dot at the end, empty for the file itself.

    `present` is False for a table that is missing: that is one fault, and its fields are not asked for again.
    """

    def __init__(self, name: str, where: str, table: Mapping[str, Any] | None, faults: Faults) -> None:
        self._name = name
        self._where = where
        self._table = table or {}
        self._faults = faults
        self._known: set[str] = set()
        self.present = table is not None

    def fault(self, field: str, text: str) -> None:
        """Note a fault of one field of this table."""
        self._faults.add(self._name, self._where + field, text)

    def table(self, field: str) -> TableReader:
        """The table called `field`, which must be there."""
        value = self._take(field)
        if not isinstance(value, dict):
            self.fault(field, f"is missing; write a table [{field}]" if value is None else "must be a table")
            return TableReader(self._name, f"{field}.", None, self._faults)
        return TableReader(self._name, f"{field}.", value, self._faults)

    def text(self, field: str, *, pattern: str | None = None, required: bool = True) -> str:
        """One line of text; empty where it is optional and missing, or wrong."""
        value = self._take(field)
        if value is None:
            if required:
                self._missing(field, "write one line of text")
            return ""
        if not isinstance(value, str) or not value.strip() or "\n" in value:
            self.fault(field, "must be one line of text")
            return ""
        if pattern and not re.fullmatch(pattern, value):
            self.fault(field, f"is {value!r}; write lower-case words joined by hyphens")
            return ""
        return value.strip()

    def choice(self, field: str, among: Sequence[str], *, required: bool = True) -> str:
        """One of the words `among`; the first of them where it is wrong, empty where it is optional and missing."""
        value = self._take(field)
        if value is None and not required:
            return ""
        if value is None:
            self._missing(field, f"write one of {', '.join(among)}")
        elif value not in among:
            self.fault(field, f"is {value!r}; write one of {', '.join(among)}")
        else:
            return str(value)
        return among[0]

    def texts(self, field: str, *, required: bool) -> tuple[str, ...]:
        """A list of texts; one text stands for a list of one."""
        value = self._take(field)
        if value is None:
            if required:
                self._missing(field, "write a list of texts")
            return ()
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) and item.strip() for item in items):
            self.fault(field, "must be a list of texts")
            return ()
        if required and not items:
            self.fault(field, "is empty; name at least one")
        return tuple(items)

    def words(self, field: str, among: Sequence[str]) -> tuple[str, ...]:
        """A list of words `among`, which may be missing or empty; each word that is none of them is named."""
        found = self.texts(field, required=False)
        if wrong := [word for word in found if word not in among]:
            self.fault(field, f"names {', '.join(map(repr, wrong))}; write any of {', '.join(among)}")
        return found

    def number(
        self, field: str, default: float | None, low: float = -math.inf, high: float = math.inf, *, whole: bool = False
    ) -> float:
        """A finite number from `low` to `high`; `default` None: it must be there."""
        value = self.maybe(field, whole=whole)
        if value is None:
            if default is None and field not in self._table:
                self._missing(field, "write a whole number" if whole else "write a number")
            return max(low, 0.0) if default is None else default
        if not low <= value <= high:
            bounds = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
            self.fault(field, f"is {value:g}; it must be {bounds}")
        return value

    def maybe(self, field: str, *, whole: bool = False) -> float | None:
        """A finite number, or None where it is missing or wrong."""
        value = self._take(field)
        if value is None:
            return None
        kinds = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
            self.fault(field, f"is {value!r}; it must be a {'whole' if whole else 'finite'} number")
            return None
        return value

    def points(self, field: str, of: str, kind: type[float | str], *, required: bool) -> Iterator[tuple[float, Any]]:
        """Rows {at = seconds, <of> = value} in ascending order of `at`; wrong rows are faults and left out."""
        rows = self._take(field)
        if rows is None or rows == []:
            if required:
                self._missing(field, f"write rows {{ at = seconds, {of} = ... }}")
            return
        last = -math.inf
        for number, row in enumerate(rows if isinstance(rows, list) else [rows], start=1):
            point = self._point(row, of, kind)
            if point is None:
                wanted = "a number" if kind is float else "a text"
                self.fault(f"{field}[{number}]", f"must be {{ at = seconds, {of} = {wanted} }}")
            elif point[0] < last:
                self.fault(f"{field}[{number}]", "comes before the row above it; sort the rows by `at`")
            else:
                last = point[0]
                yield point

    def rows(self, field: str, kinds: Mapping[str, type[float | str]]) -> Iterator[dict[str, Any]]:
        """Rows {at = seconds, ...} with any of the fields `kinds`, ascending by `at`; wrong rows are faults."""
        rows = self._take(field)
        if not rows:
            self._missing(field, "write rows { at = seconds, ... }")
            return
        last = -math.inf
        for number, row in enumerate(rows if isinstance(rows, list) else [rows], start=1):
            if not isinstance(row, dict) or "at" not in row or not row.keys() <= kinds.keys():
                self.fault(f"{field}[{number}]", f"must be {{ at = seconds, ... }} with any of {', '.join(kinds)}")
            elif wrong := [name for name, value in row.items() if not _is(value, kinds[name])]:
                text = f"has {' and '.join(wrong)} of the wrong kind: text for number, or number for text"
                self.fault(f"{field}[{number}]", text)
            elif row["at"] < last:
                self.fault(f"{field}[{number}]", "comes before the row above it; sort the rows by `at`")
            else:
                last = row["at"]
                yield row

    def finish(self) -> None:
        """Call last: every field that nobody asked for is a fault."""
        for field in sorted(self._table.keys() - self._known):
            near = difflib.get_close_matches(field, self._known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known here are {', '.join(sorted(self._known))}"
            self.fault(field, f"is not known; {hint}")

    def _take(self, field: str) -> Any:
        self._known.add(field)
        return self._table.get(field)

    def _missing(self, field: str, advice: str) -> None:
        if self.present:
            self.fault(field, f"is missing; {advice}")

    @staticmethod
    def _point(row: Any, of: str, kind: type[float | str]) -> tuple[float, Any] | None:
        if not isinstance(row, dict) or row.keys() != {"at", of}:
            return None
        at, value = row["at"], row[of]
        return (float(at), value) if _is(at, float) and _is(value, kind) else None


def _is(value: Any, kind: type[float | str]) -> bool:
    return not isinstance(value, bool) and isinstance(value, str if kind is str else (int, float))
