"""The transition table of a condition, and a machine that drives it at random."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streams.core.alert import state as table
from streams.core.alert.state import Condition, Transition


def _condition() -> Condition:
    return Condition("r", "a", 1, "high", "alarm", "high", "s", None, "line-1", "edge")


def test_every_phase_is_reached_and_left() -> None:
    """No phase is a dead end, none is unreachable."""
    assert {before for before, _ in table.TRANSITIONS} == set(table.PHASES)
    assert set(table.TRANSITIONS.values()) == set(table.PHASES)
    assert {event for _, event in table.TRANSITIONS} == set(table.EVENTS)


def test_what_is_announced_is_a_transition() -> None:
    """Every announced change is in the table; a delay that passes is always announced."""
    assert set(table.ANNOUNCED) <= set(table.TRANSITIONS)
    assert {key for key in table.TRANSITIONS if key[1] == table.DELAYED} <= set(table.ANNOUNCED)


class Life(RuleBasedStateMachine):
    """Events in any order, with time that never goes back."""

    def __init__(self) -> None:
        super().__init__()
        self.condition = _condition()
        self.now = 0
        self.told: list[Transition] = []

    @rule(span=st.integers(0, 9), value=st.booleans(), on=st.integers(0, 5), off=st.integers(0, 5))
    def reading(self, span: int, *, value: bool, on: int, off: int) -> None:
        """A reading says that the condition holds, or that it does not."""
        self.now += span
        self.told += table.advance(self.condition, self.now, -100, None)
        if value:
            table.began(self.condition, self.now, on, 1.0, "e")
        else:
            table.ended(self.condition, self.now, off)
        self.told += table.advance(self.condition, self.now, -100, None)

    @rule(span=st.integers(0, 9), past=st.integers(-9, 9))
    def silence(self, span: int, past: int) -> None:
        """Time passes; `past` puts the border of the backlog near now."""
        self.now += span
        self.told += table.advance(self.condition, self.now, self.now + past, None)

    @rule()
    def present(self) -> None:
        """A reading of the present says that it holds."""
        if self.condition.phase in {table.PENDING, table.ACTIVE}:
            self.told += table.known(self.condition, self.now, None)

    @rule()
    def withdrawal(self) -> None:
        """The rule goes."""
        self.told += table.withdrawn(self.condition, self.now, "rule_removed")

    @invariant()
    def alerts_are_told_in_order(self) -> None:
        """Of each alert: active first, then perhaps still active, cleared last; revisions without a gap; time rises."""
        by_alert: dict[int, list[Transition]] = {}
        for transition in self.told:
            by_alert.setdefault(transition.condition.begin_time, []).append(transition)
        for transitions in by_alert.values():
            assert [t.condition.revision for t in transitions] == list(range(1, len(transitions) + 1))
            assert transitions[0].state == "active"
            for before, after in pairwise(transitions):
                assert (before.state, after.state) != ("cleared", "cleared")
                assert after.event_time >= before.event_time
                assert after.state == "cleared" or before.state == "cleared" or after.reason == "still_active"

    @invariant()
    def a_delay_runs_only_where_one_is(self) -> None:
        """Something is due exactly while a condition is pending or clearing; an end is known only while clearing."""
        waiting = self.condition.phase in {table.PENDING, table.CLEARING}
        assert (self.condition.due is not None) == waiting
        assert self.condition.end_time is None or self.condition.phase in {table.CLEARING, table.NORMAL}


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
