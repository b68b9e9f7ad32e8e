"""Structured logs: one JSON object per line, or plain text. Enters: log records; leaves: lines on stderr."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


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


class OursOnly(logging.Filter):
    """Lets warnings of the Kafka libraries pass, and all of our own."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True: let it pass."""
        return record.levelno >= logging.WARNING or not record.name.startswith(("faust", "mode", "aiokafka"))


def setup(service: str, level: str, style: str) -> None:
    """Send all logs of this process to stderr in one style."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service) if style == "json" else TextFormatter(service))
    handler.addFilter(OursOnly())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
