"""Rule files: what is read from them, every fault of every file, and which signals a rule watches."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.core.alert.rule import Rule, RuleFaults, load
from streams.core.alert.rule_match import compile_rules
from streams.core.times import FOREVER_US
from tests.core.alert_scene import RULE, T0, context, rule, signal

BAD = Path(__file__).parents[1] / "rules_bad"


@pytest.mark.parametrize("path", sorted(BAD.glob("*.toml")), ids=lambda path: path.stem)
def test_a_mistake_is_one_fault_that_names_file_and_field(path: Path) -> None:
    """Each file has one mistake, and its first line says what the author is told: one fault, no more."""
    text = path.read_text(encoding="utf-8")
    expected = text.splitlines()[0].removeprefix("# expect: ")
    with pytest.raises(RuleFaults) as found:
        load({path.name: text})
    (fault,) = found.value.faults
    assert fault.startswith(expected)


def test_all_faults_of_all_files_are_told_at_once() -> None:
    """An author mends everything after one start."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in BAD.glob("*.toml")}
    with pytest.raises(RuleFaults) as found:
        load(texts)
    assert len(found.value.faults) == len(texts) > 30
    assert all(fault in str(found.value) for fault in found.value.faults)


def test_an_id_in_two_folders_is_a_fault() -> None:
    """Two files cannot have one id, wherever they lie."""
    text = RULE
    with pytest.raises(RuleFaults, match=r"is the id of a/hot\.toml too"):
        load({"a/hot.toml": text, "b/hot.toml": text})


def test_a_file_becomes_a_rule() -> None:
    """Fields are where the format says; what is optional has the harmless default."""
    (found,) = load({"hot.toml": RULE.replace("cool it", "cool it.")})
    assert (found.id, found.version, found.kind, found.priority, found.response) == (
        "hot",
        1,
        "alarm",
        "high",
        "cool it",
    )
    assert (found.condition.high, found.condition.low, found.condition.deadband) == (85.0, None, 0.0)
    assert found.condition.delays_us == (0, 0)
    # What stands at an update was told by this text: another one would close it.
    assert found.condition.fingerprint == "(85.0, None, 0.0, (), '', 0.0, 0, 0)"
    assert found.fires.readings == ((0.0, 90.0),)
    assert found.runs


def test_rules_come_in_the_order_of_their_ids() -> None:
    """The same rules in any files give the same list."""
    texts = {f"{name}.toml": RULE.replace('"hot"', f'"{name}"') for name in ("b", "a")}
    assert [found.id for found in load(texts)] == ["a", "b"]


def _watched(found: Rule, *signals: dict[str, object]) -> list[str]:
    frame = context(signals).frame("it.signal.v1")
    return sorted(signal_id for _, signal_id in compile_rules([found], frame).pair_keys)


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("", ["x-1", "x-2", "y.1"]),
        ('signal_id = "x-*"', ["x-1", "x-2"]),
        ('signal_id = "?-1"', ["x-1"]),
        ('signal_id = "y.*"', ["y.1"]),
        ('signal_id = ["X-2", "y*"]', ["x-2", "y.1"]),
        ('name = "*bearing*"', ["x-1"]),
        ('name = "*"', ["x-1", "x-2", "y.1"]),
        ('work_unit = "filler"\nname = "*temp*"', ["x-1"]),
        ('work_center = "line-2"', ["x-2"]),
        ('asset_id = "A[1]"', ["y.1"]),
    ],
)
def test_a_selector_takes_what_matches_all_it_names(select: str, expected: list[str]) -> None:
    """Globs are whole, ignore case, take lists, and mean nothing else than * and ?."""
    signals = (
        signal("x-1", name="Filler bearing\ntemp", work_unit="filler"),
        signal("x-2", work_center="line-2"),
        signal("y.1", asset_id="A[1]"),
        signal("x-3", unit="K"),
        signal("x-4", role="setpoint"),
    )
    assert _watched(rule(select=f'role = "measurement"\nunit = "Cel"\n{select}'), *signals) == expected


def test_no_unit_is_the_unit_one() -> None:
    """UCUM calls it 1, dictionaries leave it out; a rule for 1 takes both."""
    found = rule(select='role = "measurement"\nunit = "1"')
    assert _watched(found, signal("a", unit=None), signal("b", unit="1"), signal("c")) == ["a", "b"]


def test_rows_of_the_dictionary_that_cannot_be_used_are_no_pairs() -> None:
    """An unknown role is skipped, as every stage does; versions of one signal are one pair."""
    signals = (signal("a", role="sensor"), signal("b", valid_to=T0), signal("b", valid_from=T0))
    compiled = compile_rules([rule()], context(signals).frame("it.signal.v1"))
    assert compiled.pair_keys == (("hot", "b"),)
    assert compiled.pairs["valid_to"].to_list() == [T0, FOREVER_US]


def test_a_deprecated_rule_watches_nothing() -> None:
    """It stays on file so that its id is not used again."""
    assert _watched(rule(status='"deprecated"'), signal("a")) == []
