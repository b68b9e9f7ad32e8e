"""How times are written. Enters: what a mapping says of a time. Leaves: faults, and the year where it tells none."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping as Dict
from typing import Any, Final

from streams.core.load.faults import Faults, near

PRECISIONS: Final = ("exact", "day", "typed_later")
# Ways to write a time beside those of strftime.
ISO: Final = "iso"
UNIX: Final = {"unix_s": 1_000_000, "unix_ms": 1_000, "unix_us": 1}
# Parts of a form that tell the year.
YEAR: Final = re.compile(r"%[-_0]?[YyCGgDxFvcs+]")
YEARS: Final = range(1990, 2200)


def time_faults(faults: Faults, place: str, texts: Dict[str, str]) -> bool:
    """Notes what is wrong; whether the form of the times is right."""
    form, zone = texts.get("format", ""), texts.get("zone", "UTC")
    if form not in (ISO, *UNIX) and "%" not in form:
        faults.add(f"{place}.format", f"say how times are written: {ISO}, {', '.join(UNIX)}, or such as %Y-%m-%d %H:%M")
    if zone not in zoneinfo.available_timezones():
        faults.add(f"{place}.zone", f"{zone!r} is no IANA time zone{near(zone, zoneinfo.available_timezones())}")
    if texts.get("precision", "exact") not in PRECISIONS:
        faults.add(f"{place}.precision", f"write one of {', '.join(PRECISIONS)}")
    return form in (ISO, *UNIX) or "%" in form


def year_of(faults: Faults, place: str, said: Any, texts: Dict[str, str]) -> int | None:
    """The year that stands for that of times that tell none; None where they tell it."""
    form = texts["format"]
    if form in (ISO, *UNIX) or YEAR.search(form):
        return None
    if isinstance(said, int) and said in YEARS:
        return said
    if said is None:
        text = (
            f"{form!r} tells no year: say in which year the file was written, by --year 2025 or year = 2025 in [time]"
        )
        faults.add(f"{place}.format", text)
    else:
        faults.add("time.year", f"write a year from {YEARS.start} to {YEARS.stop - 1} as a number, such as 2025")
    return None
