"""Which told alert is which excursion. Enter: what was told, what should have been. Leave: pairs of them.

An alert keeps its id. Of several that are one the alert that people were called for goes on (before others the one that
stands), else the first; an alert that was several keeps the part that still stands, else the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from streams.core.alert.late.replay import Excursion
from streams.core.alert.late.tables import Told
from streams.core.times import FOREVER_US


@dataclass
class Matched:
    """`of`: excursion (its place) to told alert; `parts`: to one that people were called for, elsewhere.

    `merged`: told alerts, and the place they are part of; `never`: those that never were. `undecided`: one of them may
    yet turn out to be what waits for its on-delay.
    """

    of: dict[int, Told] = field(default_factory=dict)
    parts: dict[int, Told] = field(default_factory=dict)
    merged: list[tuple[Told, int]] = field(default_factory=list)
    never: list[Told] = field(default_factory=list)
    undecided: bool = False


def match(excursions: Sequence[Excursion], pending_us: int | None, told: Sequence[Told]) -> Matched:
    """Match by time; `pending_us`: begin of a condition that holds, but not yet for its on-delay."""
    found = Matched()
    for one in sorted(told, key=lambda one: (not one.annunciated, one.end_time < FOREVER_US, one.begin_time)):
        if pending_us is not None and one.end_time > pending_us:
            found.undecided = True
        near = {place: common for place, e in enumerate(excursions) if (common := _common(one, e)) is not None}
        free = [place for place in near if place not in found.of]
        if free:
            found.of[max(free, key=lambda place: (near[place], -place))] = one
        elif near:
            found.merged.append((one, max(near, key=lambda place: near[place])))
        else:
            found.never.append(one)
    for place in set(range(len(excursions))) - found.of.keys():
        called = [one for one in told if one.annunciated and _common(one, excursions[place]) is not None]
        if called:
            found.parts[place] = called[0]
    return found


def _common(told: Told, excursion: Excursion) -> int | None:
    """Microseconds that they have in common; None: they do not meet."""
    end = FOREVER_US if excursion.end is None else excursion.end
    common = min(told.end_time, end) - max(told.begin_time, excursion.begin)
    instant = told.end_time == told.begin_time or end == excursion.begin
    return common if common > 0 or (common == 0 and instant) else None
