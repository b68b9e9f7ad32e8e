"""Cutting what stands into windows. Enters: `Held` readings, one window length and span. Leaves: pieces, by window.

A value stands from its reading until the next one of its signal (`rows.hold`). Where unit or scaling of a signal change
inside a window, the window ends there and another one begins, which ends where the whole one would have: its parts are
windows of their own, each with its length. No value outlasts such a change, so no piece lies in two parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streams.core.window.rows import Held
from streams.core.window.signals import Bools, Ints, Signals


@dataclass(frozen=True)
class Pieces:
    """Parts of held values inside one window each, sorted by (signal, time); groups are windows of one signal.

    `row` is the position in `Held`, `reading` whether the value was read in this window (not carried in), `span` us.
    By group: `starts` its first piece, `begin` and `end` of its window (us).
    """

    row: Ints
    span: Ints
    reading: Bools
    group: Ints
    starts: Ints
    begin: Ints
    end: Ints


def cut(held: Held, signals: Signals, length: int, span: tuple[int, int]) -> Pieces:
    """Pieces of held values in the windows of `span`, at least one of each reading in it."""
    low, high = span
    begin, end = np.maximum(held.time, low), np.minimum(held.until, high)
    inside = (begin < high) & ((end > begin) | (held.time >= low))
    having = signals.having(held.code, length)
    row = np.flatnonzero(inside if having is None else inside & having)
    begin, end = begin[row], end[row]
    window = begin // length
    # A value that ends on a border does not reach into the next window.
    more = np.maximum(end - 1, begin) // length - window
    if more.any():
        source, place = _spread(more)
        row, begin, end, window = row[source], begin[source], end[source], window[source] + place
    opens = window * length
    code = held.code[row]
    new = (code[1:] != code[:-1]) | (window[1:] != window[:-1])
    if signals.scaling.changes:
        scale = signals.scaling.number[held.entry[row]]
        new |= scale[1:] != scale[:-1]
    starts = np.flatnonzero(np.append(True, new))[: row.size]
    first, until = opens[starts], opens[starts] + length
    if signals.scaling.changes:
        entry = held.entry[row[starts]]
        first = np.maximum(first, signals.scaling.since[entry])
        until = np.minimum(until, signals.scaling.until[entry])
    return Pieces(
        row=row,
        span=np.minimum(end, opens + length) - np.maximum(begin, opens),
        reading=held.time[row] >= opens,
        group=np.append(0, np.cumsum(new))[: row.size],
        starts=starts,
        begin=first,
        end=until,
    )


def _spread(more: Ints) -> tuple[Ints, Ints]:
    """Repeat each position 1 + `more` times: the positions, and the number of the repetition.

    Few are repeated at all, so marking and summing is several times faster than `numpy.repeat` with counts.
    """
    first = np.arange(more.size) + np.cumsum(more) - more
    marks = np.zeros(more.size + int(more.sum()), np.int64)
    marks[first[1:]] = 1
    source = np.cumsum(marks)
    return source, np.arange(marks.size) - first[source]
