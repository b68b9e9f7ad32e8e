"""A plant's raw readings and the way in which they arrive, as plans. No part of the program is used here.

Five edge nodes send to two lines: measurements, on-change values, states, counters with resets and rollover, a signal
whose unit changes, and one physical signal through two gateways. A `Message` is what an edge node sends at once, with
boot id and sequence; an `Arrival` is when the broker gets it. What a plan may hold is said in `test_chain_invariant`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.simulation.reference import SECOND, Signal

# An hour ends, and with it a KPI's period and a bucket of the index of the log, two minutes after the begin.
T0 = 1_790_000_000 * SECOND - 1_790_000_000 * SECOND % (3600 * SECOND) - 120 * SECOND
RANGE_S = 240
END = T0 + RANGE_S * SECOND
CLOSING = END + 9 * SECOND
UNIT_CHANGE = T0 + 95 * SECOND
QUARTER = SECOND // 4
# OPC DA codes: good, uncertain, bad, good and forced.
GOOD, UNCERTAIN, BAD, FORCED = 192, 64, 0, 216
STATES = {"1": "running", "2": "blocked", "3": "fault"}


@dataclass(frozen=True)
class Source:
    """A signal, and who sends it under which address, on which line; `high`: of the instrument, `standby_of`."""

    signal: Signal
    node: str
    line: str = "line-1"
    unit: str = "infeed"
    high: float | None = None
    standby_of: str | None = None
    changes_to: float | None = None

    @property
    def address(self) -> str:
        """Its name in the edge node."""
        return f"ns=2;s={self.signal.name}"


def _beat(node: str, line: str) -> Source:
    return Source(Signal(f"beat.{node}.{line}", period=5 * SECOND, role="setpoint"), node, line)


SOURCES = (
    Source(Signal("temperature", period=SECOND), "edge-1", high=200.0),
    Source(Signal("pressure", on_change=True, lengths=(15, 60)), "edge-1"),
    Source(Signal("state", on_change=True, role="state"), "edge-1", unit="filler"),
    Source(Signal("good", period=3 * SECOND, role="good_counter", rollover=99), "edge-1", unit="filler"),
    Source(
        Signal("reject", on_change=True, role="reject_counter", lengths=(30,), rollover=99), "edge-1", unit="filler"
    ),
    Source(Signal("vibration", lengths=(30,)), "edge-1", "line-2"),
    Source(Signal("flow", period=5 * SECOND, changes=(UNIT_CHANGE,)), "edge-2", changes_to=2.0),
    Source(Signal("recipe", on_change=True, role="batch_id"), "edge-2"),
    Source(Signal("total", period=20 * SECOND, role="total_counter", rollover=2**62), "edge-3", "line-2"),
    Source(Signal("phase", period=8 * SECOND, role="phase", lengths=(20,)), "edge-3", "line-2"),
    Source(Signal("level", period=2 * SECOND), "gateway-a"),
    Source(Signal("level.standby", period=2 * SECOND), "gateway-b", standby_of="level"),
    *(_beat(f"edge-{number}", "line-1") for number in (1, 2)),
    *(_beat(f"edge-{number}", "line-2") for number in (1, 3)),
    *(_beat(f"gateway-{name}", "line-1") for name in "ab"),
)
BY_NAME = {source.signal.name: source for source in SOURCES}
BEATS = [source for source in SOURCES if source.signal.name.startswith("beat")]
NODES = sorted({source.node for source in SOURCES})
LINES = ("line-1", "line-2")
REDUNDANT = ("level", "level.standby")
SPOKEN = [source.signal.name for source in SOURCES if source not in BEATS]
UNKNOWN = "nobody knows"
ODD = ("no time", "far ahead", "ancient", "not a number", "nothing", "a word", UNKNOWN)


@dataclass(frozen=True)
class Raw:
    """One raw reading. `time` is when it was so; `odd` is what is wrong with it, or that the gateway stamped it."""

    name: str
    time: int
    number: float | None = None
    whole: int | None = None
    label: str | None = None
    code: int | None = GOOD
    historical: bool = False
    birth: bool = False
    odd: str = ""


@dataclass(frozen=True)
class Message:
    """What one edge node sends at once: one batch, or, where `single`, each reading as a record of its own."""

    node: str
    boot: str | None
    sequence: int | None
    readings: tuple[Raw, ...]
    single: bool = False
    # When the gateway saw it; None: it does not say.
    gateway_time: int | None = None

    @property
    def numbered(self) -> bool:
        """Whether a copy of it is known as one."""
        return not self.single and self.boot is not None and self.sequence is not None

    @property
    def latest(self) -> int:
        """Time of its last reading."""
        return max(raw.time for raw in self.readings)


@dataclass(frozen=True)
class Arrival:
    """When (us, wall clock) the broker gets which message."""

    wall: int
    message: Message


Values = dict[str, Any]


def value_of(source: Source, draw: st.DrawFn) -> Values:
    """A value as this signal has them: limits of rules, falls of counters and odd integers are hit often."""
    role = source.signal.role
    if role == "state":
        return {"whole": draw(st.sampled_from((1, 1, 2, 3, 3, 9)))}
    if role in {"phase", "batch_id"}:
        return {"label": draw(st.sampled_from(("A", "B", "C")))}
    if role == "total_counter":
        return {"whole": draw(st.sampled_from((0, 5, 2**53 + 1, 2**53 + 3, 2**62 - 8, 2**62 - 1)))}
    if source.signal.counts():
        return {"whole": draw(st.integers(0, 99))}
    if source.signal.name == "temperature":
        return {"number": draw(st.sampled_from((20.0, 79.0, 83.0, 86.0, 90.0, 90.0, 250.0)))}
    return {"number": float(draw(st.integers(-3, 3)))}


@st.composite
def bursts(draw: st.DrawFn, names: Sequence[str]) -> list[Raw]:
    """Readings of one signal at regular steps, some bad, forced, announced at a birth, or of what is wrong."""
    source = BY_NAME[draw(st.sampled_from(names))]
    begin, step = draw(st.integers(0, RANGE_S * 4 - 1)), draw(st.sampled_from((1, 3, 4, 4, 20, 44, 120, 160)))
    found = []
    for number in range(draw(st.integers(1, 12))):
        time = T0 + (begin + number * step) * QUARTER
        if time >= END:
            break
        found.append(
            Raw(
                source.signal.name,
                time,
                **value_of(source, draw),
                code=draw(st.sampled_from((GOOD, GOOD, GOOD, GOOD, None, UNCERTAIN, BAD, FORCED))),
                birth=draw(st.sampled_from((False,) * 7 + (True,))),
                odd=draw(st.sampled_from(("",) * 30 + ODD)),
            )
        )
    return found


@st.composite
def gateways(draw: st.DrawFn) -> list[Raw]:
    """Both gateways at the same instants, each with a time in which it says nothing, or nothing that can be used."""
    begin, count = draw(st.integers(0, RANGE_S // 2)), draw(st.integers(1, 50))
    found = []
    for name, value in zip(REDUNDANT, (1.0, 2.0), strict=True):
        low = draw(st.integers(0, 50))
        gap = range(low, low + draw(st.sampled_from((0, 3, 7, 20))))
        bad = draw(st.booleans())
        for number in range(count):
            time = T0 + (begin + 2 * number) * SECOND
            if time < END and (bad or number not in gap):
                found.append(Raw(name, time, value + number % 3, code=BAD if number in gap else GOOD))
    return found


@st.composite
def messages(draw: st.DrawFn, names: Sequence[str] = SPOKEN) -> list[Message]:
    """What all edge nodes send, node by node in order of time; some of it twice, or with another value."""
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=5, unique=True))
    told = [raw for burst in draw(st.lists(bursts(chosen), min_size=1, max_size=7)) for raw in burst]
    told += draw(gateways()) if set(chosen) & set(REDUNDANT) else []
    extra = draw(st.lists(st.sampled_from(told), max_size=4)) if told else []
    chance = Random(draw(st.integers(0, 2**32)))
    sent: list[Message] = []
    for node in NODES:
        own = sorted((raw for raw in told if BY_NAME[raw.name].node == node), key=lambda raw: raw.time)
        cut = _cut(node, own, chance)
        # Said once more, later: the same, or something else of the same instant.
        late = [raw for raw in extra if BY_NAME[raw.name].node == node]
        late = [_other(raw, chance) if chance.random() < 0.5 else raw for raw in late]
        sent += cut + _cut(node, late, chance, after=len(cut))
    return sent


def _other(raw: Raw, chance: Random) -> Raw:
    """Another value at the same instant."""
    number = None if raw.number is None else raw.number + chance.randint(-1, 1)
    whole = None if raw.whole is None else chance.choice((1, 2, 3))
    label = None if raw.label is None else chance.choice("ABC")
    return Raw(raw.name, raw.time, number, whole, label, raw.code, odd=raw.odd)


def _cut(node: str, readings: Sequence[Raw], chance: Random, after: int = 0) -> list[Message]:
    """The readings as messages; the edge node starts anew somewhere, some messages have no number."""
    sent: list[Message] = []
    rest, begun_anew = list(readings), chance.random() < 0.3
    while rest:
        size = chance.choice((1, 2, 4, 8))
        own, rest = rest[:size], rest[size:]
        number = after + len(sent)
        boot = "boot-2" if begun_anew and len(own) + len(rest) <= len(readings) // 2 else "boot-1"
        spread = max(raw.time for raw in own) - min(raw.time for raw in own)
        # A gateway that saw what is long ago, and says so at once, would tell of a clock that is wrong.
        near = spread <= 20 * SECOND and chance.random() < 0.5
        gateway = max(raw.time for raw in own) + 1 if near or any(raw.odd == "no time" for raw in own) else None
        if spread > 20 * SECOND and gateway is not None:
            own = [Raw(**{**vars(raw), "historical": True}) for raw in own]
        unnumbered = chance.random() < 0.1
        sent.append(
            Message(
                node,
                None if unnumbered else boot,
                None if unnumbered else number,
                tuple(own),
                chance.random() < 0.2,
                gateway,
            )
        )
    return sent


@st.composite
def arrivals(draw: st.DrawFn, sent: Sequence[Message]) -> list[Arrival]:
    """Some way for the messages to arrive: live, after a spell offline, or in any order at all; some twice."""
    way = draw(st.sampled_from(("live", "spell in order", "newest first", "mixed", "any order")))
    chance = Random(draw(st.integers(0, 2**32)))
    begin_s = draw(st.integers(0, RANGE_S))
    back = T0 + (begin_s + draw(st.sampled_from((30, 150, 400)))) * SECOND
    offline = draw(st.sets(st.sampled_from(NODES), min_size=1))
    keyed: list[tuple[float, float, Message]] = []
    for number, message in enumerate(sent):
        wall = message.latest + SECOND // 10 + chance.randint(0, 2 * SECOND)
        away = message.node in offline and T0 + begin_s * SECOND <= wall < back
        if way == "any order":
            keyed.append((END, chance.random(), message))
        elif way != "live" and away:
            rank = {"spell in order": number, "newest first": -number, "mixed": chance.random()}[way]
            # Delivered while new readings go on: the backlog takes a few seconds.
            keyed.append((back + (chance.randint(0, 20) * SECOND if way == "mixed" else 0), rank, message))
        else:
            keyed.append((wall, chance.random(), message))
    keyed.sort(key=lambda one: one[:2])
    found = [Arrival(int(wall), message) for wall, _, message in keyed]
    copies = draw(st.lists(st.integers(0, max(len(found) - 1, 0)), max_size=3)) if found else []
    for copied in copies:
        place = chance.randint(copied, len(found) - 1)
        found.insert(place + 1, Arrival(found[place].wall, found[copied].message))
    return found
