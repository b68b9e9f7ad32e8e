"""Limits of single sources in one setting. Enters: `SOURCE=MS,SOURCE=MS`. Leaves: milliseconds by source id."""

from __future__ import annotations

from typing import Final

MAX_MS: Final = 86_400_000
REMEDY: Final = f"Give SOURCE=MILLISECONDS with commas between them, each source once, 0 to {MAX_MS}"


def parse(text: str) -> dict[str, int]:
    """Milliseconds by source id; ValueError names the part that is wrong."""
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        source, _, number = part.rpartition("=")
        source, number = source.strip(), number.strip()
        if not source or not (number.isascii() and number.isdigit()) or int(number[:18]) > MAX_MS:
            raise ValueError(f"{part!r} is no SOURCE=MILLISECONDS")
        if source in found:
            raise ValueError(f"{source!r} is there twice")
        found[source] = int(number)
    return found


def check(text: str) -> tuple[str, str] | None:
    """What is wrong with the setting and what to do; None for a good one."""
    try:
        parse(text)
    except ValueError as why:
        return str(why), REMEDY
    return None
