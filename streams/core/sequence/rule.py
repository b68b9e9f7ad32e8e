"""Sequences as data. Enter: texts of files (TOML, one each). Leave: checked rules, or every fault of every file.

`streams/rules/README.md` explains the file format to authors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from streams.core.alert.rule import KINDS, PRIORITIES, STATUSES, RuleFaults
from streams.core.alert.rule_condition import DAY_S
from streams.core.alert.rule_table import Faults, TableReader
from streams.core.sequence.reader import Reader, identity, parsed
from streams.core.sequence.timeline import Timeline, timeline
from streams.core.times import microseconds
from streams.core.verdict.catalogue import ACTIVITIES, DOMAINS, SECURITY

ORDERED: Final = "ordered"
ANY: Final = "any"
RELATIONS: Final = ("asset", "work_unit", "ancestor", "zone", "actor", "address", "site")
BETWEEN: Final = "between"
BEFORE: Final = "before"
AFTER: Final = "after"
# Who may be new at an asset: the accounts that acted, or the address they came from.
WHO: Final = ("actor", "address")
TICKETS: Final = ("change", "work_order")
KINDS_OF_EVIDENCE: Final = ("alert", "alarm", "access", "flow")
# Columns of evidence that may be matched by globs.
GLOBS: Final = (
    *("type", "domain", "priority", "alert_kind", "work_center", "work_unit", "asset_id", "asset_path", "asset_model"),
    *("zone", "criticality", "owner", "signal_id", "source_id", "source_address", "target_address", "value_string"),
)
STATES: Final = ("active", "cleared", "acknowledged", "event")
# What counts where no state is named: what began, or happened. An alarm's end is a record of its own, and no begin.
BEGUN: Final = {"alert": ("active", "cleared"), "alarm": ("active", "event")}
WEEK_S: Final = 7 * DAY_S
LONGEST_S: Final = 30 * DAY_S


@dataclass(frozen=True)
class Pattern:
    """What a piece of evidence must be. `new`: `actor` or `address` is seen at this asset for the first time.

    `globs` is (column, patterns) pairs: one of the patterns of every column named must match. Newness is judged once
    the site has been watched for `learn_us`, and forgets what was not seen for so long.
    """

    name: str
    kind: str
    globs: tuple[tuple[str, tuple[str, ...]], ...]
    states: tuple[str, ...]
    remote: bool | None
    above: float | None
    below: float | None
    new: str = ""
    learn_us: int = 0
    count: int = 1


@dataclass(frozen=True)
class Absent:
    """Evidence that must not be there: between the steps, or `within_us` before the first or after the last."""

    pattern: Pattern
    when: str
    within_us: int


@dataclass(frozen=True)
class Unless:
    """Work on the asset of the last step, finished at most `within_us` before it, after which the rule says nothing.

    `activities` (empty: any) and `texts` (globs, empty: any) say which work.
    """

    activities: tuple[str, ...]
    texts: tuple[str, ...]
    within_us: int


@dataclass(frozen=True)
class Sequence:
    """One sequence, checked. `id` is permanent; `version` rises with every change of the file."""

    id: str
    version: int
    status: str
    title: str
    owner: str
    kind: str
    priority: str
    domain: str
    consequence: str
    response: str
    false_positives: tuple[str, ...]
    tags: tuple[str, ...]
    activities: tuple[str, ...]
    relation: str
    order: str
    within_us: int
    without: tuple[str, ...]
    steps: tuple[Pattern, ...]
    absent: tuple[Absent, ...]
    unless: tuple[Unless, ...]
    fires: Timeline
    quiet: Timeline

    @property
    def runs(self) -> bool:
        """Whether it is evaluated."""
        return self.status != "deprecated"

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """All its patterns: steps, then what must be absent."""
        return (*self.steps, *(one.pattern for one in self.absent))

    @property
    def reach_us(self) -> int:
        """Evidence further apart than this has no part in one match."""
        return self.within_us + max((one.within_us for one in self.absent), default=0)

    @property
    def learn_us(self) -> int:
        """How far back the newness of a step is judged."""
        return max(step.learn_us for step in self.steps)

    @property
    def wait_us(self) -> int:
        """How long after the last step it is known that nothing follows."""
        return max((one.within_us for one in self.absent if one.when == AFTER), default=0)


def load(texts: Mapping[str, str], unreadable: Iterable[str] = ()) -> list[Sequence]:
    """Sequences of the files `texts` (file name to content), by id; `unreadable`: faults of files that have no text.

    Raises:
        RuleFaults: with all faults of all files, each saying file, field and what to write instead.
    """
    faults = Faults()
    faults.found += unreadable
    found = [rule for name in sorted(texts) if (rule := _parse(name, texts[name], faults)) is not None]
    if faults.found:
        raise RuleFaults(tuple(faults.found))
    return sorted(found, key=lambda rule: rule.id)


def _parse(name: str, text: str, faults: Faults) -> Sequence | None:
    table = parsed(name, text, faults)
    if table is None:
        return None
    before = len(faults.found)
    top = Reader(name, "", table, faults)
    domain = top.choice("domain", DOMAINS)
    body = top.table("sequence")
    rule = Sequence(
        id=identity(name, top),
        version=int(top.number("version", None, low=1, whole=True)),
        status=top.choice("status", STATUSES),
        title=top.text("title").rstrip("."),
        owner=top.text("owner"),
        kind=top.choice("kind", KINDS),
        priority=top.choice("priority", PRIORITIES),
        domain=domain,
        consequence=top.text("consequence"),
        response=top.text("response").rstrip("."),
        false_positives=top.texts("false_positives", required=True),
        tags=top.texts("tags", required=False),
        activities=top.words("activities", tuple(ACTIVITIES)),
        relation=body.choice("relation", RELATIONS),
        order=body.choice("order", (ORDERED, ANY), required=False) or ORDERED,
        within_us=microseconds(body.number("within_s", None, low=0.001, high=LONGEST_S)),
        without=body.words("without", TICKETS),
        steps=tuple(_step(step) for step in top.tables("step", at_least=1)),
        absent=tuple(_absent(one) for one in top.tables("absent", at_least=0)),
        unless=tuple(_unless(one) for one in top.tables("unless", at_least=0)),
        fires=timeline(top.table("fires"), fires=True),
        quiet=timeline(top.table("quiet"), fires=False),
    )
    body.finish()
    top.finish()
    if len(faults.found) == before:
        _judge(rule, top, body)
    return rule if len(faults.found) == before else None


def _judge(rule: Sequence, top: Reader, body: TableReader) -> None:
    """What is wrong with a rule whose fields are each right."""
    if rule.domain == SECURITY and "work_order" in rule.without:
        body.fault("without", "names work_order; a work order alone explains no security evidence, name change")
    if rule.activities and not rule.without:
        top.fault("activities", "without `without` is said of nothing; write without = ['change'], or leave it out")
    if rule.domain == SECURITY and rule.unless:
        top.fault("unless", "names finished work; work explains no security evidence, leave it out")
    names = [step.name for step in rule.steps]
    if len(set(names)) < len(names):
        top.fault("step", "has a name twice; name each step after what it is, the alert's sentence says it")


def _step(table: Reader) -> Pattern:
    new = table.choice("new", WHO, required=False)
    learn_s = table.number("learn_s", WEEK_S, low=1.0, high=LONGEST_S) if new else 0.0
    count = int(table.number("count", 1.0, low=1, high=1000, whole=True))
    return replace(_pattern(table), new=new, learn_us=microseconds(learn_s), count=count)


def _absent(table: Reader) -> Absent:
    when = table.choice("when", (BETWEEN, BEFORE, AFTER))
    within_s = 0.0 if when == BETWEEN else table.number("within_s", None, low=0.001, high=LONGEST_S)
    return Absent(_pattern(table), when, microseconds(within_s))


def _unless(table: Reader) -> Unless:
    activities = table.words("activity", tuple(ACTIVITIES))
    texts = table.texts("text", required=False)
    # Context is kept for 35 days.
    within_s = table.number("within_s", None, low=1.0, high=LONGEST_S)
    table.finish()
    return Unless(activities, texts, microseconds(within_s))


def _pattern(table: Reader) -> Pattern:
    """What steps and absent evidence have in common; of `table` everything else has been asked for."""
    kind = table.choice("kind", KINDS_OF_EVIDENCE)
    pattern = Pattern(
        name=table.text("name"),
        kind=kind,
        globs=tuple((column, found) for column in GLOBS if (found := table.texts(column, required=column == "type"))),
        states=table.words("state", STATES) or BEGUN.get(kind, ("event",)),
        remote=table.flag("remote"),
        above=table.maybe("above"),
        below=table.maybe("below"),
    )
    table.finish()
    return pattern
