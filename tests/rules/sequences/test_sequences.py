"""The bundled sequences: each proves itself by its two examples, and says what an author must say."""

from __future__ import annotations

import pytest

from tests.core.sequence_scene import BUNDLED, Run, bundled, logon, play, seconds

SEQUENCES = {rule.id: rule for rule in bundled()}


@pytest.mark.parametrize("rule_id", sorted(SEQUENCES))
def test_its_examples_are_true(rule_id: str) -> None:
    """The timeline that fires leaves what the file says, of the quiet one nothing stands."""
    rule = SEQUENCES[rule_id]
    assert play(rule, rule.fires) == sorted(rule.fires.expect)
    assert [state for _, state in play(rule, rule.quiet) if state == "active"] == []


def test_every_file_is_a_sequence() -> None:
    """None is left out."""
    assert {path.stem for path in BUNDLED.glob("*.toml")} == set(SEQUENCES)
    assert SEQUENCES


def test_a_brute_force_is_one_alert_per_logon_whoever_comes_between() -> None:
    """Hundreds of failed logons of one address, in among those of others."""
    run = Run(SEQUENCES["failed-logons-then-success"])
    tries = [logon("root", at, type="failed_logon", source_address=f"10.0.0.{at % 3}") for at in range(600)]
    run.give(*tries, logon("anna", 300.5, source_address="10.0.0.9"), logon("root", 601, source_address="10.0.0.1"))
    ((name, row),) = run.standing().items()
    assert name.startswith("failed-logons-then-success/")
    assert (seconds([row]), row["priority"], row["actors"]) == ([(601.0, "active")], "high", ["root"])
    assert "failed logons (5 times)" in row["message"]
    assert len(row["evidence"]) == 6
