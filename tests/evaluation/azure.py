"""azure_pdm: errors of machines as evidence, sequences as predictions, judged by each failure that was recorded.

Errors, machines and maintenance go through the mapping files of `plantweave context load` and through `route` and
`correlate` (`azure_replay`), and through the core alone, which must say the same. A prediction counts for a failure of
its component 0 to 48 h later. The rules `plain-*` are errors alone; the rules `aged-*` also ask what was replaced, and
which model it is: what they say was fixed on every second machine of the open part, and says nothing of a machine by
its number.
"""

from __future__ import annotations

import csv
import gzip
import io
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from streams import topology
from streams.core.load.faults import MappingFaults
from streams.core.sequence.rule import Sequence as Rule
from streams.core.sequence.rule import load
from streams.load.formats import FileFault
from streams.load.prepare import mapped, prepare
from tests.evaluation import replay_core
from tests.evaluation.azure_replay import HOUR_US, RULES, Loaded, through_broker, through_core
from tests.evaluation.scenario import SECOND_US, Replay, ReplayFailure, Row

NAME: Final = "azure_pdm"
AHEAD_US: Final = 48 * HOUR_US
COMPONENT: Final = "component:"
# File of the set, mapping, kind, topic.
LOADED: Final = (
    ("PdM_machines", "azure_machines", "asset", topology.ASSET),
    ("PdM_maint", "azure_maintenance", "work_order", topology.WORK_ORDER),
    ("PdM_errors", "azure_errors", "alarm", topology.RAW_ALARM),
)
# What must be 0.
WRONG: Final = ("errors_unaccounted", "sequence_differences")
# Of an alert, what follows from positions in the log, from when it was computed, and from how often.
OWN: Final = ("revision", "supersedes", "reason", "previous_state", "detection_time", "ingest_time", "evidence")
# Precision and recall of the plain rules on the open part, as they were published with it; their median lead is 24 h.
PUBLISHED: Final = {"comp1": (0.19, 0.96), "comp2": (0.92, 0.99), "comp3": (0.18, 0.98), "comp4": (0.50, 0.98)}


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


def evaluate(folder: Path, replay: Replay, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the set with the plain rules and the aged ones. Raises ReplayFailure without the files."""
    loaded, failures, sequences = read(folder), recorded(folder), rules()
    errors = loaded[topology.RAW_ALARM.name]["event_time"].to_list()
    if not errors:
        raise ReplayFailure(f"{folder} holds no error: put the recording there, or give another folder with --data")
    machines = loaded[topology.ASSET.name]["asset_id"].to_list()
    say(f"{NAME}: {len(errors)} errors, {len(failures)} failures, {len(machines)} machines")
    began = time.monotonic()
    core = through_core(sequences, loaded)
    say(f"{NAME}: the core alone took {time.monotonic() - began:.0f} s")
    played = core if replay is replay_core.replay else through_broker(loaded, say)
    wrong = differences(core.alerts, played.alerts)
    metrics: dict[str, Any] = {"machines": len(machines), "errors": len(errors), "failures": len(failures)}
    metrics |= {"predictions": len(standing(played.alerts)), "predictions_taken_back": len(played.retracted)}
    metrics |= {"errors_unaccounted": len(played.lost), "sequence_differences": len(wrong)}
    span = (min(errors), max(errors))
    ended = predictions(sequences, standing(played.alerts).values())
    figures, details = judgement(ended, failures, machines, span)
    # Whoever acts at once acts upon these, too.
    ever, _ = judgement(predictions(sequences, played.alerts.values()), failures, machines, span)
    metrics["aged_precision_with_taken_back"] = ever["aged_precision"]
    for line in compared(details):
        say(f"{NAME}: {line}")
    return {**metrics, **figures, "details": {**details, "differences": wrong, "unaccounted": played.lost}}


def judgement(
    predicted: Mapping[str, Sequence[Event]], failures: Sequence[Event], machines: Sequence[str], span: tuple[int, int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of all rules of a kind, beside always and never; in detail those of each rule. `span`: of the errors."""
    days = (span[1] - span[0]) / (24 * HOUR_US)
    # Even and odd places: on the machines of the first the aged rules were fixed, where this is the open part.
    parts = {"": machines, "fixed_on_": machines[::2], "others_": machines[1::2]}
    figures: dict[str, Any] = {}
    details = {}
    for part, of in parts.items():
        for kind in ("plain", "aged"):
            found = [event for name, events in predicted.items() if name.startswith(kind) for event in events]
            figures |= judged(found, failures, of, days).figures(f"{part}{kind}")
    daily = range(*span, 24 * HOUR_US)
    always = [Event(machine, part, at) for machine in machines for part in _components(failures) for at in daily]
    figures |= judged(always, failures, machines, days).figures("always")
    figures |= judged([], failures, machines, days).figures("never")
    for name, events in sorted(predicted.items()):
        own = [failure for failure in failures if failure.component == name.split("-")[1]]
        for part, of in parts.items():
            details[f"{part}{name}"] = judged(events, own, of, days).figures("") | {"predictions": len(events)}
    return figures, details


def compared(details: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each component: precision/recall and lead of our rules, beside the published ones."""
    lines = []
    for component, (precision, recall) in PUBLISHED.items():
        told = []
        for kind in ("aged", "plain"):
            own = details[f"{kind}-{component}"]
            told.append(f"{kind} {own['_precision']}/{own['_recall']}, lead {own['_lead_h']} h")
        lines.append(f"{component}: {'; '.join(told)}; published (plain, open part) {precision:.2f}/{recall:.2f}, 24 h")
    return lines


def read(folder: Path) -> Loaded:
    """Records of the set by topic, loaded as `plantweave context load` does; a row that is refused fails."""
    records = {}
    now_us = round(datetime.now(tz=UTC).timestamp()) * SECOND_US
    for file, mapping, kind, topic in LOADED:
        path = folder / f"{file}.csv.gz"
        if not path.is_file():
            raise ReplayFailure(f"{path} is missing: put the recording there, or give another folder with --data")
        # No mapping of these names a person, so no key is asked for.
        said = mapped(kind, RULES / "mappings" / f"{mapping}.toml")
        try:
            found = prepare(said, path, bytes, pl.DataFrame, now_us)
        except (MappingFaults, FileFault) as why:
            raise ReplayFailure(f"{path.name} is not as the set has it: {why}") from why
        if found.refused.height:
            first = found.refused.row(0)
            raise ReplayFailure(f"{found.refused.height} rows of {path.name} cannot be read, the first: {first}")
        records[topic.name] = found.records
    return records


def standing(alerts: Mapping[str, Row]) -> dict[str, Row]:
    """Those that stand in the end, without what each way of computing them says on its own."""
    return {
        name: {field: value for field, value in row.items() if field not in OWN}
        for name, row in alerts.items()
        if row["state"] == "active"
    }


def differences(core: Mapping[str, Row], broker: Mapping[str, Row]) -> list[str]:
    """Alerts that only one of the two says, or that they say differently."""
    one, other = standing(core), standing(broker)
    found = [f"{name}: by the core alone" for name in sorted(one.keys() - other.keys())]
    found += [f"{name}: by the services alone" for name in sorted(other.keys() - one.keys())]
    for name in sorted(one.keys() & other.keys()):
        unlike = [field for field, value in one[name].items() if other[name][field] != value]
        found += [
            f"{name}: {field} is {one[name][field]!r}, and {other[name][field]!r} by the services" for field in unlike
        ]
    return found


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
    return load({path.name: path.read_text("utf-8") for path in (RULES / "sequences").glob("*.toml")})


def predictions(sequences: Sequence[Rule], alerts: Iterable[Row]) -> dict[str, list[Event]]:
    """What each rule predicts by these alerts, by its id."""
    component = {rule.id: rule.tags[0].removeprefix(COMPONENT) for rule in sequences}
    found: dict[str, list[Event]] = {rule.id: [] for rule in sequences}
    for row in alerts:
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
