"""The load of `services`: edge nodes that go offline, keep what they read, and deliver it later, and not in good order.

Enters: the time, as an argument. Leaves: messages in the order in which they are sent, and the readings in them as the
reference takes them. What happens is drawn from a seed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from tests.chaos.edge import (
    EDGES,
    PERIOD_US,
    SECOND_US,
    SLOW_STEPS,
    STATES,
    Edge,
    Excursion,
    Message,
    Spell,
    Track,
)
from tests.chaos.network import Network

PRIMARY, STANDBY = 0, 3  # edge nodes of one line that both read `flow`
BURST: Final = 8  # a backlog comes so many times faster than it was measured
HIGH, NORMAL = 95.0, 20.0
ANCIENT_US: Final = 7200 * SECOND_US
ANCIENT_EVERY: Final = 80  # steps
BORDER_US: Final = 10 * SECOND_US


class Plant:
    """EDGES edge nodes with `bulk` fast signals each, from `begin_us` (a whole second) on.

    Attributes:
        tracks: what was sent, by signal; without copies of batches and without `ancient`.
        ancient: (signal, time) of readings older than any horizon.
        done: how often what was done.
    """

    def __init__(self, bulk: int, begin_us: int, seed: int) -> None:
        self.begin_us = begin_us
        self.done: Counter[str] = Counter()
        self.ancient: list[tuple[str, int]] = []
        self.tracks: dict[str, Track] = {}
        self._rng = random.Random(seed)
        self._network = Network(self._rng, self.tracks, self.done, begin_us)
        self.edges = []
        for number in range(EDGES):
            names = tuple(f"bulk-{number}-{place}" for place in range(bulk))
            self.edges.append(Edge(number, names, self._spell(begin_us, online_s=self._rng.randint(6, 20))))
            self._plan(self.edges[-1])

    @property
    def end_us(self) -> int:
        """Up to here windows are complete once everything was delivered."""
        newest = max(edge.step for edge in self.edges) * PERIOD_US + self.begin_us
        return -(-newest // BORDER_US) * BORDER_US

    def tick(self, now_us: int, cut: frozenset[int] = frozenset()) -> Iterator[Message]:
        """What is sent until `now_us`; the edge nodes `cut` neither measure nor send."""
        self._network.now_us = now_us
        due = (now_us - self.begin_us) // PERIOD_US
        for edge in self.edges:
            steps = max(due - edge.step, 0)
            if edge.number in cut:
                if steps:
                    edge.gaps.append((self._time(edge), self.begin_us + due * PERIOD_US))
                edge.step += steps
                continue
            for _ in range(steps):
                yield from self._measured(edge)
            yield from self._delivered(edge, steps * BURST)
        yield from self._network.released(self.edges, now_us, cut)

    def finish(self, now_us: int) -> Iterator[Message]:
        """Everything that is still kept anywhere, and one last reading of each edge node, beyond `end_us`."""
        yield from self.tick(now_us)
        for edge in self.edges:
            self._return(edge)
            yield from self._delivered(edge, None)
        yield from self._network.released(self.edges, None)
        for edge in self.edges:
            yield self._single(edge, f"closing-{edge.number}", self.end_us + BORDER_US // 2, 0.0, steady=True)

    def over(self) -> list[Excursion]:
        """Excursions that were sent to their end, and so much beyond it that they are cleared."""
        found = []
        for edge in self.edges:
            for one in edge.excursions:
                end = one.end + 4 * SECOND_US
                cut = any(low < end and one.begin - SECOND_US < high for low, high in edge.gaps)
                if end < self._time(edge) and not cut:
                    found.append(one)
        return found

    # -- measuring ---------------------------------------------------------------------------------------------------

    def _time(self, edge: Edge) -> int:
        return self.begin_us + edge.step * PERIOD_US

    def _measured(self, edge: Edge) -> Iterator[Message]:
        """The readings of one step."""
        time = self._time(edge)
        while time >= edge.spell.end:
            self._return(edge)
            edge.spell = self._spell(edge.spell.end, self._rng.randint(15, 40))
            self._plan(edge)
        slow, kept = edge.step % SLOW_STEPS == 0, edge.spell.covers(time)
        historical = kept and edge.spell.historical
        made = [
            self._reading(edge, name, time, float((edge.step * 7 + place) % 97), historical=historical)
            for place, name in enumerate(edge.signals)
        ]
        if not edge.batches and slow:
            level = HIGH if edge.high(time) else NORMAL
            made.append(self._single(edge, f"alarm-{edge.number}", time, level, historical=historical, steady=True))
        if edge.number in {PRIMARY, STANDBY} and slow:
            name, more = ("flow", 0.0) if edge.number == PRIMARY else ("flow-standby", 0.5)
            value = edge.step % 50 + more
            made.append(self._single(edge, name, time, value, historical=historical, steady=True))
        if not edge.batches and (edge.step == 0 or self._rng.random() < 0.025):
            edge.state = self._rng.randrange(len(STATES))
            made.append(self._single(edge, f"state-{edge.number}", time, edge.state, historical=historical))
        if edge.batches and (edge.step + 1) % SLOW_STEPS == 0:
            made.append(edge.batch())
        edge.step += 1
        for message in made:
            if message is not None:
                yield from self._sent(edge, message, time)
        if edge.number == 1 and edge.step % ANCIENT_EVERY == 0 and not kept:
            yield self._ancient(edge, time)

    def _reading(self, edge: Edge, signal: str, time: int, value: float, *, historical: bool) -> Message | None:
        """A fast reading: a message of its own, or a row of the batch that is being filled."""
        if not edge.batches:
            return self._single(edge, signal, time, value, historical=historical)
        edge.row(signal, time, value, historical=historical)
        self._track(edge, signal).add(time, value, edge.sequence, historical=historical)
        return None

    def _single(
        self, edge: Edge, signal: str, time: int, value: float, *, historical: bool = False, steady: bool = False
    ) -> Message:
        row: dict[str, Any] = {"source_id": edge.name, "address": signal, "source_time": time}
        row |= {"sequence": edge.singles, "boot_id": "1", "historical": historical}
        row |= {"value_string": STATES[int(value)]} if signal.startswith("state") else {"value_double": float(value)}
        self._track(edge, signal).add(time, value, edge.singles, historical=historical)
        edge.singles += 1
        return Message(edge.number, row, steady=steady)

    def _track(self, edge: Edge, signal: str) -> Track:
        return self.tracks.setdefault(signal, Track(signal, edge.name))

    def _ancient(self, edge: Edge, time: int) -> Message:
        self.ancient.append((edge.signals[0], time - ANCIENT_US))
        row = {"source_id": edge.name, "address": edge.signals[0], "source_time": time - ANCIENT_US}
        return Message(edge.number, {**row, "value_double": -1.0}, steady=True)

    # -- spells ------------------------------------------------------------------------------------------------------

    def _spell(self, after_us: int, online_s: int) -> Spell:
        begin = after_us + online_s * SECOND_US
        end = begin + self._rng.randint(24, 45) * SECOND_US
        return Spell(begin, end, newest_first=self._rng.random() < 0.4, historical=self._rng.random() < 0.6)

    def _plan(self, edge: Edge) -> None:
        """One excursion well inside the next spell, one from its end into the present."""
        spell = edge.spell
        if edge.batches:
            return
        for begin, end in (
            (spell.begin + 5 * SECOND_US, spell.begin + 12 * SECOND_US),
            (spell.end - 4 * SECOND_US, spell.end + 8 * SECOND_US),
        ):
            edge.excursions.append(Excursion(edge.number, begin, end, spell))

    def _return(self, edge: Edge) -> None:
        """The spell is over: what was kept is to be delivered."""
        if edge.columns:
            edge.kept.append(edge.batch())
        if edge.kept:
            self.done["offline_spells"] += 1
        newest_first = edge.spell.newest_first
        edge.in_order = not newest_first
        edge.queue.extend(reversed(edge.kept) if newest_first else edge.kept)
        edge.kept.clear()
        edge.restart()

    def _delivered(self, edge: Edge, steps: int | None) -> Iterator[Message]:
        """So many steps' worth of what is queued; None: all of it."""
        per_step = 1 if edge.batches else len(edge.signals) + 1
        number = len(edge.queue) if steps is None else min(len(edge.queue), steps * per_step)
        for _ in range(number):
            yield from self._network.disturbed(edge.queue.popleft())

    def _sent(self, edge: Edge, message: Message, time: int) -> Iterator[Message]:
        if edge.spell.covers(time):
            edge.kept.append(message)
        elif edge.queue and edge.in_order:
            edge.queue.append(message)
        else:
            yield from self._network.disturbed(message)
