"""Clocks and zones once more: one record after another, plain Python, written from the module docstrings.

Enter: the readings of a record as dicts, in log order. Leave: which offset each is corrected by, and what is announced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]
S = 1_000_000
CLIP = 2**61
OLDEST = 946_684_800 * S


@dataclass(frozen=True)
class Limits:
    """As ClockConfig, in seconds."""

    begin_s: int = 60
    end_s: int = 30
    readings: int = 20
    span_s: int = 10


@dataclass
class Source:
    """One source: samples (time seen, deviation), the offset in force (0: none), when it began."""

    samples: list[tuple[int, int]] = field(default_factory=list)
    offset: int = 0
    begin: int = 0


def clipped(time: int) -> int:
    return max(-CLIP, min(CLIP, time))


def seen_at(raw: Row, limits: Limits) -> tuple[int | None, bool]:
    """When the reading was seen, and whether a gateway says so that is believed."""
    broker = raw["_time"] if raw["_time"] >= 0 else None
    gateway = None if raw["gateway_time"] is None else clipped(raw["gateway_time"])
    if gateway is not None and gateway >= OLDEST and (broker is None or gateway <= broker + limits.end_s * S):
        return gateway, True
    return broker, False


def deviation_of(raw: Row, limits: Limits) -> int | None:
    broker = raw["_time"] if raw["_time"] >= 0 else None
    seen, _ = seen_at(raw, limits)
    if raw["source_time"] is None or seen is None:
        return None
    stamp = clipped(raw["source_time"])
    if broker is not None and abs(stamp - broker) <= limits.end_s * S:
        return 0
    return stamp - seen


def is_evidence(raw: Row, limits: Limits) -> bool:
    deviation = deviation_of(raw, limits)
    if deviation is None or raw["historical"] or raw["birth"]:
        return False
    broker = raw["_time"] if raw["_time"] >= 0 else None
    seen, by_gateway = seen_at(raw, limits)
    assert seen is not None
    if abs(deviation) <= limits.end_s * S or raw["source_time"] < OLDEST:
        return True
    if broker is not None and clipped(raw["source_time"]) > broker + limits.end_s * S:
        return True
    return by_gateway and (broker is None or seen >= broker - limits.begin_s * S)


def sampled(source: Source, seen: int, deviation: int, limits: Limits) -> tuple[str, int] | None:
    """Take one record's deviation; what it changes: (begun, moved or ended, offset before)."""
    slot = max(1, limits.span_s * S // (limits.readings - 1))
    size = limits.readings + limits.readings // 10
    deviation = 0 if abs(deviation) <= limits.end_s * S else deviation
    if not source.samples and deviation == 0:
        return None
    if source.samples and seen // slot <= source.samples[-1][0] // slot:
        return None
    source.samples = [*source.samples, (seen, deviation)][-size:]
    window = [(0, 0)] * (size - len(source.samples)) + source.samples
    median = sorted(one for _, one in window)[size // 2]
    agreeing = [one for one in window if median and abs(one[1] - median) <= limits.end_s * S]
    enough = len(agreeing) >= limits.readings
    offset = sorted(one for _, one in agreeing)[(len(agreeing) - 1) // 2] if agreeing else 0
    before = source.offset
    if before and median == 0:
        source.samples, source.offset = [], 0
        return "ended", before
    if before and enough and abs(offset - before) > limits.end_s * S // 6:
        source.offset = offset
        return "moved", before
    if before:
        return None
    if not any(one for _, one in window):
        source.samples = []
    elif enough and abs(median) > limits.begin_s * S and runs(window, median, limits):
        source.offset, source.begin = offset, min(time for time, _ in agreeing)
        return "begun", 0
    return None


def runs(window: list[tuple[int, int]], median: int, limits: Limits) -> bool:
    """The clock keeps its distance, over a span that is long enough."""
    near = [abs(deviation - median) <= limits.end_s * S for _, deviation in window]
    times = [time for (time, _), agrees in zip(window, near, strict=True) if agrees]
    span = max(times) - min(times)
    half = len(window) // 2
    means = []
    for part in (slice(None, half), slice(half, None)):
        rest = [one - median for (_, one), agrees in zip(window[part], near[part], strict=True) if agrees]
        means.append(sum(rest) // max(len(rest), 1))
    return span >= limits.span_s * S and abs(means[1] - means[0]) * 4 < span


def corrected(raw: Row, offset: int, limits: Limits) -> int:
    """By how much this reading is corrected under the offset in force."""
    if not offset or raw["source_time"] is None:
        return 0
    deviation, (seen, _) = deviation_of(raw, limits), seen_at(raw, limits)
    if raw["historical"]:
        return offset if seen is None or clipped(raw["source_time"]) - offset <= seen + limits.end_s * S else 0
    return offset if deviation is None or abs(deviation - offset) < abs(deviation) else 0


def correct(raws: list[Row], clocks: dict[str, Source], limits: Limits) -> list[Row]:
    """The readings of one record, each with `_by`; announces what changes: kind, source, time seen, begin, offset."""
    source = clocks.setdefault(raws[0]["source_id"], Source())
    telling = [raw for raw in raws if is_evidence(raw, limits)]
    told: list[Row] = []
    if telling:
        deviations = sorted(deviation_of(raw, limits) or 0 for raw in telling)
        seen, _ = seen_at(telling[0], limits)
        assert seen is not None
        change = sampled(source, seen, deviations[9 * (len(deviations) - 1) // 10], limits)
        if change is not None:
            kind, before = change
            told.append({"kind": kind, "source_id": raws[0]["source_id"], "at": seen, "begin": source.begin,
                         "offset": before if kind == "ended" else source.offset})  # fmt: skip
    for raw in raws:
        raw["_by"] = corrected(raw, source.offset, limits)
    return told


def utc_of(wall_us: int, zone: str | None, seen: int | None, historical: bool) -> tuple[int, bool]:
    """UTC of a wall-clock stamp in a zone, and whether that is in doubt."""
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001  # the wall clock's own: it has no zone yet
    first, last = datetime(1900, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001
    if zone is None or not (first - epoch) // timedelta(microseconds=1) <= wall_us <= (last - epoch) // timedelta(
        microseconds=1
    ):
        return wall_us, False
    naive = epoch + timedelta(microseconds=wall_us)
    instants = set()
    for fold in (0, 1):
        instant = naive.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)
        if instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == naive:
            instants.add((instant - epoch.replace(tzinfo=UTC)) // timedelta(microseconds=1))
    if not instants:
        by_old_clock = naive.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
        return (by_old_clock - epoch.replace(tzinfo=UTC)) // timedelta(microseconds=1), True
    early, late = min(instants), max(instants)
    live = seen is not None and not historical and seen - 1800 * S <= late <= seen + 60 * S
    return (late if live else early), early != late
