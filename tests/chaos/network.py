"""The network between the edge nodes and the broker: it repeats, contradicts and holds back what it is given.

Enters: messages as edge nodes send them. Leaves: messages as they arrive; what that adds to the readings that count as
sent is noted in the tracks.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Final

from tests.chaos.edge import SECOND_US, STATES, Edge, Message, Track

# Of a hundred messages so many are: repeated, contradicted (single readings only), held back for less than the
# allowed disorder, for longer than that, for longer than anything is kept in memory.
SHARES: Final = {"repeated": 2.0, "conflicts": 1.0, "disordered": 2.0, "late": 1.0, "very_late": 0.05}
CALM: Final = 100 - sum(SHARES.values())
HELD_S: Final = {"repeated": (0.0, 5.0), "disordered": (0.1, 1.5), "late": (3.0, 12.0), "very_late": (25.0, 45.0)}


class Network:
    """Disturbs what passes through it, by chance (`rng`), and counts in `done` how often. `now_us` is its clock."""

    def __init__(self, rng: random.Random, tracks: dict[str, Track], done: Counter[str], now_us: int) -> None:
        self.now_us = now_us
        self._rng = rng
        self._tracks = tracks
        self._done = done
        self._order = count()
        self._held: list[tuple[int, int, Message]] = []

    def disturbed(self, message: Message) -> Iterator[Message]:
        """A message, as the network brings it: held back, repeated, contradicted, or as it is."""
        what = "" if message.steady else self._rng.choices((*SHARES, ""), (*SHARES.values(), CALM))[0]
        if not what:
            yield message
            return
        if what == "conflicts":
            yield message
            yield from self._contradicted(message)
            return
        self._done[what] += 1
        if what == "repeated":
            yield message
            self._repeated(message)
        low, high = HELD_S[what]
        release_us = self.now_us + int(self._rng.uniform(low, high) * SECOND_US)
        heapq.heappush(self._held, (release_us, next(self._order), message))

    def _repeated(self, message: Message) -> None:
        """Count a message that is sent again: a copied batch is dropped at the border, a copied reading is not."""
        if message.batch:
            self._done["retransmitted_batches"] += 1
            self._done["retransmitted_readings"] += len(message.row["address"])
            return
        row, track = message.row, self._tracks[message.row["address"]]
        value = STATES.index(row["value_string"]) if "value_string" in row else row["value_double"]
        track.add(row["source_time"], value, row["sequence"], historical=row["historical"])

    def _contradicted(self, message: Message) -> Iterator[Message]:
        """Another value of the same signal and instant; the higher sequence wins, which may be either."""
        if message.batch or "value_double" not in message.row:
            return
        self._done["conflicts"] += 1
        row = {**message.row, "value_double": message.row["value_double"] + 1000.0}
        row["sequence"] = max(0, row["sequence"] + self._rng.choice((-1, 1)))
        track = self._tracks[row["address"]]
        track.add(row["source_time"], row["value_double"], row["sequence"], historical=row["historical"])
        yield Message(message.edge, row)

    def released(self, edges: list[Edge], now_us: int | None, cut: frozenset[int] = frozenset()) -> Iterator[Message]:
        """What was held back until now (None: all of it); what meets an edge node offline is kept there."""
        waiting = []
        while self._held and (now_us is None or self._held[0][0] <= now_us):
            entry = heapq.heappop(self._held)
            edge = edges[entry[2].edge]
            if edge.number in cut:
                waiting.append(entry)
            elif now_us is not None and edge.spell.covers(now_us):
                edge.kept.append(entry[2])
            else:
                yield entry[2]
        for entry in waiting:
            heapq.heappush(self._held, entry)
