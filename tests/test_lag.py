"""`plantweave lag`: what it says of a task, and what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams import cli, lag, topology
from streams.core.window.standing import Standing
from streams.kafka.lag import Late, TaskLag

SECOND = 1_000_000
NOW = 1_700_000_000 * SECOND
LIMITS = lag.Limits(lag_s=60, records=1000, sources=2)


def source(name: str, status: str, age_s: float, silent_s: float = 0.5) -> Standing:
    """A source whose event times are `age_s` old."""
    at, heard = NOW - round(age_s * SECOND), NOW - round(silent_s * SECOND)
    return Standing(name, status, at, heard, heard, heard if status == "backlog" else None)


def task(lag_s: float | None = 3, waiting: int = 0, **fields: Any) -> TaskLag:
    """A task of `window` whose watermark is `lag_s` behind now."""
    mark = None if lag_s is None else NOW - round(lag_s * SECOND)
    given: dict[str, Any] = {"workers": 1, "begun": True, "sources": ()} | fields
    return TaskLag("window", 4, watermark_us=mark, waiting={topology.READING.name: waiting}, **given)


def test_a_task_that_keeps_up_needs_nothing() -> None:
    """Near the present, little waits, a worker runs; also where it has read nothing, and where all are silent."""
    silent = (source("edge-1", "released", 90_000, 90_000),)
    for fine in (task(), task(lag_s=None, begun=False), task(waiting=1000), task(sources=silent)):
        assert lag.advice(fine, NOW, LIMITS) == []


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (task(workers=0), "start one with `plantweave worker window`"),
        (task(lag_s=None, begun=False, waiting=5), "it has committed nothing yet: look into the log"),
        (task(waiting=1001), "1001 offsets wait"),
        (task(lag_s=61, waiting=1), "1 offsets wait"),
        (task(lag_s=61, sources=(source("edge-7", "holding", 59),)), "edge-7 still sends, but what it sends is 59.0 s"),
    ],
    ids=["no worker", "nothing committed", "backlog", "late and waiting", "held back"],
)
def test_what_lags_is_told_with_what_to_do(found: TaskLag, word: str) -> None:
    """One sentence each."""
    (line,) = lag.advice(found, NOW, LIMITS)
    assert word in line


def test_the_slowest_source_is_named_and_the_others_shown() -> None:
    """Who holds first, slowest first; released ones and backlogs are told apart; what is left out is counted."""
    sources = [
        source("edge-7", "holding", 900),
        *(source(f"edge-2{number}", "ahead", 2) for number in range(4)),
        source("edge-9", "released", 11_520, 11_520),
        source("edge-5", "backlog", 200_000),
    ]
    text = list(lag.as_text([task(lag_s=902, sources=sources)], NOW, LIMITS))
    assert text[0].startswith("window/4: watermark 2023-11-14T21:58:18.000+00:00, 15 min 2 s behind now; 0 offsets of")
    assert text[1] == "    edge-7 holds the watermark back: its event times are 15 min 0 s old, last heard 0.5 s ago"
    assert [line.split()[0] for line in text[2:4]] == ["edge-20", "edge-21"]
    assert text[4] == "    and 2 more, ahead as well"
    assert (
        text[5]
        == "    edge-9 is released, it holds nothing back: silent for 3 h 12 min, its event times are 3 h 12 min old"
    )
    assert text[6].startswith("    edge-5 delivers a backlog, it holds nothing back: its event times are 2 d 7 h old")
    assert text[7].startswith("  -> edge-7 still sends, but what it sends is 15 min 0 s old")
    assert len(text) == 8


def test_programs_get_the_same_as_json() -> None:
    """Every source with its status; spans in s, instants in UTC; what is not known is null."""
    found = lag.as_json([task(sources=(source("edge-7", "backlog", 30),)), task(lag_s=None, begun=False)], NOW, LIMITS)
    known, unknown = json.loads(json.dumps(found))["tasks"]
    assert (known["service"], known["partition"], known["watermark_lag_s"], known["advice"]) == ("window", 4, 3.0, [])
    (told,) = known["sources"]
    assert (told["source_id"], told["status"], told["lag_s"], told["silent_s"]) == ("edge-7", "backlog", 30.0, 0.5)
    assert told["event_time"] == "2023-11-14T22:12:50.000+00:00"
    assert told["backlog_since"] == "2023-11-14T22:13:19.500+00:00"
    assert (unknown["watermark"], unknown["watermark_lag_s"], unknown["sources"]) == (None, None, [])


def test_a_task_without_a_watermark_says_why() -> None:
    """It has committed nothing, or its service has none."""
    first, second = lag.as_text([task(lag_s=None, begun=False), task(lag_s=None)], NOW, LIMITS)
    assert "nothing committed yet; " in first
    assert "no watermark; " in second


def test_spans_read_as_people_say_them() -> None:
    """Also one that lies ahead."""
    spans = [lag.span(seconds) for seconds in (0, 59.94, 60, 3599, 3600, 86_399, 90_000, -75)]
    wanted = ["0.0 s", "59.9 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "23 h 59 min", "1 d 1 h", "-1 min 15 s"]
    assert spans == wanted


def test_a_service_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 with the choices; no broker is asked."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["lag", "windows"])
    assert ended.value.code == 2
    assert "invalid choice: 'windows' (choose from validate, window" in capsys.readouterr().err


def test_late_readings_that_wait_for_their_correction_are_told() -> None:
    """How many, of how many signals, for how long; that is no lag, and nothing is to be done."""
    found = task(late=Late(3, 5000, NOW - 12 * SECOND))
    lines = list(lag.as_text([found], NOW, LIMITS))
    assert lines[1].startswith(
        "    5000 late readings of 3 signals wait, the first for 12.0 s: their windows are corrected"
    )
    assert lag.advice(found, NOW, LIMITS) == []
    (entry,) = lag.as_json([found, task()], NOW, LIMITS)["tasks"][:1]
    assert entry["late"] == {"signals": 3, "readings": 5000, "since": lag.instant(NOW - 12 * SECOND)}
    assert lag.as_json([task()], NOW, LIMITS)["tasks"][0]["late"] is None
