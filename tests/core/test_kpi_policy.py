"""KPI policies: the shipped one, and each mistake by its message."""

from __future__ import annotations

import pytest

from streams.core.kpi.policy import CATEGORIES, PolicyError, parse
from tests.core.kpi_run import POLICY

TEXT = POLICY.read_text("utf-8")


def test_the_shipped_policy_says_what_iso_says() -> None:
    """Minor stops lower availability; labels are known however they are written."""
    policy = parse(TEXT)
    assert (policy.label, policy.model, policy.minor_stop_us) == ("iso22400@1", "iso22400-2", None)
    assert policy.precedence == CATEGORIES
    assert policy.category(" Short-Stop ") == "delay"
    assert policy.category("EXECUTE") == "production"
    assert policy.category("dancing") is None
    assert policy.category(None) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 1", "version = 0", "version: give a whole number from 1"),
        ('id = "iso22400"', "id = 3", "id: give a text"),
        ('model = "iso22400-2"', 'modell = "x"', "modell: not a field of a KPI policy; remove it; model: give a text"),
        ('"no_shift", ', "", "precedence: name each of no_shift"),
        ('"down", "unknown"]', '"unknown", "down"]', "unknown must be the last"),
        ('handling = "availability"', 'handling = "quality"', "'quality' is not one of availability, performance"),
        ("below_s = 300", "below_s = -1", "give seconds above 0"),
        ("production = [", "running = [", "`production` at least"),
        ('"running", ', '"running", "fault", ', "label 'fault' is in production and in down; keep one"),
        ("[states]", "[states]\nidle = []", "states.idle: not one of production"),
        ("[states]", "[states", "not valid TOML"),
    ],
)
def test_each_mistake_has_its_message(old: str, new: str, message: str) -> None:
    """A policy that cannot be used stops the start and says what to write."""
    assert old in TEXT
    with pytest.raises(PolicyError) as fault:
        parse(TEXT.replace(old, new, 1))
    assert message in str(fault.value)


def test_all_faults_are_listed_at_once() -> None:
    """One look shows everything there is to mend."""
    with pytest.raises(PolicyError) as fault:
        parse("version = true")
    for part in ("id:", "model:", "version:", "states:"):
        assert part in str(fault.value)
