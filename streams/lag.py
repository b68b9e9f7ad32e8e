"""`plantweave lag`: what each task waits for. Enters: tasks (`streams.kafka.lag`). Leaves: text or JSON, an exit code.

Exit code 0: nothing to do. 3: something lags, and the lines with an arrow say what to do.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from streams.core.times import SECOND_US
from streams.core.window.standing import Standing
from streams.core.window.watermark import Patience
from streams.kafka.lag import Late, TaskLag, read
from streams.settings import Settings

BEHIND: Final = 3
# How a source is told, by its status; `silent` is the time since it was last heard.
WORDS: Final = {
    "holding": "holds the watermark back: its event times are {lag} old, last heard {silent} ago",
    "ahead": "is further: its event times are {lag} old, last heard {silent} ago",
    "released": "is released, it holds nothing back: silent for {silent}, its event times are {lag} old",
    "backlog": "delivers a backlog, it holds nothing back: its event times are {lag} old, last heard {silent} ago",
}


@dataclass(frozen=True)
class Limits:
    """What is worth telling: watermarks further behind now, more offsets waiting. `sources`: shown of each status."""

    lag_s: float = 60.0
    records: int = 100_000
    sources: int = 5


def told(settings: Settings, services: Sequence[str], patience: Patience, limits: Limits, as_: str) -> tuple[str, int]:
    """What to print, `as_` text or json, and the exit code. Raises what `streams.kafka.lag.read` raises."""
    now_us = time.time_ns() // 1000
    tasks = asyncio.run(read(settings, services, patience, now_us))
    if as_ == "json":
        text = json.dumps(as_json(tasks, now_us, limits), indent=2, ensure_ascii=False)
    else:
        text = "\n".join(as_text(tasks, now_us, limits))
    return text, BEHIND if any(advice(task, now_us, limits) for task in tasks) else 0


def advice(task: TaskLag, now_us: int, limits: Limits) -> list[str]:
    """What to do about a task; empty where nothing is to be done."""
    found, waiting = [], sum(task.waiting.values())
    if not task.workers:
        found.append(f"no worker of {task.service} runs: start one with `plantweave worker {task.service}`")
    elif not task.begun and waiting:
        found.append(f"it has committed nothing yet: look into the log of `plantweave worker {task.service}`")
    lag_s = 0.0 if task.watermark_us is None else (now_us - task.watermark_us) / SECOND_US
    if waiting > limits.records or (waiting and lag_s > limits.lag_s):
        found.append(
            f"{waiting} offsets wait: where that number falls from call to call, wait; else start more workers of "
            f"{task.service}, up to one per partition"
        )
    elif lag_s > limits.lag_s:
        holding = [source for source in task.sources if source.status == "holding"]
        found += [_mend(source, now_us) for source in holding[:1]]
    return found


def _mend(source: Standing, now_us: int) -> str:
    """What to do about a living source whose event times are old."""
    age = span((now_us - source.max_event_time) / SECOND_US)
    return (
        f"{source.source_id} still sends, but what it sends is {age} old, and windows wait for it: set its clock "
        "(UTC), or wait until it has delivered what it kept; silent for longer than its idle limit, it is released"
    )


def as_text(tasks: Sequence[TaskLag], now_us: int, limits: Limits) -> Iterator[str]:
    """A line per task, below it its sources and, behind an arrow, what to do."""
    for task in tasks:
        waiting = ", ".join(f"{count} offsets of {topic} wait" for topic, count in task.waiting.items())
        yield f"{task.service}/{task.partition}: {_mark(task, now_us)}; {waiting}"
        if task.late is not None:
            yield f"    {_corrections(task.late, now_us)}"
        for status in WORDS:
            sources = [source for source in task.sources if source.status == status]
            for source in sources[: limits.sources]:
                yield f"    {source.source_id} {_told(source, now_us)}"
            if len(sources) > limits.sources:
                yield f"    and {len(sources) - limits.sources} more, {status} as well"
        yield from (f"  -> {line}" for line in advice(task, now_us, limits))


def _mark(task: TaskLag, now_us: int) -> str:
    if task.watermark_us is None:
        return "no watermark" if task.begun else "nothing committed yet"
    return f"watermark {instant(task.watermark_us)}, {span((now_us - task.watermark_us) / SECOND_US)} behind now"


def _corrections(late: Late, now_us: int) -> str:
    waited = span((now_us - late.since_us) / SECOND_US)
    return (
        f"{late.readings} late readings of {late.signals} signals wait, the first for {waited}: their windows are "
        "corrected once the log has been read again"
    )


def _told(source: Standing, now_us: int) -> str:
    lag, silent = ((now_us - at) / SECOND_US for at in (source.max_event_time, source.last_seen))
    return WORDS[source.status].format(lag=span(lag), silent=span(silent))


def as_json(tasks: Sequence[TaskLag], now_us: int, limits: Limits) -> dict[str, Any]:
    """The same for programs: instants as text in UTC, spans in s."""

    def source(one: Standing) -> dict[str, Any]:
        return {
            "source_id": one.source_id,
            "status": one.status,
            "event_time": instant(one.max_event_time),
            "lag_s": (now_us - one.max_event_time) / SECOND_US,
            "silent_s": (now_us - one.last_seen) / SECOND_US,
            "backlog_since": None if one.backlog_since is None else instant(one.backlog_since),
        }

    def late(one: Late) -> dict[str, Any]:
        return {"signals": one.signals, "readings": one.readings, "since": instant(one.since_us)}

    def entry(task: TaskLag) -> dict[str, Any]:
        mark = task.watermark_us
        return {
            "service": task.service,
            "partition": task.partition,
            "workers": task.workers,
            "watermark": None if mark is None else instant(mark),
            "watermark_lag_s": None if mark is None else (now_us - mark) / SECOND_US,
            "waiting": dict(task.waiting),
            "sources": [source(one) for one in task.sources],
            "late": None if task.late is None else late(task.late),
            "advice": advice(task, now_us, limits),
        }

    return {"time": instant(now_us), "tasks": [entry(task) for task in tasks]}


def instant(time_us: int) -> str:
    """An instant as text, UTC, whole ms."""
    return datetime.fromtimestamp(time_us / SECOND_US, UTC).isoformat(timespec="milliseconds")


def span(seconds: float) -> str:
    """A span as people say it: 9.5 s, 4 min 10 s, 3 h 12 min, 5 d 2 h; one that is ahead has a minus."""
    sign, left = "-" if seconds < 0 else "", abs(seconds)
    if left < 60:
        return f"{sign}{left:.1f} s"
    minutes, hours = divmod(int(left), 60), divmod(int(left) // 60, 60)
    if left < 3600:
        return f"{sign}{minutes[0]} min {minutes[1]} s"
    days = divmod(hours[0], 24)
    return f"{sign}{hours[0]} h {hours[1]} min" if left < 86_400 else f"{sign}{days[0]} d {days[1]} h"
