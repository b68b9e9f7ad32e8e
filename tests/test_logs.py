"""Logs: one line of JSON or text per record, and libraries that do not flood them."""

from __future__ import annotations

import json
import logging

from streams.logs import JsonFormatter, Libraries, TextFormatter


def record(name: str, level: int, message: str, created: float = 0.0, **extra: object) -> logging.LogRecord:
    """A log record as `logging` makes it."""
    return logging.makeLogRecord(
        {"name": name, "levelno": level, "levelname": logging.getLevelName(level), "msg": message}
        | {"created": created}
        | extra
    )


def test_a_line_of_json_has_what_was_given() -> None:
    """Time, level, service, message and every extra are members."""
    line = json.loads(JsonFormatter("window").format(record("streams.x", logging.INFO, "task open", task="window/3")))
    assert line == {
        "time": "1970-01-01T00:00:00.000+00:00",
        "level": "info",
        "service": "window",
        "message": "task open",
        "task": "window/3",
    }


def test_a_line_of_text_has_what_was_given() -> None:
    """The same for people, on one line."""
    line = TextFormatter("window").format(record("streams.x", logging.WARNING, "no broker", in_s=2.0))
    assert line == "1970-01-01T00:00:00.000+00:00 warning window no broker in_s=2.0"


def test_libraries_say_a_thing_once_in_a_while_and_how_often_they_meant_it() -> None:
    """Of a hundred equal warnings in a second one passes; the next after the pause tells how many were held back."""
    libraries = Libraries(every_s=5.0)
    passed = [libraries.filter(record("aiokafka.conn", logging.ERROR, "cannot connect", n / 100)) for n in range(100)]
    later = record("aiokafka.conn", logging.ERROR, "cannot connect", 6.0)
    assert passed.count(True) == 1
    assert libraries.filter(later)
    assert vars(later)["repeated"] == 99
    assert not libraries.filter(record("faust.app", logging.INFO, "starting"))
    assert all(libraries.filter(record("streams.kafka.task", logging.INFO, "task open")) for _ in range(3))
