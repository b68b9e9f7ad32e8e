"""Start-up check: the pinned libraries whose insides the transport relies on. Leaves: nothing, or a `VersionFault`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

# Parts of these that are not public API are used (fetch positions, record batches), so each is pinned exactly.
PINNED: Final = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0", "mode-streaming": "0.7.1"}


class VersionFault(RuntimeError):
    """A pinned library has another version; the text names all of them and the command that mends it."""


def check() -> None:
    """Raise `VersionFault` unless every pinned library is installed in exactly its version."""
    faults = []
    for name, wanted in PINNED.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "not installed"
        if found != wanted:
            faults.append(f"{name} is {found}, needs {wanted}")
    if faults:
        mend = " ".join(f"{name}=={wanted}" for name, wanted in PINNED.items())
        raise VersionFault(f"{'; '.join(faults)}. Run: pip install {mend}")
