"""What keeps a worker from starting: a sentence that says what to do, and an exit code."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Producer

from streams import topology
from streams.kafka import state, topics
from streams.settings import Settings
from tests.chaos.deployment import ROOT, Deployment
from tests.integration import harness

pytestmark = pytest.mark.timeout(180)

RAW: Final = topology.RAW_READING.name


class Refused:
    """Workers that cannot start, all at once; `of` waits for the end of one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, target: Deployment, service: str = "validate", **settings: object) -> None:
        own = {f"PLANTWEAVE_{key.upper()}": str(value) for key, value in settings.items()}
        command = [sys.executable, "-m", "streams", "worker", service]
        with (self._folder / f"{name}.log").open("wb") as out:
            self._running[name] = subprocess.Popen(
                command, env={**target.env, **own}, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT
            )

    def of(self, name: str) -> harness.Ended:
        code = self._running[name].wait(90)
        return harness.ended(code, self._folder / f"{name}.log")

    def kill(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


def _fresh(bootstrap: str, folder: Path) -> Deployment:
    return harness.deployment(bootstrap, f"t{time.time_ns()}.", folder, ("validate",))


def _uneven(bootstrap: str, folder: Path) -> Deployment:
    """One input has three partitions, everything else two."""
    target = _fresh(bootstrap, folder)
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=target.prefix, partitions=2)
    wanted = topics.wanted(settings)
    for topic in wanted:
        if topic.topic.endswith(topology.RAW_BATCH.name):
            topic.num_partitions = 3
    topics.create(settings, wanted)
    return target


def _foreign(bootstrap: str, folder: Path) -> Deployment:
    """The state topic holds what a service on another cluster wrote."""
    target = harness.deploy(bootstrap, folder, ("validate",))
    origin = state.Origin("another-cluster", {}, 1, "validate")
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    for value in state.encode("snapshot", {}, {}, {}, origin, 1):
        producer.produce(target.prefix + topology.state_topic("validate"), value, b"state", partition=0)
    assert producer.flush(30) == 0
    return target


@pytest.fixture(scope="module")
def refused(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refused]:
    """One worker for each reason not to start."""
    folder = tmp_path_factory.mktemp("refused")
    found = Refused(folder)
    fresh = _fresh(bootstrap, folder)
    rules = folder / "rules"
    rules.mkdir()
    (rules / "first.toml").write_text('id = "first"\n', "utf-8")
    (rules / "second.toml").write_text("no toml at all\n", "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found.start("taken", fresh, http_port=taken.getsockname()[1])
        found.start("missing", fresh)
        found.start("uneven", _uneven(bootstrap, folder))
        found.start("foreign", _foreign(bootstrap, folder))
        found.start("settings", fresh, partitions="many", framing="xml", session_timeout_ms=1, liveness="60")
        found.start("rules", fresh, "alert", rules_dir=rules)
        try:
            yield found
        finally:
            found.kill()


def test_a_taken_http_port_is_told(refused: Refused) -> None:
    """Which address, and that another port or 0 helps."""
    ended = refused.of("taken")
    assert ended.code == 1
    (error,) = ended.errors
    assert "address already in use" in error
    assert "PLANTWEAVE_HTTP_PORT" in error


def test_missing_topics_are_named_with_the_command_that_creates_them(refused: Refused) -> None:
    """Inputs, outputs, context and state, all in one message."""
    ended = refused.of("missing")
    assert ended.code == 1
    (error,) = ended.errors
    stage = topology.VALIDATE
    for topic in (*stage.reads, *stage.writes, *stage.context):
        assert topic.name in error
    assert topology.state_topic("validate") in error
    assert "`plantweave topics create`" in error


def test_inputs_with_different_partition_counts_are_named(refused: Refused) -> None:
    """Each input with its count, and what to do."""
    ended = refused.of("uneven")
    assert ended.code == 1
    (error,) = ended.errors
    assert f"{RAW} has 2" in error
    assert f"{topology.RAW_BATCH.name} has 3" in error
    assert "PLANTWEAVE_PARTITIONS" in error


def test_a_state_of_another_cluster_is_refused(refused: Refused) -> None:
    """Its positions mean nothing here: both clusters are named, and the way to give the state up."""
    ended = refused.of("foreign")
    assert ended.code == 1
    error = ended.errors[-1]
    assert "written on cluster another-cluster" in error
    assert "`plantweave state reset validate" in error


def test_every_wrong_setting_is_listed_at_once(refused: Refused) -> None:
    """Exit code 2; wrong type, choice, range and an unknown name in one message; nothing was started."""
    ended = refused.of("settings")
    assert ended.code == 2
    assert ended.text.startswith("4 setting(s) to correct:")
    for name in ("partitions = 'many'", "framing = 'xml'", "session_timeout_ms = '1'", "PLANTWEAVE_LIVENESS"):
        assert name in ended.text


def test_every_fault_of_every_rule_file_is_listed_at_once(refused: Refused) -> None:
    """Exit code 2, as for settings; in one message, without a stack trace; nothing was started."""
    ended = refused.of("rules")
    assert ended.code == 2
    (error,) = ended.errors
    assert "first.toml" in error
    assert "second.toml" in error
    assert "Traceback" not in ended.text


def test_topics_are_created_once_and_checked(bootstrap: str, tmp_path: Path) -> None:
    """`topics create` names what it made, and nothing the second time; `topics check` counts per service."""
    target = _fresh(bootstrap, tmp_path)
    refused = harness.run(target, "topics", "check")
    assert (refused.returncode, "`plantweave topics create`" in refused.stderr) == (1, True)
    made = harness.run(target, "topics", "create")
    assert made.returncode == 0, made.stderr
    assert f"{target.prefix}{RAW}" in made.stdout
    assert harness.run(target, "topics", "create").stdout == "0 topics created; all were there\n"
    checked = harness.run(target, "topics", "check")
    assert checked.stdout.splitlines() == [
        f"{stage.name}: {len(stage.reads)} inputs, 1 partitions each" for stage in topology.STAGES
    ]
