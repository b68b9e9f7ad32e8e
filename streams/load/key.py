"""The key of the pseudonyms, in a file of its own that only its owner can read."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

from streams.core.privacy import KEY_BYTES


class KeyFault(Exception):
    """There is no usable key; the message says what to do."""


def make_key(path: Path) -> None:
    """Write a new key. Raises KeyFault where the file is there already: another key would make other pseudonyms."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as why:
        raise KeyFault(f"{path} is there already; delete it first to erase whom its pseudonyms stand for") from why
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")


def read_key(path: str) -> bytes:
    """The key in a file. Raises KeyFault."""
    if not path:
        raise KeyFault(
            "the records name persons, and there is no key for their pseudonyms: make one with `plantweave privacy key "
            "FILE`, and say where it is in PLANTWEAVE_PSEUDONYM_KEY_FILE"
        )
    try:
        key = base64.b64decode(Path(path).read_bytes(), validate=False)
    except (OSError, binascii.Error) as why:
        raise KeyFault(f"{path}: no key can be read ({why}); `plantweave privacy key FILE` makes one") from why
    if len(key) != KEY_BYTES:
        raise KeyFault(
            f"{path}: the key has {len(key)} bytes instead of {KEY_BYTES}; make one with `plantweave privacy key`"
        )
    return key
