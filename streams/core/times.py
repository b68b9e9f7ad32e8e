"""Instants and spans of event time, whole microseconds UTC. Enter: seconds. Leave: microseconds, and the open ends.

`NEVER_US` and `FOREVER_US` lie 146,000 years from 1970: sums and differences with real times stay within 64 bits.
"""

from __future__ import annotations

from typing import Final

SECOND_US: Final = 1_000_000
HOUR_US: Final = 3600 * SECOND_US
DAY_US: Final = 24 * HOUR_US
NEVER_US: Final = -(1 << 62)
FOREVER_US: Final = 1 << 62


def microseconds(seconds: float) -> int:
    """Whole microseconds of a span in seconds, rounded."""
    return round(seconds * SECOND_US)
