"""The command line where something is wrong: a sentence that says what to do, never a traceback."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from streams import cli, topology
from streams.agents import discover
from streams.kafka.avro import codec, contracts
from streams.kafka.embedded.ports import free_port


def test_without_a_broker_the_command_says_where_it_looked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, and a line with the address it tried and the setting that says where the broker is."""
    servers = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("PLANTWEAVE_BOOTSTRAP_SERVERS", servers)
    assert cli.main(["signals", "discover"]) == 1
    said = capsys.readouterr().err
    assert servers in said
    assert "PLANTWEAVE_BOOTSTRAP_SERVERS" in said
    assert "Traceback" not in said


def test_a_worker_names_every_broken_schema_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not only those of its own topics, and not one per attempt."""
    target = tmp_path / "schemas"
    shutil.copytree(contracts.folder(), target)
    for topic in (topology.KPI, topology.SIGNAL):
        (target / topic.schema_path).write_text("{")
    monkeypatch.setattr(contracts, "folder", lambda: target)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    contracts.load.cache_clear()
    try:
        assert cli.main(["worker", "validate"]) == 1
    finally:
        contracts.load.cache_clear()
    said = capsys.readouterr().err
    assert "ops.kpi.v1.avsc" in said
    assert "it.signal.v1.avsc" in said


def test_every_rule_file_that_cannot_be_used_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2: faults, no UTF-8 and no file at all in one message, each with file and remedy; nothing started."""
    (tmp_path / "faulty.toml").write_text('id = "faulty"\n', "utf-8")
    (tmp_path / "latin.toml").write_bytes('title = "Füller"'.encode("latin-1"))
    (tmp_path / "folder.toml").mkdir()
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setenv("PLANTWEAVE_RULES_DIR", str(tmp_path))
    monkeypatch.setenv("PLANTWEAVE_LOG_FORMAT", "text")
    assert cli.main(["worker", "alert"]) == 2
    said = capsys.readouterr().err
    for fault in (
        "faulty.toml: version: ",
        "faulty.toml: condition: is missing",
        "latin.toml: file: is not UTF-8 text (byte 10: invalid start byte); save it as UTF-8",
        "folder.toml: file: cannot be read: Is a directory; make it a readable file, or remove it",
    ):
        assert fault in said
    assert "Traceback" not in said


def test_a_kpi_policy_with_faults_is_a_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and the sentence; nothing started."""
    file = tmp_path / "policy.toml"
    file.write_text("version = true", "utf-8")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setenv("PLANTWEAVE_KPI_POLICY_FILE", str(file))
    assert cli.main(["worker", "kpi"]) == 2
    said = capsys.readouterr().err
    assert "policy.toml: " in said
    assert "version: give a whole number from 1" in said
    assert "Traceback" not in said


def test_signals_that_the_dictionary_names_by_now_are_not_proposed() -> None:
    """A row of the inventory stays in its compacted topic; a version that holds for it takes it off the proposals."""

    def seen(address: str, last_seen: int) -> dict[str, Any]:
        return {"source_id": "edge-1", "address": address, "last_seen": last_seen, "value_type": "double", "count": 1}

    unknown = codec.frame([seen("old", 5), seen("new", 50), seen("none", 50)], topology.UNKNOWN.name)
    rows = [
        {"signal_id": name, "source_id": "edge-1", "address": name, "valid_from": 10, "work_center": "line-1"}
        | {"role": "measurement", "factor": 1.0, "offset": 0.0, "reporting": "periodic", "period_ms": 1000}
        for name in ("old", "new")
    ]
    dictionary = codec.frame(rows, topology.SIGNAL.name)
    assert discover.unresolved(unknown, dictionary)["address"].to_list() == ["old", "none"]
    assert discover.unresolved(unknown.clear(), dictionary).is_empty()
    assert discover.unresolved(unknown, dictionary.clear()).height == 3
