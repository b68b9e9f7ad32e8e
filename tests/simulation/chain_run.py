"""Runs validate -> {window, alert, kpi} as the shell does: logs in memory, chunks, restarts, timers, looking back.

Enters: arrivals of raw messages. Leave: the log of `ot.reading.v1` by line and what each stage wrote. A restarted task
knows nothing but its changes; a look-back reads the log again while steps go on, and is dropped by a restart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from random import Random
from typing import Any

import polars as pl

from streams.core.context import Context
from streams.core.frames import COORDINATES, READING
from streams.core.stage import Change, Corrector, LookBack, Moment, Result, Span, StageCore, apply, combine
from streams.core.validate.stage import Validate
from tests.core.validate_run import SCHEMAS
from tests.simulation.chain_dictionary import context
from tests.simulation.chain_plan import CLOSING, LINES, NODES, Arrival, Message
from tests.simulation.chain_raw import closing, records
from tests.simulation.reference import SECOND

VALIDATED = "ot.reading.v1"
# Raw partitions: by edge node.
PARTITIONS = {node: number % 2 for number, node in enumerate(NODES)}
# So long after the last arrival every look-back that is due has begun.
LONGEST_S = 70
Make = Callable[[], StageCore]


@dataclass
class Log:
    """One partition: records (frames of rows with one `_offset`), with holes where transactions ended."""

    records: list[pl.DataFrame] = field(default_factory=list)
    end: int = 0

    def append(self, rows: pl.DataFrame, now_us: int) -> None:
        """One record, appended at `now_us`."""
        stamped = rows.with_columns(_offset=pl.lit(self.end, pl.Int64()), _time=pl.lit(now_us, pl.Int64()))
        self.records.append(stamped)
        self.end += 1

    def read(self, span: Span) -> pl.DataFrame | None:
        """Rows of the records in a span; None: there is none."""
        found = [rows for rows in self.records if span.begin <= rows["_offset"][0] < span.end]
        return pl.concat(found) if found else None


class Task:
    """One task: tables made of its changes, what it wrote by topic, what it counted."""

    def __init__(self, make: Make, known: Context, chance: Random) -> None:
        self.make, self.known, self.chance = make, known, chance
        self.core = make()
        self.tables = {table.name: table for table in self.core.tables}
        self.state = {name: table.empty() for name, table in self.tables.items()}
        self.logged: list[dict[str, Change]] = []
        self.out: dict[str, list[dict[str, Any]]] = {}
        self.frames: dict[str, list[pl.DataFrame]] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.taken = 0
        self.caught_up_us: int | None = None
        self.back: LookBack | None = None
        self.looks = 0

    def step(self, topic: str, rows: pl.DataFrame, now_us: int) -> Result:
        """One chunk."""
        return self.take(self.core.step(topic, rows, self.state, self.known, self.moment(now_us)))

    def timer(self, now_us: int, log: Log | None = None) -> None:
        """A second passes; it is known whether `log` has been read to its end."""
        if log is not None:
            lags = self.taken < len(log.records)
            self.caught_up_us = None if lags else (self.caught_up_us or now_us)
        self.take(self.core.timer(self.state, self.known, self.moment(now_us)))

    def moment(self, now_us: int) -> Moment:
        """Processing time as the shell tells it."""
        return Moment(now_us, self.caught_up_us)

    def restart(self) -> None:
        """A new process: the tables are rebuilt from the changes, of which the later ones may be combined."""
        self.core, self.back = self.make(), None
        if self.chance.random() < 0.5:
            cut = self.chance.randint(0, len(self.logged))
            self.logged = [*self.logged[:cut], {name: self._combined(name, cut) for name in self.tables}]
        self.state = {name: table.empty() for name, table in self.tables.items()}
        for changes in self.logged:
            for name, change in changes.items():
                self.state[name] = apply(self.tables[name], self.state[name], change)

    def position(self, log: Log) -> int:
        """The offset to read next."""
        return int(log.records[self.taken]["_offset"][0]) if self.taken < len(log.records) else log.end

    def _combined(self, name: str, cut: int) -> Change:
        whole = Change()
        for changes in self.logged[cut:]:
            whole = combine(self.tables[name], whole, changes.get(name, Change()))
        return whole

    def look(self, log: Log, now_us: int, *, finish: bool = False) -> bool:
        """Go on with a look-back, or begin one if it is due; tells whether one was under way."""
        core, position = self.core, self.position(log)
        if not isinstance(core, Corrector):
            return False
        if self.back is None:
            if not core.due(self.state, self.moment(now_us)):
                return False
            assert core.topic == VALIDATED
            span = Span(0, position)
            self.back = core.look_back(self.state, self.known, span, self.moment(now_us))
        while spans := self.back.wanted():
            assert all(one.begin < one.end <= two.begin for one, two in pairwise(spans))
            for span in spans:
                rows = log.read(span)
                for part in [] if rows is None else _cut(rows, self.chance):
                    self.back.take(part)
            if not finish and self.chance.random() < 0.3:
                return True  # steps go on meanwhile
        self.take(core.looked(self.back, self.state, self.known, self.moment(now_us)))
        while self.back.left():
            if not finish and self.chance.random() < 0.3:
                return True
            self.take(core.looked(self.back, self.state, self.known, self.moment(now_us)))
        self.back, self.looks = None, self.looks + 1
        return True

    def take(self, result: Result) -> Result:
        """Apply and collect what a call left."""
        self.logged.append(dict(result.changes))
        for name, change in result.changes.items():
            self.state[name] = apply(self.tables[name], self.state[name], change)
        for topic, frame in result.out.items():
            self.frames.setdefault(topic, []).append(frame)
            self.out.setdefault(topic, []).extend(frame.to_dicts())
        self.counts.update(result.counts)
        return result


def _cut(rows: pl.DataFrame, chance: Random) -> Iterator[pl.DataFrame]:
    """The rows in pieces, whole records each."""
    records = rows.partition_by("_offset", maintain_order=True)
    while records:
        size = chance.choice((1, 2, 5, len(records)))
        yield pl.concat(records[:size])
        records = records[size:]


@dataclass
class Chain:
    """The whole way. `stages` makes the stages that read `ot.reading.v1`, by name; `seed`: all that is left to chance.

    `lazy`: how often a task lets a turn pass, `unsteady`: how often one starts anew.
    """

    stages: dict[str, Make]
    seed: int
    lazy: float = 0.25
    unsteady: float = 0.1

    def __post_init__(self) -> None:
        self.chance = Random(self.seed)
        known = context()
        self.validate = [Task(Validate, known, self.chance) for _ in set(PARTITIONS.values())]
        self.raw: list[list[tuple[str, dict[str, Any]]]] = [[] for _ in self.validate]
        self.logs = {line: Log() for line in LINES}
        self.tasks = {
            (name, line): Task(make, known, self.chance) for name, make in self.stages.items() for line in LINES
        }
        self.processed: dict[tuple[str, str, int], int] = {}
        self.now_us = 0

    def run(self, arrivals: Sequence[Arrival]) -> Chain:
        """All arrivals in their order, then readings of all edge nodes that close what is open, then look-backs."""
        rest = list(arrivals)
        while rest:
            size = self.chance.choice((1, 1, 2, 4, 8))
            now, rest = rest[:size], rest[size:]
            self._timers(now[0].wall)
            for arrival in now:
                self._append(arrival.message, arrival.wall)
            self._turn(now[-1].wall)
        for message in closing():
            self._append(message, max(self.now_us, CLOSING))
        self._turn(max(self.now_us, CLOSING), finish=True)
        for (_, line), task in self.tasks.items():
            waited_s = looked_s = 0
            while waited_s - looked_s < LONGEST_S:
                waited_s += 2
                if task.look(self.logs[line], self.now_us + waited_s * SECOND, finish=True):
                    looked_s = waited_s
                assert waited_s < 20 * LONGEST_S, "a look-back that is due again and again"
        return self

    def settle(self, name: str, waits_s: Sequence[int]) -> None:
        """Let time pass for the tasks of one stage, with nothing more to read."""
        for line in LINES:
            task = self.tasks[name, line]
            for wait_s in waits_s:
                task.timer(self.now_us + wait_s * SECOND, self.logs[line])

    def out(self, name: str, topic: str) -> list[dict[str, Any]]:
        """What a stage wrote, all lines."""
        return [row for line in LINES for row in self.tasks[name, line].out.get(topic, [])]

    def count(self, name: str, *key: str) -> int:
        """What a stage counted, all lines."""
        return sum(self.tasks[name, line].counts[key[0], key[1]] for line in LINES)

    def _append(self, message: Message, wall: int) -> None:
        log = self.raw[PARTITIONS[message.node]]
        for topic, record in records(message):
            log.append((topic, {**record, "_partition": PARTITIONS[message.node], "_offset": len(log), "_time": wall}))

    def _timers(self, before_us: int) -> None:
        """Seconds that pass up to the next arrival; a few of them, with timers and look-backs."""
        wait = before_us - self.now_us
        if self.now_us and wait > 0:
            for part in range(1, self.chance.choice((1, 2, 3))):
                self.now_us += wait // 3 * part // 2
                for (_, line), task in self.tasks.items():
                    if self.chance.random() < 0.6:
                        task.timer(self.now_us, self.logs[line])
                        task.look(self.logs[line], self.now_us)
        self.now_us = max(self.now_us, before_us)

    def _turn(self, now_us: int, *, finish: bool = False) -> None:
        """Every task reads on, or lets this turn pass; some start anew."""
        self.now_us = now_us
        for partition, task in enumerate(self.validate):
            if finish or self.chance.random() >= self.lazy:
                self._validate(task, self.raw[partition], now_us)
            if self.chance.random() < self.unsteady:
                task.restart()
        for (name, line), task in self.tasks.items():
            if finish or self.chance.random() >= self.lazy:
                self._read(name, line, task, now_us)
            if self.chance.random() < self.unsteady:
                task.restart()
            task.timer(now_us, self.logs[line])
            task.look(self.logs[line], now_us)

    def _validate(self, task: Task, log: list[tuple[str, dict[str, Any]]], now_us: int) -> None:
        rest = log[task.taken :]
        while rest:
            topic, size = rest[0][0], self.chance.choice((1, 2, 5, 20))
            chunk = [row for _, row in next(group for _, group in groupby(rest[:size], key=lambda one: one[0]))]
            rest = rest[len(chunk) :]
            task.taken += len(chunk)
            result = task.step(topic, pl.DataFrame(chunk, schema=SCHEMAS[topic], orient="row"), now_us)
            if VALIDATED in result.out:
                self._publish(result.out[VALIDATED], now_us)

    def _publish(self, rows: pl.DataFrame, now_us: int) -> None:
        """One record per line, now and then two; a record has one ingest time, a transaction ends in a marker."""
        assert rows.schema == READING
        # What the broker got in the same second: a record has one ingest time.
        span = ((pl.col("ingest_time") - pl.col("ingest_time").min()) // SECOND).cum_max()
        for (line, *_), own in rows.group_by("work_center", span.alias("span"), maintain_order=True):
            at = self.chance.randint(1, own.height)
            for part in (own[:at], own[at:]):
                if part.height:
                    placed = part.with_columns(
                        pl.col("ingest_time").min(), _partition=pl.lit(LINES.index(str(line)), pl.Int32())
                    )
                    self.logs[str(line)].append(placed, now_us)
            # What others' transactions left in between: blocks of the index of the log are passed, too.
            self.logs[str(line)].end += self.chance.choice((1, 1, 700))

    def _read(self, name: str, line: str, task: Task, now_us: int) -> None:
        log = self.logs[line]
        rest = log.records[task.taken :]
        while rest:
            size = self.chance.choice((1, 2, 4, 50))
            chunk, rest = rest[:size], rest[size:]
            task.taken += len(chunk)
            rows = pl.concat(chunk)
            for offset in rows["_offset"].unique():
                self.processed[name, line, offset] = now_us
            task.step(VALIDATED, rows.select(*READING, *COORDINATES), now_us)
