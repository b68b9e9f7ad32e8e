"""The shape of blocks, from the first record of each. Enters: joined bodies and where each begins. Leaves: arrays.

All blocks of a fetch at once: a producer without linger sends one record per batch, and a loop over blocks would then
be a loop over readings. What is read here is a guess that only chooses the schema to decode with; it is proven later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streams.kafka.avro.wire import Kind

_FRAMING_BYTES: Final = 10
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shapes:
    """Per block: `kind` of framing (Kind.NONE: none seen, or a tombstone), its `ident`, whether the key is null."""

    kind: npt.NDArray[np.uint8]
    ident: npt.NDArray[np.uint64]
    null_key: npt.NDArray[np.bool_]

    def groups(self) -> list[tuple[Kind, int, bool, npt.NDArray[np.int64]]]:
        """(kind, ident, null key, indices of the blocks in order) for every shape there is."""
        code = self.kind * np.uint8(2) + self.null_key
        if (code == code[0]).all() and (self.ident == self.ident[0]).all():
            return [(Kind(self.kind[0]), int(self.ident[0]), bool(self.null_key[0]), np.arange(len(code)))]
        order = np.lexsort((self.ident, code))
        changed = (np.diff(code[order]) != 0) | (np.diff(self.ident[order]) != 0)
        parts = np.split(order, np.flatnonzero(changed) + 1)
        return [
            (Kind(self.kind[part[0]]), int(self.ident[part[0]]), bool(self.null_key[part[0]]), np.sort(part))
            for part in parts
        ]


def peek(joined: bytes, starts: Positions) -> Shapes:
    """Shapes of the blocks whose first records begin at `starts` (at least one)."""
    data = np.frombuffer(joined if len(joined) >= _FRAMING_BYTES else joined.ljust(_FRAMING_BYTES, b"\0"), np.uint8)
    position = starts
    for _ in range(4):  # length, attributes, time delta, offset delta
        _, position = _varint(data, position)
    key, position = _varint(data, position)
    position = position + np.maximum(np.minimum(key, len(data)), 0)
    value, position = _varint(data, position)
    lead = data[_within(data, position)[:, None] + np.arange(_FRAMING_BYTES)]
    single = (lead[:, 0] == 0xC3) & (lead[:, 1] == 0x01) & (value >= _FRAMING_BYTES)
    confluent = (lead[:, 0] == 0) & (value >= 5)
    kind = np.where(single, Kind.SINGLE_OBJECT, np.where(confluent, Kind.CONFLUENT, Kind.NONE)).astype(np.uint8)
    by_fingerprint = np.ascontiguousarray(lead[:, 2:10]).view("<u8")[:, 0]
    by_id = np.ascontiguousarray(lead[:, 1:5]).view(">u4")[:, 0]
    ident = np.where(single, by_fingerprint, np.where(confluent, by_id, 0)).astype(np.uint64)
    return Shapes(kind, ident, key < 0)


def _varint(data: npt.NDArray[np.uint8], position: Positions) -> tuple[npt.NDArray[np.int64], Positions]:
    """One zigzag varint per position; where the data is damaged, any value."""
    byte = data[_within(data, position)]
    position, more = position + 1, byte >= 0x80
    if not more.any():
        return (byte >> 1).astype(np.int64) ^ -(byte & 1).astype(np.int64), position
    result, shift = (byte & 0x7F).astype(np.uint64), 7
    while shift < 64 and more.any():
        byte = np.where(more, data[_within(data, position)], 0)
        result |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
        position, more = position + more, byte >= 0x80
        shift += 7
    return _unzigzag(result), position


def _unzigzag(value: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
    return (value >> np.uint64(1)).astype(np.int64) ^ -(value & np.uint64(1)).astype(np.int64)


def _within(data: npt.NDArray[np.uint8], position: Positions) -> Positions:
    """Positions that can be read: what lies beyond is damaged, and the proof will tell."""
    return np.minimum(position, len(data) - _FRAMING_BYTES)
