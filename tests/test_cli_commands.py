"""The command line without a broker: what it explains, what it refuses, and with which exit code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from streams import cli, topology

COMMANDS = ("worker", "topics", "state", "signals", "lag", "demo", "plant")
SERVICES = tuple(stage.name for stage in topology.STAGES)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests are none of theirs."""
    for name in list(os.environ):
        if name.startswith("PLANTWEAVE_"):
            monkeypatch.delenv(name)


def _stopped(*arguments: str) -> int:
    """Exit code of a command that the parser itself ends."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """With a line on each, and exit code 0."""
    assert _stopped("--help") == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^ +{command} +\w+", text, re.MULTILINE), command
    assert "PLANTWEAVE_*" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("worker", "--help"), (*SERVICES, "--accept-data-loss")),
        (("topics", "--help"), ("create", "check", "list")),
        (("state", "reset", "--help"), (*SERVICES, "--yes")),
        (("signals", "--help"), ("discover",)),
        (("lag", "--help"), (*SERVICES, "--json", "--max-lag-s")),
        (("plant", "--help"), ("plant",)),
        (("demo", "--help"), ("--for",)),
    ],
    ids=" ".join,
)
def test_each_command_explains_itself(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """Its choices and options are in its help, exit code 0."""
    assert _stopped(*arguments) == 0
    text = capsys.readouterr().out
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(
    "arguments",
    [(), ("work",), ("worker",), ("worker", "windows"), ("topics",), ("topics", "drop"), ("state", "reset")],
    ids=" ".join,
)
def test_what_is_no_command_is_refused_with_the_choices(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """Exit code 2, usage on the standard error output, nothing on the standard output."""
    assert _stopped(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: plantweave")
    assert re.search(r"required|invalid choice: .*choose from", said.err)


def test_topics_list_shows_the_topology(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One line per topic in the data's order, with the deployment's prefix, key and contents; no broker is asked."""
    monkeypatch.setenv("PLANTWEAVE_TOPIC_PREFIX", "site7.")
    assert cli.main(["topics", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [f"site7.{topic.name}" for topic in topology.topics()]
    for line, topic in zip(lines, topology.topics(), strict=True):
        assert f"key {topic.key} " in line
        assert line.endswith(topic.text)


def test_a_state_is_not_reset_by_accident(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --yes it says what would be lost, exit code 2; no broker is asked."""
    assert cli.main(["state", "reset", "window"]) == 2
    assert "--yes" in capsys.readouterr().err


def test_wrong_settings_are_listed_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """All of a file in one message, exit code 2."""
    file = tmp_path / "plantweave.toml"
    file.write_text('partitions = 0\nhttp_port = "web"\n', "utf-8")
    assert cli.main(["--config", str(file), "topics", "list"]) == 2
    text = capsys.readouterr().err
    assert text.startswith("2 setting(s) to correct:")
    assert "partitions = 0" in text
    assert "http_port = 'web'" in text


def test_the_package_runs_as_a_module() -> None:
    """`python -m streams` is the same command line."""
    command = [sys.executable, "-m", "streams", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.startswith("usage: plantweave")) == (0, True)
