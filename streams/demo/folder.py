"""The demo's folder of logs and data. Out: a folder of its own, marked as in use for as long as the demo lives.

A demo that is killed cannot remove its folder; the next one does. The mark is a lock on a file: it ends with its owner.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PREFIX: Final = "plantweave-demo-"
_MARK: Final = ".running"


class Folder:
    """A new folder for one demo, below the user's folder of temporary files; removes those of dead demos first."""

    def __init__(self) -> None:
        for path in _abandoned(Path(tempfile.gettempdir())):
            shutil.rmtree(path, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Locked before it has its name: another demo must never find the mark unlocked.
        begun = self.path / f"{_MARK}-soon"
        self._mark = begun.open("w")
        fcntl.flock(self._mark, fcntl.LOCK_EX)
        begun.rename(self.path / _MARK)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._mark.close()

    def keep(self) -> None:
        """Leave it to the user: no later demo removes it."""
        (self.path / _MARK).unlink()
        self._mark.close()


def _abandoned(parent: Path) -> Iterator[Path]:
    """Folders of demos that have died without removing them."""
    for mark in parent.glob(f"{PREFIX}*/{_MARK}"):
        try:
            with mark.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # a demo that runs, another user's, or one that is just being removed
        yield mark.parent
