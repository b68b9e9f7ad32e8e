"""Rules as data. Enter: texts of rule files (TOML, one rule each). Leave: checked rules, or every fault of every file.

The attributes of a condition (deadband, on-delay, off-delay, priority, consequence, response) are those that
ISA-18.2 / IEC 62682 ask for in the rationalisation of an alarm; an *alarm* demands a response, an *alert* informs.
`streams/rules/README.md` explains the file format to authors.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from streams.core.alert.rule_table import Faults, TableReader
from streams.core.alert.silence.watch import FROZEN, NODE_GLOBS, OF_SIGNALS, SILENCE, Point, Watch, points, watch
from streams.core.dictionary import ROLES
from streams.core.times import microseconds
from streams.core.verdict.catalogue import ACTIVITIES, DOMAINS, PROCESS, TELEMETRY

THRESHOLD: Final = "threshold"
RATE_OF_CHANGE: Final = "rate_of_change"
STATE: Final = "state"
TYPES: Final = (THRESHOLD, RATE_OF_CHANGE, STATE, *SILENCE)
STATUSES: Final = ("experimental", "stable", "deprecated")
KINDS: Final = ("alarm", "alert")
PRIORITIES: Final = ("low", "medium", "high", "critical")
# Seconds of the units that a rate may be given per; the names are UCUM's.
PER_S: Final = {"s": 1, "min": 60, "h": 3600}
GLOBS: Final = ("signal_id", "address", "name", "work_center", "work_unit", "asset_id", "source_id")
ANNOUNCED: Final = ("active", "cleared")
DAY_S: Final = 86_400.0


class RuleFaults(ValueError):
    """Every fault of every rule file, one per line; the service does not start."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("the rules have faults, and nothing starts with them:\n" + "\n".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Selector:
    """Which signals a rule watches: role, unit (UCUM, as published) and globs on columns of the dictionary.

    `globs` is (column, patterns) pairs: a signal must match one of the patterns of every column named. Rules on silence
    may leave the role open (empty); those on nodes have globs on the node's columns only.
    """

    role: str
    unit: str | None
    globs: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Condition:
    """When a rule's condition holds. Limits in the signal's unit, or in that unit per `per` for a rate of change.

    It begins above `high`, below `low` or in one of `states`; it ends once the value is back by `deadband`. Delays
    are event time in s. A rate is the change between the first readings of successive steps of `over_s` seconds.
    """

    high: float | None
    low: float | None
    deadband: float
    states: tuple[str, ...]
    per: str
    over_s: float
    on_delay_s: float
    off_delay_s: float

    @property
    def fingerprint(self) -> str:
        """Text that differs where the condition differs; the wording of a rule is not part of it."""
        return repr((self.high, self.low, self.deadband, self.states, self.per, self.over_s, *self.delays_us))

    @property
    def delays_us(self) -> tuple[int, int]:
        """On-delay and off-delay in microseconds of event time."""
        return microseconds(self.on_delay_s), microseconds(self.off_delay_s)


_NONE: Final = Condition(None, None, 0.0, (), "", 0.0, 0.0, 0.0)


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
    select, condition = _selector(top.table("select"), rule_type), top.table("condition")
    rule = Rule(
        id=_identity(name, top),
        version=int(top.number("version", None, low=1, whole=True)),
        status=top.choice("status", STATUSES),
        title=top.text("title"),
        owner=top.text("owner"),
        kind=top.choice("kind", KINDS),
        type=rule_type,
        priority=top.choice("priority", PRIORITIES),
        consequence=top.text("consequence"),
        response=top.text("response").rstrip("."),
        false_positives=top.texts("false_positives", required=True),
        select=select,
        condition=_NONE if silence else _condition(condition, rule_type),
        fires=_timeline(top.table("fires"), rule_type, fires=True),
        quiet=_timeline(top.table("quiet"), rule_type, fires=False),
        watch=watch(condition, rule_type) if silence else None,
        domain=top.choice("domain", DOMAINS, required=False) or (TELEMETRY if silence else PROCESS),
        activities=top.words("activities", tuple(ACTIVITIES)),
    )
    if rule.watch is not None and rule.watch.resolution > 0 and select.unit is None:
        top.fault("select.unit", "is missing; a resolution needs the UCUM unit of the signals (dimensionless: '1')")
    top.finish()
    return rule if len(faults.found) == before else None


def _identity(name: str, top: TableReader) -> str:
    rule_id = top.text("id", pattern=r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
    stem = PurePosixPath(name).stem
    if rule_id and rule_id != stem:
        top.fault("id", f"is {rule_id!r} in a file called {stem!r}; a rule's file is called <id>.toml")
    return rule_id


def _selector(table: TableReader, rule_type: str) -> Selector:
    role, unit, columns = "", None, NODE_GLOBS.get(rule_type, GLOBS)
    if columns is GLOBS:
        # Setpoints, states and counters may stand still for good reasons: only what is measured can be frozen.
        roles = ("measurement",) if rule_type == FROZEN else ROLES
        role = table.choice("role", roles, required=rule_type not in OF_SIGNALS or rule_type == FROZEN)
        unit = table.text("unit", required=False) or None
    if rule_type in {THRESHOLD, RATE_OF_CHANGE} and unit is None and table.present:
        table.fault("unit", "is missing; a limit needs the UCUM unit of the signals (dimensionless: '1')")
    globs = tuple((column, patterns) for column in columns if (patterns := table.texts(column, required=False)))
    table.finish()
    return Selector(role, unit, globs)


def _condition(table: TableReader, rule_type: str) -> Condition:
    limited = rule_type in {THRESHOLD, RATE_OF_CHANGE}
    condition = Condition(
        high=table.maybe("high") if limited else None,
        low=table.maybe("low") if limited else None,
        deadband=table.number("deadband", 0.0, low=0.0) if limited else 0.0,
        states=table.texts("states", required=True) if rule_type == STATE else (),
        per=table.choice("per", tuple(PER_S)) if rule_type == RATE_OF_CHANGE else "",
        over_s=table.number("over_s", None, low=0.001, high=DAY_S) if rule_type == RATE_OF_CHANGE else 0.0,
        on_delay_s=table.number("on_delay_s", 0.0, low=0.0, high=DAY_S),
        off_delay_s=table.number("off_delay_s", 0.0, low=0.0, high=DAY_S),
    )
    high, low = condition.high, condition.low
    if limited and table.present and high is None and low is None:
        table.fault("high", "and low are both missing; give one limit, or both")
    if high is not None and low is not None and low + condition.deadband > high - condition.deadband:
        table.fault("low", "and high leave no room between their deadbands; the condition could never end")
    table.finish()
    return condition


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
