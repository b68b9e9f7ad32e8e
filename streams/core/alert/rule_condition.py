"""What a rule watches and when its condition holds. Enter: tables of a rule file. Leave: `Selector`, `Condition`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streams.core.alert.rule_table import TableReader
from streams.core.alert.silence.watch import FROZEN, NODE_GLOBS, OF_SIGNALS
from streams.core.dictionary import COUNTERS, NUMBERS, ROLES
from streams.core.times import microseconds

THRESHOLD: Final = "threshold"
RATE_OF_CHANGE: Final = "rate_of_change"
STATE: Final = "state"
CHANGE: Final = "change"
LIMITED: Final = (THRESHOLD, RATE_OF_CHANGE)
# Seconds of the units that a rate may be given per; the names are UCUM's.
PER_S: Final = {"s": 1, "min": 60, "h": 3600}
GLOBS: Final = ("signal_id", "address", "name", "work_center", "work_unit", "asset_id", "source_id")
DAY_S: Final = 86_400.0
# Where not every role makes sense. Setpoints, states and counters may stand still for good reasons: only what is
# measured can be frozen. What is published as a label has no number that could change: a rule on states tells it.
_ROLES: Final = {FROZEN: ("measurement",), CHANGE: (*NUMBERS, *COUNTERS)}


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
    A change is a reading that is further than `by` from the value that was told last; it is over at once.
    """

    high: float | None = None
    low: float | None = None
    deadband: float = 0.0
    states: tuple[str, ...] = ()
    per: str = ""
    over_s: float = 0.0
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    by: float = 0.0

    @property
    def fingerprint(self) -> str:
        """Text that differs where the condition differs; the wording of a rule is not part of it."""
        by = (self.by,) if self.by else ()  # what stands was told by the text of before there was `by`
        return repr((self.high, self.low, self.deadband, self.states, self.per, self.over_s, *self.delays_us, *by))

    @property
    def delays_us(self) -> tuple[int, int]:
        """On-delay and off-delay in microseconds of event time."""
        return microseconds(self.on_delay_s), microseconds(self.off_delay_s)


def selector(table: TableReader, rule_type: str) -> Selector:
    """The table [select] of a rule of this type."""
    role, unit, columns = "", None, NODE_GLOBS.get(rule_type, GLOBS)
    if columns is GLOBS:
        required = rule_type not in OF_SIGNALS or rule_type == FROZEN
        role = table.choice("role", _ROLES.get(rule_type, ROLES), required=required)
        unit = table.text("unit", required=False) or None
    if rule_type in LIMITED and unit is None and table.present:
        table.fault("unit", "is missing; a limit needs the UCUM unit of the signals (dimensionless: '1')")
    globs = tuple((column, patterns) for column in columns if (patterns := table.texts(column, required=False)))
    table.finish()
    return Selector(role, unit, globs)


def condition(table: TableReader, rule_type: str) -> Condition:
    """The table [condition] of a rule on readings of this type."""
    off_delay_s = table.number("off_delay_s", 0.0, low=0.0, high=DAY_S)
    if rule_type == CHANGE:
        by = table.number("by", 0.0, low=0.0)
        table.finish()
        return Condition(by=by, off_delay_s=off_delay_s)
    limited = rule_type in LIMITED
    found = Condition(
        high=table.maybe("high") if limited else None,
        low=table.maybe("low") if limited else None,
        deadband=table.number("deadband", 0.0, low=0.0) if limited else 0.0,
        states=table.texts("states", required=True) if rule_type == STATE else (),
        per=table.choice("per", tuple(PER_S)) if rule_type == RATE_OF_CHANGE else "",
        over_s=table.number("over_s", None, low=0.001, high=DAY_S) if rule_type == RATE_OF_CHANGE else 0.0,
        on_delay_s=table.number("on_delay_s", 0.0, low=0.0, high=DAY_S),
        off_delay_s=off_delay_s,
    )
    high, low = found.high, found.low
    if limited and table.present and high is None and low is None:
        table.fault("high", "and low are both missing; give one limit, or both")
    if high is not None and low is not None and low + found.deadband > high - found.deadband:
        table.fault("low", "and high leave no room between their deadbands; the condition could never end")
    table.finish()
    return found
