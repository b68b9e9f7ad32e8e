"""Decompression of record batches, bounded. Enters: a compressed records section. Leaves: its bytes, or `CodecError`.

Kafka's codecs are 0 none, 1 gzip, 2 snappy (bare, or in the framing of the xerial library), 3 lz4 (frame format),
4 zstd; KIP-98 and KIP-110 number them. Output goes to a buffer of fixed size, so that a decompression bomb ends as a
fault of its batch and never as an allocation.
"""

from __future__ import annotations

import struct
import threading
from typing import Any, Final

import cramjam
import numpy as np

# A batch is at most max.message.bytes (1 MiB by default) on the wire; readings compress 3 to 20 times.
MAX_BODY_BYTES: Final = 64 << 20
NAMES: Final = ("none", "gzip", "snappy", "lz4", "zstd")
_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16
_BLOCK_LENGTH: Final = struct.Struct(">i")
_local = threading.local()


class CodecError(Exception):
    """A records section that cannot be decompressed; `too_large` tells a bomb from damage."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


def decompress(codec: int, data: bytes | memoryview, limit: int = MAX_BODY_BYTES) -> bytes:
    """The records section of a batch. Raises CodecError where it is damaged, unknown or larger than `limit` bytes."""
    if codec == 0:
        return bytes(data)
    if codec >= len(NAMES):
        raise CodecError(f"unknown compression codec {codec}; known are {', '.join(NAMES)}")
    try:
        if codec == 2:
            return _snappy(data, limit)
        return _into_buffer(getattr(cramjam, NAMES[codec]), data, limit)
    except (cramjam.DecompressionError, ValueError, struct.error, OverflowError) as error:
        # cramjam's wording where the output is full (std::io::ErrorKind::WriteZero).
        if "whole buffer" in str(error):
            raise CodecError(f"{NAMES[codec]}: more than {limit} bytes decompressed", too_large=True) from error
        raise CodecError(f"{NAMES[codec]}: {error}") from error


def _into_buffer(codec: Any, data: bytes | memoryview, limit: int) -> bytes:
    buffer = getattr(_local, "buffer", None)
    if buffer is None or len(buffer) != limit:
        # Pages are only backed by memory once they are written to.
        buffer = _local.buffer = np.empty(limit, np.uint8)
    return bytes(buffer[: codec.decompress_into(data, buffer)].data)


def _snappy(data: bytes | memoryview, limit: int) -> bytes:
    view = memoryview(data)
    if bytes(view[: len(_XERIAL)]) != _XERIAL:
        return _snappy_block(view, limit)
    parts: list[bytes] = []
    position = _XERIAL_HEADER_BYTES
    while position < len(view):
        (length,) = _BLOCK_LENGTH.unpack_from(view, position)
        position += _BLOCK_LENGTH.size
        if not 0 < length <= len(view) - position:
            raise CodecError(f"snappy: block of {length} bytes where {len(view) - position} are left")
        parts.append(_snappy_block(view[position : position + length], limit))
        position += length
        limit -= len(parts[-1])
    return b"".join(parts)


def _snappy_block(block: memoryview, limit: int) -> bytes:
    size = cramjam.snappy.decompress_raw_len(block)
    if size > limit:
        raise CodecError(f"snappy: more than {limit} bytes decompressed", too_large=True)
    return bytes(cramjam.snappy.decompress_raw(block))
