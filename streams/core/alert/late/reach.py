"""How far the past of one pair is looked at. Enter: what waits, what was told. Leaves: `Reach`.

What was told says what was before the first late reading: within an alert the condition held, outside it did not, or
not for its on-delay; of a change it says the value before. So readings are needed from a delay before it on, up to
where the past with the late readings in it agrees with what was told: from there on the same readings follow in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from streams.core.alert.late.replay import Past, Replay, Until, replayed
from streams.core.alert.late.sentence import RETRACTED
from streams.core.alert.late.tables import Told
from streams.core.alert.rule import Rule
from streams.core.alert.rule_condition import CHANGE
from streams.core.alert.rule_match import Compiled
from streams.core.alert.state import ACTIVE, NORMAL, Condition
from streams.core.past.index import BUCKET_US
from streams.core.times import FOREVER_US, microseconds

Key = tuple[str, str]


class Kept(NamedTuple):
    """What is known of a rule on changes and a signal: the value told last, the first reading (time in us, value)."""

    value: float
    first_us: int
    first_value: float


@dataclass
class Reach:
    """How far the past of one pair is looked at: event times in us, [base_us, to_us) is read, from `from_us` on told.

    `start`: the alert that stands at `from_us`. `first_us`, `last_us`: of the late readings. `over_us`: step of a rule
    on rates, else 0. `value` is what a rule on changes had told last before (None: nothing). `to_us` is FOREVER_US
    where it reaches the present.
    """

    key: Key
    rule: Rule
    pair: int
    first_us: int
    last_us: int
    from_us: int
    base_us: int
    to_us: int
    over_us: int
    until: Until
    start: Told | None
    value: float | None = None
    width_us: int = BUCKET_US

    @property
    def of_change(self) -> bool:
        """Whether the rule is one on changes."""
        return self.rule.type == CHANGE

    def replay(self, past: Past, clock_us: int) -> Replay:
        """What the condition should have told, up to the end of the reach."""
        fresh = Condition(*self.key, 0, "", "", "", "", None, "", "")
        if self.start is not None:
            fresh.phase, fresh.work_center = ACTIVE, self.start.work_center
            fresh.begin_time, fresh.active_time = self.start.begin_time, self.start.active_time
        # Nothing passes at the end itself: what is due then is told in what follows.
        return replayed(past.changes(), self.rule, min(clock_us, self.to_us - 1), self.until, fresh)


def reach_of(
    key: Key, first_us: int, last_us: int, told: Sequence[Told], compiled: Compiled, kept: Kept | None
) -> Reach:
    """The reach to begin with; `told` are the alerts of the pair, `kept` what a rule on changes remembers."""
    pair = compiled.pair_number[key]
    rule = compiled.rules[compiled.pair_rule[pair]]
    on_us, off_us = rule.condition.delays_us
    from_us, start = first_us - on_us, None
    before = [one for one in standing(told) if one.begin_time <= first_us]
    if before:
        # More than one stands where a reading came after other signals' time had ended the first.
        around = [one for one in before if cleared(one, off_us) >= first_us]
        inside = len(around) == 1 and around[0].active_time < first_us - off_us <= around[0].end_time
        if not around:
            from_us = max(from_us, *(cleared(one, off_us) for one in before))
        elif inside and rule.type != CHANGE:
            from_us, start = first_us - off_us, around[0]
        else:
            from_us = around[0].begin_time
    over_us = microseconds(rule.condition.over_s)
    base_us = from_us if not over_us else from_us // over_us * over_us - over_us
    to_us = last_us // BUCKET_US * BUCKET_US + BUCKET_US
    until = partial(compiled.until, pair)
    value = value_at(told, from_us, kept) if kept is not None and kept.first_us < from_us else None
    return Reach(key, rule, pair, first_us, last_us, from_us, base_us, to_us, over_us, until, start, value)


def value_at(told: Sequence[Told], at_us: int, kept: Kept | None) -> float | None:
    """The value that a rule on changes had told last before some time: that which the next change was measured from."""
    limits = [one.limit for one in standing(told) if one.begin_time >= at_us]
    return limits[0] if limits else kept.value if kept is not None else None


def agrees(reach: Reach, past: Past, replay: Replay, told: Sequence[Told], kept: Kept | None) -> bool:
    """Whether at the end of the reach what should have been told is as what was told."""
    if reach.to_us == FOREVER_US:
        return True
    if reach.of_change and past.told_last(reach.value) != value_at(told, reach.to_us, kept):
        return False
    off_us = reach.rule.condition.delays_us[1]
    across = [one for one in standing(told) if one.begin_time < reach.to_us <= cleared(one, off_us)]
    if replay.condition.phase == NORMAL:
        return not across
    last = across[-1] if across else None
    return replay.condition.phase == ACTIVE and last is not None and last.active_time < reach.to_us <= last.end_time


def standing(told: Sequence[Told]) -> list[Told]:
    """Those that are not retracted."""
    return [one for one in told if one.state != RETRACTED]


def cleared(told: Told, off_us: int) -> int:
    """When the end of an alert was told, or was to be (event time)."""
    return told.end_time if told.end_time == FOREVER_US else max(told.end_time + off_us, told.active_time)
