"""Rules as data. Enter: texts of rule files (TOML, one rule each). Leave: checked rules, or every fault of every file.

The attributes of a condition (deadband, on-delay, off-delay, priority, consequence, response) are those that
ISA-18.2 / IEC 62682 ask for in the rationalisation of an alarm; an *alarm* demands a response, an *alert* informs, an
*event* is recorded for others to use.
`streams/rules/README.md` explains the file format to authors.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from streams.core.alert.rule_condition import (
    CHANGE,
    DAY_S,
    RATE_OF_CHANGE,
    STATE,
    THRESHOLD,
    Condition,
    Selector,
    condition,
    selector,
)
from streams.core.alert.rule_table import Faults, TableReader
from streams.core.alert.silence.watch import SILENCE, Point, Watch, points, watch
from streams.core.verdict.catalogue import ACTIVITIES, DOMAINS, PROCESS, TELEMETRY

TYPES: Final = (THRESHOLD, RATE_OF_CHANGE, STATE, CHANGE, *SILENCE)
STATUSES: Final = ("experimental", "stable", "deprecated")
KINDS: Final = ("alarm", "alert")
# What is recorded for others to use and asks nobody for anything (ISA-18.2 tells the three apart). What does not come
# is no event: rules on silence have none.
EVENT: Final = "event"
PRIORITIES: Final = ("low", "medium", "high", "critical")
ANNOUNCED: Final = ("active", "cleared")


class RuleFaults(ValueError):
    """Every fault of every rule file, one per line; the service does not start."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("the rules have faults, and nothing starts with them:\n" + "\n".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Timeline:
    """A rule's example: readings (at s, value) and the transitions (at s, state) that they must bring about.

    A rule on silence has `points` in place of readings, and `end_s`, up to which time passes.
    """

    readings: tuple[tuple[float, float | str], ...]
    expect: tuple[tuple[float, str], ...]
    points: tuple[Point, ...] = ()
    end_s: float = 0.0


@dataclass(frozen=True)
class Rule:
    """One rule, checked. `id` is permanent; `version` rises with every change of the file.

    A rule on silence has a `watch` in place of its `condition`. `activities` are those that explain its alerts.
    """

    id: str
    version: int
    status: str
    title: str
    owner: str
    kind: str
    type: str
    priority: str
    consequence: str
    response: str
    false_positives: tuple[str, ...]
    select: Selector
    condition: Condition
    fires: Timeline
    quiet: Timeline
    watch: Watch | None = None
    domain: str = PROCESS
    activities: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether it is evaluated; a deprecated rule stays on file and closes what it had opened."""
        return self.status != "deprecated"


def load(texts: Mapping[str, str], unreadable: Iterable[str] = ()) -> list[Rule]:
    """Rules of the files `texts` (file name to content), by id; `unreadable`: faults of files that have no text.

    Raises:
        RuleFaults: with all faults of all files, each saying file, field and what to write instead.
    """
    faults = Faults()
    faults.found += unreadable
    rules: dict[str, Rule] = {}
    files: dict[str, str] = {}
    for name in sorted(texts):
        rule = _parse(name, texts[name], faults)
        if rule is None:
            continue
        if rule.id in rules:
            faults.add(
                name, "id", f"{rule.id!r} is the id of {files[rule.id]} too; choose a new one for the newer rule"
            )
        rules[rule.id], files[rule.id] = rule, name
    if faults.found:
        raise RuleFaults(tuple(faults.found))
    return [rules[rule_id] for rule_id in sorted(rules)]


def _parse(name: str, text: str, faults: Faults) -> Rule | None:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        faults.add(name, "file", f"is not TOML: {error}; the format is described in streams/rules/README.md")
        return None
    before = len(faults.found)
    top = TableReader(name, "", table, faults)
    rule_type = top.choice("type", TYPES)
    silence = rule_type in SILENCE
    select, holds = selector(top.table("select"), rule_type), top.table("condition")
    rule = Rule(
        id=_identity(name, top),
        version=int(top.number("version", None, low=1, whole=True)),
        status=top.choice("status", STATUSES),
        title=top.text("title"),
        owner=top.text("owner"),
        kind=top.choice("kind", KINDS if silence else (*KINDS, EVENT)),
        type=rule_type,
        priority=top.choice("priority", PRIORITIES),
        consequence=top.text("consequence"),
        response=top.text("response").rstrip("."),
        false_positives=top.texts("false_positives", required=True),
        select=select,
        condition=Condition() if silence else condition(holds, rule_type),
        fires=_timeline(top.table("fires"), rule_type, fires=True),
        quiet=_timeline(top.table("quiet"), rule_type, fires=False),
        watch=watch(holds, rule_type) if silence else None,
        domain=top.choice("domain", DOMAINS, required=False) or (TELEMETRY if silence else PROCESS),
        activities=top.words("activities", tuple(ACTIVITIES)),
    )
    if rule.watch is not None and rule.watch.resolution > 0 and select.unit is None:
        top.fault("select.unit", "is missing; a resolution needs the UCUM unit of the signals (dimensionless: '1')")
    if rule.condition.by > 0 and select.unit is None:
        top.fault("select.unit", "is missing; a change `by` so much needs the UCUM unit of the signals (none: '1')")
    top.finish()
    return rule if len(faults.found) == before else None


def _identity(name: str, top: TableReader) -> str:
    rule_id = top.text("id", pattern=r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
    stem = PurePosixPath(name).stem
    if rule_id and rule_id != stem:
        top.fault("id", f"is {rule_id!r} in a file called {stem!r}; a rule's file is called <id>.toml")
    return rule_id


def _timeline(table: TableReader, rule_type: str, *, fires: bool) -> Timeline:
    silence = rule_type in SILENCE
    kind = str if rule_type == STATE else float
    readings = () if silence else tuple(table.points("readings", "value", kind, required=True))
    shown = tuple(points(table)) if silence else ()
    end_s = table.number("end", None, low=0.0, high=DAY_S) if silence else 0.0
    expect = tuple(table.points("expect", "state", str, required=fires))
    for _, state in expect:
        if state not in ANNOUNCED:
            table.fault("expect", f"names state {state!r}; the states are {' and '.join(ANNOUNCED)}")
    if expect and not fires:
        table.fault("expect", "lists transitions; a quiet timeline has none")
    table.finish()
    return Timeline(readings, tuple((at, str(state)) for at, state in expect), shown, end_s)
