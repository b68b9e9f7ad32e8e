"""Structured logs: one JSON object per line, or plain text. Enters: log records; leaves: lines on stderr."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


LIBRARIES = ("faust", "mode", "aiokafka", "kafka", "asyncio")


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "service", "message", ...}`, what was given as `extra` as further members."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """`time level service message key=value ...`, for people."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """One line of text; a stack follows on lines of its own."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        extra = " ".join(f"{name}={value}" for name, value in _extra(record).items())
        line = f"{when} {record.levelname.lower():7} {self._service} {record.getMessage()} {extra}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class Libraries(logging.Filter):
    """Lets all of our own pass; of the Kafka libraries warnings, and each of those at most once in `every_s`.

    A broker that is away makes them say the same thing a hundred times per second.
    """

    def __init__(self, every_s: float = 5.0) -> None:
        super().__init__()
        self._every_s = every_s
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """True: let it pass; what was held back since is told as `repeated`."""
        if not record.name.startswith(LIBRARIES):
            return True
        if record.levelno < logging.WARNING:
            return False
        key = (record.name, str(record.msg))
        at, held = self._said.get(key, (-self._every_s, 0))
        if record.created - at < self._every_s:
            self._said[key] = (at, held + 1)
            return False
        if held:
            record.repeated = held
        self._said[key] = (record.created, 0)
        return True


def setup(service: str, level: str, style: str) -> None:
    """Send all logs of this process to stderr in one style."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service) if style == "json" else TextFormatter(service))
    handler.addFilter(Libraries())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
