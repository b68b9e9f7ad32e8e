"""An overlay by a replay clock: recordings of different plants on one time line, which no plant has ever had.

Enter: SKAB (readings of a pump), work orders of excavators (NIST), the log of an OpenSSH server. Leaves: an `Overlay`.
The clock decides alone; nothing is chosen by name:
- Runs keep their time of day. In the order in which they were recorded they are dealt out to pumps, one each a day.
  Some of their batches come late by up to two minutes, some twice.
- Work orders move by whole days, all by the same: so that their recording's fullest days (most excavators with work)
  are the days of the runs. There is a pump for each excavator, by letter. An order is known once its day's runs are
  over.
- The log's time passes only while a run goes on; a logon enters the pump that runs.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from streams import topology
from streams.load.prepare import mapped, prepare
from tests.evaluation.overlay_plant import SITE, Run, context, rules
from tests.evaluation.scenario import SECOND_US, ReplayFailure, Row, as_recorded

# A key for tests: whoever keeps real names takes one that `plantweave privacy key` made.
KEY: Final = bytes(range(32))
HERE: Final = Path(__file__).parent
# Rows of a batch, and batches of a part: a part is sent when the one before is validated.
BATCH, PART = 10, 60
LABELS: Final = ("anomaly", "changepoint")
DAY: Final = timedelta(days=1)


class Step(NamedTuple):
    """What comes next: `records` (a frame of a contract, loaded) or `rows` (raw batches); `now_us` in the overlay."""

    now_us: int
    topic: str
    records: pl.DataFrame | None = None
    rows: Sequence[Row] = ()


@dataclass(frozen=True)
class Overlay:
    """`context`: known from the start; `steps` in order; `rules`: files by name; `orders`, `lines`: as re-timed."""

    runs: list[Run]
    context: dict[str, list[Row]]
    steps: list[Step]
    rules: dict[str, str]
    orders: list[dict[str, str]]
    lines: list[str]
    left_out: dict[str, int]


def overlay(data: Path, folder: Path) -> Overlay:
    """The overlay of the sets in `data`; `folder` takes the re-timed files. Raises ReplayFailure without a set."""
    recorded = list(csv.DictReader(io.StringIO(_text(data / "excavator_mwo" / "excavators.csv.gz"))))
    letters = sorted({row["Asset"] for row in recorded})
    runs = _runs(data / "skab", letters)
    days = sorted({run.day for run in runs})
    orders = _retimed_orders(recorded, days)
    known = [row for row in orders if date.fromisoformat(row["BscStartDate"]) <= days[-1]]
    text = _text(data / "loghub" / "OpenSSH_2k.log.gz").splitlines()
    lines = _retimed_lines(text, runs)
    steps = list(_steps(runs, known, lines, folder))
    left_out = {"work_orders_after_the_overlay": len(orders) - len(known), "log_lines_after_it": len(text) - len(lines)}
    return Overlay(runs, context(runs), steps, rules(runs), known, lines, left_out)


def _text(path: Path) -> str:
    if not path.is_file():
        raise ReplayFailure(f"{path} is missing: put the recording there, or give another folder with --data")
    return gzip.decompress(path.read_bytes()).decode("utf-8")


def _datetime(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us / SECOND_US, tz=UTC)


def _us(time: datetime) -> int:
    return round(time.replace(tzinfo=UTC).timestamp()) * SECOND_US


def _runs(folder: Path, letters: Sequence[str]) -> list[Run]:
    """The labelled files, in the order recorded, on the pumps in turn; labels are left behind."""
    found = []
    for path in sorted(folder.glob("*/*.csv.gz")):
        rows = list(csv.DictReader(io.StringIO(_text(path)), delimiter=";"))
        if rows and set(LABELS) <= rows[0].keys():
            found.append((datetime.fromisoformat(rows[0]["datetime"]), rows))
    if not found:
        raise ReplayFailure(f"{folder} holds no run (*/*.csv.gz with labels): put the recording there")
    found.sort(key=lambda one: one[0])
    first = found[0][0].date()
    runs = []
    for number, (began, rows) in enumerate(found):
        place = number % len(letters)
        shift = first + DAY * (number // len(letters)) - began.date()
        sensors = tuple(name for name in rows[0] if name not in {"datetime", *LABELS})
        times = [_us(datetime.fromisoformat(row["datetime"]) + shift) for row in rows]
        values = [[float(row[name]) for name in sensors] for row in rows]
        runs.append(Run(number, f"pump-{letters[place]}", f"10.0.1.{place + 11}", sensors, times, values))
    return runs


def _retimed_orders(recorded: Sequence[Mapping[str, str]], days: Sequence[date]) -> list[dict[str, str]]:
    """All orders, moved by the same number of days; `Number` is the row in the recording."""
    work: dict[date, set[str]] = {}
    for row in recorded:
        work.setdefault(date.fromisoformat(row["BscStartDate"]), set()).add(row["Asset"])

    def full(first: date) -> tuple[int, int]:
        return sum(len(work.get(first + (day - days[0]), ())) for day in days), -first.toordinal()

    shift = days[0] - max(work, key=full)
    return [
        {**row, "BscStartDate": str(date.fromisoformat(row["BscStartDate"]) + shift), "Number": str(number)}
        for number, row in enumerate(recorded, 1)
    ]


def _retimed_lines(lines: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """The log while runs go on, with the overlay's time and the running pump's address in place of its own."""
    clock = [(run.address, run.times[0] + SECOND_US * at) for run in runs for at in range(_length_s(run))]
    began: datetime | None = None
    retimed = []
    for line in lines:
        time = datetime.strptime(f"2000 {line[:15]} +0000", "%Y %b %d %H:%M:%S %z")  # the log names no year
        began = began or time
        at = round((time - began).total_seconds())
        if 0 <= at < len(clock):
            address, time_us = clock[at]
            retimed.append(f"{_datetime(time_us):%Y-%m-%dT%H:%M:%SZ} {address} {line[16:].split(' ', 1)[1]}")
    return retimed


def _length_s(run: Run) -> int:
    return (run.times[-1] - run.times[0]) // SECOND_US + 1


def _steps(
    runs: Sequence[Run], orders: Sequence[Mapping[str, str]], lines: Sequence[str], folder: Path
) -> Iterator[Step]:
    """Old orders, then by run its logons and readings, and after the last run of a day that day's orders."""
    by_day: dict[date, list[Mapping[str, str]]] = {}
    for row in orders:
        by_day.setdefault(max(date.fromisoformat(row["BscStartDate"]), runs[0].day - DAY), []).append(row)
    if old := by_day.get(runs[0].day - DAY):
        yield Step(runs[0].times[0], topology.WORK_ORDER.name, _orders(old, folder))
    for number, run in enumerate(runs):
        own = [line for line in lines if line.split(" ", 2)[1] == run.address and line.startswith(str(run.day))]
        if own:
            (folder / "sshd.log").write_text("\n".join(own) + "\n", "utf-8")
            records = _loaded("access", folder / "sshd.log", "overlay_logons")
            if records.height:
                yield Step(run.times[0], topology.ACCESS.name, records)
        rows = list(as_recorded(_batches(run), run.number))
        for at in range(0, len(rows), PART):
            part = rows[at : at + PART]
            newest = max(row["source_time"][-1] for row in rows[: at + PART])
            yield Step(newest + SECOND_US, topology.RAW_BATCH.name, rows=part)
        last = run.day not in {later.day for later in runs[number + 1 :]}
        if last and (typed := by_day.get(run.day)):
            yield Step(run.times[-1] + SECOND_US, topology.WORK_ORDER.name, _orders(typed, folder))


def _batches(run: Run) -> list[Row]:
    rows = []
    for sequence, at in enumerate(range(0, len(run.times), BATCH)):
        times, values = run.times[at : at + BATCH], run.values[at : at + BATCH]
        row: dict[str, Any] = {"source_id": f"edge-{run.pump}", "site": SITE, "boot_id": str(run.number)}
        row |= {"sequence": sequence, "address": [run.signal(name) for name in run.sensors] * len(times)}
        row |= {"source_time": [time for time in times for _ in run.sensors]}
        rows.append(row | {"value_double": [value for row_ in values for value in row_]})
    return rows


def _orders(rows: Sequence[Mapping[str, str]], folder: Path) -> pl.DataFrame:
    path = folder / "orders.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return _loaded("work_order", path, "overlay_work_orders")


def _loaded(kind: str, path: Path, mapping: str) -> pl.DataFrame:
    """Records as `plantweave context load` makes them; a row that is refused fails."""
    said = mapped(kind, HERE / "mappings" / f"{mapping}.toml")
    now_us = round(datetime.now(tz=UTC).timestamp()) * SECOND_US
    found = prepare(said, path, lambda: KEY, pl.DataFrame, now_us)
    if found.refused.height:
        raise ReplayFailure(
            f"{found.refused.height} rows of {path.name} are refused, the first: {found.refused.row(0)}"
        )
    return found.records
