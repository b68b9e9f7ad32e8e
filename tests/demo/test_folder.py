"""The demo's folder: found and removed by the next demo where its owner died, and left alone otherwise."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from streams.demo.folder import Folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, for this test alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_in_use_stays_and_one_without_owner_goes(temporary: Path) -> None:
    """While its demo lives a folder survives the start of others; once the lock is gone, the next start removes it."""
    first = Folder()
    (first.path / "kafka").mkdir()
    second = Folder()
    assert {first.path, second.path} == set(temporary.iterdir())
    # What the end of a process does to its locks.
    first._mark.close()
    third = Folder()
    assert {second.path, third.path} == set(temporary.iterdir())
    second.remove()
    third.remove()
    assert list(temporary.iterdir()) == []


def test_kept_logs_and_what_is_no_demos_stay(temporary: Path) -> None:
    """Logs that were left to the user, and folders without the mark, are not removed."""
    failed = Folder()
    (failed.path / "window.log").write_text("it failed", "utf-8")
    failed.keep()
    other = temporary / "plantweave-demo-notes"
    other.mkdir()
    Folder().remove()
    assert (failed.path / "window.log").read_text("utf-8") == "it failed"
    assert other.is_dir()
