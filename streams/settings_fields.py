"""What the settings are made of: kinds of fields with their checks, faults, and the error that lists them all.

In: a value. Out: None, or what is wrong with it and what to do about it.
"""

import re
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

# What is wrong with a value and what to do about it; None for a good one.
Check = Callable[[Any], tuple[str, str] | None]


class Fault(NamedTuple):
    """One thing wrong with the configuration; the value of a secret or of an unknown name is not shown."""

    name: str
    value: str
    problem: str
    remedy: str


class SettingsError(ValueError):
    """The configuration is wrong; `faults` lists everything that is, and the message shows it, one fault per line."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        lines = [f"  {f.name} = {f.value}: {f.problem}. {f.remedy}." for f in faults]
        super().__init__("\n".join([f"{len(faults)} setting(s) to correct:", *lines]))


def number(default: int, low: int, high: int) -> Any:
    """A whole number within bounds."""

    def check(value: int) -> tuple[str, str] | None:
        return None if low <= value <= high else ("out of range", f"Give a whole number from {low} to {high}")

    return field(default=default, metadata={"check": check})


def choice(default: str, *others: str) -> Any:
    """One of some words."""
    choices = sorted({default, *others})

    def check(value: str) -> tuple[str, str] | None:
        return None if value in choices else ("not one of the choices", f"Give one of {', '.join(map(repr, choices))}")

    return field(default=default, metadata={"check": check})


def line(default: str, pattern: str = r"[^\x00-\x1f]*", form: str = "one line of text", *, secret: bool = False) -> Any:
    """One line of text of a form (regular expression), which `form` puts into words."""

    def check(value: str) -> tuple[str, str] | None:
        return None if re.fullmatch(pattern, value) else ("has the wrong form", f"Give {form}")

    return field(default=default, metadata={"check": check, "secret": secret}, repr=not secret)


def existing(kind: Callable[[Path], bool], what: str) -> Any:
    """The path of something that is there, or nothing."""

    def check(value: str) -> tuple[str, str] | None:
        return (
            None if not value or kind(Path(value)) else ("does not exist", f"Give the path of {what}, or leave it out")
        )

    return field(default="", metadata={"check": check})


def checked(default: str, check: Check) -> Any:
    """Text with a check of its own."""
    return field(default=default, metadata={"check": check})


def check_servers(value: str) -> tuple[str, str] | None:
    """HOST:PORT, several with commas between them."""
    for server in value.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            return f"{server.strip()!r} is no HOST:PORT", "Give one or more HOST:PORT with commas between them"
    return None


def check_url(value: str) -> tuple[str, str] | None:
    """A web address without user name or password, or nothing."""
    parts = urlsplit(value)
    if not value or (parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc):
        return None
    remedy = "Give http://HOST:PORT or https://HOST:PORT, with user name and password in settings of their own"
    return "is no plain web address", remedy
