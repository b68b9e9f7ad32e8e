"""What the load must lead to. Enters: what was sent, the log of readings. Leaves: windows, and how logs differ.

Windows are those of the plain batch reference (`tests/simulation/reference.py`), signal by signal; who of two gateways
counts is the plain rule (`tests/core/reference_redundancy.py`), walked along the committed log.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import polars as pl

from tests.chaos.edge import PERIOD_US, SECOND_US, SLOW_STEPS, STATES, Track
from tests.core.reference_redundancy import Group, Told
from tests.simulation.reference import Payload, Reading, Signal, Window, windows

FAILOVER_US: Final = 3 * SECOND_US
FAILBACK_US: Final = 5 * SECOND_US
REDUNDANT: Final = ("flow", "flow-standby")
IDENTITY: Final = {"signal": pl.String(), "time": pl.Int64(), "value": pl.Float64(), "sequence": pl.Int64()}


def described(name: str) -> Signal:
    """What the dictionary says of a signal of the load."""
    if name.startswith("state"):
        return Signal(name, on_change=True, role="state", lengths=(10,))
    if name.startswith("closing"):
        return Signal(name, lengths=(10,))
    if name.startswith("bulk"):
        return Signal(name, period=PERIOD_US, lengths=(10, 60) if name.endswith("-0") else (10,))
    return Signal(name, period=SLOW_STEPS * PERIOD_US, lengths=(10,))


@dataclass
class Log:
    """The committed readings as columns (IDENTITY), and those of the gateways on duty, as `flow`."""

    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in IDENTITY})
    chosen: list[Reading] = field(default_factory=list)
    standby: int = 0
    duty: Group = field(default_factory=lambda: Group([*REDUNDANT], FAILOVER_US, FAILBACK_US))

    def add(self, offset: int, row: Mapping[str, Any]) -> None:
        """One record of `ot.reading.v1`; those of a partition in order."""
        names = [row["signals"][number] for number in row["signal"]]
        labels = row["value_string"] or [None] * len(names)
        numbers = row["value_double"] or [None] * len(names)
        self.columns["signal"] += names
        self.columns["time"] += row["event_time"]
        self.columns["value"] += [
            number if label is None else STATES.index(label) for label, number in zip(labels, numbers, strict=True)
        ]
        self.columns["sequence"] += row["sequence"] or [None] * len(names)
        if not set(REDUNDANT).isdisjoint(row["signals"]):
            self._select(offset, names, row)

    def _select(self, offset: int, names: list[str], row: Mapping[str, Any]) -> None:
        places = [place for place, name in enumerate(names) if name in REDUNDANT]
        times, values, ingest = row["event_time"], row["value_double"], row["ingest_time"]
        self.duty.record([Told(offset, names[place], times[place], ingest, values[place]) for place in places])
        flags, sequence = row["flags"] or [0] * len(names), row["sequence"]
        for place in places:
            if self.duty.on_duty(times[place]) == names[place]:
                self.chosen.append(
                    Reading(
                        REDUNDANT[0],
                        row["sources"][row["source"][place]],
                        times[place],
                        values[place],
                        sequence=sequence[place],
                        historical=bool((flags[place] or 0) & 2),
                    )
                )
            else:
                self.standby += 1

    def frame(self) -> pl.DataFrame:
        """All readings."""
        return pl.DataFrame(self.columns, schema=IDENTITY, strict=False)


def sent(tracks: Iterable[Track], ancient: Sequence[tuple[str, int]]) -> pl.DataFrame:
    """All readings that must be in the log (IDENTITY)."""
    parts = [
        pl.DataFrame(
            {"signal": [one.signal] * len(one.time), "time": one.time, "value": one.value, "sequence": one.sequence},
            schema=IDENTITY,
        )
        for one in tracks
    ]
    rows = [(signal, time, -1.0, None) for signal, time in ancient]
    return pl.concat([*parts, pl.DataFrame(rows, schema=IDENTITY, orient="row")])


def unequal(found: pl.DataFrame, wanted: pl.DataFrame) -> list[str]:
    """How two multisets of rows differ: which rows are there more and less often than wanted (at most three each)."""
    count = wanted.group_by(wanted.columns).len("wanted")
    both = found.group_by(found.columns).len("found").join(
        count, on=wanted.columns, how="full", nulls_equal=True, coalesce=True
    ).with_columns(pl.col("found", "wanted").fill_null(0).cast(pl.Int64))  # fmt: skip
    told = []
    for what, rows in (
        ("more often than sent", both.filter(pl.col("found") > pl.col("wanted"))),
        ("less often than sent", both.filter(pl.col("found") < pl.col("wanted"))),
    ):
        if rows.height:
            examples = rows.sort("signal", "time").head(3).rows()
            told.append(f"{rows.height} readings are in the log {what}, such as {examples}")
    return told


def payloads(tracks: Mapping[str, Track], chosen: list[Reading], end_us: int) -> dict[Window, Payload]:
    """The windows that end by `end_us`."""
    told: dict[Window, Payload] = {}
    for name, track in tracks.items():
        if name in REDUNDANT:
            continue
        last = tracks[f"closing-{track.source.removeprefix('edge-')}"].time[-1]
        told |= of_signal(described(name), _readings(track), Reading("closing", track.source, last), end_us)
    return told | of_signal(described(REDUNDANT[0]), chosen, Reading("closing", "edge", end_us), end_us)


def _readings(track: Track) -> list[Reading]:
    discrete = described(track.signal).discrete()
    columns = zip(track.time, track.value, track.sequence, track.historical, strict=True)
    return [
        Reading(
            track.signal,
            track.source,
            time,
            value=None if discrete else value,
            label=STATES[int(value)] if discrete else None,
            sequence=sequence,
            historical=bool(historical),
        )
        for time, value, sequence, historical in columns
    ]


def of_signal(signal: Signal, readings: list[Reading], closing: Reading, end_us: int) -> dict[Window, Payload]:
    """The windows of one signal that end by `end_us`; `closing` is the last reading of its source.

    Where no value outlasts its holding time, the reference sees one window's readings at a time: that is faster.
    """
    if signal.on_change:
        every = windows([*readings, closing], {signal.name: signal}, end_us)
        return {key: payload for key, payload in every.items() if key[0] == signal.name}
    readings = sorted(readings, key=lambda reading: reading.time)
    times = [reading.time for reading in readings]
    told: dict[Window, Payload] = {}
    for seconds in signal.lengths:
        length, own = seconds * SECOND_US, {signal.name: replace(signal, lengths=(seconds,))}
        for begin in range(times[0] // length * length if times else end_us, end_us - length + 1, length):
            inside = slice(bisect_left(times, begin - signal.hold()), bisect_left(times, begin + length))
            payload = windows(readings[inside], own, begin + length).get((signal.name, seconds, begin))
            if payload is not None:
                told[signal.name, seconds, begin] = payload
    return told


def repeats(log: pl.DataFrame, chosen: list[Reading]) -> int:
    """Readings that count in no window because another one of their signal and instant does."""
    rows = log.filter(~pl.col("signal").is_in(REDUNDANT))
    twice = len(chosen) - len({reading.time for reading in chosen})
    return rows.height - rows.select("signal", "time").n_unique() + twice


def latest_windows(rows: Iterable[dict[str, Any]], end_us: int) -> dict[Window, dict[str, Any]]:
    """Of decoded records the latest revision of every window that ends by `end_us`; retracted ones are none."""
    found = {}
    for row in sorted(rows, key=lambda row: int(row["revision"])):
        if microseconds(row["window_end"]) <= end_us:
            found[row["signal_id"], row["length_s"], microseconds(row["window_start"])] = plain(row)
    return {key: row for key, row in found.items() if row["reason"] != "retracted"}


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A decoded record with its times in us."""
    return {name: microseconds(value) if isinstance(value, datetime) else value for name, value in row.items()}


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC of a decoded time."""
    return round(moment.timestamp() * SECOND_US)
