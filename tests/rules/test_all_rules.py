"""What holds for every bundled rule: its own examples, a test of its own, and silence over a healthy line."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.core.alert.rule import Rule, Timeline
from tests.core.alert_scene import R, Task, context, signal, told
from tests.rules.bottling import FOLDER, healthy, line, rules, series
from tests.rules.silence_example import example

RULES = {rule.id: rule for rule in rules()}


def _example(rule: Rule, timeline: Timeline) -> list[tuple[str, float | None]]:
    if rule.watch is not None:
        return example(rule, timeline, RULES["edge-node-offline"])
    names = {column: patterns[0].replace("*", "x") for column, patterns in rule.select.globs}
    watched = signal(names.pop("signal_id", "s"), **{"role": rule.select.role, "unit": rule.select.unit, **names})
    task = Task([rule], context([watched]))
    return told(task.feed(*(R(at, watched["signal_id"], value) for at, value in timeline.readings)))


@pytest.mark.parametrize("rule_id", sorted(RULES))
def test_its_examples_are_true(rule_id: str) -> None:
    """The timeline that fires brings about what the file says, the quiet one nothing."""
    rule = RULES[rule_id]
    assert _example(rule, rule.fires) == [(state, at) for at, state in rule.fires.expect]
    assert _example(rule, rule.quiet) == []


@pytest.mark.parametrize("rule_id", sorted(RULES))
def test_it_has_a_test_of_its_own(rule_id: str) -> None:
    """At the mirrored path, named after it."""
    assert (Path(__file__).parent / f"test_{rule_id.replace('-', '_')}.py").is_file()


def test_every_test_is_of_a_rule() -> None:
    """No test is left behind by a rule that was renamed."""
    named = {path.stem.removeprefix("test_").replace("_", "-") for path in Path(__file__).parent.glob("test_*.py")}
    assert named - {"all-rules", "plant"} == set(RULES) == {path.stem for path in FOLDER.glob("*.toml")}


def test_all_rules_are_silent_over_a_healthy_line() -> None:
    """Ten minutes with noise, a fault that is reset at once, and a short wait: nothing to say."""
    task = line()
    assert task.feed(*healthy()) == []
    assert task.counts == {}


def test_another_order_is_an_event_and_nothing_else() -> None:
    """The same ten minutes with a setpoint that an order brings: recorded, and nobody is called."""
    rows = line().feed(*healthy(setpoint=330.0))
    assert [(row["rule_id"], row["kind"], row["annunciated"]) for row in rows] == [
        ("setpoint-changed", "event", False)
    ] * 2


def test_the_healthy_line_is_watched() -> None:
    """The same ten minutes with one more reading do say something: silence was not for want of rules."""
    readings = [*healthy(), *series("bearing-temperature", (601, 90.0), (603, 90.0))]
    assert {row["rule_id"] for row in line().feed(*readings)} >= {"bearing-temperature-high"}
