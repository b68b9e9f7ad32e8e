"""bottling_line: stops replayed as states of one machine; downtime and availability per day against the daily table.

The daily table was kept independently of the stops: per session (a date may have two) it has a start and an end clock,
and monitored, operation and pause time. Sessions become shifts of the calendar. A stop belongs to the sessions it
overlaps, with the part that it overlaps; stops that overlap each other are one. Clocks are local and taken as UTC.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.evaluation.scenario import SECOND_US, Replay, ReplayFailure, Row, Scenario, as_received

NAME: Final = "bottling_line"
MINUTE_S: Final = 60.0
DAY_S: Final = 86_400
SEED: Final = 20220722
SITE, LINE, UNIT = "beverage", "bottling-line", "filler"
SOURCE, ADDRESS = "line-recorder", "state"


class Session(NamedTuple):
    """A row of the daily table: times in us, durations in s."""

    shift: str
    date: str
    start_us: int
    end_us: int
    monitored_s: float
    operation_s: float
    pause_s: float


class Stop(NamedTuple):
    """A row of the stops: the date it was entered under, begin and end in us."""

    date: str
    start_us: int
    end_us: int


def evaluate(folder: Path, replay: Replay, say: Callable[[str], None]) -> dict[str, Any]:
    """Metrics of the set, with one entry per session under `details`."""
    sessions, unread_sessions = read_sessions(folder / "daily_cleaned.csv")
    stops, unread_stops = read_stops(folder / "downtime_cleaned.csv")
    say(f"{len(sessions)} monitored sessions, {len(stops)} stops")
    records = replay(scenario(sessions, stops)).records
    read = [compare(session, stops, _record(records, session)) for session in sessions]
    days = read + [_unread(text) for text in unread_sessions]
    for day in days:
        for text in day["flags"]:
            say(f"{day['shift']}: {text}")
    agreed = [day for day in days if day["agrees"]]
    return {
        "days": len(days),
        "days_self_consistent": sum(day["self_consistent"] for day in days),
        "days_consistent_within_1_min": len(agreed),
        "days_flagged": len(days) - len(agreed),
        "days_self_consistent_but_not_ours": sum(day["self_consistent"] and not day["agrees"] for day in days),
        "days_operation_within_1_min": sum(abs(day["operation_disagreement_s"]) <= MINUTE_S for day in read),
        "days_table_does_not_add_up": sum(abs(day["table_gap_s"]) > MINUTE_S for day in read),
        "stops_unreadable": len(unread_stops),
        "largest_disagreement_s": max((abs(day["downtime_disagreement_s"]) for day in read), default=0.0),
        "details": days,
    }


def _unread(text: str) -> dict[str, Any]:
    """The entry of a row that holds no session: nothing agrees with it."""
    return {"shift": "", "self_consistent": False, "agrees": False, "flags": [text]}


def _record(records: dict[str, Row], session: Session) -> Row:
    name = f"availability|{UNIT}|shift|{session.shift}"
    if name not in records or not records[name]["final"]:
        raise ReplayFailure(f"{name}: no final record came out; look into the log of the kpi service")
    return records[name]


def compare(session: Session, stops: Sequence[Stop], record: Row) -> dict[str, Any]:
    """Ours beside the table's, in s; a disagreement is ours minus the table's."""
    entered_s = sum(stop.end_us - stop.start_us for stop in stops if stop.date == session.date) / SECOND_US
    downtime_s, operation_s = record["adet_s"] + record["adot_s"], record["apt_s"]
    gap_s = session.monitored_s - session.operation_s - session.pause_s
    disagreement_s, operation_off_s = downtime_s - session.pause_s, operation_s - session.operation_s
    agrees = abs(disagreement_s) <= MINUTE_S
    flags = [] if agrees else [f"downtime {downtime_s:.0f} s, table {session.pause_s:.0f} s: {disagreement_s:+.0f} s"]
    if abs(operation_off_s) > MINUTE_S and agrees:
        flags.append(f"operation {operation_s:.0f} s, table {session.operation_s:.0f} s: {operation_off_s:+.0f} s")
    if abs(gap_s) > MINUTE_S:
        flags.append(f"the table's own monitored - operation - pause leaves {gap_s:+.0f} s")
    return {
        "shift": session.shift,
        "monitored_s": round(record["pbt_s"], 3),
        "monitored_table_s": round(session.monitored_s, 3),
        "downtime_s": round(downtime_s, 3),
        "downtime_table_s": round(session.pause_s, 3),
        "downtime_disagreement_s": round(disagreement_s, 3),
        "operation_disagreement_s": round(operation_off_s, 3),
        "availability": record["value"],
        "availability_table": session.operation_s / session.monitored_s if session.monitored_s else None,
        "coverage": record["coverage"],
        "stops_of_the_date_s": round(entered_s, 3),
        "table_gap_s": round(gap_s, 3),
        # As the recording's own check has it: all stops entered under the date against this row's pause.
        "self_consistent": abs(entered_s - session.pause_s) <= MINUTE_S,
        "agrees": agrees,
        "flags": flags,
    }


def read_sessions(path: Path) -> tuple[list[Session], list[str]]:
    """Rows of the daily table, and what is wrong with those that cannot be read."""
    sessions: list[Session] = []

    def read(row: dict[str, str]) -> None:
        start_us, end_us = _span(row["date"], row["start_clock"], row["end_clock"])
        number = 1 + sum(session.date == row["date"] for session in sessions)
        durations = [3600 * float(row[f"{name}_time_dec"]) for name in ("monitored", "operation", "pause")]
        if not all(map(math.isfinite, durations)) or start_us == end_us:
            raise ValueError("a duration is no number, or the session has none")
        sessions.append(Session(f"{row['date']}#{number}", row["date"], start_us, end_us, *durations))

    return sessions, _read(path, read)


def read_stops(path: Path) -> tuple[list[Stop], list[str]]:
    """Rows of the stops, and what is wrong with those that cannot be read."""
    stops: list[Stop] = []

    def read(row: dict[str, str]) -> None:
        stops.append(Stop(row["date"], *_span(row["date"], row["start_clock"], row["end_clock"])))

    return stops, _read(path, read)


def _read(path: Path, read: Callable[[dict[str, str]], None]) -> list[str]:
    """Give every row to `read`; the faults of those that it refuses with ValueError."""
    faults = []
    # Line 1 is the head.
    for line, row in enumerate(_rows(path), start=2):
        try:
            read(row)
        except ValueError as why:
            faults.append(f"line {line} of {path.name} cannot be read: {why}")
    return faults


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise ReplayFailure(f"{path} is missing: put the recording there, or give another folder with --data")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _span(date: str, start: str, end: str) -> tuple[int, int]:
    """Begin and end in us; what ends before it begins has passed midnight."""
    day = datetime.fromisoformat(date).replace(tzinfo=UTC)
    midnight_us = round(day.timestamp()) * SECOND_US
    begin_us, end_us = midnight_us + _clock_us(start), midnight_us + _clock_us(end)
    return begin_us, end_us if end_us >= begin_us else end_us + DAY_S * SECOND_US


def _clock_us(text: str) -> int:
    clock = datetime.strptime(text, "%H:%M:%S.%f" if "." in text else "%H:%M:%S").replace(tzinfo=UTC)
    passed = timedelta(hours=clock.hour, minutes=clock.minute, seconds=clock.second, microseconds=clock.microsecond)
    return passed // timedelta(microseconds=1)


def scenario(sessions: Sequence[Session], stops: Sequence[Stop]) -> Scenario:
    """Calendar, dictionary and state readings of the recording."""
    changes = transitions(sessions, stops)
    readings = [
        {"source_id": SOURCE, "site": SITE, "address": ADDRESS, "source_time": at, "value_string": changes[at]}
        for at in sorted(changes)
    ]
    numbered = [{**reading, "sequence": number, "boot_id": "1"} for number, reading in enumerate(readings)]
    return Scenario(
        context={"it.signal.v1": [_signal()], "it.calendar.v1": [_shift(session) for session in sessions]},
        readings=list(as_received(numbered, SEED)),
        awaited=frozenset(f"availability|{UNIT}|shift|{session.shift}" for session in sessions),
    )


def transitions(sessions: Sequence[Session], stops: Sequence[Stop]) -> dict[int, str]:
    """State by the instant from which it holds: at each session's begin, and where the line stops and runs again."""
    edges = sorted([(stop.start_us, 1) for stop in stops] + [(stop.end_us, -1) for stop in stops])
    begins = sorted((session.start_us, 0) for session in sessions)
    changes: dict[int, str] = {}
    open_stops = 0
    for at, step in sorted(edges + begins):
        open_stops += step
        changes[at] = "stopped" if open_stops else "running"
    return changes


def _signal() -> Row:
    return {
        "signal_id": f"{UNIT}.state",
        "site": SITE,
        "source_id": SOURCE,
        "address": ADDRESS,
        "work_center": LINE,
        "work_unit": UNIT,
        "role": "state",
        "reporting": "on_change",
        # The recorder writes when the line stops and when it runs again, and nothing in between.
        "expected_dwell_s": float(DAY_S),
    }


def _shift(session: Session) -> Row:
    return {
        "entry_id": session.shift,
        "site": SITE,
        "work_center": LINE,
        "kind": "shift",
        "name": session.shift,
        "start": session.start_us,
        "end": session.end_us,
    }
