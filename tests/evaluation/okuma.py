"""mtconnect_okuma: a machine tool's stream (SHDR), several sessions joined in no order of time.

A line is `stamp|name|value|name|value...`; lines of assets and of the adapter itself are no readings. Each value goes
as the text that it is; UNAVAILABLE, which SHDR has in place of a quality, goes as a bad reading. What a name means is
in Devices.xml: samples are numbers, but for those of several dimensions, and everything else is a label. A session
begins where the adapter tells of its availability anew: another boot.
"""

from __future__ import annotations

import gzip
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.evaluation.scenario import SECOND_US, Place, Replay, ReplayFailure, Row, Scenario, as_recorded
from tests.evaluation.windows import CLOCK, Sent, compared, expected, known_time

NAME: Final = "mtconnect_okuma"
SEED: Final = 20220808
PLACE: Final = Place("shop", "cell-1", "adapter")
LENGTHS_S: Final = (10, 60)
UNAVAILABLE: Final = "UNAVAILABLE"
OPCUA_BAD: Final = 0x8000_0000
FIRST: Final = "avail"
# Our own limit of a label, and what a decimal number is; kept apart from the code under test.
LABEL_BYTES: Final = 1_024
NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
STAMPED: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z\|")
# The value of a signal that is sent on change stands while its source lives, at most a day.
HOLD_US: Final = 86_400 * SECOND_US


class Observation(NamedTuple):
    """One value of a line: its number among all values, the line's stamp (us), its session from 1."""

    place: int
    session: int
    time_us: int
    name: str
    value: str


def evaluate(folder: Path, replay: Replay, say: Callable[[str], None]) -> dict[str, Any]:
    """Metrics of the set."""
    lines = _text(folder / "okuma.txt.gz").splitlines()
    observations, numeric = list(read(lines)), numbers(_text(folder / "Devices.xml.gz"))
    if not observations:
        raise ReplayFailure(f"{folder / 'okuma.txt.gz'} holds no observation: it is not the recording")
    stamps = [line.partition("|")[0] for line in lines if STAMPED.match(line)]
    texts = sum(not NUMBER.fullmatch(one.value) for one in observations)
    told = {
        "lines": len(stamps),
        "sessions": observations[-1].session,
        # Stamps are of one length and one zone: as texts they are in order of time.
        "backward_stamps": sum(after < before for before, after in itertools.pairwise(stamps)),
        "non_numeric_share": round(texts / len(observations), 4),
    }
    say(", ".join(f"{name} {value}" for name, value in told.items()))
    asked = scenario(observations, numeric)
    outcome = replay(asked)
    good = [one for one in observations if not _unreadable(one, numeric)]
    refused = {one.place for one in observations} - {one.place for one in good}
    causes = sum(reading["sequence"] in refused for reading in asked.readings)
    wanted = expected([_sent(one, numeric) for one in good], asked.readings, outcome.late, LENGTHS_S)
    hold_us = dict.fromkeys(wanted.winners, HOLD_US)
    return {**told, **compared(wanted, outcome, causes), **known_time(wanted, outcome, LENGTHS_S[0], hold_us)}


def read(lines: Sequence[str]) -> Iterator[Observation]:
    """The values of a stream in their order."""
    place = session = 0
    for line in lines:
        if not STAMPED.match(line):
            continue  # an asset's text, or a word of the adapter
        stamp, *fields = line.split("|")
        if fields[0].startswith("@"):
            continue
        if len(fields) > 2 and fields[0] == FIRST:
            session += 1
        # A condition is its level, followed by texts that are mostly empty.
        pairs = [fields[:2]] if _is_condition(fields) else zip(fields[::2], fields[1::2], strict=False)
        for name, value in pairs:
            yield Observation(place, session, microseconds(stamp), name, value)
            place += 1


def _is_condition(fields: Sequence[str]) -> bool:
    return fields[0] == "system" or fields[0].endswith("_cond")


def microseconds(stamp: str) -> int:
    """Whole us of a stamp with seven digits of a second; the last one is cut."""
    second, _, fraction = stamp.removesuffix("Z").partition(".")
    whole = round(datetime.fromisoformat(second).replace(tzinfo=UTC).timestamp())
    return whole * SECOND_US + int(fraction.ljust(6, "0")[:6])


def numbers(devices: str) -> frozenset[str]:
    """Names of the data items that are single numbers."""
    found = set()
    for item in re.findall(r"<DataItem\s([^>]*)>", devices):
        attributes = dict(re.findall(r'([A-Za-z]+)\s*=\s*"([^"]*)"', item))
        single = attributes.get("category") == "SAMPLE" and not attributes.get("units", "").endswith("_3D")
        found |= {attributes["name"]} if single and "name" in attributes else set()
    return frozenset(found)


def _unreadable(one: Observation, numeric: frozenset[str]) -> bool:
    """Whether the value cannot be what its name says: no number, or too long for a label."""
    if one.value == UNAVAILABLE:
        return False
    return not NUMBER.fullmatch(one.value) if one.name in numeric else len(one.value.encode()) > LABEL_BYTES


def _sent(one: Observation, numeric: frozenset[str]) -> Sent:
    if one.value == UNAVAILABLE:
        return Sent(one.name, one.time_us, one.place)
    if one.name in numeric:
        return Sent(one.name, one.time_us, one.place, number=float(one.value))
    return Sent(one.name, one.time_us, one.place, text=one.value)


def scenario(observations: Sequence[Observation], numeric: frozenset[str]) -> Scenario:
    """Dictionary and readings; the last one, of another signal, closes all windows."""
    newest, longest_us = max(observations, key=lambda one: one.time_us), max(LENGTHS_S) * SECOND_US
    after_us = (newest.time_us // longest_us + 2) * longest_us
    clock = Observation(len(observations), observations[-1].session, after_us, CLOCK, "0")
    names = {one.name: None for one in observations}
    starts = {length_s: newest.time_us // (length_s * SECOND_US) * length_s * SECOND_US for length_s in LENGTHS_S}
    return Scenario(
        context={"it.signal.v1": [_signal(name, name in numeric or name == CLOCK) for name in (*names, CLOCK)]},
        readings=[*as_recorded([_reading(one) for one in observations], SEED), _reading(clock)],
        awaited=frozenset(f"{newest.name}/{length_s}/{start}" for length_s, start in starts.items()),
        stage="window",
    )


def _reading(one: Observation) -> Row:
    value: Mapping[str, Any] = {"value_string": one.value}
    if one.value == UNAVAILABLE:
        value = {"quality_raw": OPCUA_BAD, "quality_scheme": "opcua"}
    return PLACE.reading(one.name, one.time_us, str(one.session), one.place, **value)


def _signal(name: str, number: bool) -> Row:
    role = "measurement" if number else "state"
    return PLACE.signal(name, role, "on_change", LENGTHS_S, work_unit="lathe")


def _text(path: Path) -> str:
    if not path.is_file():
        raise ReplayFailure(f"{path} is missing: put the recording there, or give another folder with --data")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read()
