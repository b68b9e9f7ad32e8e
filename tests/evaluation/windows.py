"""What windows must say, computed plainly from a recording; and where what came out says something else.

Enters: readings as the recording has them, an `Outcome`. Leaves: metrics; those in `WRONG` are 0 where we tell the
truth, whatever the recording. The last reading that is sent is none of the recording: it is of `CLOCK`, and so far
ahead that it closes all windows.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tests.evaluation.scenario import SECOND_US, Outcome, Row

# Windows that say something else than the recording; readings that are neither accepted, nor rejected for a reason of
# their own, nor in exactly one window or record of late ones; known time that is not.
WRONG: Final = (
    "windows_wrong",
    "readings_unaccounted",
    "rejected_without_cause",
    "duplicates_miscounted",
    "conflicts_miscounted",
    "known_time_wrong",
)
CLOCK: Final = "clock"
Key = tuple[str, int, int]


class Sent(NamedTuple):
    """One reading as recorded: a number, a text, or (both None) a bad one. `place`: its line; the later one counts."""

    signal: str
    time_us: int
    place: int
    number: float | None = None
    text: str | None = None

    @property
    def bad(self) -> bool:
        """Neither number nor text."""
        return self.number is None and self.text is None


@dataclass
class Expected:
    """What `sent` come to. `windows`: count, count_bad, sum, min, max by (signal, length in s, begin in us).

    `winners`: the reading that counts, by signal and instant, in order of time.
    """

    delivered: int
    distinct: int
    conflicts: int
    winners: dict[str, dict[int, Sent]]
    windows: dict[Key, tuple[int, int, float, float, float]] = field(default_factory=dict)

    @property
    def instants(self) -> int:
        """Readings that count."""
        return sum(map(len, self.winners.values()))


def expected(sent: Sequence[Sent], readings: Sequence[Row], late: Sequence[Row], lengths_s: Sequence[int]) -> Expected:
    """From the readings of the recording, as they were delivered (`readings`), without copies told as `late`."""
    copies = Counter(reading["sequence"] for reading in readings if reading["address"] != CLOCK)
    came: Counter[tuple[str, int, float | None, str | None]] = Counter()
    for one in sent:
        came[_identity(one)] += copies[one.place]
    came.subtract((row["signal_id"], row["event_time"], row["value_double"], row["value_string"]) for row in late)
    kept = [one for one in sent if came[_identity(one)] > 0]
    distinct = set(map(_identity, kept))
    winners: dict[str, dict[int, Sent]] = defaultdict(dict)
    for one in sorted(kept, key=lambda one: (one.time_us, one.place)):
        winners[one.signal][one.time_us] = one
    found = Expected(copies.total(), len(distinct), 0, dict(winners))
    found.conflicts = found.distinct - found.instants
    for length_s in lengths_s:
        held: dict[Key, list[Sent]] = defaultdict(list)
        for one in (one for of_signal in winners.values() for one in of_signal.values()):
            width = length_s * SECOND_US
            held[one.signal, length_s, one.time_us // width * width].append(one)
        found.windows |= {key: _statistics(inside) for key, inside in held.items()}
    return found


def _identity(one: Sent) -> tuple[str, int, float | None, str | None]:
    return one.signal, one.time_us, one.number, one.text


def _statistics(inside: Iterable[Sent]) -> tuple[int, int, float, float, float]:
    sent = list(inside)
    numbers = [one.number for one in sent if one.number is not None]
    bad = sum(one.bad for one in sent)
    if not numbers:
        return len(sent) - bad, bad, math.nan, math.nan, math.nan
    return len(sent) - bad, bad, math.fsum(numbers), min(numbers), max(numbers)


def compared(wanted: Expected, outcome: Outcome, causes: int) -> dict[str, Any]:
    """Metrics of an outcome. `causes`: readings that must be rejected."""
    rows = {_key(row): row for row in outcome.records.values() if row["signal_id"] != CLOCK}
    wrong = [key for key in wanted.windows if key not in rows or _differs(rows[key], wanted.windows[key])]
    wrong += [key for key, row in rows.items() if key not in wanted.windows and row["count"] + row["count_bad"]]
    counts, rejected, accepted = outcome.counts, sum(outcome.rejected.values()), outcome.accepted - 1
    duplicates, conflicts = counts.get("readings/duplicate", 0), counts.get("readings/conflict", 0)
    newest_us = max((max(instants) for instants in wanted.winners.values()), default=0)
    told: Counter[int] = Counter()
    for (_, length_s, _), row in rows.items():
        told[length_s] += row["count"] + row["count_bad"]
    missing = [abs(wanted.instants - number) for number in told.values()] or [wanted.instants]
    return {
        "readings": wanted.delivered,
        "accepted": accepted,
        "rejected_by_reason": dict(sorted(outcome.rejected.items())),
        "duplicates": duplicates,
        "conflicts": conflicts,
        "late_revised": counts.get("readings/late", 0),
        "beyond_horizon": len(outcome.late),
        # Time goes on behind the recording, and closes more of them.
        "windows": sum(begin_us <= newest_us for _, _, begin_us in rows),
        "windows_revised": sum(row["revision"] > 1 for row in rows.values()),
        "distinct_readings": wanted.distinct,
        "windows_wrong": len(wrong),
        "readings_unaccounted": max(missing) + abs(wanted.delivered - accepted - rejected),
        "rejected_without_cause": abs(rejected - causes),
        # A copy of a late reading is late as well.
        "duplicates_miscounted": abs(accepted - len(outcome.late) - wanted.distinct - duplicates),
        "conflicts_miscounted": abs(wanted.conflicts - conflicts),
        "details": {"windows_wrong": sorted(map(str, wrong))[:20]},
    }


def known_time(wanted: Expected, outcome: Outcome, length_s: int, hold_us: Mapping[str, int]) -> dict[str, Any]:
    """Share of the recording that is known (`coverage`), and by how many s our windows disagree with it.

    A value stands until the next one of its signal, at most for `hold_us`; bad ones tell nothing. Windows that the last
    reading leaves open are left out.
    """
    known = told = whole = 0.0
    for signal, winners in wanted.winners.items():
        sent = list(winners.values())
        width = length_s * SECOND_US
        end = max(max(instants) for instants in wanted.winners.values()) // width * width
        for one, following in zip(sent, [*(one.time_us for one in sent[1:]), end], strict=True):
            until = min(following, one.time_us + hold_us[signal], end)
            known += 0 if one.bad else max(0, until - one.time_us) / SECOND_US
        whole += max(0, end - sent[0].time_us) / SECOND_US
        rows = [row for row in outcome.records.values() if row["signal_id"] == signal and row["length_s"] == length_s]
        told += sum(row["duration_good_s"] + row["duration_uncertain_s"] for row in rows if row["window_end"] <= end)
    # Sums of doubles, each of whole us.
    return {"coverage": round(told / whole, 6) if whole else None, "known_time_wrong": round(abs(known - told), 3)}


def _key(row: Row) -> Key:
    return row["signal_id"], row["length_s"], row["window_start"]


def _differs(row: Row, wanted: tuple[int, int, float, float, float]) -> bool:
    if (row["count"], row["count_bad"]) != wanted[:2]:
        return True
    pairs = zip((row["sum"], row["min"], row["max"]), wanted[2:], strict=True)
    return not all(_same(math.nan if ours is None else ours, theirs) for ours, theirs in pairs)


def _same(ours: float, theirs: float) -> bool:
    return (math.isnan(ours) and math.isnan(theirs)) or math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)
