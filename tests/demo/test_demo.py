"""The whole demo as its user runs it: a command, a real broker, every service as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

# Each starts a broker and seven more processes: one after another, and not beside other tests with a broker.
pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
SERVICES = {"validate", "window", "alert", "kpi", "route", "correlate"}
# Colours and movements of the cursor.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Run:
    """A running `plantweave demo`; its temporary files go below `folder`, its standard output to `out` if given."""

    def __init__(self, folder: Path, *options: str, out: int = subprocess.PIPE) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.told: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streams", "demo", *options],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read what it tells until a line matches."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.told.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"{pattern} was not told:\n{''.join(self.told)}")

    def started(self) -> list[psutil.Process]:
        """All processes that it has started and that run."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; exit status, standard output, and all that it told."""
        out, told = self.process.communicate()
        return self.process.returncode, out or "", "".join(self.told) + told


class Terminal:
    """A terminal of 80 columns and 24 lines to run a demo in; `shown` is all that was sent to it so far."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, (24, 80))
        self.shown = ""
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # EIO: the last process at the other end has closed it.
        with contextlib.suppress(OSError):
            while data := os.read(self._ours, 65_536):
                with self._more:
                    self.shown += data.decode("utf-8", "replace")
                    self._more.notify_all()

    def wait_for(self, pattern: str, limit_s: float = 60.0) -> None:
        """Return once it has shown a match."""
        with self._more:
            found = self._more.wait_for(lambda: re.search(pattern, CONTROL.sub("", self.shown)), limit_s)
            assert found, self.shown

    def close(self) -> None:
        """Nothing more is shown."""
        os.close(self.theirs)
        self._reader.join()
        os.close(self._ours)


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    """A place for runs; what still runs after the test is ended."""
    runs: list[Run] = []
    yield runs
    for run in runs:
        run.process.kill()
        run.process.wait()
        for pipe in (run.process.stdout, run.process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A terminal, closed after the test."""
    terminal = Terminal()
    yield terminal
    terminal.close()


def gone(processes: list[psutil.Process], limit_s: float = 30.0) -> bool:
    """True where all of these have ended within the limit."""
    return not psutil.wait_procs(processes, timeout=limit_s)[1]


def test_a_demo_without_a_terminal_ends_with_its_figures_and_leaves_nothing(tmp_path: Path, runs: list[Run]) -> None:
    """`--for`: readings, alerts and KPIs come, the first ones within a minute; no process and no file stays."""
    run = Run(tmp_path / "one", "--for", "45")
    runs.append(run)
    run.wait_for(r"\[5/5\] plant")
    started = run.started()
    commands = [" ".join(process.cmdline()) for process in started]
    assert {word for command in commands for word in SERVICES if f"streams worker {word}" in command} == SERVICES
    status, out, told = run.end()
    assert status == 0, told
    figures = json.loads(out)
    first = {"first_alert_s", "first_kpi_s", "first_incident_s"}
    assert set(figures) == {"readings", "alerts", "kpis", "incidents", *first}
    assert min(figures["readings"] / 1_000, figures["alerts"], figures["kpis"]) >= 1
    assert 0 < figures["first_alert_s"] <= 60
    assert 0 < figures["first_kpi_s"] <= 60
    assert "alert: " in told
    assert "lowest OEE of the hour" in told
    assert gone(started)
    assert list((tmp_path / "one").iterdir()) == []


def test_two_demos_run_side_by_side_and_each_ends_as_it_should(
    tmp_path: Path, terminal: Terminal, runs: list[Run]
) -> None:
    """Each has a broker of its own; its port is refused to a third; a dead service is told, with logs; Ctrl-C ends."""
    first, second = Run(tmp_path / "first", out=terminal.theirs), Run(tmp_path / "second", "--json")
    runs += [first, second]
    ports = [run.wait_for(r"127\.0\.0\.1:(\d+)").group(1) for run in (first, second)]
    assert ports[0] != ports[1]
    third = Run(tmp_path / "third", "--port", ports[0])
    runs.append(third)
    status, _, told = third.end()
    assert status == 1
    assert f"Port {ports[0]}" in told
    assert "choose another port" in told
    assert list((tmp_path / "third").iterdir()) == []

    second.wait_for(r"\[5/5\] plant")
    started = second.started()
    next(one for one in started if "streams worker window" in " ".join(one.cmdline())).kill()
    status, _, told = second.end()
    assert status == 1
    assert "window ended with status -9" in told
    logs = [path.name for path in (tmp_path / "second").glob("*/*.log")]
    assert {f"{name}.log" for name in (*SERVICES, "plant", "broker")} == set(logs)
    assert gone(started)

    terminal.wait_for(r"[1-9]\d* readings/s")
    started = first.started()
    first.process.send_signal(signal.SIGINT)
    status, _, told = first.end()
    assert status == 0, told
    assert "Nothing is left running" in told
    assert "Traceback" not in told + terminal.shown
    assert "Alerts: " in CONTROL.sub("", terminal.shown)
    assert gone(started)
    assert list((tmp_path / "first").iterdir()) == []


def test_nothing_survives_the_sudden_death_of_the_demo(tmp_path: Path, runs: list[Run]) -> None:
    """After SIGKILL of the demo all it started ends by itself; the next demo removes the folder that it left."""
    run = Run(tmp_path / "one", "--json")
    runs.append(run)
    run.wait_for(r"\[5/5\] plant")
    started = run.started()
    names = [" ".join(one.cmdline()) for one in started]
    assert len([name for name in names if "-m streams" in name or "kafka.Kafka" in name]) == len(SERVICES) + 2
    run.process.kill()
    assert gone(started)
    (left,) = (tmp_path / "one").iterdir()
    refused = Run(tmp_path / "one", "--lines", "0")
    runs.append(refused)
    assert refused.end()[0] == 2
    assert not left.exists()


@pytest.mark.parametrize("options", [("--for", "0"), ("--rate", "1e9"), ("--lines", "0"), ("--port", "70000")])
def test_wrong_options_are_refused_before_anything_starts(tmp_path: Path, runs: list[Run], options: tuple[str]) -> None:
    """Exit status 2, a message, no broker, no file."""
    run = Run(tmp_path / "one", *options)
    runs.append(run)
    status, _, told = run.end()
    assert status == 2
    assert "[1/5]" not in told
    assert "demo: " in told
    assert list((tmp_path / "one").iterdir()) == []
