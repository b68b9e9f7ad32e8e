"""A machine that drives the nodes of a zone at random: what is told is in order, what stands is what is silent."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.core.alert_scene import R, Task, context, signal
from tests.core.silence_scene import OFFLINE, SEGMENT

NODES = ("edge-1", "edge-2", "edge-3")
LIMIT, WITHIN = 30, 5  # of OFFLINE and SEGMENT, in s
CONTEXT = context(
    [signal(name, source_id=name, period_ms=1000) for name in NODES],
    [{"asset_id": name, "valid_from": 0, "path": name, "work_center": "line-1", "zone": "cell"} for name in NODES],
)


class Zone(RuleBasedStateMachine):
    """Nodes that send or do not, time that passes, a task that restarts. It is looked at each second."""

    def __init__(self) -> None:
        super().__init__()
        self.task = Task([OFFLINE, SEGMENT], CONTEXT)
        self.now = 0
        self.heard: dict[str, int] = {}

    @rule(span=st.sampled_from((1, 3, 6, 20)), sending=st.sets(st.sampled_from(NODES)))
    def time_passes(self, span: int, sending: set[str]) -> None:
        """For some seconds these nodes send, the others do not."""
        for _ in range(span):
            self.now += 1
            self.heard |= dict.fromkeys(sending, self.now)
            if sending:
                self.task.feed(*(R(self.now, name, 1.0, source=name) for name in sorted(sending)), now=self.now)
            self.task.tick(self.now, caught_up_since=-3600)

    @rule()
    def restart(self) -> None:
        """Another instance takes over, with the state as it was written."""
        self.task.restart()

    def by_alert(self) -> dict[str, list[dict[str, Any]]]:
        """Transitions of each alert, in the order in which they were told."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self.task.rows:
            found.setdefault(row["alert_id"], []).append(row)
        return found

    def newest(self) -> list[dict[str, Any]]:
        """What was last told of each alert."""
        return [rows[-1] for rows in self.by_alert().values()]

    @invariant()
    def transitions_are_in_order(self) -> None:
        """Of each alert: active first, cleared last, revisions without a gap; none rings that has a cause."""
        assert not any(row["annunciated"] and row["cause_alert_id"] for row in self.task.rows)
        for rows in self.by_alert().values():
            assert [row["revision"] for row in rows] == list(range(1, len(rows) + 1))
            assert [row["state"] for row in rows[:-1]] == ["active"] * (len(rows) - 1)

    @invariant()
    def what_stands_is_what_is_silent(self) -> None:
        """A node stands while it is silent for longer than its limit, less at most what it waits for its neighbours."""
        standing = {row["source_id"] for row in self.newest() if row["state"] == "active" and row["source_id"]}
        silent = {name: self.now - heard for name, heard in self.heard.items()}
        assert standing >= {name for name, span in silent.items() if span > LIMIT + WITHIN}
        assert standing <= {name for name, span in silent.items() if span > LIMIT}

    @invariant()
    def a_cause_stands_with_what_it_explains(self) -> None:
        """While a zone is down at least two of its nodes stand and point to it; what points nowhere rings."""
        standing = [row for row in self.newest() if row["state"] == "active"]
        causes = [row["alert_id"] for row in standing if row["rule_id"] == "segment-down"]
        assert len(causes) <= 1
        explained = [row for row in standing if row["cause_alert_id"] in causes]
        assert not causes or len(explained) >= 2
        assert all(row["annunciated"] or row["cause_alert_id"] for row in standing)


TestZone = Zone.TestCase
TestZone.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
