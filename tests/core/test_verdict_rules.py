"""What rules say of the work that explains their alerts."""

from __future__ import annotations

from pathlib import Path

import pytest

import streams
from streams.core.alert.rule import load
from streams.core.alert.silence.watch import SILENCE
from streams.core.verdict.catalogue import ACTIVITIES, DOMAINS
from tests.core.alert_scene import RULE

RULES = Path(streams.__file__).parent / "rules"


def test_a_rule_names_the_kind_of_its_evidence_and_what_explains_it() -> None:
    """Both may be left out: then it is about the process, and no work explains it."""
    (plain,) = load({"hot.toml": RULE})
    assert (plain.domain, plain.activities) == ("process", ())
    told = RULE.replace('type = "threshold"', 'type = "threshold"\ndomain = "security"\nactivities = ["test", "clean"]')
    (found,) = load({"hot.toml": told})
    assert (found.domain, found.activities) == ("security", ("test", "clean"))


@pytest.mark.parametrize("path", sorted(RULES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_bundled_rules_say_what_explains_them(path: Path) -> None:
    """Each names activities of the catalogue, in its order and once; rules on silence are about telemetry."""
    (found,) = load({path.name: path.read_text(encoding="utf-8")})
    assert found.activities
    assert list(found.activities) == [word for word in ACTIVITIES if word in found.activities]
    assert found.domain == ("telemetry" if found.type in SILENCE else "process")
    assert found.domain in DOMAINS
