"""The rule of redundant gateways said plainly: one record after the other, one reading after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

BEFORE_ALL = -(2**62)
AHEAD = 60_000_000


class Told(NamedTuple):
    """A reading: record, signal, event time, receipt (us), value, quality."""

    record: int
    signal: str
    event: int
    ingest: int
    value: float
    quality: int = 0


@dataclass
class Group:
    """One physical signal: its members, the preferred first."""

    members: list[str]
    limit: int
    failback: int
    last: dict[str, int] = field(default_factory=dict)
    began: dict[str, int] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    duty: list[tuple[int, str]] = field(default_factory=list)
    failovers: int = 0
    failbacks: int = 0

    def record(self, readings: list[Told]) -> list[Told]:
        """The readings of one record that count, in its order, under the primary's name."""
        for one in readings:
            time = min(one.event, one.ingest + AHEAD)
            self.newest[one.signal] = max(self.newest.get(one.signal, time), time)
        for member in self.members:
            times = [min(one.event, one.ingest) for one in readings if one.signal == member and one.quality < 2]
            if times:
                self._present(member, max(times))
        if self.last:
            self._hand_over()
        return [one._replace(signal=self.members[0]) for one in readings if self.on_duty(one.event) == one.signal]

    def _present(self, member: str, time: int) -> None:
        before = self.last.get(member)
        if before is None or time > before + self.limit:
            self.began[member] = time
        self.last[member] = time if before is None else max(before, time)

    def _hand_over(self) -> None:
        now = max(self.last.values())
        present = [name for name in self.members if name in self.last and self.last[name] >= now - self.limit]
        if not self.duty:
            first = next(name for name in self.members if name in self.last)
            primary_counted = first != self.members[0] and self.members[0] in self.newest
            self.duty.append((self.newest[self.members[0]] + 1 if primary_counted else BEFORE_ALL, first))
        since, active = self.duty[-1]
        chosen = active
        if self.last[active] + self.limit < now:
            chosen = present[0]
        else:
            for name in present:
                preferred = self.members.index(name) < self.members.index(active)
                if preferred and self.last[name] - self.began[name] >= self.failback:
                    chosen = name
                    break
        if chosen != active:
            self.duty.append((max(since, self.newest[active] + 1), chosen))
            if self.members.index(chosen) > self.members.index(active):
                self.failovers += 1
            else:
                self.failbacks += 1

    def on_duty(self, event: int) -> str:
        """Who is on duty at this event time, as far as is known by now."""
        names = [name for since, name in self.duty if since <= event]
        return names[-1] if names else self.members[0]
