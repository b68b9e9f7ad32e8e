"""Flat records straight from record batches, compiled. Enters: bytes and a layout. Leaves: one array cell per field.

One pass reads each record's envelope (KIP-98), its framing and its fields (Avro 1.11, binary encoding), and believes
nothing: every length is held against what it lies in, so a batch is either read to its last byte as exactly the records
that it announces, or reported. Texts are numbered, equal ones equally: sources, addresses and units repeat. Compiled by
numba, because the loop is over bytes; measured in docs/decisions/0012-compiled-scan.md.

Positions are signed; `data` ends in `wire.PADDING` bytes of no record, so that eight can be loaded at any position.
A position of -1 says that the bytes are not what they should be.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np

from streams.kafka.compiled import compiled

# How a field is encoded; `int` is a long that must fit 32 bits, `text` is string or bytes.
LONG, INT, FLOAT, DOUBLE, BOOLEAN, TEXT = range(6)
# Where null stands in a field's union.
NOT_NULLABLE, NULL_FIRST, NULL_SECOND = range(3)
FULL: Final = -1  # more distinct texts than there is room for

U = np.uint64
_HIGH: Final = U(0x8080808080808080)
_LOW: Final = U(0x7F7F7F7F7F7F7F7F)
_ONES: Final = U(0x0101010101010101)
_INT_MAX: Final = 2**31 - 1


@compiled
def _load(data: Any, position: Any) -> Any:
    """Eight bytes, little endian: the compiler makes one instruction of it."""
    at, word = numba.uintp(position), U(0)
    for number in range(8):
        word |= U(data[at + numba.uintp(number)]) << U(8 * number)
    return word


@compiled
def _long_varint(data: Any, position: Any, end: Any) -> Any:
    """A zigzag varint of nine or ten bytes."""
    value, shift = U(0), U(0)
    while position < end and shift < U(64):
        byte = U(data[numba.uintp(position)])
        position += 1
        value |= (byte & U(0x7F)) << shift
        if byte < U(0x80):
            return np.int64(value >> U(1)) ^ -np.int64(value & U(1)), position
        shift += U(7)
    return np.int64(0), -1


@compiled
def _varint(data: Any, position: Any, end: Any) -> Any:
    """A zigzag varint and the position after it: eight bytes at once, their groups of seven bits moved together."""
    word = _load(data, position)
    stops = ~word & _HIGH
    if stops == U(0):
        return _long_varint(data, position, end)
    used = stops ^ (stops - U(1))
    position += np.int64(((used & _ONES) * _ONES) >> U(56))
    if position > end:
        return np.int64(0), -1
    word &= used & _LOW
    word = (word & U(0x007F007F007F007F)) | ((word & U(0x7F007F007F007F00)) >> U(1))
    word = (word & U(0x00003FFF00003FFF)) | ((word & U(0x3FFF00003FFF0000)) >> U(2))
    word = (word & U(0x000000000FFFFFFF)) | ((word & U(0x0FFFFFFF00000000)) >> U(4))
    return np.int64(word >> U(1)) ^ -np.int64(word & U(1)), position


@compiled
def _some(data: Any, position: Any, count: Any) -> Any:
    """One to seven bytes."""
    return _load(data, position) & ((U(1) << U(8 * count)) - U(1))


@compiled
def _same(data: Any, one: Any, other: Any, size: Any) -> Any:
    """Whether two texts of `size` bytes are equal."""
    done = 0
    while done + 8 <= size:
        if _load(data, one + done) != _load(data, other + done):
            return False
        done += 8
    return done == size or _some(data, one + done, size - done) == _some(data, other + done, size - done)


@compiled
def _hash(data: Any, position: Any, size: Any) -> Any:
    """Spreads texts over a table; nothing rests on it but speed."""
    mixed, done = U(size), 0
    while done < size:
        word = _load(data, position + done) if done + 8 <= size else _some(data, position + done, size - done)
        mixed = (mixed ^ word) * U(0x9E3779B97F4A7C15)
        mixed ^= mixed >> U(29)
        done += 8
    mixed *= U(0xFF51AFD7ED558CCD)
    return mixed ^ (mixed >> U(29))


@compiled
def _text(data: Any, position: Any, size: Any, last: Any, table: Any, texts: Any) -> Any:
    """The number of a text: `last` where it is that again, else by `table`; FULL where there is no room for a new one.

    `texts[0]` holds positions and `texts[1]` sizes by number; the last cell of `texts[0]` counts them.
    """
    if last >= 0 and texts[1, last] == size and _same(data, texts[0, last], position, size):
        return last
    mask = np.int64(table.size - 1)
    slot = np.int64(_hash(data, position, size) & U(mask))
    while table[slot] >= 0:
        number = np.int64(table[slot])
        if texts[1, number] == size and _same(data, texts[0, number], position, size):
            return number
        slot = (slot + 1) & mask
    number = texts[0, -1]
    if number == texts.shape[1] - 1:
        return np.int64(FULL)
    table[slot] = number
    texts[0, number], texts[1, number] = position, size
    texts[0, -1] = number + 1
    return number


@compiled
def _bytes(data: Any, position: Any, end: Any) -> Any:
    """Size of length-prefixed bytes that lie before `end` (-1: null), and where they begin; position -1 where not."""
    size, position = _varint(data, position, end)
    return size, position if -1 <= size <= end - position else -1


@compiled
def _envelope(data: Any, position: Any, end: Any) -> Any:
    """(offset delta, time delta, key size, begin and end of the value) of the record whose fields lie in these bytes.

    Headers are walked and left; begin is -1 where a part does not add up or there is no value.
    """
    time = offset = key = size = headers = begin = np.int64(-1)
    if position < end:
        time, position = _varint(data, position + 1, end)  # after the attributes, which no release of Kafka uses
        if position >= 0:
            offset, position = _varint(data, position, end)
        if position >= 0:
            key, position = _bytes(data, position, end)
        if position >= 0:
            size, begin = _bytes(data, position + max(key, 0), end)
    if begin < 0 or size < 0:
        return offset, time, key, np.int64(-1), begin
    headers, position = _varint(data, begin + size, end)
    while headers > 0 and position >= 0:
        name, position = _bytes(data, position, end)
        if position < 0 or name < 0:
            return offset, time, key, np.int64(-1), begin
        content, position = _bytes(data, position + name, end)
        position += max(content, 0) if position >= 0 else 0
        headers -= 1
    return offset, time, key, begin if position == end and headers == 0 else np.int64(-1), begin + size


@compiled
def _number(data: Any, position: Any, end: Any, kind: Any) -> Any:
    """A field that is no text as 64 bits, and the position after it."""
    if kind <= INT:
        value, position = _varint(data, position, end)
        if kind == INT and (value < -_INT_MAX - 1 or value > _INT_MAX):
            return np.int64(0), -1
        return value, position
    size = 8 if kind == DOUBLE else 4 if kind == FLOAT else 1
    value = np.int64(_load(data, position) if size == 8 else _some(data, position, size))
    return value, position + size if size <= end - position and (kind != BOOLEAN or value <= 1) else -1


@compiled
def _fields(data: Any, position: Any, end: Any, layout: Any, row: Any, out: Any, index: Any) -> Any:
    """Read one value's fields into column `row`; the position after them, -1, or -2 where `texts` is full."""
    (cells, present, _), (last, table, texts) = out, index
    for number in range(layout.shape[1]):
        nullable = layout[1, number]
        if nullable != NOT_NULLABLE:
            if position >= end:
                return -1
            branch = data[numba.uintp(position)]
            position += 1
            if branch != 0 and branch != 2:  # noqa: PLR1714 - numba compiles this, not a tuple
                return -1
            here = (branch == 0) == (nullable == NULL_SECOND)
            present[number, row] = here
            if not here:
                continue
        if layout[0, number] != TEXT:
            cells[number, row], position = _number(data, position, end, layout[0, number])
            if position < 0:
                return -1
            continue
        size, position = _bytes(data, position, end)
        if position < 0 or size < 0:
            return -1
        code = _text(data, position, size, last[number], table, texts)
        if code == FULL:
            return -2
        cells[number, row] = last[number] = code
        position += size
    return position


@compiled
def scan(data: Any, batches: Any, framing: Any, limit: Any, layout: Any, out: Any, index: Any, good: Any) -> Any:
    """(rows, records without a key) of the batches that are in order; `good` says which. FULL rows: it gave up.

    `batches`: (begin, end, count, last offset delta) by batch. `framing`: what each value begins with, as two rows of
    (up to eight bytes, their mask), and its size. `limit`: the most bytes of a value. `layout`: (kind, place of null)
    by field. `index`: last text by field, table, texts (see `_text`). Written, by row, to `out`: cells by field (64
    bits, or the number of a text), presence by field (expects ones), places (batch, offset delta, time delta).
    """
    row, keyless, places = 0, 0, out[2]
    for batch in range(batches.shape[1]):
        position, end, first, unkeyed = batches[0, batch], batches[1, batch], row, 0
        previous = np.int64(-1)
        for _ in range(batches[2, batch]):
            size, position = _bytes(data, position, end)
            stop = position + size
            if position < 0 or size < 0:
                break
            offset, time, key, begin, value_end = _envelope(data, position, stop)
            position = -1
            if begin < 0 or offset <= previous or offset > batches[3, batch] or value_end - begin > limit:
                break
            differs = (_load(data, begin) ^ framing[0, 0]) & framing[0, 1]
            differs |= (_load(data, begin + 8) ^ framing[1, 0]) & framing[1, 1]
            begin += np.int64(framing[2, 0])
            if differs != U(0) or begin > value_end:
                break
            here = _fields(data, begin, value_end, layout, row, out, index)
            if here == -2:
                return FULL, 0
            if here != value_end:
                break
            places[0, row], places[1, row], places[2, row] = batch, offset, time
            previous, position, row, unkeyed = offset, stop, row + 1, unkeyed + (key < 0)
        good[batch] = position == end and row - first == batches[2, batch]
        if good[batch]:
            keyless += unkeyed
        else:
            row = first
    return row, keyless
