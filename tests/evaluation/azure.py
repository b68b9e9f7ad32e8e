"""azure_pdm: errors of machines as evidence, sequences as predictions, judged by each failure that was recorded.

Errors, machines and maintenance go through the mapping files of `plantweave context load` and through the core:
`route`, then sequences, out of order and partly twice. A prediction counts for a failure of its component 0 to 48 h
later. The rules `plain-*` are errors alone; the rules `aged-*` also ask what was replaced, and which model it is: what
they say was fixed on every second machine of the open part, and says nothing of a machine by its number.
"""

from __future__ import annotations

import csv
import gzip
import io
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from streams import topology
from streams.core.context import Context
from streams.core.load import mapping
from streams.core.load.take import take
from streams.core.route.stage import Route
from streams.core.sequence.part import Sequences
from streams.core.sequence.rule import Sequence as Rule
from streams.core.sequence.rule import load
from streams.core.stage import Moment, apply
from streams.load import files, kinds
from tests.evaluation.replay_core import CHUNK, NOW_US, frame
from tests.evaluation.scenario import SECOND_US, Replay, ReplayFailure, as_received

NAME: Final = "azure_pdm"
SEED: Final = 20150101
HOUR_US: Final = 3600 * SECOND_US
AHEAD_US: Final = 48 * HOUR_US
HERE: Final = Path(__file__).parent
COMPONENT: Final = "component:"
# File of the set, mapping, topic.
LOADED: Final = (
    ("PdM_machines", "azure_machines", topology.ASSET),
    ("PdM_maint", "azure_maintenance", topology.WORK_ORDER),
    ("PdM_errors", "azure_errors", topology.RAW_ALARM),
)


class Event(NamedTuple):
    """A failure, or a prediction of one."""

    machine: str
    component: str
    time_us: int


@dataclass(frozen=True)
class Judged:
    """How predictions met failures; leads in hours, one for each failure that was met."""

    predictions: int
    right: int
    failures: int
    leads_h: tuple[float, ...]
    machine_days: float

    def figures(self, name: str) -> dict[str, float | None]:
        """Metrics, with `name` before each."""
        met = len(self.leads_h)
        return {
            f"{name}_precision": round(self.right / self.predictions, 3) if self.predictions else None,
            f"{name}_recall": round(met / self.failures, 3) if self.failures else None,
            f"{name}_lead_h": round(statistics.median(self.leads_h), 1) if met else None,
            f"{name}_false_per_machine_day": round((self.predictions - self.right) / self.machine_days, 4),
        }


def evaluate(folder: Path, _: Replay, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the set through the core, with the plain rules and the aged ones. Raises ReplayFailure without the files."""
    loaded = {topic.name: rows(folder, file, name, topic) for file, name, topic in LOADED}
    errors, machines = loaded[topology.RAW_ALARM.name], [row["asset_id"] for row in loaded[topology.ASSET.name]]
    failures = recorded(folder)
    say(f"{NAME}: {len(errors)} errors, {len(failures)} failures, {len(machines)} machines; through the core")
    sequences = rules()
    predicted = predictions(sequences, loaded)
    span_us = max(row["event_time"] for row in errors) - min(row["event_time"] for row in errors)
    days = span_us / (24 * HOUR_US)
    # Even and odd places: on the machines of the first the aged rules were fixed, where this is the open part.
    parts = {"": machines, "fixed_on_": machines[::2], "others_": machines[1::2]}
    metrics: dict[str, Any] = {"machines": len(machines), "errors": len(errors), "failures": len(failures)}
    details = {}
    for part, of in parts.items():
        for kind in ("plain", "aged"):
            found = [event for name, events in predicted.items() if name.startswith(kind) for event in events]
            metrics |= judged(found, failures, of, days).figures(f"{part}{kind}")
    always = [
        Event(machine, part, at) for machine in machines for part in _components(failures) for at in _daily(errors)
    ]
    metrics |= judged(always, failures, machines, days).figures("always")
    metrics |= judged([], failures, machines, days).figures("never")
    for name, events in sorted(predicted.items()):
        own = [failure for failure in failures if failure.component == name.split("-")[1]]
        for part, of in parts.items():
            details[f"{part}{name}"] = judged(events, own, of, days).figures("") | {"predictions": len(events)}
    return {**metrics, "details": details}


def rows(folder: Path, file: str, mapping_name: str, topic: topology.Topic) -> list[dict[str, Any]]:
    """Records of a file of the set, loaded as `plantweave context load` does; a row that is refused fails."""
    path = folder / f"{file}.csv.gz"
    if not path.is_file():
        raise ReplayFailure(f"{path} is missing: put the recording there, or give another folder with --data")
    known = {name: kinds.fields(name) for name in kinds.KINDS}
    text = (HERE / "mappings" / f"{mapping_name}.toml").read_text("utf-8")
    said = mapping.parse(text, known)
    records: list[dict[str, Any]] = []
    for part in files.read(path, said):
        taken = take(part.table, said, known[said.kind])
        refused = [*part.refused.rows(), *taken.refused.rows()]
        if refused:
            raise ReplayFailure(f"{len(refused)} rows of {path.name} cannot be read, the first: {refused[0]}")
        records += taken.records.drop("_row").to_dicts()
    return frame(topic.name, records).to_dicts()


def recorded(folder: Path) -> list[Event]:
    """The failures of the set."""
    path = folder / "PdM_failures.csv.gz"
    if not path.is_file():
        raise ReplayFailure(f"{path} is missing: put the recording there, or give another folder with --data")
    with gzip.open(path, "rb") as file:
        lines = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
        return [Event(f"machine-{row['machineID']}", row["failure"], _us(row["datetime"])) for row in lines]


def _us(stamp: str) -> int:
    return round(datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()) * SECOND_US


def rules() -> list[Rule]:
    """The sequences of this evaluation."""
    return load({path.name: path.read_text("utf-8") for path in (HERE / "sequences").glob("*.toml")})


def predictions(
    sequences: Sequence[Rule], loaded: dict[str, list[dict[str, Any]]], chunk: int = CHUNK
) -> dict[str, list[Event]]:
    """What each rule predicts in the end, by its id."""
    part, route = Sequences(sequences), Route()
    looked_up = (topology.ASSET, topology.WORK_ORDER, topology.CHANGE)
    context = Context({topic.name: frame(topic.name, loaded.get(topic.name, ())) for topic in looked_up}, version=1)
    state = {table.name: table.empty() for table in part.tables}
    alarms = [{**row, "source_time": row["event_time"]} for row in loaded[topology.RAW_ALARM.name]]
    arriving = list(as_received(sorted(alarms, key=lambda row: row["source_time"]), SEED))
    latest: dict[str, dict[str, Any]] = {}
    for begin in range(0, len(arriving), chunk):
        raw = frame(topology.RAW_ALARM.name, arriving[begin : begin + chunk])
        located = raw.with_columns(
            _partition=pl.lit(0, pl.Int32), _offset=pl.int_range(pl.len(), dtype=pl.Int64) + begin, _time=pl.lit(NOW_US)
        )
        moment = Moment(NOW_US + begin)
        evidence = route.step(topology.RAW_ALARM.name, located, {}, context, moment).out[topology.EVIDENCE.name]
        outcome = part.step(evidence, state, context, moment)
        for table in part.tables:
            if table.name in outcome.changes:
                state[table.name] = apply(table, state[table.name], outcome.changes[table.name])
        latest |= {row["alert_id"]: row for row in outcome.alerts.to_dicts()}
    component = {rule.id: rule.tags[0].removeprefix(COMPONENT) for rule in sequences}
    found: dict[str, list[Event]] = {rule.id: [] for rule in sequences}
    for row in latest.values():
        if row["state"] == "active":
            found[row["rule_id"]].append(Event(row["asset_id"], component[row["rule_id"]], row["event_time"]))
    return {name: sorted(events) for name, events in found.items()}


def judged(predicted: Iterable[Event], failures: Iterable[Event], machines: Iterable[str], days: float) -> Judged:
    """Predictions against failures of these machines; a failure is met by each prediction 0 to 48 h before it."""
    wanted = list(machines)
    times: dict[tuple[str, str], list[int]] = {}
    for event in predicted:
        if event.machine in set(wanted):
            times.setdefault(event[:2], []).append(event.time_us)
    own = [failure for failure in failures if failure.machine in set(wanted)]
    right: set[tuple[str, str, int]] = set()
    leads = []
    for failure in own:
        ahead = [at for at in times.get(failure[:2], ()) if 0 <= failure.time_us - at <= AHEAD_US]
        right |= {(*failure[:2], at) for at in ahead}
        if ahead:
            leads.append((failure.time_us - min(ahead)) / HOUR_US)
    count = sum(len(set(some)) for some in times.values())
    return Judged(count, len(right), len(own), tuple(leads), days * len(wanted))


def _components(failures: Iterable[Event]) -> list[str]:
    return sorted({failure.component for failure in failures})


def _daily(errors: Sequence[dict[str, Any]]) -> range:
    first, last = min(row["event_time"] for row in errors), max(row["event_time"] for row in errors)
    return range(first, last, 24 * HOUR_US)
