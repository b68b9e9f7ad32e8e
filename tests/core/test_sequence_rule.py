"""Files of sequences: what is wrong with them is told, all of it, and nothing else breaks."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.core.alert.rule import RuleFaults
from streams.core.sequence.rule import load
from tests.core.sequence_scene import BUNDLED

NAME = "setpoint-change-after-new-remote-logon.toml"
TEXT = (BUNDLED / NAME).read_text("utf-8")


def faults(text: str, name: str = NAME) -> list[str]:
    """The faults of a file; none where it is right."""
    try:
        load({name: text})
    except RuleFaults as told:
        return [fault.removeprefix(f"{name}: ") for fault in told.faults]
    return []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('id = "setpoint', 'id = "set', ["id: is 'set-change"]),
        ("version = 1", "version = 0", ["version: is 0; it must be at least 1"]),
        ('status = "experimental"', 'status = "draft"', ["status: is 'draft'; write one of experimental"]),
        ('domain = "security"', "", ["domain: is missing"]),
        ('owner = "ot-security"', "", ["owner: is missing; write one line of text"]),
        ("false_positives", "false_positive", ["false_positives: is missing", "false_positive: is not known; did you"]),
        ('"calibrate"]', '"calibrat"]', ["activities: names 'calibrat'; write any of"]),
        ('relation = "zone"', 'relation = "cell"', ["sequence.relation: is 'cell'; write one of asset, work_unit"]),
        ("within_s = 3600", "within_s = 0", ["sequence.within_s: is 0; it must be from"]),
        ("within_s = 3600", "within_s = nan", ["sequence.within_s: is nan; it must be a finite number"]),
        ("within_s = 3600", 'order = "backwards"', ["sequence.order: is 'backwards'", "sequence.within_s: is missing"]),
        ('["change"]', '["work_order"]', ["sequence.without: names work_order; a work order alone"]),
        ('without = ["change"]', "", ["activities: without `without`"]),
        ("[sequence]", "[sequences]", ["sequence: is missing; write a table [sequence]", "sequences: is not known"]),
        ('kind = "access"\ntype', 'kind = "logon"\ntype', ["step[1].kind: is 'logon'; write one of alert"]),
        ('type = "logon"\n', "", ["step[1].type: is missing; write a list"]),
        ("remote = true\nnew", 'remote = "yes"\nnew', ["step[1].remote: is 'yes'; write true or false"]),
        ('new = "actor"', 'new = "user"', ["step[1].new: is 'user'; write one of actor, address"]),
        ('new = "actor"\n', "", ["step[1].learn_s: is not known"]),
        ("learn_s = 604800\n", "count = 0\n", ["step[1].count: is 0"]),
        ("learn_s = 604800\n", 'state = "open"\n', ["step[1].state: names 'open'; write any of active"]),
        ('name = "setpoint change"', 'name = "remote logon"', ["step: has a name twice"]),
        ("[fires]", "[[absent]]\nwhen = 'between'\nwithin_s = 3\nname = 'c'\nkind = 'alarm'\ntype = 'c'\n[fires]",
         ["absent[1].within_s: is not known"]),
        ("[fires]", "[[unless]]\nwithin_s = 60\n[fires]", ["unless: names finished work"]),
        ('expect = [{ at = 692100, state = "active" }]', "", ["fires.expect: is missing"]),
        ('at = 692100, state = "active" }]', 'at = 692100, state = "cleared" }]',
         ["fires.expect: names state 'cleared'", "fires.expect: lists no"]),
        ("{ at = 604800, kind", "{ at = 1e6, kind", ["fires.evidence: is not in order"]),
        ("{ at = 604800, kind", "{ kind", ["fires.evidence[2].at: is missing"]),
        ("version = 1", "version =", ["file: is not TOML"]),
    ],
)  # fmt: skip
def test_every_fault_is_told_with_what_to_write(old: str, new: str, told: list[str]) -> None:
    """File, field, what is wrong, what to do."""
    assert TEXT.count(old) >= 1
    found = faults(TEXT.replace(old, new, 1))
    assert len(found) == len(told), found
    for fault, words in zip(sorted(found), sorted(told), strict=True):
        assert fault.startswith(words)


def test_all_faults_of_all_files_are_told_at_once() -> None:
    """Those of files that cannot be read, too."""
    with pytest.raises(RuleFaults) as told:
        load({"a.toml": "", "b.toml": TEXT}, ["c.toml: file: cannot be read"])
    assert told.value.faults[0].startswith("c.toml: file: cannot be read")
    assert {fault.split(":")[0] for fault in told.value.faults} == {"a.toml", "b.toml", "c.toml"}


def test_a_file_without_steps_is_no_sequence() -> None:
    """One step is enough: it may ask for several pieces of evidence, or for what is absent."""
    body = re.sub(r"\[\[step\]\].*?(?=\[fires\])", "", TEXT, flags=re.DOTALL)
    assert faults(body) == ["step: is missing; write a table [[step]] for each"]
    assert faults(body.replace("[fires]", '[[step]]\nname = "s"\nkind = "alert"\ntype = "x"\n[fires]')) == []


JUNK = st.sampled_from(
    [
        "",
        "x",
        "[[step]]",
        "[fires]",
        "3",
        "nan",
        "[]",
        "{}",
        '""',
        "[[unless]]",
        "true",
        "\n",
        "=",
        '"a"',
        "[sequence.x]",
    ]
)


@given(
    cuts=st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 40), JUNK), min_size=1, max_size=3),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_broken_file_is_refused_or_right_and_never_breaks_the_loader(cuts: list[tuple[int, int, str]]) -> None:
    """Whatever is cut out or written in: a rule, or faults that name the file."""
    text = TEXT
    for place, length, junk in cuts:
        text = text[:place] + junk + text[place + length :]
    assert all(": " in fault for fault in faults(text))


FIELDS = st.sampled_from(["id", "version", "step", "sequence", "fires", "absent", "unless", "tags", "title"])
VALUES = st.sampled_from(
    ["1", '"x"', "[]", "[1]", "[{}]", "{}", "true", "1e400", '[["a"]]', "[{ name = 1 }]", "{ evidence = [{}] }"]
)


@given(st.dictionaries(FIELDS, VALUES))
@settings(max_examples=200, deadline=None)
def test_any_kind_of_value_in_any_field_is_told(table: dict[str, str]) -> None:
    """A list for a table, a number for a text: each is a fault of its field."""
    assert faults("\n".join(f"{name} = {value}" for name, value in table.items()))
