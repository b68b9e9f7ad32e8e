"""What links evidence, as a file and as relations."""

from __future__ import annotations

import pytest

from streams.core.correlate.links import RELATIONS, LinkFaults, parse
from tests.core.correlate_scene import LINKS, MINUTE, links

TEXT = LINKS.read_text("utf-8")


def test_the_shipped_links_name_every_relation_once() -> None:
    """All kinds that the code knows are used; what is closed is not opened again by a link that is wider."""
    made = links()
    assert [link.kind for link in made.links] == list(RELATIONS)
    assert made.quiet_us == 30 * MINUTE >= made.widest_us


@pytest.mark.parametrize(
    ("old", "new", "faults"),
    [
        ("quiet_s = 1800", "quiet_s = 60", ["quiet_s: is shorter"]),
        ("quiet_s = 1800", "", ["quiet_s: give a whole number"]),
        ("members = 500", "members = true", ["members: give a whole number"]),
        ("span_s = 86400", 'span_s = "a day"', ["span_s: give a whole number"]),
        ("near_s = 86400", "near_s = 86400\nnear_m = 2", ["near_m: no such field"]),
        ('kind = "flow"', 'kind = "flows"', ["link 3: kind: one of equipment, hierarchy"]),
        ('kind = "flow"', 'kind = "rule"', ["link: rule is there twice"]),
        ("within_s = 600", "within_s = 0", ["link 3: within_s: give a whole number"]),
        ("within_s = 600", "within_s = 600\nwithin = 3", ["link 3: within: no such field"]),
        ('measure = "stand"', 'measure = "end"', ["link 4: measure: one of begin, stand", "link 6: measure"]),
        ('text = "The same asset, or the same work unit."', "", ["link 1: text: say in a sentence"]),
        ("version = 1", "version = ", ["not TOML"]),
    ],
)
def test_every_fault_of_a_file_is_told(old: str, new: str, faults: list[str]) -> None:
    """With where it is and what to do; nothing is guessed."""
    assert old in TEXT
    with pytest.raises(LinkFaults) as told:
        parse(TEXT.replace(old, new))
    assert len(told.value.faults) == len(faults)
    for fault, words in zip(told.value.faults, faults, strict=True):
        assert fault.startswith(words)


def test_a_file_without_links_is_refused() -> None:
    """Numbers alone link nothing; several faults are told at once."""
    with pytest.raises(LinkFaults) as told:
        parse("quiet_s = 1\nlink = 3\n")
    assert [fault.split(":")[0] for fault in told.value.faults] == ["span_s", "members", "near_s", "link"]
