"""A seeded scenario: what happens to whom and when. Enters: seed, length; leaves: events done to a running pipeline."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from streams.kafka.embedded.node import EmbeddedKafka
from tests.chaos.deployment import Deployment
from tests.chaos.pipelines import Pipeline

STOP_S = 15.0
SLOTS = 2


Event = tuple[float, str, Callable[[float], None]]


@dataclass
class Plan:
    """How much of everything; `seconds` is the time over which readings flow."""

    seconds: float
    seed: int
    hits: int
    stops: int
    broker_restarts: int
    scale: bool
    lose_offsets: bool
    rate: int = 4000


@dataclass
class Scenario:
    """Runs a plan against a pipeline; `done` counts what was done."""

    pipeline: Pipeline
    broker: EmbeddedKafka
    plan: Plan
    report: Callable[[str], None]
    done: Counter[str] = field(default_factory=Counter)
    _resume: list[tuple[float, str]] = field(default_factory=list)
    _restart: list[tuple[float, str]] = field(default_factory=list)
    _pending: list[Event] = field(default_factory=list)

    @property
    def deployment(self) -> Deployment:
        """The workers."""
        return self.pipeline.deployment

    def run(self) -> None:
        """Start two workers per service, let everything happen in random order while readings flow."""
        rng = random.Random(self.plan.seed)
        for service in self.pipeline.services:
            for slot in range(SLOTS):
                self.deployment.start(service, slot)
        events = self._pending = self._events(rng)
        began = time.monotonic()
        while events or time.monotonic() - began < self.plan.seconds or self._resume or self._restart:
            elapsed = time.monotonic() - began
            self._revive(elapsed)
            while events and events[0][0] <= elapsed:
                _, what, act = events.pop(0)
                self.report(f"{elapsed:6.1f} s  {what}")
                act(elapsed)
            # One partition receives nothing in the middle third: its task must live, its timers run.
            middle = self.plan.seconds / 3 < elapsed < 2 * self.plan.seconds / 3
            self.pipeline.produce(self.plan.rate // 10, frozenset({1}) if middle else frozenset())
            time.sleep(0.1)
        self.pipeline.finish()

    def _events(self, rng: random.Random) -> list[Event]:
        plan = self.plan
        events: list[Event] = []
        early, late = 6.0, max(8.0, plan.seconds - 4.0)
        for number in range(plan.hits):
            kind = "kill" if number % 2 == 0 else "terminate"
            events.append((rng.uniform(early, late), kind, lambda now, kind=kind: self._hit(rng, kind, now)))  # type: ignore[misc]
        until = late - STOP_S / 2
        events += [
            (rng.uniform(early, until), "stop 15 s", lambda now: self._freeze(rng, now)) for _ in range(plan.stops)
        ]
        for number in range(plan.broker_restarts):
            kind = "broker kill" if number % 2 == 0 else "broker restart"
            at = early + (late - early) * (number + 1) / (plan.broker_restarts + 1)
            events.append((at, kind, lambda _now, kind=kind: self._broker(kind)))  # type: ignore[misc]
        aborts = max(3, plan.hits // 3)
        events += [(rng.uniform(2.0, late), "aborted transaction", lambda _now: self._abort()) for _ in range(aborts)]
        if plan.scale:
            events.append((plan.seconds * 0.35, "scale to 1", lambda _now: self._scale_down()))
            events.append((plan.seconds * 0.45, "scale to 3", lambda _now: self._scale_up()))
            events.append((plan.seconds * 0.75, "scale to 1", lambda _now: self._scale_down()))
        if plan.lose_offsets:
            events.append((plan.seconds * 0.85, "lose group offsets", lambda _now: self._lose()))
        return sorted(events, key=lambda event: event[0])

    def _pick(self, rng: random.Random) -> str | None:
        frozen = {name for _, name in self._resume}
        alive = [
            n for n, worker in sorted(self.deployment.workers.items()) if worker.poll() is None and n not in frozen
        ]
        return rng.choice(alive) if alive else None

    def _hit(self, rng: random.Random, kind: str, now: float) -> None:
        name = self._pick(rng)
        if name is None:
            self._later(now, kind, lambda then: self._hit(rng, kind, then))
            return
        if kind == "kill":
            self.deployment.kill(name)
        else:
            code = self.deployment.terminate(name)
            if code not in (0, -signal.SIGTERM):  # the latter: told before its interpreter was up
                raise AssertionError(
                    f"{name} was told to stop and ended with {code}: see its log in {self.deployment.folder}"
                )
        self.done["kills"] += 1
        self._restart.append((now + rng.uniform(0.0, 3.0), name))

    def _freeze(self, rng: random.Random, now: float) -> None:
        name = self._pick(rng)
        if name is None:
            self._later(now, "stop 15 s", lambda then: self._freeze(rng, then))
            return
        self.deployment.workers[name].send_signal(signal.SIGSTOP)
        self.done["stops"] += 1
        self._resume.append((now + STOP_S, name))

    def _later(self, now: float, what: str, act: Callable[[float], None]) -> None:
        """Nobody is there to be hit just now: again in two seconds, so that what was planned is done."""
        self._pending.append((now + 2.0, what, act))
        self._pending.sort(key=lambda event: event[0])

    def _revive(self, now: float) -> None:
        for at, name in list(self._resume):
            if now >= at:
                self._resume.remove((at, name))
                self.deployment.workers[name].send_signal(signal.SIGCONT)
        for at, name in list(self._restart):
            if now >= at:
                self._restart.remove((at, name))
                service, slot = name.rsplit("-", 1)
                self.deployment.start(service, int(slot))

    def _broker(self, kind: str) -> None:
        if kind == "broker kill":
            self.broker.kill()
            self.broker.start()
        else:
            self.broker.restart()
        self.done["broker_restarts"] += 1

    def _abort(self) -> None:
        self.pipeline.produce_aborted(50)
        self.done["aborted_transactions"] += 1

    def _scale_up(self) -> None:
        for service in self.pipeline.services:
            for slot in (1, 2):
                self.deployment.start(service, slot)
        self.done["scale_up"] += 1

    def _scale_down(self) -> None:
        for service in self.pipeline.services:
            for slot in (1, 2):
                name = f"{service}-{slot}"
                self._resume = [entry for entry in self._resume if entry[1] != name]
                self._restart = [entry for entry in self._restart if entry[1] != name]
                worker = self.deployment.workers.pop(name, None)
                if worker is not None and worker.poll() is None:
                    worker.send_signal(signal.SIGCONT)
                    worker.terminate()
                    worker.wait(30)
        self.done["scale_down"] += 1

    def _lose(self) -> None:
        service = self.pipeline.services[-1]
        names = [name for name in self.deployment.workers if name.startswith(f"{service}-")]
        for name in names:
            self._resume = [entry for entry in self._resume if entry[1] != name]
            self._restart = [entry for entry in self._restart if entry[1] != name]
            self.deployment.kill(name)
        deadline = time.monotonic() + 40
        while True:
            try:
                self.deployment.lose_offsets(service)
                break
            except Exception as why:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"group of {service} not deleted: {why}") from why
                time.sleep(1.0)  # members are remembered until their session times out
        for name in names:
            self.deployment.start(service, int(name.rsplit("-", 1)[1]))
        self.done["lost_offsets"] += 1
